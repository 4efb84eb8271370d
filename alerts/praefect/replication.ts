/** Replication: jobs that are not processed, and replicas that stay behind. */
import { durationInWords, promDuration } from '../../src/monitoring/durations.ts';
import { storageLabels } from '../../src/monitoring/labels.ts';
import { replicationDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  and,
  equals,
  maxBy,
  maxOverTime,
  minOverTime,
  offsetBy,
  oneOf,
  select,
  unless,
} from '../../src/monitoring/promql/index.ts';
import { highest, recorded, sustained } from '../../src/monitoring/recording.ts';
import { replicasBehind, storageHealth, stuckCount } from '../../src/monitoring/recordings/praefect.ts';
import {
  oldestJobAge,
  replicationProgress,
  waitingJobs,
} from '../../src/monitoring/recordings/replication.ts';
import type { AlertThresholds } from '../../src/rules/alert-thresholds.ts';
import { hour, minute, seconds, type ThresholdTable } from '../../src/rules/thresholds.ts';
import { replicasOutdatedUnscheduled } from '../../src/sources/praefect/mirror/metrics.ts';
import { staleJobs } from '../../src/sources/praefect/queries/queue.ts';
import { type Alert, alert, judgedWithPage } from '../alert.ts';
import { outsideMaintenance, whileTrusted } from '../conditions.ts';
import { storageName, withoutProblem } from '../texts.ts';

export const replicationThresholds = {
  replicationBacklogAge: seconds(30 * minute, 'Age of the oldest job while the queue grows.'),
  replicationBacklog: seconds(
    15 * minute,
    'In addition to the 30 minutes over which the growth is measured.',
  ),
  jobsOfUnknownStorage: seconds(hour, 'Longer than a change of the configuration takes on all Praefects.'),
  replicasUnscheduled: seconds(30 * minute, 'Six reconciler runs, none of which queued a job.'),
  replicaStuckLookback: seconds(
    30 * minute,
    'A restarted exporter measures from its first refresh: for this long the value of the previous one counts, while the replicas are still outdated.',
  ),
} satisfies ThresholdTable;

export const replicationAlerts = (thresholds: AlertThresholds): readonly Alert[] => [
  stalled(thresholds),
  backlog(thresholds),
  staleLocks(thresholds),
  jobsOfUnknownStorage(thresholds),
  replicaStuck(thresholds),
  replicasUnscheduled(thresholds),
];

function stalled(thresholds: AlertThresholds): Alert {
  const { keepFiring, replicationIdle, replicationOldestJob, replicationStalled } = thresholds;
  const overdue = above(recorded(oldestJobAge), replicationOldestJob.value);
  return alert({
    ...judgedWithPage('PraefectReplicationStalled', thresholds),
    expression: outsideMaintenance(
      whileTrusted(unless(overdue, recorded(replicationProgress), { on: storageLabels })),
    ),
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: replicationDashboard, title: 'Age of the oldest waiting job' },
    firesWhen: `for ${durationInWords(replicationStalled.value)}, the oldest job that waits for a storage was over ${durationInWords(replicationOldestJob.value)} old, and for ${durationInWords(replicationIdle.value)} no job for the storage was in progress with its lock or no job at all left the queue, outside of maintenance windows`,
    summary: () => `Replication to storage ${storageName} is stalled`,
    description: ({ label, query, same, value }) =>
      `The oldest job has waited for ${value('duration')}; waiting jobs: ${query(
        recorded(waitingJobs, same(...storageLabels)),
        'count',
        'unknown',
      )}. If another storage fails, repositories whose newest writes are only there become unavailable. Check Praefect's log for ${label('storage')}.`,
  });
}

function backlog(thresholds: AlertThresholds): Alert {
  const { replicationBacklog, replicationBacklogAge } = thresholds;
  const jobs = recorded(waitingJobs);
  const grows = above(jobs, offsetBy(recorded(waitingJobs), '30m'), { on: storageLabels });
  return alert({
    name: 'PraefectReplicationBacklog',
    severity: 'warning',
    expression: and(grows, above(recorded(oldestJobAge), replicationBacklogAge.value), {
      on: storageLabels,
    }),
    forSeconds: replicationBacklog.value,
    noProblem: withoutProblem.overTime,
    panel: { dashboard: replicationDashboard, title: 'Jobs by target storage' },
    firesWhen: `for ${durationInWords(replicationBacklog.value)}, more jobs waited for a storage than 30 minutes before, and the oldest was over ${durationInWords(replicationBacklogAge.value)} old`,
    summary: ({ count }) =>
      `${count('replication job waits', 'replication jobs wait')} for ${storageName}, and the number grows`,
    description: ({ query, same }) =>
      `The oldest job has waited for ${query(
        recorded(oldestJobAge, same(...storageLabels)),
        'duration',
        'an unknown time',
      )}. More jobs arrive than Praefect processes, so replicas fall further behind. Check the load of the target, then replication.batch_size and parallel_storage_processing_workers.`,
  });
}

