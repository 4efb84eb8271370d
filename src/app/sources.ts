/**
 * Access to every source that the settings name, built once: `serve` makes collectors of it, `doctor` checks it. Nothing
 * is read or watched before it is used.
 */

import { statfs } from 'node:fs/promises';
import { hostname } from 'node:os';
import { readGitalys } from '../buckets/sizes.ts';
import type { ResolvedPraefect } from '../config/praefect/resolve.ts';
import type { Settings } from '../config/sections/index.ts';
import type { System } from '../config/system.ts';
import type { Clock } from '../lib/clock.ts';
import type { ReadText } from '../lib/files.ts';
import type { Log } from '../lib/log.ts';
import { type CgroupFactsReader, createCgroupFactsReader } from '../sources/cgroup/facts.ts';
import type { PodDirectory } from '../sources/cgroup/tree.ts';
import { configFiles, configuredTargets } from '../sources/gitaly/configured.ts';
import { systemResolve } from '../sources/gitaly/resolve.ts';
import { createStorageSpace, type StatFs, type StorageSpace } from '../sources/gitaly/storage-space.ts';
import type { ConfigSource, TargetSource } from '../sources/gitaly/target.ts';
import type { KubeApi } from '../sources/kubernetes/api/api.ts';
import { openKubeApi } from '../sources/kubernetes/api/open.ts';
import {
  type ConfigMaps,
  configMapReader,
  createConfigMaps,
  readConfigTexts,
} from '../sources/kubernetes/directory/config-maps.ts';
import { createOtherPods, type OtherPods } from '../sources/kubernetes/directory/other-pods.ts';
import { createPodDirectory } from '../sources/kubernetes/directory/pod-directory.ts';
import { podTargets } from '../sources/kubernetes/directory/pod-targets.ts';
import {
  createPodsFileDirectory,
  type PodsFileDirectory,
  watchFolder,
} from '../sources/kubernetes/directory/pods-file.ts';
import { createVolumeStats, type VolumeStats } from '../sources/kubernetes/directory/volume-stats.ts';
import { type ComponentOf, componentBySelectors } from '../sources/kubernetes/gitaly-objects.ts';
import { createStores, type WatchedStores } from '../sources/kubernetes/watch/stores.ts';

/** Settings, and what they refer to. */
export interface Configuration {
  readonly settings: Settings;
  readonly praefect: ResolvedPraefect;
}

/** What the sources use of this process and its host. */
export interface HostContext {
  readonly clock: Clock;
  readonly log: Log;
  /** node:os' hostname(). */
  readonly hostName: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readText: ReadText;
  readonly statFs: StatFs;
  /** `/proc` */
  readonly proc: string;
}

/** The host of this process. */
export const processHost = (system: System, log: Log, clock: Clock): HostContext => ({
  clock,
  log,
  hostName: hostname(),
  env: system.env,
  readText: (path) => system.files.readText(path),
  statFs: (path) => statfs(path),
  proc: '/proc',
});

export interface Sources {
  /** Undefined without kubernetes.enabled. */
  readonly kubernetes: KubernetesAccess | undefined;
  /** Knows the pods on this host, from cgroup.pods-file or else from Kubernetes. */
  readonly podDirectory: PodDirectory | undefined;
  readonly podsFile: PodsFileDirectory | undefined;
  /** Servers whose metrics are scraped: those of the settings, and pods. */
  readonly targets: readonly TargetSource[];
  /** Configurations of Gitaly: files and ConfigMaps. */
  readonly configs: readonly ConfigSource[];
  /** gitaly.config-file alone, of virtual machines. */
  readonly configFiles: ConfigSource | undefined;
  /** Of the file systems of this host, by its name in `configFiles`. */
  readonly storageSpace: {
    readonly hostName: string;
    readonly of: StorageSpace;
  };
  /** Undefined without cgroup.enabled. */
  readonly cgroupFacts: CgroupFactsReader | undefined;
}

export interface KubernetesAccess {
  readonly api: KubeApi;
  /** Not started. */
  readonly stores: WatchedStores;
  readonly componentOf: ComponentOf;
  readonly podDirectory: PodDirectory;
  /**
   * Waits for the first list of every resource, so that a first read does not find everything unknown. Resolves after
   * 3 s at the latest, and immediately once 10 s have passed since the access was opened: an API server that accepts
   * connections and never responds must not delay scrapes.
   */
  listed(signal: AbortSignal): Promise<void>;
  /** Undefined where another exporter reads them (kubernetes.scrape, kubernetes.role). */
  readonly configMaps: ConfigMaps | undefined;
  /**
   * Of all namespaces. Undefined on an agent, which compares no priorities, and in an exporter for the cluster that
   * watches some namespaces only: its Roles do not reach further, and a refused list would fill the audit log.
   */
  readonly otherPods: OtherPods | undefined;
  /** Undefined without kubernetes.volume-stats. */
  readonly volumes: VolumeStats | undefined;
  close(): Promise<void>;
}

export const listTimeoutMs = 3000;
const startTimeoutMs = 10_000;

