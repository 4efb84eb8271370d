/** Recorded from Praefect's replication queue. */
import { collectorNames } from '../../sources/praefect/collector-names.ts';
import { jobsRemoved, oldestJob, replicationJobs, staleJobs } from '../../sources/praefect/queries/queue.ts';
import { secondsSinceTimestamp } from '../ages.ts';
import { promDuration } from '../durations.ts';
import { clusterLabels, storageLabels } from '../labels.ts';
import {
  above,
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
  unless,
} from '../promql/index.ts';
import { eachHighest, gaugeWindow, recording } from '../recording.ts';
import { heldRecording } from './held.ts';

/** Failed jobs are retried like ready ones. */
const waiting = oneOf('ready', 'failed');

export const waitingJobs = recording('praefect:replication_jobs_waiting:sum', storageLabels, (thresholds) =>
  sumBy(
    storageLabels,
    maxBy(
      [...storageLabels, 'state', 'change'],
      maxOverTime(select(replicationJobs, { state: waiting }), gaugeWindow(thresholds)),
    ),
  ),
);

/** Not of storages that no Praefect knows: their jobs are leftovers, which are never processed. */
export const oldestJobAge = heldRecording(
  'praefect:replication_oldest_job:age_seconds',
  storageLabels,
  collectorNames.queue,
  (thresholds) => {
    const oldest = minBy(
      storageLabels,
      minOverTime(select(oldestJob, { state: waiting }), gaugeWindow(thresholds)),
    );
    const unknown = eachHighest(thresholds, select(staleJobs, { reason: 'storage_unknown' }));
    return unless(secondsSinceTimestamp(oldest), above(unknown, 0), { on: storageLabels });
  },
);

/**
 * Storages to which some job was in progress within replicationIdle, unless no job at all left the queue. A job whose lock
 * is lost stays in progress, and no Praefect works on it.
 */
export const replicationProgress = recording(
  'praefect:replication_progress:active',
  storageLabels,
  ({ replicationIdle }) => {
    const idle = promDuration(replicationIdle.value);
    const inProgress = sumBy(
      storageLabels,
      maxBy(
        [...storageLabels, 'change'],
        maxOverTime(select(replicationJobs, { state: 'in_progress' }), idle),
      ),
    );
    const abandoned = sumBy(
      storageLabels,
      maxBy(
        [...storageLabels, 'reason'],
        minOverTime(select(staleJobs, { reason: oneOf('lock_expired', 'lock_missing') }), idle),
      ),
    );
    const on = { on: storageLabels };
    const processed = above(or(subtract(inProgress, abandoned, on), inProgress, on), 0);
    const noneRemoved = equals(maxBy(clusterLabels, increase(select(jobsRemoved), idle)), 0);
    return unless(processed, noneRemoved, { on: clusterLabels });
  },
);

export const replicationRecordings = [waitingJobs, oldestJobAge, replicationProgress] as const;
