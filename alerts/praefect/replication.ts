/** Replication that does not take place: jobs that nobody takes up, replicas that do not catch up. */

import { durationInWords, promDuration } from '../../src/monitoring/durations.ts';
import { panelLink, replicationDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  and,
  equals,
  increase,
  maxBy,
  maxOverTime,
  minBy,
  minOverTime,
  oneOf,
  or,
  select,
  subtract,
  sumBy,
  time,
  unless,
} from '../../src/monitoring/promql/index.ts';
import type { Thresholds } from '../../src/rules/thresholds.ts';
import { replicaBehindSince, replicas, replicasStuck } from '../../src/sources/praefect/mirror/metrics.ts';
import { storageHealthy } from '../../src/sources/praefect/queries/health.ts';
import {
  jobsRemoved,
  oldestJob,
  replicationJobs,
  staleJobs,
} from '../../src/sources/praefect/queries/queue.ts';
import { type Alert, alert, clusterLabels, gaugeWindow, sustained } from '../alert.ts';
import { healthUnknown, highest, plannedWork, storageLabels, virtualStorageLabels } from '../conditions.ts';

export function replicationStalled(thresholds: Thresholds): Alert {
  const { keepFiring, replicationIdle, replicationOldestJob, replicationStalled: stalled } = thresholds;
  const idle = promDuration(replicationIdle.value);
  // Failed jobs are taken up again like those that are ready.
  const waiting = select(oldestJob, { state: oneOf('ready', 'failed') });
  const overdue = above(
    subtract(time(), minBy(storageLabels, minOverTime(waiting, gaugeWindow(thresholds)))),
    replicationOldestJob.value,
  );
  const underWay = above(
    maxBy(storageLabels, maxOverTime(select(replicationJobs, { state: 'in_progress' }), idle)),
    0,
  );
  const nothingLeaves = equals(maxBy(clusterLabels, increase(select(jobsRemoved), idle)), 0);
  // To a storage that no Praefect knows any more nothing is ever replicated: leftovers, not a stall.
  const abandoned = above(
    highest(thresholds, ['virtual_storage', 'storage'], select(staleJobs, { reason: 'storage_unknown' })),
    0,
  );
  const stalls = or(
    unless(overdue, underWay, { on: storageLabels }),
    and(overdue, nothingLeaves, { on: clusterLabels }),
  );
  return alert({
    name: 'PraefectReplicationStalled',
    severity: 'critical',
    expression: unless(
      unless(unless(stalls, abandoned, { on: storageLabels }), healthUnknown(thresholds), {
        on: virtualStorageLabels,
      }),
      plannedWork(thresholds),
      { on: clusterLabels },
    ),
    forSeconds: sustained(thresholds, stalled.value),
    keepFiringForSeconds: keepFiring.value,
    panel: panelLink(replicationDashboard, 'oldestJob'),
    firesWhen: `the oldest job that waits for a storage is over ${durationInWords(replicationOldestJob.value)} old, and for ${durationInWords(replicationIdle.value)} no job to it was under way or none at all left the queue, while no planned work is going on`,
    summary: ({ ask, label, same }) => {
      const jobs = sumBy(
        [],
        maxBy(
          ['state', 'change'],
          select(replicationJobs, { ...same(...storageLabels), state: oneOf('ready', 'failed') }),
        ),
      );
      return `${label('storage')} of ${label('virtual_storage')}: replication to it stands still (jobs that wait: ${ask(jobs, 'count', 'unknown')})`;
    },
    description: ({ ask, label, same, when }) => {
      const oldest = minBy(
        [],
        select(oldestJob, { ...same(...storageLabels), state: oneOf('ready', 'failed') }),
      );
      const health = maxBy([], select(storageHealthy, same(...storageLabels)));
      return [
        `The oldest has waited since ${ask(oldest, 'moment', 'an unknown time')}.`,
        when(
          equals(health, 0),
          `${label('storage')} is unhealthy: nothing is replicated to it before it is back.`,
          when(
            health,
            `${label('storage')} is healthy, and its jobs are not taken up all the same.`,
            `Whether ${label('storage')} is healthy is not known.`,
          ),
        ),
        'Each further failure of a storage can make repositories unavailable whose newest writes are on it alone.',
      ].join(' ');
    },
  });
}

export function replicaStuck(thresholds: Thresholds): Alert {
  const { replicaStuck: stuckFor, replicaStuckThreshold, replicaStuckLookback } = thresholds;
  const stuck = above(highest(thresholds, ['virtual_storage', 'storage'], select(replicasStuck)), 0);
  // A restarted exporter calls nothing stuck at first: what the last one knew counts, while nothing caught up.
  const wasStuck = above(
    maxBy(storageLabels, maxOverTime(select(replicasStuck), promDuration(replicaStuckLookback.value))),
    0,
  );
  const behind = select(replicas, { state: oneOf('outdated', 'missing') });
  const neverCaughtUp = above(
    sumBy(
      storageLabels,
      maxBy([...storageLabels, 'state'], minOverTime(behind, promDuration(replicaStuckThreshold.value))),
    ),
    0,
  );
  const down = equals(highest(thresholds, ['virtual_storage', 'storage'], select(storageHealthy)), 0);
  return alert({
    name: 'PraefectReplicaStuck',
    severity: 'warning',
    expression: unless(
      unless(or(stuck, and(neverCaughtUp, wasStuck, { on: storageLabels })), down, { on: storageLabels }),
      healthUnknown(thresholds),
      { on: virtualStorageLabels },
    ),
    forSeconds: sustained(thresholds, stuckFor.value),
    panel: panelLink(replicationDashboard, 'stuck'),
    firesWhen: `replicas on a healthy storage have been behind for over ${durationInWords(replicaStuckThreshold.value)} without getting any further, and ${durationInWords(stuckFor.value)} more`,
    summary: ({ counted, label }) =>
      `${label('storage')} of ${label('virtual_storage')}: ${counted('replica', 'replicas')} stuck behind`,
    description: ({ ask, label, same }) => {
      const behindSince = minBy([], select(replicaBehindSince, same(...storageLabels)));
      return [
        `The first has been behind since ${ask(behindSince, 'moment', 'an unknown time')}, by the looks of this exporter.`,
        `${label('storage')} was healthy all the time: replication of these repositories fails, and the queue does not show it, because a job that fails three times is deleted.`,
        'Until it is mended these repositories have a copy less than they should.',
      ].join(' ');
    },
  });
}
