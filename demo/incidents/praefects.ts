/** Incidents of Praefects: one is cut off or dies with jobs in hand, or all of them die. */
import { repositoriesUnavailable } from '../../src/sources/praefect/mirror/metrics.ts';
import {
  heartbeatTimestamp,
  praefectAlive,
  storageHealthy,
  storageSeenHealthy,
} from '../../src/sources/praefect/queries/health.ts';
import { staleJobs } from '../../src/sources/praefect/queries/queue.ts';
import type { Praefect } from '../praefect.ts';
import { type Incident, someHold } from './incident.ts';

const praefectCutOff: Incident = {
  name: 'praefect-cut-off',
  title: 'A Praefect can’t reach one Gitaly',
  description:
    'The way from praefect-3 to gitaly-2 is cut. The other two Praefects reach it, so by consensus all is well and no primary moves; but praefect-3 routes by what it sees itself, and every third write to a repository whose primary is gitaly-2 fails.',
  watch: [
    { metric: storageSeenHealthy, shows: 'praefect-3 says 0 for gitaly-2, the others 1' },
    { metric: storageHealthy, shows: 'stays 1' },
    { metric: repositoriesUnavailable, shows: 'stays 0' },
  ],
  alerts: [],
  ends: 'The way is open again; a second later all agree.',
  needs: ['praefect-3'],
  async run({ cluster, say, untilEnded }) {
    cluster.world.cutLink('praefect-3', 'gitaly-2');
    say('praefect-3 no longer reaches gitaly-2');
    await untilEnded();
    cluster.world.mendLink('praefect-3', 'gitaly-2');
    say('praefect-3 reaches gitaly-2 again');
  },
};

const praefectDies: Incident = {
  name: 'praefect-dies',
  title: 'A Praefect dies with jobs in hand',
  description:
    'gitaly-3 misses votes for a while, so that there are replication jobs for it, and a Praefect is killed while it holds a batch of them. The jobs stay in_progress and nobody refreshes their locks. The two others still are a quorum and go on; 60 to 90 s after the death one of them releases the locks, and the jobs are "failed", then carried out.',
  watch: [
    {
      metric: staleJobs,
      shows: 'lock_expired for gitaly-3, from 60 s until they are released',
    },
    { metric: praefectAlive, shows: 'the dead one turns 0 after 60 s' },
    { metric: storageHealthy, shows: 'stays 1 everywhere' },
  ],
  alerts: [],
  ends: 'The Praefect starts again. Its rows in node_status are taken up again, as its name is the same.',
  needs: ['praefect-1', 'praefect-2', 'praefect-3', 'gitaly-3'],
  async run({ cluster, say, until, untilEnded }) {
    const gitaly = cluster.world.gitaly('gitaly-3');
    gitaly.votes = false;
    gitaly.replication = 'slow';
    say('gitaly-3 misses its votes, and so there are jobs for it');
    let victim: Praefect | undefined;
    await until(() => {
      victim = someHold(cluster, 5);
      return victim !== undefined;
    });
    const held = victim?.context()?.held.size ?? 0;
    victim?.kill();
    gitaly.votes = true;
    gitaly.replication = 'works';
    if (victim !== undefined) say(`${victim.name} is killed while it holds ${held} jobs`);
    await untilEnded();
    victim?.start();
    if (victim !== undefined) say(`${victim.name} starts again`);
  },
};

const allPraefectsDie: Incident = {
  name: 'all-praefects-die',
  title: 'All Praefects die',
  description:
    'praefect-1, 2 and 3 are killed. No request gets through, and nothing in the database changes any more. Praefect’s own metrics are gone with it; and 10 s later everything that its database says about health is wrong, because no heartbeat is left: by it, all storages are unhealthy and all repositories unavailable.',
  watch: [
    { metric: heartbeatTimestamp, shows: 'stands still' },
    { metric: praefectAlive, shows: 'turns 0 for all after 60 s' },
    {
      metric: repositoriesUnavailable,
      shows: 'is not to be believed while heartbeats are old',
    },
  ],
  alerts: ['PraefectQuorumLost'],
  ends: 'All three start again; a second later all is healthy.',
  needs: ['praefect-1', 'praefect-2', 'praefect-3'],
  async run({ cluster, say, untilEnded }) {
    const praefects = cluster.topology.praefects.map((name) => cluster.praefect(name));
    for (const praefect of praefects) praefect.kill();
    say('no Praefect is left');
    await untilEnded();
    for (const praefect of praefects) praefect.start();
    say('all Praefects start again');
  },
};

export const praefectIncidents: readonly Incident[] = [praefectCutOff, praefectDies, allPraefectsDie];
