/** Incidents of replication while every storage is healthy: jobs stall, fail, lag or are stuck. */
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
    'gitaly-3 passes health checks, but its disk hangs: it takes part in no write, and every job for it hangs. Each Praefect has one worker for a virtual storage, so soon all three hold a batch that does not end, and all replication in `default` stops. The locks are refreshed, so no job counts as stale. The queue and the age of its oldest job grow.',
  watch: [
    {
      metric: replicationJobs,
      shows: 'in_progress for gitaly-3 is constant, one batch for each Praefect; ready grows',
    },
    { metric: oldestJob, shows: 'does not advance' },
    { metric: jobsRemoved, shows: 'does not increase' },
    { metric: storageHealthy, shows: 'stays 1' },
  ],
  alerts: ['PraefectReplicationStalled'],
  ends: 'The disk responds again. Jobs that hung fail once and succeed at the second attempt.',
  needs: ['gitaly-3'],
  async run({ cluster, report, untilEnded }) {
    const gitaly = cluster.world.gitaly('gitaly-3');
    gitaly.votes = false;
    gitaly.replication = 'hangs';
    report('the disk of gitaly-3 hangs');
    await untilEnded();
    gitaly.votes = true;
    gitaly.replication = 'works';
    report('the disk of gitaly-3 responds again');
  },
};

const replicationRefused: Incident = {
  name: 'replication-refused',
  title: 'A Gitaly fails every replication job',
  description:
    'The disk of gitaly-2 is full: it cannot take part in writes, and each replication job for it fails. After three attempts within seconds a job is deleted, so the queue seems almost healthy while more and more replicas on gitaly-2 are outdated. The reconciler queues them again, and they fail again.',
  watch: [
    { metric: replicas, shows: 'outdated on gitaly-2 grows' },
    {
      metric: replicasOutdatedUnscheduled,
      shows: 'outdated without a job: their jobs have failed three times',
    },
    { metric: replicationJobs, shows: 'fluctuates; always fewer jobs than outdated replicas' },
  ],
  alerts: ['PraefectReplicaStuck'],
  ends: 'The disk has free space again; the reconciler queues the outdated replicas within 30 s.',
  needs: ['gitaly-2'],
  async run({ cluster, report, untilEnded }) {
    const gitaly = cluster.world.gitaly('gitaly-2');
    gitaly.votes = false;
    gitaly.replication = 'refuses';
    report('the disk of gitaly-2 is full');
    await untilEnded();
    gitaly.votes = true;
    gitaly.replication = 'works';
    report('the disk of gitaly-2 has free space again');
  },
};

const stuckReplica: Incident = {
  name: 'stuck-replica',
  title: 'A few replicas are stuck',
  description:
    'A killed Git process has left refs/heads/main.lock in three repositories on gitaly-3. Where gitaly-3 is the primary, writes fail (FailedPrecondition) and the other replicas are outdated for a moment. Where it is a secondary, writes succeed; its job fails three times within 4 s and is deleted, and the reconciler queues it again up to 30 s later, without end. Most of the time the queue is empty while the replica is outdated.',
  watch: [
    {
      metric: replicasStuck,
      shows: '2 on gitaly-3, after --praefect.stuck-threshold',
    },
    { metric: replicasOutdatedUnscheduled, shows: '2 most of the time' },
    { metric: replicaBehindSince, shows: 'since when they are outdated' },
  ],
  alerts: ['PraefectReplicaStuck'],
  ends: 'The lock files are removed; the next jobs of the reconciler succeed.',
  needs: ['gitaly-3'],
  async run(scene) {
    const { cluster, report, signal, sleep } = scene;
    const { lockedReferences } = cluster.world.gitaly('gitaly-3');
    const secondary = await chooseQuietRepositories(scene, `"primary" <> 'gitaly-3'`, 2);
    const primary = await chooseQuietRepositories(scene, `"primary" = 'gitaly-3'`, 1);
    const ids = [...secondary, ...primary];
    for (const id of ids) lockedReferences.add(id);
    report(
      `lock files are left on gitaly-3 in ${secondary.length} secondary replicas and ${primary.length} primary`,
    );
    while (!signal.aborted) {
      for (const id of ids) await cluster.traffic.write(id);
      await sleep(45_000);
    }
    lockedReferences.clear();
    releaseRepositories(scene, ids);
    report('the lock files are removed');
  },
};

const backlog: Incident = {
  name: 'backlog',
  title: 'A replication backlog grows',
  description:
    'The disk of gitaly-2 is slow: it misses its votes in writes, so each write creates a job for it, and a job takes 3 s. Jobs complete all the time, but new ones arrive faster.',
  watch: [
    { metric: replicationJobs, shows: 'ready for gitaly-2 grows while in_progress changes' },
    { metric: jobsEnqueued, shows: 'its rate exceeds the rate of removed jobs' },
    { metric: oldestJob, shows: 'advances, but slower than time' },
    { metric: replicaGenerationsBehindMax, shows: 'grows' },
  ],
  alerts: ['PraefectReplicationBacklog'],
  ends: 'The disk is fast again and the queue drains at about 60 jobs per second.',
  needs: ['gitaly-2'],
  async run({ cluster, report, untilEnded }) {
    const gitaly = cluster.world.gitaly('gitaly-2');
    gitaly.votes = false;
    gitaly.replication = 'slow';
    report('the disk of gitaly-2 is slow');
    await untilEnded();
    gitaly.votes = true;
    gitaly.replication = 'works';
    report('the disk of gitaly-2 is fast again');
  },
};

export const replicationIncidents: readonly Incident[] = [
  replicationStalls,
  replicationRefused,
  stuckReplica,
  backlog,
];
