/** Incidents of Gitaly servers: they die, hang, are rolled out, or go away with the only good copy. */
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
import { type Incident, type Scene, someHold } from './incident.ts';

const storageDies: Incident = {
  name: 'storage-dies',
  title: 'A Gitaly dies',
  description:
    'gitaly-1 is killed. Every Praefect sees it at once, and for about 10 s writes to the repositories whose primary it is fail. Then it is unhealthy by consensus: each of those repositories gets another primary at its next write, reads go on, and every write leaves a replication job for gitaly-1 that stays ready with all its attempts.',
  watch: [
    { metric: storageHealthy, shows: 'gitaly-1 turns 0 after about 10 s' },
    { metric: primaries, shows: 'falls for gitaly-1 as its repositories are written to' },
    { metric: primaryMoves, shows: 'from gitaly-1, cause unhealthy' },
    {
      metric: replicationJobs,
      shows: 'ready jobs for gitaly-1, one for each repository written to',
    },
    { metric: repositoriesAtRisk, shows: 'what one more dead storage would cost' },
  ],
  alerts: ['PraefectFailover'],
  ends: 'gitaly-1 starts again, is healthy within a second and caught up soon after. No primary moves back.',
  needs: ['gitaly-1'],
  async run({ cluster, say, untilEnded }) {
    const gitaly = cluster.world.gitaly('gitaly-1');
    gitaly.process = 'dead';
    say('gitaly-1 is killed');
    await untilEnded();
    gitaly.process = 'running';
    say('gitaly-1 starts again');
  },
};

const archiveStorageDies: Incident = {
  name: 'archive-storage-dies',
  title: 'A Gitaly with the only replicas dies',
  description:
    'archive-2 is killed. The virtual storage archive has replication factor 1, so no other Gitaly holds its repositories: after 10 s about half of them have no valid primary, and neither reads nor writes of those work.',
  watch: [
    { metric: repositoriesUnavailable, shows: 'about half of archive, after 10 s' },
    { metric: repositoriesByHealthyReplicas, shows: 'the same number with 0 healthy replicas' },
    { metric: primaries, shows: 'unchanged: there is nowhere for them to go' },
  ],
  alerts: ['PraefectRepositoriesUnavailable'],
  ends: 'archive-2 starts again; all of it is back within a second or two.',
  needs: ['archive-2'],
  async run({ cluster, say, untilEnded }) {
    const gitaly = cluster.world.gitaly('archive-2');
    gitaly.process = 'dead';
    say('archive-2 is killed');
    await untilEnded();
    gitaly.process = 'running';
    say('archive-2 starts again');
  },
};

const storageHangs: Incident = {
  name: 'storage-hangs',
  title: 'A Gitaly hangs in the midst of its jobs',
  description:
    'gitaly-3 stops answering (SIGSTOP, or a dead NFS mount) while a Praefect holds a batch of jobs for it. It turns unhealthy as a dead one does, but the jobs stay in_progress with one attempt gone and their locks are refreshed every 5 s; after 40 s gRPC gives the connection up and the whole batch is "failed". It stays so until gitaly-3 is back.',
  watch: [
    {
      metric: replicationJobs,
      shows: 'in_progress for gitaly-3, after 40 s failed in their place',
    },
    { metric: storageHealthy, shows: 'gitaly-3 turns 0' },
    { metric: staleJobs, shows: 'stays 0: a living Praefect holds them' },
  ],
  alerts: ['PraefectFailover'],
  ends: 'gitaly-3 goes on; what failed is taken up again and the queue drains.',
  needs: ['gitaly-3'],
  async run({ cluster, say, until, untilEnded }) {
    const gitaly = cluster.world.gitaly('gitaly-3');
    gitaly.votes = false;
    gitaly.replication = 'slow';
    say('gitaly-3 misses its votes, and so there are jobs for it');
    await until(() => someHold(cluster, 5) !== undefined);
    gitaly.process = 'stopped';
    gitaly.replication = 'works';
    say('gitaly-3 is stopped while jobs for it are in progress');
    await untilEnded();
    gitaly.process = 'running';
    gitaly.votes = true;
    say('gitaly-3 goes on');
  },
};

