/**
 * The ConfigMaps that hold Gitaly's and Praefect's configuration, kept for those who ask for them often: the limits'
 * room at each read of the metrics, the checks at each run. Requested by name, each at most once a minute: they
 * are not watched, since a right to watch ConfigMaps shows all of a namespace to whoever has it.
 */

import type { Clock } from '../../../lib/clock.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { ConfigMap } from '../objects/types.ts';

/** One GET. `undefined` for one that is not there (404). Never rejects. */
export type ReadConfigMap = (
  namespace: string,
  name: string,
  signal: AbortSignal,
) => Promise<
  | { readonly ok: true; readonly object: ConfigMap | undefined }
  | { readonly ok: false; readonly failure: Failure }
>;

/** A configuration as it stands in a ConfigMap. */
export interface MountedConfig {
  readonly namespace: string;
  /** Of the ConfigMap. */
  readonly name: string;
  readonly key: 'config.toml.tpl' | 'config.toml';
  readonly text: string;
}

export interface ConfigMapLook {
  /** Undefined: there is none, or it holds no configuration, or it could not be read. */
  readonly config: MountedConfig | undefined;
  /** Why what is told may not be what is there; with a `config`, that is the last one that could be read. */
  readonly failure: Failure | undefined;
}

export interface ConfigMaps {
  read(namespace: string, name: string, signal: AbortSignal): Promise<ConfigMapLook>;
}

/** What is read is believed for a minute; a ConfigMap without a configuration is not asked for again in ten. */
const freshMs = 60_000;
const foreignFreshMs = 600_000;
/** After a failure the next try comes sooner. */
const retryMs = 15_000;
/** What could not be read anew for so long is withdrawn. */
const withdrawnAfterMs = 300_000;
/** Names that nobody asked for in an hour are forgotten. */
const forgottenAfterMs = 3_600_000;

interface Entry {
  look: ConfigMapLook;
  /** Monotonic times. */
  goodAt: number;
  nextAt: number;
  askedAt: number;
  reading: Promise<void> | undefined;
}

export function createConfigMaps(readConfigMap: ReadConfigMap, clock: Clock): ConfigMaps {
  const entries = new Map<string, Entry>();

  async function refresh(entry: Entry, namespace: string, name: string, signal: AbortSignal): Promise<void> {
    const result = await readConfigMap(namespace, name, signal);
    const now = clock.monotonic();
    if (result.ok) {
      const config = result.object === undefined ? undefined : configIn(result.object);
      const failure = result.object === undefined ? missing(namespace, name) : undefined;
      const isForeign = result.object !== undefined && config === undefined;
      entry.look = { config, failure };
      entry.goodAt = now;
      entry.nextAt = now + (isForeign ? foreignFreshMs : freshMs);
      return;
    }
    const isOld = now - entry.goodAt > withdrawnAfterMs;
    entry.look = { config: isOld ? undefined : entry.look.config, failure: result.failure };
    entry.nextAt = now + retryMs;
  }

  return {
    async read(namespace, name, signal) {
      const now = clock.monotonic();
      for (const [key, { askedAt }] of entries) if (now - askedAt > forgottenAfterMs) entries.delete(key);
      const key = `${namespace}/${name}`;
      const entry: Entry = entries.get(key) ?? {
        look: { config: undefined, failure: undefined },
        goodAt: Number.NEGATIVE_INFINITY,
        nextAt: now,
        askedAt: now,
        reading: undefined,
      };
      entries.set(key, entry);
      entry.askedAt = now;
      if (now >= entry.nextAt) {
        // Two who ask at once share one GET; the signal is the first one's, and an aborted GET is soon repeated.
        entry.reading ??= refresh(entry, namespace, name, signal).finally(() => {
          entry.reading = undefined;
        });
        await entry.reading;
      }
      return entry.look;
    },
  };
}

/** The template is what the chart mounts; a finished config.toml is what others do. */
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
