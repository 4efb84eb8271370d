/**
 * Recorded from repository buckets, for panels: a server may expose 1,000 of them (`cgroup.buckets: all`), of which
 * these rules keep the busiest.
 */
import {
  bucketCpuThrottled,
  bucketCpuUsage,
  bucketMemoryUsage,
  bucketOomKills,
} from '../../sources/cgroup/metrics.ts';
import {
  above,
  counterValue,
  maxBy,
  rate,
  select,
  type TargetLabel,
  topKBy,
  type Vector,
} from '../promql/index.ts';
import { rateWindow, recording } from '../recording.ts';
import { serverLabels } from './gitaly.ts';

/** Buckets that the rules keep of each server, by each quantity. */
export const busiestBuckets = 10;

const bucketLabels = [...serverLabels, 'bucket'] as const;

/**
 * Ranks before it removes which exporter reported a value, because that costs as much for each series: where two
 * exporters report the same Gitaly, fewer buckets are left.
 */
const busiest = (of: Vector<(typeof bucketLabels)[number] | TargetLabel>) =>
  maxBy(bucketLabels, topKBy(serverLabels, busiestBuckets, of));

/** Memory of the buckets that use most, page cache included. */
export const bucketMemoryTop = recording('gitaly:bucket_memory_usage:top', bucketLabels, () =>
  busiest(select(bucketMemoryUsage)),
);

/** Cores of the buckets that use most. */
export const bucketCpuTop = recording('gitaly:bucket_cpu_usage:top', bucketLabels, (thresholds) =>
  busiest(rate(select(bucketCpuUsage), rateWindow(thresholds))),
);

/** Seconds per second for which their CPU limit throttled the buckets, of those that it throttled most. */
export const bucketThrottledTop = recording('gitaly:bucket_cpu_throttled:top', bucketLabels, (thresholds) =>
  busiest(above(rate(select(bucketCpuThrottled), rateWindow(thresholds)), 0)),
);

/** OOM-killed processes since the exporter started, of the buckets that had any. */
export const bucketOomKillsRecording = recording('gitaly:bucket_oom_kills:max', bucketLabels, () =>
  maxBy(bucketLabels, above(counterValue(select(bucketOomKills)), 0)),
);

export const bucketRecordings = [
  bucketMemoryTop,
  bucketCpuTop,
  bucketThrottledTop,
  bucketOomKillsRecording,
] as const;
