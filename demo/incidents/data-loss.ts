/** Incidents in which repositories disappear from disk: the copies of one storage, or all copies. */
import {
  replicas,
  repositoriesByHealthyReplicas,
  repositoriesLost,
  repositoriesUnavailable,
} from '../../src/sources/praefect/mirror/metrics.ts';
import { verificationReplicas } from '../../src/sources/praefect/mirror/verification.ts';
import { storagesOf } from '../topology.ts';
import { chooseQuietRepositories, type Incident, releaseRepositories, type Scene } from './incident.ts';

/** Until a verification, the database shows no loss. */
const unnoticedMs = 10_000;

/** `praefect verify`: the verifier checks replicas without a verification time first. */
const verify = ({ sql }: Scene, ids: readonly number[]) =>
  sql.query('UPDATE storage_repositories SET verified_at = NULL WHERE repository_id = ANY($1::bigint[])', [
    ids,
  ]);

const records = async ({ sql }: Scene, ids: readonly number[]): Promise<number> =>
  (await sql.query('SELECT FROM storage_repositories WHERE repository_id = ANY($1::bigint[])', [ids])).length;

const replicaLost: Incident = {
  name: 'replica-lost',
  title: 'Replicas are lost from one disk',
  description:
    'Five repositories disappear from the disk of gitaly-2 (a file system repair, a wrong path). At first the database shows no loss. Then an operator runs `praefect verify` on them: the verifier finds no replica and deletes its record. The next write or the next run of the reconciler queues a job for each, and they are copied again.',
  watch: [
    {
      metric: replicas,
      shows: '5 missing on gitaly-2, from the verification until they are copied',
    },
    { metric: repositoriesByHealthyReplicas, shows: '5 more with 2 healthy replicas, 5 fewer with 3' },
    { metric: verificationReplicas, shows: 'a few unverified, for a moment' },
  ],
  alerts: [],
  ends: 'By itself within a minute: after five jobs, each repository has three copies again.',
  needs: ['gitaly-2'],
  async run(scene) {
    const { cluster, report, sleep, until, signal } = scene;
    const { missing } = cluster.world.gitaly('gitaly-2');
    const ids = await chooseQuietRepositories(scene, `"primary" <> 'gitaly-2'`, 5);
    const complete = await records(scene, ids);
    for (const id of ids) missing.add(id);
    report(`${ids.length} repositories disappeared from the disk of gitaly-2, not detected yet`);
    await sleep(unnoticedMs);
    try {
      if (signal.aborted) return;
      await verify(scene, ids);
      report('an operator runs `praefect verify` on them');
      await until(async () => (await records(scene, ids)) < complete);
      report('the verifier has detected the loss');
      await until(async () => missing.size === 0 && (await records(scene, ids)) === complete);
      if (!signal.aborted) report('all of them have been copied again');
    } finally {
      for (const id of ids) missing.delete(id);
      releaseRepositories(scene, ids);
    }
  },
};

const repositoryLost: Incident = {
  name: 'repository-lost',
  title: 'A repository is lost on all storages',
  description:
    'Two repositories disappear from all disks. Reads and writes fail with NotFound. After a verification the records of their replicas are deleted, but the repositories stay in the database, so that the loss remains visible: they are unavailable permanently.',
  watch: [
    { metric: repositoriesLost, shows: '2' },
    { metric: repositoriesUnavailable, shows: 'the same 2' },
    { metric: repositoriesByHealthyReplicas, shows: '2 with 0 healthy replicas' },
  ],
  alerts: ['PraefectRepositoriesLost'],
  ends: 'Only when you end it: an operator removes them (`praefect remove-repository`) and restores them from a backup as new repositories.',
  needs: [],
  async run(scene) {
    const { cluster, report, sleep, until, untilEnded, signal } = scene;
    const disks = storagesOf(cluster.topology).map((storage) => cluster.world.gitaly(storage).missing);
    const ids = await chooseQuietRepositories(scene, 'true', 2);
    for (const missing of disks) for (const id of ids) missing.add(id);
    report(`${ids.length} repositories disappeared from all disks, not detected yet`);
    await sleep(unnoticedMs);
    try {
      if (!signal.aborted) {
        await verify(scene, ids);
        report('an operator runs `praefect verify` on them');
      }
      await until(async () => (await records(scene, ids)) === 0);
      if (!signal.aborted) report('all records of their replicas are deleted');
      await untilEnded();
      for (const id of ids) {
        await cluster.traffic.remove(id);
        await cluster.traffic.create('default');
      }
      report('they were removed and restored from a backup');
    } finally {
      for (const missing of disks) for (const id of ids) missing.delete(id);
      releaseRepositories(scene, ids);
    }
  },
};

export const dataLossIncidents: readonly Incident[] = [replicaLost, repositoryLost];
