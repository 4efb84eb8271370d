/** Incidents of storages: they go down, hang, are restarted in turn, or are lost with the only up-to-date copy. */

import { statefulSetUpdatedReplicas } from '../../src/sources/kubernetes/metrics.ts';
import {
  primaries,
  primaryMoves,
  replicas,
  replicasOutdatedUnscheduled,
  repositoriesAtRisk,
  repositoriesByHealthyReplicas,
  repositoriesUnavailable,
} from '../../src/sources/praefect/mirror/metrics.ts';
import { storageHealthy } from '../../src/sources/praefect/queries/health.ts';
import { replicationJobs, staleJobs } from '../../src/sources/praefect/queries/queue.ts';
import { type Incident, praefectWithJobs, type Scene } from './incident.ts';

/** The run of an incident in which one Gitaly is killed, and starts again when the incident ends. */
const killUntilEnded =
  (name: string): Incident['run'] =>
  async ({ cluster, report, untilEnded }) => {
    const gitaly = cluster.world.gitaly(name);
    gitaly.process = 'dead';
    report(`${name} is killed`);
    await untilEnded();
    gitaly.process = 'running';
    report(`${name} starts again`);
  };

const storageDies: Incident = {
  name: 'storage-dies',
  title: 'A Gitaly dies',
  description:
    'gitaly-1 is killed. Every Praefect notices immediately, and for about 10 s writes to the repositories with this primary fail. Then it is unhealthy by consensus: each of those repositories gets another primary at its next write, reads continue, and every write creates a replication job for gitaly-1 that stays ready with all its attempts.',
  watch: [
    { metric: storageHealthy, shows: '0 for gitaly-1 after about 10 s' },
    { metric: primaries, shows: 'decreases for gitaly-1 with writes to its repositories' },
    { metric: primaryMoves, shows: 'from gitaly-1, cause unhealthy' },
    {
      metric: replicationJobs,
      shows: 'ready jobs for gitaly-1, one for each written repository',
    },
    { metric: repositoriesAtRisk, shows: 'repositories that one more dead storage would make unavailable' },
  ],
  alerts: ['PraefectStorageUnhealthy', 'PraefectFailover'],
  ends: 'gitaly-1 starts again, is healthy within a second and up to date soon after. No primary moves back.',
  needs: ['gitaly-1'],
  run: killUntilEnded('gitaly-1'),
};

const archiveStorageDies: Incident = {
  name: 'archive-storage-dies',
  title: 'A Gitaly with the only replicas dies',
  description:
    'archive-2 is killed. The virtual storage `archive` has replication factor 1, so no other Gitaly has its repositories: after 10 s about half of them have no valid primary, and their reads and writes fail.',
  watch: [
    { metric: repositoriesUnavailable, shows: 'about half of archive, after 10 s' },
    { metric: repositoriesByHealthyReplicas, shows: 'the same number with 0 healthy replicas' },
    { metric: primaries, shows: 'unchanged: no other storage has a replica' },
  ],
  alerts: ['PraefectStorageUnhealthy', 'PraefectRepositoriesUnavailable'],
  ends: 'archive-2 starts again; all repositories are available within two seconds.',
  needs: ['archive-2'],
  run: killUntilEnded('archive-2'),
};

const storageHangs: Incident = {
  name: 'storage-hangs',
  title: 'A Gitaly hangs during replication jobs',
  description:
    'gitaly-3 stops responding (SIGSTOP, or a dead NFS mount) while a Praefect holds a batch of jobs for it. It becomes unhealthy like a dead one, but the jobs stay in_progress with one attempt used, and their locks are refreshed every 5 s. After 40 s gRPC closes the connection and the whole batch is `failed`, until gitaly-3 is back.',
  watch: [
    {
      metric: replicationJobs,
      shows: 'in_progress for gitaly-3, failed after 40 s',
    },
    { metric: storageHealthy, shows: '0 for gitaly-3' },
    { metric: staleJobs, shows: 'stays 0: a running Praefect holds them' },
  ],
  alerts: ['PraefectStorageUnhealthy', 'PraefectFailover'],
  ends: 'gitaly-3 continues; failed jobs are retried and the queue drains.',
  needs: ['gitaly-3'],
  async run({ cluster, report, until, untilEnded }) {
    const gitaly = cluster.world.gitaly('gitaly-3');
    gitaly.votes = false;
    gitaly.replication = 'slow';
    report('gitaly-3 misses votes, which creates jobs for it');
    await until(() => praefectWithJobs(cluster, 5) !== undefined);
    gitaly.process = 'stopped';
    gitaly.replication = 'works';
    report('gitaly-3 is stopped while jobs for it are in progress');
    await untilEnded();
    gitaly.process = 'running';
    gitaly.votes = true;
    report('gitaly-3 continues');
  },
};

