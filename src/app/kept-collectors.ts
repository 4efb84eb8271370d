/** Collectors that watch by themselves, and outlive a reload that does not change their settings. */
import { release } from 'node:os';
import { createConfiguredBuckets } from '../buckets/sizes.ts';
import { createSerialQueue } from '../lib/serial-queue.ts';
import type { Thresholds } from '../rules/thresholds.ts';
import type { Collector } from '../scheduler/collector.ts';
import type { EventLog } from '../scheduler/event-log.ts';
import type { ExtraFamilies } from '../scheduler/self-metrics.ts';
import { cgroupCollectorNames, createCgroupSource } from '../sources/cgroup/source.ts';
import type { CgroupView } from '../sources/cgroup/view.ts';
import type { Identity } from '../sources/identity.ts';
import { watchFamilies } from '../sources/kubernetes/cluster-families.ts';
import { createKubernetesSource, kubernetesCollectorNames } from '../sources/kubernetes/source.ts';
import type { KubernetesView } from '../sources/kubernetes/view.ts';
import {
  type Configuration,
  createSources,
  type HostContext,
  type KubernetesAccess,
  listTimeoutMs,
  nodeName,
  openKubernetes,
  openPodsFile,
  type Sources,
} from './sources.ts';

/** What the collectors of every source are made with. */
export interface CollectorContext extends Pick<Configuration, 'settings'> {
  readonly host: HostContext;
  readonly events: EventLog;
  readonly thresholds: Thresholds;
}

/** What one source adds. */
export interface SourceCollectors {
  readonly collectors: readonly Collector[];
  /** Names of the collectors that the settings disable. */
  readonly disabled: readonly string[];
  /** For the exporter's own block. */
  readonly families: readonly ExtraFamilies[];
}

export const disabledSource = (names: readonly string[]): SourceCollectors => ({
  collectors: [],
  disabled: names,
  families: [],
});

export interface Kept<T> {
  /** The settings that it was created from. */
  readonly key: string;
  readonly value: T;
}

/** The value from before, if it was created from equal settings; else a new one. */
export function keep<T>(before: Kept<T> | undefined, settings: unknown, create: () => T): Kept<T> {
  const key = JSON.stringify(settings);
  return before?.key === key ? before : { key, value: create() };
}

/**
 * What watches by itself. It outlives a reload that does not change its settings: what it counts (OOM kills, rotations,
 * restarts) must not start again, and nothing must be missed during the reload.
 */
export interface Watched {
  readonly kubernetes: KubernetesCollectors;
  readonly cgroup: CgroupCollectors;
  readonly podsFile: Sources['podsFile'];
  stop(): Promise<void>;
}

export function createWatched(context: CollectorContext): Watched {
  const { host, settings } = context;
  const kubernetes = createKubernetesCollectors(context);
  const podsFile = openPodsFile(settings, host);
  const sources = createSources(settings, host, { kubernetes: kubernetes.access, podsFile });
  const cgroup = createCgroupCollectors(context, sources);
  return {
    kubernetes: runInTurn(kubernetes),
    cgroup: runInTurn(cgroup),
    podsFile,
    async stop() {
      await Promise.all([kubernetes.stop(), cgroup.stop()]);
      podsFile?.close();
    },
  };
}

/** During a reload two runners have the same collectors: each runs once at a time. */
export function runInTurn<T extends Pick<SourceCollectors, 'collectors'>>(source: T): T {
  return {
    ...source,
    collectors: source.collectors.map((collector): Collector => {
      const queue = createSerialQueue();
      return { ...collector, collect: (run) => queue.run(() => collector.collect(run)) };
    }),
  };
}

interface KubernetesCollectors extends SourceCollectors {
  readonly access: KubernetesAccess | undefined;
  /** Undefined where another exporter reports the pods. */
  view(): KubernetesView | undefined;
  readonly rotationSeconds: ((identity: Identity) => number | undefined) | undefined;
  stop(): Promise<void>;
}

export function createKubernetesCollectors({
  events,
  host,
  settings,
}: CollectorContext): KubernetesCollectors {
  const access = openKubernetes(settings, host);
  if (access === undefined)
    return {
      ...disabledSource(kubernetesCollectorNames),
      access,
      view: () => undefined,
      rotationSeconds: undefined,
      stop: async () => undefined,
    };
  const { role } = settings.kubernetes;
  const { componentOf, listed, stores } = access;
  // Before the stores start, so that it misses no change.
  const source = createKubernetesSource({
    stores,
    role,
    componentOf,
    namespaces: settings.kubernetes.namespace,
    reportsServerInfo: role === 'all' && !settings.cgroup.enabled,
    clock: host.clock,
    events,
  });
  stores.start();
  return {
    collectors: source.collectors.map((collector) => afterFirstList(collector, listed)),
    disabled: source.collectors.length > 0 ? [] : kubernetesCollectorNames,
    families: [() => watchFamilies(stores.states(), stores.clockSkewMs())],
    access,
    view: () => (source.collectors.length === 0 ? undefined : source.view()),
    rotationSeconds: source.rotationSeconds,
    stop: access.close,
  };
}

/** A first run on empty stores would fail without need; it takes time that later runs do not. */
const afterFirstList = (collector: Collector, listed: KubernetesAccess['listed']): Collector => ({
  ...collector,
  schedule: { ...collector.schedule, timeoutMs: collector.schedule.timeoutMs + listTimeoutMs },
  async collect(run) {
    await listed(run.signal);
    return collector.collect(run);
  },
});

interface CgroupCollectors extends SourceCollectors {
  /** Undefined without cgroup.enabled, and before the pods are known. */
  view(): CgroupView | undefined;
  stop(): Promise<void>;
}

export function createCgroupCollectors(
  { events, host, settings, thresholds }: CollectorContext,
  {
    configs,
    kubernetes,
    podDirectory,
    podsFile,
  }: Pick<Sources, 'configs' | 'kubernetes' | 'podDirectory' | 'podsFile'>,
): CgroupCollectors {
  const { cgroup } = settings;
  const { clock, log } = host;
  if (!cgroup.enabled)
    return {
      ...disabledSource(cgroupCollectorNames),
      view: () => undefined,
      stop: async () => undefined,
    };
  const configured = createConfiguredBuckets(configs, clock);
  const source = createCgroupSource({
    root: cgroup.root,
    hostName: nodeName(settings, host),
    buckets: cgroup.buckets,
    topBuckets: cgroup.topBuckets,
    pollIntervalMs: cgroup.pollInterval,
    clock,
    events,
    log,
    directory: podDirectory,
    configs: configured,
    configuredBuckets: configured.of,
    kernelVersion: release(),
    throttlingWindowMs: thresholds.rateWindow.value * 1000,
  });
  let arePodsListed = false;
  /** Before the pods are known a run would fail without need. */
  const afterPods = (collector: Collector): Collector => ({
    ...collector,
    async collect(run) {
      await (podsFile === undefined ? kubernetes?.listed(run.signal) : podsFile.ready);
      arePodsListed = true;
      return collector.collect(run);
    },
  });
  return {
    collectors: source.collectors.map(afterPods),
    disabled: [],
    families: [() => source.selfFamilies()],
    view: () => (arePodsListed ? source.view() : undefined),
    async stop() {
      configured.close();
      await source.stop();
    },
  };
}
