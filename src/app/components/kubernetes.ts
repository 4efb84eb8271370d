/** Kubernetes: its API watched, and what the other parts ask of it. */
import { hostname } from 'node:os';
import type { Collector } from '../../scheduler/collector.ts';
import type { PodDirectory } from '../../sources/cgroup/tree.ts';
import type { ConfigSource, TargetSource } from '../../sources/gitaly/target.ts';
import type { Identity } from '../../sources/identity.ts';
import { createLazyApi } from '../../sources/kubernetes/api/api.ts';
import { openKubeApi } from '../../sources/kubernetes/api/open.ts';
import {
  type ConfigMaps,
  configMapReader,
  createConfigMapSource,
  createConfigMaps,
} from '../../sources/kubernetes/directory/config-maps.ts';
import { createOtherPods, type OtherPods } from '../../sources/kubernetes/directory/other-pods.ts';
import { createPodDirectory } from '../../sources/kubernetes/directory/pod-directory.ts';
import { createPodTargets } from '../../sources/kubernetes/directory/pod-targets.ts';
import { createVolumeStats, type VolumeStats } from '../../sources/kubernetes/directory/volume-stats.ts';
import { watchFamilies } from '../../sources/kubernetes/families.ts';
import { type ComponentOf, componentBySelectors } from '../../sources/kubernetes/gitaly-objects.ts';
import type { Pod } from '../../sources/kubernetes/objects/types.ts';
import { createKubernetesSource, kubernetesCollectorNames } from '../../sources/kubernetes/source.ts';
import type { KubernetesView } from '../../sources/kubernetes/view.ts';
import { createStores, type WatchedStores } from '../../sources/kubernetes/watch/stores.ts';
import { absentPart, type Part, type PartOptions } from './part.ts';

/** What the first reads wait for, in place of calling everything unknown. */
const listedWithinMs = 3000;
/** After so long nobody waits any more: an API server that takes connections and is silent holds no scrape. */
const startsWithinMs = 10_000;

/** What Kubernetes tells the other parts. */
export interface Cluster {
  readonly stores: WatchedStores;
  /** Resolves when each resource was listed or cannot be, after 3 s at the latest. */
  settled(signal: AbortSignal): Promise<void>;
  readonly componentOf: ComponentOf;
  readonly directory: PodDirectory;
  /** Undefined where another exporter reads them (kubernetes.scrape, kubernetes.role). */
  readonly configMaps: ConfigMaps | undefined;
  readonly targets: readonly TargetSource[];
  readonly configs: readonly ConfigSource[];
  /** Undefined where only some namespaces may be read. */
  readonly otherPods: OtherPods | undefined;
  /** Undefined without kubernetes.volume-stats. */
  readonly volumes: VolumeStats | undefined;
  /** Undefined where another exporter tells of the pods. */
  view(): KubernetesView | undefined;
  /** Seconds from deletion to Ready at the last rotation that was seen whole. */
  rotationSeconds(identity: Identity): number | undefined;
}

export interface KubernetesPart extends Part {
  /** Undefined where Kubernetes is not watched. */
  readonly cluster: Cluster | undefined;
}

export function kubernetesPart({ settings, clock, events, log }: PartOptions): KubernetesPart {
  const { kubernetes, gitaly } = settings;
  if (!kubernetes.enabled) return { ...absentPart(kubernetesCollectorNames), cluster: undefined };
  const node = kubernetes.node ?? hostname();
  const componentOf = componentBySelectors(kubernetes);
  const api = createLazyApi(() => openKubeApi(kubernetes, { clock, env: process.env }), clock);
  const stores = createStores({
    api,
    namespaces: kubernetes.namespace,
    role: kubernetes.role,
    node,
    gitalySelector: kubernetes.gitalySelector,
    praefectSelector: kubernetes.praefectSelector,
    staleMs: kubernetes.staleAfter,
    clock,
    random: Math.random,
    log,
  });
  const isScraping = kubernetes.scrape && kubernetes.role !== 'agent';
  const configMaps = isScraping ? createConfigMaps(configMapReader(api), clock) : undefined;
  // Without the node's name, those of all nodes: their uids tell which are here.
  const directory = createPodDirectory(stores, { node: kubernetes.node, componentOf, clock });
  const isGitaly = (pod: Pod): boolean => componentOf(pod) === 'gitaly';
  const source = createKubernetesSource({
    ...{ stores, role: kubernetes.role, isGitaly, clock, events },
    reportsServerInfo: kubernetes.role === 'all' && !settings.cgroup.enabled,
  });
  stores.start();
  const starting = AbortSignal.timeout(startsWithinMs);
  const listedBy = (signal: AbortSignal): Promise<void> =>
    stores.listed(AbortSignal.any([signal, starting, AbortSignal.timeout(listedWithinMs)]));
  /** The first read of the metrics and of the configurations waits for the first list, in place of failing. */
  const awaited = (source: TargetSource): TargetSource => ({
    async list(signal) {
      await listedBy(signal);
      return source.list(signal);
    },
  });
  const awaitedConfigs = (source: ConfigSource): ConfigSource => ({
    async read(signal) {
      await listedBy(signal);
      return source.read(signal);
    },
  });
  /** A first look at empty stores would be a failure that is none; it takes time that later ones do not. */
  const afterFirstList = (collector: Collector): Collector => ({
    ...collector,
    schedule: { ...collector.schedule, timeoutMs: collector.schedule.timeoutMs + listedWithinMs },
    async collect(run) {
      await listedBy(run.signal);
      return collector.collect(run);
    },
  });
  return {
    collectors: source.collectors.map(afterFirstList),
    disabled: source.collectors.length > 0 ? [] : kubernetesCollectorNames,
    families: [() => watchFamilies(stores.states())],
    // Told with planned work, which explains them.
    problems: () => [],
    cluster: {
      stores,
      settled: listedBy,
      componentOf,
      directory,
      configMaps,
      targets: isScraping
        ? [awaited(createPodTargets({ pods: stores.pods, componentOf, tls: gitaly.scrape.tls }))]
        : [],
      configs:
        configMaps === undefined
          ? []
          : [awaitedConfigs(createConfigMapSource({ pods: stores.pods, componentOf, configMaps }))],
      otherPods: kubernetes.namespace === undefined ? createOtherPods(api, componentOf, clock) : undefined,
      volumes: kubernetes.volumeStats ? createVolumeStats(api, clock) : undefined,
      view: () => (source.collectors.length === 0 ? undefined : source.view()),
      rotationSeconds: source.rotationSeconds,
    },
    async stop() {
      directory.close();
      await stores.stop();
      api.close();
    },
  };
}
