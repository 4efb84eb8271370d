/** Incidents in which repositories disappear from disk: one storage's copies, or all copies. */
import {
  replicas,
  repositoriesByHealthyReplicas,
  repositoriesLost,
  repositoriesUnavailable,
} from '../../src/sources/praefect/mirror/metrics.ts';
import { verificationReplicas } from '../../src/sources/praefect/mirror/verification.ts';
import { storagesOf } from '../topology.ts';
import { chooseQuietRepositories, type Incident, releaseRepositories, type Scene } from './incident.ts';

/** What happens first looks like nothing: until somebody looks, the database says that all is there. */
const unnoticedMs = 10_000;

/** `praefect verify`: the verifier takes what was never verified before all else. */
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
    'Five repositories disappear from the disk of gitaly-2 (a file system repair, a wrong path). At first the database says that nothing happened. Then somebody runs "praefect verify" on them: the verifier finds no replica and deletes its record. The next write or the reconciler’s next round queues a job for each, and they are whole again.',
  watch: [
    {
      metric: replicas,
      shows: '5 missing on gitaly-2, from the verification until they are copied anew',
    },
    { metric: repositoriesByHealthyReplicas, shows: '5 more with 2 healthy replicas, 5 fewer with 3' },
    { metric: verificationReplicas, shows: 'a few unverified, for a moment' },
  ],
  alerts: [],
  ends: 'By itself, within a minute: five jobs, and each repository has three copies again.',
  needs: ['gitaly-2'],
  async run(scene) {
    const { cluster, say, sleep, until, signal } = scene;
    const { missing } = cluster.world.gitaly('gitaly-2');
    const ids = await chooseQuietRepositories(scene, `"primary" <> 'gitaly-2'`, 5);
    const whole = await records(scene, ids);
    for (const id of ids) missing.add(id);
    say(`${ids.length} repositories are gone from the disk of gitaly-2; nobody knows`);
    await sleep(unnoticedMs);
    try {
      if (signal.aborted) return;
      await verify(scene, ids);
      say('somebody runs "praefect verify" on them');
      await until(async () => (await records(scene, ids)) < whole);
      say('the verifier has found the loss');
      await until(async () => missing.size === 0 && (await records(scene, ids)) === whole);
      if (!signal.aborted) say('all of them are copied anew');
    } finally {
      for (const id of ids) missing.delete(id);
      releaseRepositories(scene, ids);
    }
  },
};

const repositoryLost: Incident = {
  name: 'repository-lost',
  title: 'A repository is lost entirely',
  description:
    'Two repositories disappear from all disks. Reads and writes get NotFound. Once verified, all their records are gone, but the repositories themselves stay in the database, so that the loss can be seen: they count as unavailable, and they stay so for good.',
  watch: [
    { metric: repositoriesLost, shows: '2' },
    { metric: repositoriesUnavailable, shows: 'the same 2' },
    { metric: repositoriesByHealthyReplicas, shows: '2 with 0 healthy replicas' },
  ],
  alerts: ['PraefectRepositoriesUnavailable'],
  ends: 'Only when you end it: somebody removes them ("praefect remove-repository") and restores them from a backup, as new ones.',
  needs: [],
  async run(scene) {
    const { cluster, say, sleep, until, untilEnded, signal } = scene;
    const disks = storagesOf(cluster.topology).map((storage) => cluster.world.gitaly(storage).missing);
    const ids = await chooseQuietRepositories(scene, 'true', 2);
    for (const missing of disks) for (const id of ids) missing.add(id);
    say(`${ids.length} repositories are gone from all disks; nobody knows`);
    await sleep(unnoticedMs);
    try {
      if (!signal.aborted) {
        await verify(scene, ids);
        say('somebody runs "praefect verify" on them');
      }
      await until(async () => (await records(scene, ids)) === 0);
      if (!signal.aborted) say('no record of a replica is left');
      await untilEnded();
      for (const id of ids) {
        await cluster.traffic.remove(id);
        await cluster.traffic.create('default');
      }
      say('they are removed, and restored from a backup');
    } finally {
      for (const missing of disks) for (const id of ids) missing.delete(id);
      releaseRepositories(scene, ids);
    }
  },
};

export const dataLossIncidents: readonly Incident[] = [replicaLost, repositoryLost];
