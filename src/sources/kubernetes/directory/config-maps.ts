/**
 * Gitaly's and Praefect's configuration from the ConfigMaps that their pods mount. ConfigMaps are read by name,
 * each at most once a minute, and not watched: the right to watch them exposes every ConfigMap of a namespace.
 */
import type { Clock } from '../../../lib/clock.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { Component, Identity } from '../../identity.ts';
import { getJson, type KubeApi } from '../api/api.ts';
import { type ComponentOf, podIdentity } from '../gitaly-objects.ts';
import { configMapOf } from '../objects/kinds.ts';
import type { ConfigMap, Pod } from '../objects/types.ts';
import { incompleteness, notCurrent, type Store } from '../store.ts';

/** One GET. `object` is undefined when there is no such ConfigMap (404). Never rejects. */
export type ReadConfigMap = (
  namespace: string,
  name: string,
  signal: AbortSignal,
) => Promise<
  | { readonly ok: true; readonly object: ConfigMap | undefined }
  | { readonly ok: false; readonly failure: Failure }
>;

export const configMapReader =
  (api: KubeApi): ReadConfigMap =>
  async (namespace, name, signal) => {
    const [inNamespace, named] = [namespace, name].map(encodeURIComponent);
    const what = `ConfigMap ${namespace}/${name}`;
    const found = await getJson(
      api,
      {
        path: `/api/v1/namespaces/${inNamespace}/configmaps/${named}`,
        what,
        forbidden: `no right to get configmaps of the core group ("") in namespace ${namespace}, so ${what} is not read: grant get, or set kubernetes.scrape to false`,
      },
      signal,
    );
    if (!found.ok) return found.isMissing ? { ok: true, object: undefined } : found;
    const parsed = configMapOf(found.json);
    return parsed.ok
      ? parsed
      : { ok: false, failure: { reason: 'parse', message: `${what} is malformed: ${parsed.why}` } };
  };

interface MountedConfig {
  readonly namespace: string;
  /** Of the ConfigMap. */
  readonly name: string;
  readonly key: 'config.toml.tpl' | 'config.toml';
  readonly text: string;
}

interface ConfigMapReading {
  /** Undefined: the ConfigMap is missing, holds no configuration, or could not be read. */
  readonly config: MountedConfig | undefined;
  /** Next to a `config`: why that is an earlier version, which may be outdated. */
  readonly failure: Failure | undefined;
}

/** A cache of ConfigMaps. */
export interface ConfigMaps {
  read(namespace: string, name: string, signal: AbortSignal): Promise<ConfigMapReading>;
}

const refreshMs = 60_000;
/** ConfigMaps without a configuration are unlikely to get one. */
const refreshOthersMs = 600_000;
const retryMs = 15_000;
/** After this long without a successful read, the last known configuration is dropped. */
const maxAgeMs = 300_000;
const forgetUnusedMs = 3_600_000;

interface Entry {
  reading: ConfigMapReading;
  /** Monotonic times. */
  readAt: number;
  dueAt: number;
  usedAt: number;
  refreshing: Promise<void> | undefined;
}

export function createConfigMaps(readConfigMap: ReadConfigMap, clock: Clock): ConfigMaps {
  const entries = new Map<string, Entry>();

  async function refresh(entry: Entry, namespace: string, name: string, signal: AbortSignal): Promise<void> {
    const result = await readConfigMap(namespace, name, signal);
    const now = clock.monotonic();
    if (result.ok) {
      const config = result.object === undefined ? undefined : configIn(result.object);
      const failure = result.object === undefined ? missing(namespace, name) : undefined;
      const hasNoConfig = result.object !== undefined && config === undefined;
      entry.reading = { config, failure };
      entry.readAt = now;
      entry.dueAt = now + (hasNoConfig ? refreshOthersMs : refreshMs);
      return;
    }
    const isStale = now - entry.readAt > maxAgeMs;
    entry.reading = { config: isStale ? undefined : entry.reading.config, failure: result.failure };
    entry.dueAt = now + retryMs;
  }

  return {
    async read(namespace, name, signal) {
      const now = clock.monotonic();
      for (const [key, { usedAt }] of entries) if (now - usedAt > forgetUnusedMs) entries.delete(key);
      const key = `${namespace}/${name}`;
      const entry: Entry = entries.get(key) ?? {
        reading: { config: undefined, failure: undefined },
        readAt: Number.NEGATIVE_INFINITY,
        dueAt: now,
        usedAt: now,
        refreshing: undefined,
      };
      entries.set(key, entry);
      entry.usedAt = now;
      if (now >= entry.dueAt) {
        // Concurrent callers share one GET. It has the first caller's signal; an aborted GET is soon repeated.
        entry.refreshing ??= refresh(entry, namespace, name, signal).finally(() => {
          entry.refreshing = undefined;
        });
        await entry.refreshing;
      }
      return entry.reading;
    },
  };
}

