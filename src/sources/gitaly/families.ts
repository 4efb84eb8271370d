/** From the reads and limits of every server to samples: pure. */
import type { LabelsOf } from '../../metrics/metric.ts';
import { createSamples, type Family, type SampleSet } from '../../metrics/samples.ts';
import type { LimitState, ServerLimits } from './limits.ts';
import * as metrics from './metrics.ts';
import type { WaitHistogram } from './server-use.ts';

/** Values that are unknown have no sample. */
export function limitFamilies(servers: readonly ServerLimits[]): readonly Family[] {
  const samples = createSamples(metrics.limitMetrics);
  for (const server of servers) {
    const { identity, rateLimits, backoffs } = server;
    setRpcs(samples, server);
    setPackObjects(samples, server);
    for (const { service, method, burst, intervalSeconds } of rateLimits) {
      const labels = { ...identity, grpc_service: service, grpc_method: method };
      samples.set(metrics.rateLimitBurst, labels, burst);
      samples.set(metrics.rateLimitInterval, labels, intervalSeconds);
    }
    for (const [watcher, count] of backoffs)
      samples.set(metrics.adaptiveBackoffs, { ...identity, watcher }, count);
  }
  return samples.families();
}

function setRpcs(samples: SampleSet, { identity, rpcs, dropReasons }: ServerLimits): void {
  for (const { service, method, use, ...state } of rpcs) {
    const labels = { ...identity, grpc_service: service, grpc_method: method };
    for (const [own, limit] of boundsOf(state))
      samples.set(metrics.concurrencyLimit, { ...labels, ...own }, limit);
    for (const [own, limit] of boundsOf(state.unauthenticated))
      samples.set(metrics.concurrencyUnauthenticatedLimit, { ...labels, ...own }, limit);
    samples.set(metrics.concurrencyQueueLimit, labels, state.queueSize);
    samples.set(metrics.concurrencyQueueWaitLimit, labels, state.queueWaitSeconds);
    samples.set(metrics.concurrencyInProgress, labels, use?.inProgress);
    samples.set(metrics.concurrencyQueued, labels, use?.queued);
    samples.setHistogram(metrics.concurrencyWait, labels, thinned(use?.wait));
    if (use?.dropped !== undefined)
      for (const reason of new Set([...dropReasons, ...use.dropped.keys()]))
        samples.set(metrics.requestsDropped, { ...labels, reason }, use.dropped.get(reason) ?? 0);
    const dropped = use?.droppedUnauthenticated;
    for (const reason of metrics.queueDropReasons)
      samples.set(
        metrics.requestsDroppedUnauthenticated,
        { ...labels, reason },
        dropped && (dropped.get(reason) ?? 0),
      );
  }
}

function setPackObjects(samples: SampleSet, { identity, packObjects }: ServerLimits): void {
  const { use } = packObjects;
  for (const [own, limit] of boundsOf(packObjects))
    samples.set(metrics.packObjectsLimit, { ...identity, ...own }, limit);
  for (const [own, limit] of boundsOf(packObjects.unauthenticated))
    samples.set(metrics.packObjectsUnauthenticatedLimit, { ...identity, ...own }, limit);
  samples.set(metrics.packObjectsQueueLimit, identity, packObjects.queueSize);
  samples.set(metrics.packObjectsQueueWaitLimit, identity, packObjects.queueWaitSeconds);
  samples.set(metrics.packObjectsInProgress, identity, use?.inProgress);
  samples.set(metrics.packObjectsQueued, identity, use?.queued);
  samples.setHistogram(metrics.packObjectsWait, identity, thinned(use?.wait));
  for (const reason of metrics.queueDropReasons)
    samples.set(metrics.packObjectsDropped, { ...identity, reason }, use && (use.dropped?.get(reason) ?? 0));
}

type LimitLabels = Pick<LabelsOf<typeof metrics.concurrencyLimit>, 'kind' | 'bound'>;

/** The bounds that have values, and those values. */
function boundsOf({
  configured,
  adaptive,
}: Pick<LimitState, 'configured' | 'adaptive'>): readonly (readonly [LimitLabels, number | undefined])[] {
  const current = [{ kind: 'adaptive', bound: 'current' }, adaptive] as const;
  if (configured?.kind !== 'adaptive')
    return [current, [{ kind: 'static', bound: 'current' }, configured?.current]];
  const bounds = (['min', 'max', 'initial'] as const).map(
    (bound) => [{ kind: 'adaptive', bound }, configured[bound]] as const,
  );
  return [current, ...bounds];
}

/**
 * Seconds. Gitaly's own buckets, 11 from 1 ms to 25 minutes and configurable, are the largest part of a scrape. Whether
 * calls pass, are delayed noticeably, or near max_queue_wait needs no more than these.
 */
const waitBoundaries = [0.1, 1, 10, 60];

/** For each boundary the first bucket that reaches it, and the one of all calls. */
function thinned(histogram: WaitHistogram | undefined): WaitHistogram | undefined {
  if (histogram === undefined) return undefined;
  const { buckets } = histogram;
  const kept = new Set(waitBoundaries.map((boundary) => buckets.find(({ le }) => le >= boundary)));
  return {
    ...histogram,
    buckets: buckets.filter((bucket) => kept.has(bucket) || bucket.le === Number.POSITIVE_INFINITY),
  };
}