const listsAllPods = ({ namespace, role }: Settings['kubernetes']): boolean =>
  role === 'all' || (role === 'cluster' && namespace === undefined);

export function openKubernetes(settings: Settings, host: HostContext): KubernetesAccess | undefined {
  const { kubernetes } = settings;
  const { clock, env, log } = host;
  if (!kubernetes.enabled) return undefined;
  const componentOf = componentBySelectors(kubernetes);
  const api = openKubeApi(kubernetes, { clock, env });
  const stores = createStores({
    api,
    namespaces: kubernetes.namespace,
    role: kubernetes.role,
    node: nodeName(settings, host),
    gitalySelector: kubernetes.gitalySelector,
    praefectSelector: kubernetes.praefectSelector,
    staleMs: kubernetes.staleAfter,
    clock,
    random: Math.random,
    log,
  });
  // Without the node's name, the pods of all nodes: their UIDs show which are on this host.
  const podDirectory = createPodDirectory(stores, { node: kubernetes.node, componentOf, clock });
  const isScraping = kubernetes.scrape && kubernetes.role !== 'agent';
  const starting = AbortSignal.timeout(startTimeoutMs);
  return {
    api,
    stores,
    componentOf,
    podDirectory,
    listed: (signal) =>
      stores.listed(AbortSignal.any([signal, starting, AbortSignal.timeout(listTimeoutMs)])),
    configMaps: isScraping ? createConfigMaps(configMapReader(api), clock) : undefined,
    otherPods: listsAllPods(kubernetes) ? createOtherPods(api, componentOf, clock) : undefined,
    volumes: kubernetes.volumeStats ? createVolumeStats(api, clock) : undefined,
    async close() {
      podDirectory.close();
      await stores.stop();
      api.close();
    },
  };
}

/** What the settings exclude of a source that is enabled: one sentence each. */
export const excludedBySettings = ({ kubernetes }: Settings): readonly string[] =>
  kubernetes.enabled && !kubernetes.scrape && kubernetes.role !== 'agent'
    ? ["The pods' metrics and configurations are not read: kubernetes.scrape is false."]
    : [];

/** The pods of cgroup.pods-file; undefined without one. The caller closes it. */
export function openPodsFile(
  { cgroup }: Settings,
  { clock, readText }: HostContext,
): PodsFileDirectory | undefined {
  if (!cgroup.enabled || cgroup.podsFile === undefined) return undefined;
  return createPodsFileDirectory({ file: cgroup.podsFile, readText, clock, watch: watchFolder });
}

/** @param opened what is closed by the caller */
export function createSources(
  settings: Settings,
  host: HostContext,
  opened: Pick<Sources, 'kubernetes' | 'podsFile'>,
): Sources {
  const { cgroup, gitaly, praefect } = settings;
  const { clock, hostName, proc, readText, statFs } = host;
  const { kubernetes, podsFile } = opened;
  const podDirectory = podsFile ?? kubernetes?.podDirectory;
  const files = gitaly.configFile && configFiles({ files: gitaly.configFile, hostName, readText });
  const { tls, credentialsFile } = gitaly.scrape;
  const hasTargets = gitaly.target !== undefined || praefect.target !== undefined;
  const configs = [files, configsOfMaps(kubernetes)].filter((source) => source !== undefined);
  return {
    ...opened,
    podDirectory,
    targets: [
      ...(hasTargets
        ? [
            configuredTargets({
              gitaly: gitaly.target ?? [],
              praefect: praefect.target ?? [],
              access: { tls, credentialsFile },
              hostName,
              resolve: systemResolve,
            }),
          ]
        : []),
      ...(kubernetes?.configMaps === undefined ? [] : [targetsOfPods(kubernetes, tls)]),
    ],
    configs,
    configFiles: files,
    storageSpace: { hostName, of: createStorageSpace(statFs, clock) },
    cgroupFacts: cgroup.enabled
      ? createCgroupFactsReader({
          root: cgroup.root,
          node: nodeName(settings, host),
          directory: podDirectory,
          configs: { read: (signal) => readGitalys(configs, signal) },
          readText,
          proc,
          clock,
        })
      : undefined,
  };
}

/** The node's name as Kubernetes knows it; a virtual machine's own. */
export const nodeName = ({ kubernetes }: Settings, { hostName }: HostContext): string =>
  kubernetes.node ?? hostName;

const targetsOfPods = (
  { stores: { pods }, componentOf, listed }: KubernetesAccess,
  tls: Settings['gitaly']['scrape']['tls'],
): TargetSource => ({
  async list(signal) {
    await listed(signal);
    return podTargets({ pods, componentOf, tls });
  },
});

function configsOfMaps(kubernetes: KubernetesAccess | undefined): ConfigSource | undefined {
  if (kubernetes?.configMaps === undefined) return undefined;
  const { componentOf, configMaps, listed, stores } = kubernetes;
  return {
    async read(signal) {
      await listed(signal);
      return readConfigTexts(stores.pods, componentOf, configMaps, signal);
    },
  };
}
