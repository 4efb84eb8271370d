/** Recorded from Gitaly's limits: requests, queues and waits. */
import {
  concurrencyLimit,
  concurrencyQueued,
  concurrencyWait,
  packObjectsDropped,
  packObjectsQueued,
  packObjectsWait,
  requestsDropped,
} from '../../sources/gitaly/metrics.ts';
import {
  above,
  buckets,
  divide,
  histogramQuantile,
  increase,
  maxBy,
  minOverTime,
  observations,
  rate,
  select,
  subtract,
  sumBy,
} from '../promql/index.ts';
import { highest, rateWindow, recording } from '../recording.ts';
import { serverLabels } from './gitaly.ts';

const methodLabels = [...serverLabels, 'grpc_method'] as const;
const packObjects = { grpc_method: 'pack-objects' } as const;

/**
 * Calls of RPCs with a concurrency limit, and clones and fetches, by their outcome: admitted, or the reason for which
 * they were dropped. Clients that left and rate limits, which drop by design, are left out.
 */
export const limitedRequests = recording(
  'gitaly:limited_requests:increase',
  [...methodLabels, 'outcome'],
  (thresholds) => {
    const range = rateWindow(thresholds);
    const dropped = (reason: 'queue_full' | 'queue_wait' | 'load_shed') =>
      sumBy(
        methodLabels,
        maxBy([...methodLabels, 'grpc_service'], increase(select(requestsDropped, { reason }), range)),
      );
    const packDropped = (reason: 'queue_full' | 'queue_wait') =>
      maxBy(serverLabels, increase(select(packObjectsDropped, { reason }), range));
    return [
      {
        expression: sumBy(
          methodLabels,
          maxBy([...methodLabels, 'grpc_service'], increase(observations(concurrencyWait), range)),
        ),
        labels: { outcome: 'admitted' },
      },
      { expression: dropped('queue_full'), labels: { outcome: 'queue_full' } },
      { expression: dropped('queue_wait'), labels: { outcome: 'queue_wait' } },
      { expression: dropped('load_shed'), labels: { outcome: 'load_shed' } },
      {
        expression: maxBy(serverLabels, increase(observations(packObjectsWait), range)),
        labels: { ...packObjects, outcome: 'admitted' },
      },
      { expression: packDropped('queue_full'), labels: { ...packObjects, outcome: 'queue_full' } },
      { expression: packDropped('queue_wait'), labels: { ...packObjects, outcome: 'queue_wait' } },
    ];
  },
);

/** Calls that waited all the time because the limit of their repository or address was reached. */
export const alwaysQueued = recording('gitaly:concurrency_queued:min', methodLabels, (thresholds) => {
  const range = rateWindow(thresholds);
  return [
    {
      expression: sumBy(
        methodLabels,
        maxBy([...methodLabels, 'grpc_service'], minOverTime(select(concurrencyQueued), range)),
      ),
    },
    {
      expression: maxBy(serverLabels, minOverTime(select(packObjectsQueued), range)),
      labels: packObjects,
    },
  ];
});

/** Calls per second by how long they waited for their limit: the buckets of Gitaly's histogram, over all RPCs. */
export const waitBucketRate = recording(
  'gitaly:concurrency_wait_bucket:rate',
  [...serverLabels, 'le'],
  (thresholds) =>
    sumBy(
      [...serverLabels, 'le'],
      maxBy(
        [...serverLabels, 'grpc_service', 'grpc_method', 'le'],
        rate(buckets(concurrencyWait), rateWindow(thresholds)),
      ),
    ),
);

/** The 95th percentile of the time that calls waited for their limit. NaN while there is no call. */
export const waitPercentile = recording('gitaly:concurrency_wait:p95', methodLabels, (thresholds) =>
  histogramQuantile(
    0.95,
    sumBy(
      [...methodLabels, 'le'],
      maxBy([...methodLabels, 'grpc_service', 'le'], rate(buckets(concurrencyWait), rateWindow(thresholds))),
    ),
  ),
);

/** Where adaptive limits are between their minimum (0) and their maximum (1). */
export const adaptiveLimitPosition = recording(
  'gitaly:adaptive_limit_position:ratio',
  methodLabels,
  (thresholds) => {
    const on = { on: methodLabels };
    const bound = (name: 'current' | 'min' | 'max') =>
      highest(thresholds, methodLabels, select(concurrencyLimit, { kind: 'adaptive', bound: name }));
    const range = above(subtract(bound('max'), bound('min'), on), 0);
    return divide(subtract(bound('current'), bound('min'), on), range, on);
  },
);

export const limitRecordings = [
  limitedRequests,
  alwaysQueued,
  waitBucketRate,
  waitPercentile,
  adaptiveLimitPosition,
] as const;
