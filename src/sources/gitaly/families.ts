/** From the limits of every server to samples: pure. */
import type { Limit } from '../../config/gitaly/gitaly-config.ts';
import type { LabelsOf, Metric } from '../../metrics/metric.ts';
import { type Family, type HistogramSample, samplesOf } from '../../metrics/samples.ts';
import type { ServerLimits } from './limits.ts';
import * as metrics from './metrics.ts';
import type { WaitHistogram } from './server-use.ts';

/** Values that are unknown have no sample. */
export function limitFamilies(servers: readonly ServerLimits[]): readonly Family[] {
  return [
    ...rpcFamilies(servers),
    ...rateLimitFamilies(servers),
    ...packObjectsFamilies(servers),
    backoffsFamily(servers),
  ];
}

function rpcFamilies(servers: readonly ServerLimits[]): readonly Family[] {
  const limit = samplesOf(metrics.concurrencyLimit);
  const unauthenticatedLimit = samplesOf(metrics.concurrencyUnauthenticatedLimit);
  const queueLimit = samplesOf(metrics.concurrencyQueueLimit);
  const queueWaitLimit = samplesOf(metrics.concurrencyQueueWaitLimit);
  const inProgress = samplesOf(metrics.concurrencyInProgress);
  const queued = samplesOf(metrics.concurrencyQueued);
  const dropped = samplesOf(metrics.requestsDropped);
  const droppedUnauthenticated = samplesOf(metrics.requestsDroppedUnauthenticated);
  const waits: HistogramSample[] = [];
  for (const { identity, rpcs, dropReasons } of servers)
    for (const { service, method, use, ...state } of rpcs) {
      const labels = { ...identity, grpc_service: service, grpc_method: method };
      setLimit(limit, labels, state);
      setLimit(unauthenticatedLimit, labels, state.unauthenticated);
      setKnown(queueLimit, labels, state.queueSize);
      setKnown(queueWaitLimit, labels, state.queueWaitSeconds);
      setKnown(inProgress, labels, use?.inProgress);
      setKnown(queued, labels, use?.queued);
      if (use?.wait !== undefined) waits.push(histogramOf(metrics.concurrencyWait, labels, use.wait));
      if (use?.dropped !== undefined)
        for (const reason of new Set([...dropReasons, ...use.dropped.keys()]))
          dropped.set({ ...labels, reason }, use.dropped.get(reason) ?? 0);
      for (const reason of metrics.queueDropReasons)
        if (use?.droppedUnauthenticated !== undefined)
          droppedUnauthenticated.set({ ...labels, reason }, use.droppedUnauthenticated.get(reason) ?? 0);
    }
  return [
    limit.family(),
    unauthenticatedLimit.family(),
    queueLimit.family(),
    queueWaitLimit.family(),
    inProgress.family(),
    queued.family(),
    { metric: metrics.concurrencyWait, histograms: waits },
    dropped.family(),
    droppedUnauthenticated.family(),
  ];
}

function rateLimitFamilies(servers: readonly ServerLimits[]): readonly Family[] {
  const burst = samplesOf(metrics.rateLimitBurst);
  const interval = samplesOf(metrics.rateLimitInterval);
  for (const { identity, rateLimits } of servers)
    for (const { service, method, ...rate } of rateLimits) {
      const labels = { ...identity, grpc_service: service, grpc_method: method };
      burst.set(labels, rate.burst);
      interval.set(labels, rate.intervalSeconds);
    }
  return [burst.family(), interval.family()];
}

function packObjectsFamilies(servers: readonly ServerLimits[]): readonly Family[] {
  const limit = samplesOf(metrics.packObjectsLimit);
  const unauthenticatedLimit = samplesOf(metrics.packObjectsUnauthenticatedLimit);
  const queueLimit = samplesOf(metrics.packObjectsQueueLimit);
  const queueWaitLimit = samplesOf(metrics.packObjectsQueueWaitLimit);
  const inProgress = samplesOf(metrics.packObjectsInProgress);
  const queued = samplesOf(metrics.packObjectsQueued);
  const dropped = samplesOf(metrics.packObjectsDropped);
  const waits: HistogramSample[] = [];
  for (const { identity, packObjects } of servers) {
    const { use } = packObjects;
    setLimit(limit, identity, packObjects);
    setLimit(unauthenticatedLimit, identity, packObjects.unauthenticated);
    setKnown(queueLimit, identity, packObjects.queueSize);
    setKnown(queueWaitLimit, identity, packObjects.queueWaitSeconds);
    if (use === undefined) continue;
    setKnown(inProgress, identity, use.inProgress);
    setKnown(queued, identity, use.queued);
    if (use.wait !== undefined) waits.push(histogramOf(metrics.packObjectsWait, identity, use.wait));
    for (const reason of metrics.queueDropReasons)
      dropped.set({ ...identity, reason }, use.dropped?.get(reason) ?? 0);
  }
  return [
    limit.family(),
    unauthenticatedLimit.family(),
    queueLimit.family(),
    queueWaitLimit.family(),
    inProgress.family(),
    queued.family(),
    { metric: metrics.packObjectsWait, histograms: waits },
    dropped.family(),
  ];
}

function backoffsFamily(servers: readonly ServerLimits[]): Family {
  const samples = samplesOf(metrics.adaptiveBackoffs);
  for (const { identity, backoffs } of servers)
    for (const [watcher, count] of backoffs) samples.set({ ...identity, watcher }, count);
  return samples.family();
}

function setKnown<L>(
  samples: { set(labels: L, value: number): unknown },
  labels: NoInfer<L>,
  value: number | undefined,
): void {
  if (value !== undefined) samples.set(labels, value);
}

type LimitLabels = Pick<LabelsOf<typeof metrics.concurrencyLimit>, 'kind' | 'bound'>;

function setLimit<L>(
  samples: { set(labels: L & LimitLabels, value: number): unknown },
  labels: L,
  { configured, adaptive }: { readonly configured: Limit | undefined; readonly adaptive: number | undefined },
): void {
  if (adaptive !== undefined) samples.set({ ...labels, kind: 'adaptive', bound: 'current' }, adaptive);
  if (configured?.kind === 'static')
    samples.set({ ...labels, kind: 'static', bound: 'current' }, configured.current);
  if (configured?.kind === 'adaptive')
    for (const bound of ['min', 'max', 'initial'] as const)
      samples.set({ ...labels, kind: 'adaptive', bound }, configured[bound]);
}

/**
 * Seconds. Gitaly's own buckets, 11 from 1 ms to 25 minutes and configurable, are the largest part of a scrape. Whether
 * calls pass, are delayed noticeably, or near max_queue_wait needs no more than these.
 */
const waitBoundaries = [0.1, 1, 10, 60];

/** For each boundary the first bucket that reaches it, and the one of all calls. */
function thinned(buckets: WaitHistogram['buckets']): WaitHistogram['buckets'] {
  const kept = new Set(waitBoundaries.map((boundary) => buckets.find(({ le }) => le >= boundary)));
  return buckets.filter((bucket) => kept.has(bucket) || bucket.le === Number.POSITIVE_INFINITY);
}

const histogramOf = <M extends Metric>(
  metric: M,
  labels: LabelsOf<M>,
  histogram: WaitHistogram,
): HistogramSample => ({
  labelValues: metric.labelNames.map((name) => (labels as Readonly<Record<string, string>>)[name] ?? ''),
  ...histogram,
  buckets: thinned(histogram.buckets),
});