function staleLocks(thresholds: AlertThresholds): Alert {
  const { replicationLockStale } = thresholds;
  return alert({
    ...judgedWithPage('PraefectReplicationLockStale', thresholds),
    expression: above(
      highest(
        thresholds,
        [...storageLabels, 'reason'],
        select(staleJobs, { reason: oneOf('lock_expired', 'lock_missing') }),
      ),
      0,
    ),
    panel: { dashboard: replicationDashboard, title: 'Stale jobs by reason' },
    firesWhen: `for ${durationInWords(replicationLockStale.value)}, jobs were in progress without a lock that a running Praefect refreshes`,
    summary: ({ count }) =>
      `${count('replication job', 'replication jobs')} to ${storageName} with a stale lock`,
    description: ({ by }) =>
      by('reason', {
        lock_expired:
          'The Praefect that took these jobs terminated, and no other released them within 90 s. Their repositories are not replicated until then. Restart the Praefects, one at a time.',
        lock_missing:
          'These jobs are in progress without a lock, and no Praefect ever releases them. Their repositories are not replicated to this storage. See the runbook for the statement that finds them.',
      }),
  });
}

function jobsOfUnknownStorage(thresholds: AlertThresholds): Alert {
  const { jobsOfUnknownStorage: unknownFor } = thresholds;
  return alert({
    name: 'PraefectJobsForUnknownStorage',
    severity: 'warning',
    expression: above(
      highest(thresholds, storageLabels, select(staleJobs, { reason: 'storage_unknown' })),
      0,
    ),
    forSeconds: sustained(thresholds, unknownFor.value),
    noProblem: withoutProblem.shownAsValue,
    panel: { dashboard: replicationDashboard, title: 'Stale jobs by reason' },
    firesWhen: `for ${durationInWords(unknownFor.value)}, the queue had jobs for a storage that no Praefect contacts`,
    summary: ({ count }) =>
      `${count('replication job', 'replication jobs')} for unknown storage ${storageName}`,
    description: () =>
      'No Praefect has this storage in its configuration, so the jobs are never processed. If it was renamed or removed by mistake, restore the configuration; otherwise the jobs are leftovers.',
  });
}

function replicaStuck(thresholds: AlertThresholds): Alert {
  const { replicaStuck: stuckFor, replicaStuckLookback, replicaStuckThreshold } = thresholds;
  // A restarted exporter reports none as stuck at first: the value of the previous one counts, while none caught up.
  const lookback = Math.max(replicaStuckLookback.value, 2 * replicaStuckThreshold.value);
  const wasStuck = maxOverTime(recorded(stuckCount), promDuration(lookback));
  const stillBehind = above(
    minOverTime(recorded(replicasBehind), promDuration(replicaStuckThreshold.value)),
    0,
  );
  const down = equals(recorded(storageHealth), 0);
  return alert({
    ...judgedWithPage('PraefectReplicaStuck', thresholds),
    expression: whileTrusted(
      unless(and(above(wasStuck, 0), stillBehind, { on: storageLabels }), down, { on: storageLabels }),
    ),
    panel: { dashboard: replicationDashboard, title: 'Stuck replicas by storage' },
    firesWhen: `replicas on a healthy storage have been behind for over ${durationInWords(replicaStuckThreshold.value)} without any progress, and ${durationInWords(stuckFor.value)} more`,
    summary: ({ count }) => `${count('replica', 'replicas')} on ${storageName} stuck behind`,
    description: ({ query, same }) =>
      `The storage is healthy. Jobs that wait for it: ${query(
        recorded(waitingJobs, same(...storageLabels)),
        'count',
        'unknown',
      )}. With many, the replicas wait in the queue. With few, each job fails, and after three times is deleted: read the log of the target Gitaly.`,
  });
}

function replicasUnscheduled(thresholds: AlertThresholds): Alert {
  const { replicasUnscheduled: unscheduledFor } = thresholds;
  const range = promDuration(unscheduledFor.value);
  const down = equals(recorded(storageHealth), 0);
  return alert({
    name: 'PraefectReplicasUnscheduled',
    severity: 'warning',
    expression: whileTrusted(
      unless(above(maxBy(storageLabels, minOverTime(select(replicasOutdatedUnscheduled), range)), 0), down, {
        on: storageLabels,
      }),
    ),
    forSeconds: unscheduledFor.value,
    noProblem: withoutProblem.overTime,
    panel: { dashboard: replicationDashboard, title: 'Outdated replicas without a replication job' },
    firesWhen: `at every moment of ${durationInWords(2 * unscheduledFor.value)}, replicas on a healthy storage were behind without a job in the queue`,
    summary: ({ count }) =>
      `${count('replica', 'replicas')} on ${storageName} behind without a replication job`,
    description: () =>
      'Nothing queues replication for these replicas, so they stay behind. Check that reconciliation.scheduling_interval is not 0 on all Praefects, and that more than one storage is healthy.',
  });
}
