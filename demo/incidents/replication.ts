/** Incidents of replication while every storage answers its health checks: it stalls, fails, lags, or is stuck. */
import {
  replicaBehindSince,
  replicaGenerationsBehindMax,
  replicas,
  replicasOutdatedUnscheduled,
  replicasStuck,
} from '../../src/sources/praefect/mirror/metrics.ts';
import { storageHealthy } from '../../src/sources/praefect/queries/health.ts';
import {
  jobsEnqueued,
  jobsRemoved,
  oldestJob,
  replicationJobs,
} from '../../src/sources/praefect/queries/queue.ts';
import { chooseQuietRepositories, type Incident, releaseRepositories } from './incident.ts';

const replicationStalls: Incident = {
  name: 'replication-stalls',
  title: 'Replication stalls',
  description:
    'gitaly-3 answers health checks, but its disk hangs: it takes part in no write any more, and every job for it waits for ever. Each Praefect has one worker for a virtual storage, so soon all three hold a batch that does not end, and all replication in default stands still. The locks are refreshed, so nothing counts as stale; the queue grows, and the oldest job grows older.',
  watch: [
    {
      metric: replicationJobs,
      shows: 'in_progress for gitaly-3 stands still, a batch for each Praefect; ready ones grow',
    },
    { metric: oldestJob, shows: 'stands still' },
    { metric: jobsRemoved, shows: 'no longer moves' },
    { metric: storageHealthy, shows: 'stays 1' },
  ],
  alerts: ['PraefectReplicationStalled'],
  ends: 'The disk answers again; what hung fails once and is carried out at the second attempt.',
  needs: ['gitaly-3'],
  async run({ cluster, say, untilEnded }) {
    const gitaly = cluster.world.gitaly('gitaly-3');
    gitaly.votes = false;
    gitaly.replication = 'hangs';
    say('the disk of gitaly-3 hangs');
    await untilEnded();
    gitaly.votes = true;
    gitaly.replication = 'works';
    say('the disk of gitaly-3 answers again');
  },
};

const replicationRefused: Incident = {
  name: 'replication-refused',
  title: 'A Gitaly refuses every job',
  description:
    'The disk of gitaly-2 is full: it can’t take part in writes, and each replication job for it fails. After three attempts, a few seconds, a job vanishes without a trace, so the queue looks almost healthy while more and more replicas on gitaly-2 are behind. The reconciler queues them anew, in vain.',
  watch: [
    { metric: replicas, shows: 'outdated on gitaly-2 grows' },
    {
      metric: replicasOutdatedUnscheduled,
      shows: 'behind without a job: Praefect has given up on them for now',
    },
    { metric: replicationJobs, shows: 'comes and goes; never enough jobs for what is behind' },
  ],
  alerts: ['PraefectReplicaStuck'],
  ends: 'There is room on the disk again; the reconciler queues what is behind within 30 s.',
  needs: ['gitaly-2'],
  async run({ cluster, say, untilEnded }) {
    const gitaly = cluster.world.gitaly('gitaly-2');
    gitaly.votes = false;
    gitaly.replication = 'refuses';
    say('the disk of gitaly-2 is full');
    await untilEnded();
    gitaly.votes = true;
    gitaly.replication = 'works';
    say('there is room on the disk of gitaly-2 again');
  },
};

const stuckReplica: Incident = {
  name: 'stuck-replica',
  title: 'A few replicas are stuck',
  description:
    'A killed Git has left refs/heads/main.lock in three repositories on gitaly-3. Where gitaly-3 is the primary, writes fail (FailedPrecondition) and the other replicas are behind for a moment. Where it is a secondary, writes are fine, its job fails three times within 4 s and vanishes, and the reconciler queues it anew up to 30 s later, for ever: most of the time the queue is empty while the replica is behind.',
  watch: [
    {
      metric: replicasStuck,
      shows: '2 on gitaly-3, once they have been behind for --praefect.stuck-threshold',
    },
    { metric: replicasOutdatedUnscheduled, shows: '2 most of the time' },
    { metric: replicaBehindSince, shows: 'since when' },
  ],
  alerts: ['PraefectReplicaStuck'],
  ends: 'The lock files are removed; the reconciler’s next jobs work.',
  needs: ['gitaly-3'],
  async run(scene) {
    const { cluster, say, signal, sleep } = scene;
    const { lockedReferences } = cluster.world.gitaly('gitaly-3');
    const secondary = await chooseQuietRepositories(scene, `"primary" <> 'gitaly-3'`, 2);
    const primary = await chooseQuietRepositories(scene, `"primary" = 'gitaly-3'`, 1);
    const ids = [...secondary, ...primary];
    for (const id of ids) lockedReferences.add(id);
    say(
      `lock files are left behind on gitaly-3, in ${secondary.length} secondary replicas and ${primary.length} primary`,
    );
    while (!signal.aborted) {
      for (const id of ids) await cluster.traffic.write(id);
      await sleep(45_000);
    }
    lockedReferences.clear();
    releaseRepositories(scene, ids);
    say('the lock files are removed');
  },
};

const backlog: Incident = {
  name: 'backlog',
  title: 'A backlog builds up',
  description:
    'The disk of gitaly-2 is slow: it misses its votes in writes, so that each write leaves a job for it, and a job takes 3 s. Jobs are carried out all the time, but more come than go.',
  watch: [
    { metric: replicationJobs, shows: 'ready for gitaly-2 grows while in_progress moves' },
    { metric: jobsEnqueued, shows: 'its rate is above that of removed' },
    { metric: oldestJob, shows: 'moves on, but falls behind' },
    { metric: replicaGenerationsBehindMax, shows: 'grows' },
  ],
  alerts: [],
  ends: 'The disk is fast again and the queue drains, at 60 jobs a second or so.',
  needs: ['gitaly-2'],
  async run({ cluster, say, untilEnded }) {
    const gitaly = cluster.world.gitaly('gitaly-2');
    gitaly.votes = false;
    gitaly.replication = 'slow';
    say('the disk of gitaly-2 is slow');
    await untilEnded();
    gitaly.votes = true;
    gitaly.replication = 'works';
    say('the disk of gitaly-2 is fast again');
  },
};

export const replicationIncidents: readonly Incident[] = [
  replicationStalls,
  replicationRefused,
  stuckReplica,
  backlog,
];
