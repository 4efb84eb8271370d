/** From what servers and configurations say to samples: pure. */
import type { GitalyConfig, Limit } from '../../config/gitaly/gitaly-config.ts';
import type { LabelsOf, Metric } from '../../metrics/metric.ts';
import { type Family, type HistogramSample, samplesOf } from '../../metrics/samples.ts';
import type { Identity } from '../identity.ts';
import { defaultsOf } from './defaults.ts';
import * as metrics from './metrics.ts';
import type { ServerUse, Waits } from './server-use.ts';

export interface ServerLook {
  readonly identity: Identity;
  /** Undefined: its page was not read, or did not come through. */
  readonly use: ServerUse | undefined;
  /** Undefined: no configuration is known for it, or it is broken. */
  readonly config: GitalyConfig | undefined;
}

/** One whose limit is built in, at one call for each repository: Gitaly's limithandler. */
const builtIn = { service: 'gitaly.RepositoryService', method: 'ReplicateRepository', limit: 1 };

/** Every server's limits and use. Families of which there is nothing to say are empty. */
export function limitFamilies(looks: readonly ServerLook[]): readonly Family[] {
  const limit = samplesOf(metrics.concurrencyLimit);
  const unauthenticatedLimit = samplesOf(metrics.concurrencyUnauthenticatedLimit);
  const queueLimit = samplesOf(metrics.concurrencyQueueLimit);
  const queueWaitLimit = samplesOf(metrics.concurrencyQueueWaitLimit);
  const burst = samplesOf(metrics.rateLimitBurst);
  const interval = samplesOf(metrics.rateLimitInterval);
  const packObjectsLimit = samplesOf(metrics.packObjectsLimit);
  const packObjectsUnauthenticatedLimit = samplesOf(metrics.packObjectsUnauthenticatedLimit);
  const packObjectsQueueLimit = samplesOf(metrics.packObjectsQueueLimit);
  const packObjectsQueueWaitLimit = samplesOf(metrics.packObjectsQueueWaitLimit);

  for (const { identity, use, config } of looks) {
    const defaults = defaultsOf(use?.version);
    for (const { service, method, adaptiveLimit, adaptiveUnauthenticatedLimit } of use?.rpcs ?? []) {
      const labels = { ...identity, grpc_service: service, grpc_method: method };
      setAdaptive(limit, labels, adaptiveLimit);
      setAdaptive(unauthenticatedLimit, labels, adaptiveUnauthenticatedLimit);
    }
    setAdaptive(packObjectsLimit, identity, use?.packObjects?.adaptiveLimit);
    setAdaptive(packObjectsUnauthenticatedLimit, identity, use?.packObjects?.adaptiveUnauthenticatedLimit);
    if (config === undefined) continue;

    for (const { service, method, ...settings } of config.rpcs) {
      const labels = { ...identity, grpc_service: service, grpc_method: method };
      setConfigured(limit, labels, settings.limit);
      setConfigured(unauthenticatedLimit, labels, settings.unauthenticated.limit);
      if (settings.limit === undefined) continue;
      setKnown(queueLimit, labels, settings.queueSize ?? defaults.queueSize);
      setKnown(queueWaitLimit, labels, settings.queueWaitSeconds);
    }
    const isBuiltIn = ({ service, method }: { service: string; method: string }): boolean =>
      service === builtIn.service && method === builtIn.method;
    if (use?.rpcs.some(isBuiltIn) === true && !config.rpcs.some(isBuiltIn)) {
      const labels = { ...identity, grpc_service: builtIn.service, grpc_method: builtIn.method };
      setConfigured(limit, labels, { kind: 'static', current: builtIn.limit });
    }
    for (const { service, method, ...rate } of config.rateLimits) {
      const labels = { ...identity, grpc_service: service, grpc_method: method };
      burst.set(labels, rate.burst);
      interval.set(labels, rate.intervalSeconds);
    }
    if (!config.packObjectsCache) continue;
    const { packObjects } = config;
    const packLimit: Limit | undefined =
      packObjects.isSet || defaults.packObjectsLimit === undefined
        ? packObjects.limit
        : { kind: 'static', current: defaults.packObjectsLimit };
    setConfigured(packObjectsLimit, identity, packLimit);
    setConfigured(packObjectsUnauthenticatedLimit, identity, packObjects.unauthenticated.limit);
    if (packLimit === undefined) continue;
    setKnown(packObjectsQueueLimit, identity, packObjects.queueSize ?? defaults.packObjectsQueueSize);
    setKnown(packObjectsQueueWaitLimit, identity, packObjects.queueWaitSeconds);
  }
  return [
    limit.family(),
    unauthenticatedLimit.family(),
    queueLimit.family(),
    queueWaitLimit.family(),
    ...useFamilies(looks),
    burst.family(),
    interval.family(),
    packObjectsLimit.family(),
    packObjectsUnauthenticatedLimit.family(),
    packObjectsQueueLimit.family(),
    packObjectsQueueWaitLimit.family(),
    ...packObjectsFamilies(looks),
    backoffsFamily(looks),
  ];
}

