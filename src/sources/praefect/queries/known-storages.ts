/** The storages of a cluster, as far as they are known: rows about other storages are history. */
import type { HealthView } from '../health.ts';

/** Virtual storage -> storages, from Praefect's config.toml. */
export type ConfiguredStorageMap = ReadonlyMap<string, readonly string[]>;

export interface KnownStorages {
  /** Each known storage once: it gets a series at 0 when nothing was counted for it. */
  readonly storages: readonly { readonly virtualStorage: string; readonly storage: string }[];
  /**
   * Whether some Praefect contacts the storage; undefined when unknown: Praefects with the `local` elector, or
   * without failover, write no heartbeats.
   */
  isContacted(virtualStorage: string, storage: string): boolean | undefined;
}

const newestWithinMs = 60_000;

/**
 * The configured storages, and those that some Praefect contacted within 60 s before the newest heartbeat. Heartbeats
 * decide whether a storage is contacted; the configuration is the fallback where there are none.
 */
export function knownStorages(
  configured: ConfiguredStorageMap | undefined,
  newest: HealthView | undefined,
): KnownStorages {
  // A view that could not be refreshed does not know storages that were added since.
  const health = newest !== undefined && newest.at - newest.readAt <= newestWithinMs ? newest : undefined;
  const all = new Map<string, Set<string>>();
  const add = (virtualStorage: string, storages: Iterable<string>) =>
    all.set(virtualStorage, new Set([...(all.get(virtualStorage) ?? []), ...storages]));
  for (const [virtualStorage, storages] of configured ?? []) add(virtualStorage, storages);
  for (const each of health?.virtualStorages.values() ?? []) add(each.virtualStorage, each.knownStorages);
  return {
    storages: [...all].flatMap(([virtualStorage, storages]) =>
      [...storages].sort().map((storage) => ({ virtualStorage, storage })),
    ),
    isContacted: (virtualStorage, storage) =>
      health?.virtualStorages.get(virtualStorage)?.knownStorages.has(storage) ??
      configured?.get(virtualStorage)?.includes(storage),
  };
}