/** The chart mounts a template; other deployments mount a complete config.toml. */
function configIn({ namespace, name, data }: ConfigMap): MountedConfig | undefined {
  for (const key of ['config.toml.tpl', 'config.toml'] as const) {
    const text = data[key];
    if (text !== undefined) return { namespace, name, key, text };
  }
  return undefined;
}

const missing = (namespace: string, name: string): Failure => ({
  reason: 'parse',
  message: `ConfigMap ${namespace}/${name}, which a pod mounts, does not exist`,
});

interface ConfigsOfPods {
  readonly configs: readonly { readonly config: MountedConfig; readonly pods: readonly Pod[] }[];
  readonly failures: readonly Failure[];
}

/** Kubernetes creates it in every namespace. */
const rootCertificates = 'kube-root-ca.crt';

/**
 * The configuration of each active pod (with a node, neither deleted nor ended), one per ConfigMap. For a pod that
 * mounts several ConfigMaps, the first one that holds a configuration counts.
 */
export async function configsOfPods(
  pods: readonly Pod[],
  component: Component,
  componentOf: ComponentOf,
  configMaps: ConfigMaps,
  signal: AbortSignal,
): Promise<ConfigsOfPods> {
  const found = new Map<string, { readonly config: MountedConfig; readonly pods: Pod[] }>();
  const failures = new Map<string, Failure>();
  for (const pod of pods) {
    if (componentOf(pod) !== component || !isActive(pod)) continue;
    for (const name of pod.configMaps) {
      if (name === rootCertificates) continue;
      const { config, failure } = await configMaps.read(pod.namespace, name, signal);
      if (failure !== undefined) failures.set(`${pod.namespace}/${name}`, failure);
      if (config === undefined) continue;
      const key = `${config.namespace}/${config.name}`;
      const known = found.get(key) ?? { config, pods: [] };
      known.pods.push(pod);
      found.set(key, known);
      break;
    }
  }
  return { configs: [...found.values()], failures: [...failures.values()] };
}

const isActive = ({ node, deletion, phase }: Pod): boolean =>
  node !== '' && deletion === undefined && phase !== 'Failed' && phase !== 'Succeeded';

/** `ConfigMap gitlab/gl-gitaly, config.toml.tpl` */
export const configName = ({ namespace, name, key }: MountedConfig): string =>
  `ConfigMap ${namespace}/${name}, ${key}`;

interface ConfigTexts {
  readonly texts: readonly {
    readonly name: string;
    readonly text: string;
    readonly identities: readonly Identity[];
  }[];
  readonly failures: readonly Failure[];
}

/** Gitaly's configuration files with the pods that mount them, for the Gitaly source. */
export async function readConfigTexts(
  pods: Store<Pod>,
  componentOf: ComponentOf,
  configMaps: ConfigMaps,
  signal: AbortSignal,
): Promise<ConfigTexts> {
  const failure = notCurrent(pods, 'pods');
  if (failure !== undefined) return { texts: [], failures: [failure] };
  const { configs, failures } = await configsOfPods(pods.all(), 'gitaly', componentOf, configMaps, signal);
  const texts = configs.map(({ config, pods: mounting }) => ({
    name: configName(config),
    text: config.text,
    identities: mounting.map(podIdentity),
  }));
  const incomplete = incompleteness(pods.state());
  return { texts, failures: incomplete === undefined ? failures : [incomplete, ...failures] };
}