function useFamilies(looks: readonly ServerLook[]): readonly Family[] {
  const inProgress = samplesOf(metrics.concurrencyInProgress);
  const queued = samplesOf(metrics.concurrencyQueued);
  const dropped = samplesOf(metrics.requestsDropped);
  const withoutUser = samplesOf(metrics.requestsDroppedUnauthenticated);
  const waits: HistogramSample[] = [];
  for (const { identity, use } of looks) {
    for (const rpc of use?.rpcs ?? []) {
      const labels = { ...identity, grpc_service: rpc.service, grpc_method: rpc.method };
      setKnown(inProgress, labels, rpc.inProgress);
      setKnown(queued, labels, rpc.queued);
      if (rpc.wait !== undefined) waits.push(histogramOf(metrics.concurrencyWait, labels, rpc.wait));
      for (const reason of metrics.dropReasons)
        if (rpc.dropped !== undefined) dropped.set({ ...labels, reason }, rpc.dropped.get(reason) ?? 0);
      for (const reason of metrics.queueDropReasons)
        if (rpc.droppedUnauthenticated !== undefined)
          withoutUser.set({ ...labels, reason }, rpc.droppedUnauthenticated.get(reason) ?? 0);
    }
  }
  return [
    inProgress.family(),
    queued.family(),
    { metric: metrics.concurrencyWait, histograms: waits },
    dropped.family(),
    withoutUser.family(),
  ];
}

function packObjectsFamilies(looks: readonly ServerLook[]): readonly Family[] {
  const inProgress = samplesOf(metrics.packObjectsInProgress);
  const queued = samplesOf(metrics.packObjectsQueued);
  const dropped = samplesOf(metrics.packObjectsDropped);
  const waits: HistogramSample[] = [];
  for (const { identity, use } of looks) {
    if (use?.packObjects === undefined) continue;
    setKnown(inProgress, identity, use.packObjects.inProgress);
    setKnown(queued, identity, use.packObjects.queued);
    if (use.packObjects.wait !== undefined)
      waits.push(histogramOf(metrics.packObjectsWait, identity, use.packObjects.wait));
    for (const reason of metrics.queueDropReasons)
      dropped.set({ ...identity, reason }, use.packObjects.dropped?.get(reason) ?? 0);
  }
  return [
    inProgress.family(),
    queued.family(),
    { metric: metrics.packObjectsWait, histograms: waits },
    dropped.family(),
  ];
}

function backoffsFamily(looks: readonly ServerLook[]): Family {
  const backoffs = samplesOf(metrics.adaptiveBackoffs);
  for (const { identity, use } of looks)
    for (const [watcher, count] of use?.backoffs ?? []) backoffs.set({ ...identity, watcher }, count);
  return backoffs.family();
}

function setKnown<L extends Identity>(
  samples: { set(labels: L, value: number): unknown },
  labels: NoInfer<L>,
  value: number | undefined,
): void {
  if (value !== undefined) samples.set(labels, value);
}

type LimitLabels = Pick<LabelsOf<typeof metrics.concurrencyLimit>, 'kind' | 'bound'>;

interface LimitSamples<L> {
  set(labels: L & LimitLabels, value: number): unknown;
}

function setAdaptive<L>(samples: LimitSamples<L>, labels: L, current: number | undefined): void {
  if (current !== undefined) samples.set({ ...labels, kind: 'adaptive', bound: 'current' }, current);
}

function setConfigured<L>(samples: LimitSamples<L>, labels: L, limit: Limit | undefined): void {
  if (limit === undefined) return;
  const { kind } = limit;
  if (kind === 'static') samples.set({ ...labels, kind, bound: 'current' }, limit.current);
  else
    for (const bound of ['min', 'max', 'initial'] as const)
      samples.set({ ...labels, kind, bound }, limit[bound]);
}

const histogramOf = <M extends Metric>(metric: M, labels: LabelsOf<M>, waits: Waits): HistogramSample => ({
  labelValues: metric.labelNames.map((name) => (labels as Readonly<Record<string, string>>)[name] ?? ''),
  ...waits,
});