/** Healthy by the consensus, or not, of all of these. */
async function healthy(scene: Scene, storages: readonly string[]): Promise<number> {
  const rows = await scene.sql.query('SELECT storage FROM healthy_storages WHERE storage = ANY($1::text[])', [
    storages,
  ]);
  return rows.length;
}

const onlyCopyDies: Incident = {
  name: 'only-copy-dies',
  title: 'The only up-to-date copy goes away',
  description:
    'gitaly-2 and gitaly-3 die, and writes go to gitaly-1 alone; then gitaly-1 dies and the others come back. The jobs that should have copied those writes fail three times within seconds, because their source is gone, and vanish: the queue is empty, and the repositories that were written to are unavailable, although two of three Gitalys run.',
  watch: [
    { metric: repositoriesUnavailable, shows: 'the repositories written to meanwhile' },
    {
      metric: replicasOutdatedUnscheduled,
      shows: 'two for each of them: behind, and no job',
    },
    { metric: repositoriesAtRisk, shows: 'what gitaly-1 alone holds, before it dies' },
    { metric: replicationJobs, shows: 'vanish within seconds of the others coming back' },
  ],
  alerts: ['PraefectRepositoriesUnavailable', 'PraefectFailover'],
  ends: 'gitaly-1 starts again, with the writes. The reconciler queues the jobs anew; a minute later nothing is behind.',
  needs: ['gitaly-1', 'gitaly-2', 'gitaly-3'],
  async run(scene) {
    const { cluster, say, until, sleep, untilEnded } = scene;
    const [first, ...others] = ['gitaly-1', 'gitaly-2', 'gitaly-3'].map((name) => cluster.world.gitaly(name));
    for (const gitaly of others) gitaly.process = 'dead';
    say('gitaly-2 and gitaly-3 are killed');
    await until(async () => (await healthy(scene, ['gitaly-2', 'gitaly-3'])) === 0);
    say('writes go to gitaly-1 alone');
    await sleep(10_000);
    if (first !== undefined && !scene.signal.aborted) {
      first.process = 'dead';
      say('gitaly-1 is killed');
    }
    for (const gitaly of others) gitaly.process = 'running';
    say('gitaly-2 and gitaly-3 start again, without the newest writes');
    await untilEnded();
    if (first !== undefined) first.process = 'running';
    say('gitaly-1 starts again');
  },
};

const downForMs = 14_000;
const betweenMs = 6000;

const rollout: Incident = {
  name: 'rollout',
  title: 'A roll-out, one Gitaly after the other',
  description:
    'gitaly-3, gitaly-2 and gitaly-1 are restarted in turn, each down for 14 s with 6 s between. In each step writes to its primaries fail for the first 10 s. When the next one goes before the last one has caught up, repositories of which it held the only up-to-date copy are unavailable until it is back.',
  watch: [
    { metric: storageHealthy, shows: 'one after the other turns 0 for a few seconds' },
    { metric: replicas, shows: 'outdated on the one that was away, until it has caught up' },
    { metric: repositoriesUnavailable, shows: 'over 0 when the next one goes too early' },
    { metric: primaries, shows: 'skewed at the end: the last one that went has few' },
  ],
  alerts: ['PraefectFailover'],
  ends: 'By itself, after about a minute. Primaries do not spread again.',
  needs: ['gitaly-1', 'gitaly-2', 'gitaly-3'],
  async run(scene) {
    const { cluster, say, sleep, until, signal } = scene;
    for (const name of ['gitaly-3', 'gitaly-2', 'gitaly-1']) {
      if (signal.aborted) return;
      const gitaly = cluster.world.gitaly(name);
      gitaly.process = 'dead';
      say(`${name} is restarted`);
      await sleep(downForMs);
      gitaly.process = 'running';
      await until(async () => (await healthy(scene, [name])) === 1);
      say(`${name} is back`);
      await sleep(betweenMs);
    }
  },
};

export const storageIncidents: readonly Incident[] = [
  storageDies,
  archiveStorageDies,
  storageHangs,
  onlyCopyDies,
  rollout,
];
