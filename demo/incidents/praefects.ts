/** Incidents of Praefects: one is partitioned or killed while it has jobs, or all of them are killed. */
import { repositoriesUnavailable } from '../../src/sources/praefect/mirror/metrics.ts';
import {
  heartbeatTimestamp,
  praefectAlive,
  storageHealthy,
  storageSeenHealthy,
} from '../../src/sources/praefect/queries/health.ts';
import { staleJobs } from '../../src/sources/praefect/queries/queue.ts';
import type { Praefect } from '../praefect/praefect.ts';
import { type Incident, praefectWithJobs } from './incident.ts';

const praefectCutOff: Incident = {
  name: 'praefect-cut-off',
  title: 'A Praefect cannot reach one Gitaly',
  description:
    'The network between praefect-3 and gitaly-2 is cut. The other two Praefects reach it, so it is healthy by consensus and no primary moves. But praefect-3 routes by its own health checks, and a third of the writes to repositories with primary gitaly-2 fail.',
  watch: [
    { metric: storageSeenHealthy, shows: '0 for gitaly-2 from praefect-3, 1 from the others' },
    { metric: storageHealthy, shows: 'stays 1' },
    { metric: repositoriesUnavailable, shows: 'stays 0' },
  ],
  alerts: ['PraefectHealthDisagreement'],
  ends: 'The network is restored; a second later all Praefects agree.',
  needs: ['praefect-3'],
  async run({ cluster, report, untilEnded }) {
    cluster.world.cutLink('praefect-3', 'gitaly-2');
    report('praefect-3 cannot reach gitaly-2');
    await untilEnded();
    cluster.world.restoreLink('praefect-3', 'gitaly-2');
    report('praefect-3 reaches gitaly-2 again');
  },
};

const praefectDies: Incident = {
  name: 'praefect-dies',
  title: 'A Praefect dies while it holds jobs',
  description:
    'gitaly-3 misses votes for a while, which creates replication jobs, and a Praefect is killed while it holds a batch of them. The jobs stay in_progress with locks that are no longer refreshed. The other two Praefects are a quorum and continue. 60 to 90 s later one of them releases the locks; the jobs are `failed`, then run again.',
  watch: [
    {
      metric: staleJobs,
      shows: 'lock_expired for gitaly-3, from 60 s until the locks are released',
    },
    { metric: praefectAlive, shows: '0 for the dead Praefect after 60 s' },
    { metric: storageHealthy, shows: 'stays 1 for all storages' },
  ],
  alerts: ['PraefectInstanceDown'],
  ends: 'The Praefect starts again and continues to update its rows in node_status, because its name is the same.',
  needs: ['praefect-1', 'praefect-2', 'praefect-3', 'gitaly-3'],
  async run({ cluster, report, until, untilEnded }) {
    const gitaly = cluster.world.gitaly('gitaly-3');
    gitaly.votes = false;
    gitaly.replication = 'slow';
    report('gitaly-3 misses votes, which creates jobs for it');
    let victim: Praefect | undefined;
    await until(() => {
      victim = praefectWithJobs(cluster, 5);
      return victim !== undefined;
    });
    const held = victim?.context()?.held.size ?? 0;
    victim?.kill();
    gitaly.votes = true;
    gitaly.replication = 'works';
    if (victim !== undefined) report(`${victim.name} is killed while it holds ${held} jobs`);
    await untilEnded();
    victim?.start();
    if (victim !== undefined) report(`${victim.name} starts again`);
  },
};

const allPraefectsDie: Incident = {
  name: 'all-praefects-die',
  title: 'All Praefects die',
  description:
    'praefect-1, praefect-2 and praefect-3 are killed. All requests fail, and the database no longer changes. The metrics of Praefect itself are missing, and 10 s later the health in the database is wrong, because there are no heartbeats: all storages are unhealthy and all repositories unavailable according to it.',
  watch: [
    { metric: heartbeatTimestamp, shows: 'stops advancing' },
    { metric: praefectAlive, shows: '0 for all after 60 s' },
    {
      metric: repositoriesUnavailable,
      shows: 'not valid while heartbeats are stale',
    },
  ],
  alerts: ['PraefectQuorumLost'],
  ends: 'All three start again; a second later all storages are healthy.',
  needs: ['praefect-1', 'praefect-2', 'praefect-3'],
  async run({ cluster, report, untilEnded }) {
    const praefects = cluster.topology.praefects.map((name) => cluster.praefect(name));
    for (const praefect of praefects) praefect.kill();
    report('all Praefects are killed');
    await untilEnded();
    for (const praefect of praefects) praefect.start();
    report('all Praefects start again');
  },
};

export const praefectIncidents: readonly Incident[] = [praefectCutOff, praefectDies, allPraefectsDie];