/** Number of these storages that are healthy by consensus. */
async function countHealthy(scene: Scene, storages: readonly string[]): Promise<number> {
  const rows = await scene.sql.query('SELECT storage FROM healthy_storages WHERE storage = ANY($1::text[])', [
    storages,
  ]);
  return rows.length;
}

const onlyCopyDies: Incident = {
  name: 'only-copy-dies',
  title: 'The only up-to-date copy is lost',
  description:
    'gitaly-2 and gitaly-3 die, and only gitaly-1 receives writes. Then gitaly-1 dies and the others return. The jobs that should copy those writes fail three times within seconds, because their source is down, and are deleted: the queue is empty, and the written repositories are unavailable although two of three Gitalys run.',
  watch: [
    { metric: repositoriesUnavailable, shows: 'the repositories that were written in between' },
    {
      metric: replicasOutdatedUnscheduled,
      shows: 'two for each of them: outdated, without a job',
    },
    { metric: repositoriesAtRisk, shows: 'repositories that only gitaly-1 holds, before it dies' },
    { metric: replicationJobs, shows: 'deleted within seconds after the others return' },
  ],
  alerts: ['PraefectStorageUnhealthy', 'PraefectRepositoriesUnavailable', 'PraefectFailover'],
  ends: 'gitaly-1 starts again with the writes. The reconciler queues the jobs again; a minute later no replica is outdated.',
  needs: ['gitaly-1', 'gitaly-2', 'gitaly-3'],
  async run(scene) {
    const { cluster, report, until, sleep, untilEnded } = scene;
    const [first, ...others] = ['gitaly-1', 'gitaly-2', 'gitaly-3'].map((name) => cluster.world.gitaly(name));
    for (const gitaly of others) gitaly.process = 'dead';
    report('gitaly-2 and gitaly-3 are killed');
    await until(async () => (await countHealthy(scene, ['gitaly-2', 'gitaly-3'])) === 0);
    report('only gitaly-1 receives writes');
    await sleep(10_000);
    if (first !== undefined && !scene.signal.aborted) {
      first.process = 'dead';
      report('gitaly-1 is killed');
    }
    for (const gitaly of others) gitaly.process = 'running';
    report('gitaly-2 and gitaly-3 start again, without the newest writes');
    await untilEnded();
    if (first !== undefined) first.process = 'running';
    report('gitaly-1 starts again');
  },
};

const rollout: Incident = {
  name: 'rollout',
  title: 'A rollout restarts one Gitaly after the other',
  description:
    '`kubectl rollout restart` replaces the pods of gitaly-3, gitaly-2 and gitaly-1 in turn, each of which is down for about 12 s. In each step writes to its primaries fail for the first 10 s. The next one stops as soon as the last one is Ready, even if it is not up to date: repositories of which it has the only up-to-date copy are unavailable until it is back.',
  watch: [
    { metric: storageHealthy, shows: '0 for one after the other for a few seconds' },
    { metric: statefulSetUpdatedReplicas, shows: 'rises from 0 to 3' },
    { metric: replicas, shows: 'outdated on the restarted one until it is up to date' },
    { metric: repositoriesUnavailable, shows: 'above 0 when the next one stops too early' },
    { metric: primaries, shows: 'uneven at the end: the last restarted one has few' },
  ],
  alerts: ['PraefectFailover'],
  ends: 'By itself after about a minute. Primaries are not distributed again. Ended early, it is rolled back.',
  needs: ['gitaly-1', 'gitaly-2', 'gitaly-3'],
  async run({ kubernetes, report, until, signal }) {
    kubernetes.updateTemplate({});
    report('the StatefulSet is restarted');
    await until(() => kubernetes.isRolledOut());
    if (signal.aborted) {
      kubernetes.undoTemplate();
      report('the restart is rolled back');
    } else report('all pods have been restarted');
  },
};

export const storageIncidents: readonly Incident[] = [
  storageDies,
  archiveStorageDies,
  storageHangs,
  onlyCopyDies,
  rollout,
];
