/** Which storages a cluster has, as nearly as can be known: rows about others are about the past. */
import type { HealthView } from '../health.ts';

/** Virtual storage -> storages, of Praefect's config.toml; undefined where it was not given. */
export type ConfiguredStorages = ReadonlyMap<string, readonly string[]>;

export interface KnownStorages {
  /** Each known place once: what gets a series at 0 when nothing was counted for it. */
  readonly places: readonly { readonly virtual_storage: string; readonly storage: string }[];
  /**
   * Whether some Praefect contacts that storage; undefined where nobody can say: Praefects with the `local`
   * elector, or without failover, write no heartbeats.
   */
  contacted(virtualStorage: string, storage: string): boolean | undefined;
}

const newestWithinMs = 60_000;

/**
 * What is configured, and what some Praefect contacted within 60 s before the newest heartbeat. Only the latter
 * tells whether a storage is contacted; the configuration stands in where there are no heartbeats.
 */
export function knownStorages(
  configured: ConfiguredStorages | undefined,
  newest: HealthView | undefined,
): KnownStorages {
  // A view that could not be renewed says nothing of storages that were added since.
  const health = newest !== undefined && newest.at - newest.readAt <= newestWithinMs ? newest : undefined;
  const all = new Map<string, Set<string>>();
  const add = (virtualStorage: string, storages: Iterable<string>) =>
    all.set(virtualStorage, new Set([...(all.get(virtualStorage) ?? []), ...storages]));
  for (const [virtualStorage, storages] of configured ?? []) add(virtualStorage, storages);
  for (const each of health?.virtualStorages.values() ?? []) add(each.virtualStorage, each.knownStorages);
  return {
    places: [...all].flatMap(([virtual_storage, storages]) =>
      [...storages].sort().map((storage) => ({ virtual_storage, storage })),
    ),
    contacted: (virtualStorage, storage) =>
      health?.virtualStorages.get(virtualStorage)?.knownStorages.has(storage) ??
      configured?.get(virtualStorage)?.includes(storage),
  };
}
