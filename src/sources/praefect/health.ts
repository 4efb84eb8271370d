/**
 * The health of storages exactly as Praefect computes it, from the rows of node_status, as a pure function that
 * can be asked again for a later moment without asking the database.
 *
 * The rule (view healthy_storages since 14.0; the `sql` elector of 13.x asks the same): a storage is healthy
 * when the Praefects that saw it active within 10 s number at least half, rounded up, of the Praefects that
 * tried to contact any storage of its virtual storage within 60 s.
 */

/** One row of node_status. Seconds are relative to the database's now(); null: never. */
export interface NodeStatusRow {
  readonly praefect: string;
  readonly virtualStorage: string;
  readonly storage: string;
  readonly secondsSinceAttempt: number | null;
  readonly secondsSinceSeen: number | null;
}

/** A storage seen active this long ago still counts for the consensus (inclusive). */
export const seenWithinSeconds = 10;
/** A Praefect that tried this long ago is alive, and counts in the quorum (inclusive). */
export const aliveWithinSeconds = 60;
/**
 * A Praefect's heartbeat is fresh while its newest attempt is at most this old. Each writes one a second, at
 * worst one in three (a health check may take 1 s, and 13.x dates its rows before the check). It is well under
 * the 10 s after which everything reads unhealthy once heartbeats stop, so that no storage turns unhealthy
 * through silence and is believed.
 */
export const freshWithinSeconds = 5;

export interface StorageHealth {
  readonly virtualStorage: string;
  readonly storage: string;
  /** The consensus. */
  readonly healthy: boolean;
  /** Each living Praefect's own view of it: seen active within 10 s. */
  readonly seenHealthyBy: ReadonlyMap<string, boolean>;
  /** Since the newest attempt of any Praefect on this storage; undefined: never tried. */
  readonly secondsSinceAttempt: number | undefined;
  /** Since any Praefect saw it active. */
  readonly secondsSinceSeen: number | undefined;
}

export interface VirtualStorageHealth {
  readonly virtualStorage: string;
  /** Since the newest attempt of any Praefect on any storage; undefined: never. */
  readonly secondsSinceHeartbeat: number | undefined;
  /**
   * A quorum of the living Praefects has a fresh heartbeat: an unhealthy storage is unhealthy, and not merely
   * unreported. One fresh Praefect of three is not enough: the consensus then lacks votes for every storage, so
   * when two Praefects die, or all come back one by one, it calls everything unhealthy for up to a minute.
   */
  readonly believed: boolean;
  /** Praefect -> seconds since its newest attempt on any storage here, or undefined: never. */
  readonly praefects: ReadonlyMap<string, number | undefined>;
  readonly storages: ReadonlyMap<string, StorageHealth>;
  /**
   * Storages contacted within 60 s before the newest heartbeat (not before now: when all Praefects stop, the
   * storages stay known). Rows are never deleted, so a storage that was taken out of the configuration keeps
   * its rows and leaves this set a minute later.
   */
  readonly knownStorages: ReadonlySet<string>;
}

export interface HealthView {
  /** Clock.monotonic() of the database's now(), as nearly as we know it. */
  readonly readAt: number;
  /** Clock.monotonic() of the moment that this view speaks of: readAt, or later for an aged one. */
  readonly at: number;
  readonly virtualStorages: ReadonlyMap<string, VirtualStorageHealth>;
  /** The consensus; false for a storage that node_status does not know. */
  healthy(virtualStorage: string, storage: string): boolean;
  /** Whether a quorum of Praefects reports on that virtual storage; false for one that node_status lacks. */
  believed(virtualStorage: string): boolean;
  /** Names the healthy storages and the virtual storages that are believed: equal keys, equal answers. */
  readonly key: string;
}

/** The health that the rows, read at `readAt` (Clock.monotonic()), show at `at` if nothing was written since. */
export function healthOf(rows: readonly NodeStatusRow[], readAt: number, at = readAt): HealthView {
  const elapsed = Math.max(0, at - readAt) / 1000;
  const virtualStorages = new Map(
    groupedInOrder(rows, (row) => row.virtualStorage).map(([name, own]) => [
      name,
      virtualStorageHealth(name, own, elapsed),
    ]),
  );
  return {
    readAt,
    at,
    virtualStorages,
    healthy: (virtualStorage, storage) =>
      virtualStorages.get(virtualStorage)?.storages.get(storage)?.healthy ?? false,
    believed: (virtualStorage) => virtualStorages.get(virtualStorage)?.believed ?? false,
    key: JSON.stringify(
      [...virtualStorages.values()].map(({ virtualStorage, believed, storages }) => [
        virtualStorage,
        believed,
        [...storages.values()].filter(({ healthy }) => healthy).map(({ storage }) => storage),
      ]),
    ),
  };
}

function virtualStorageHealth(
  virtualStorage: string,
  rows: readonly NodeStatusRow[],
  elapsed: number,
): VirtualStorageHealth {
  const aged = rows.map((row) => ({
    ...row,
    attempt: row.secondsSinceAttempt === null ? Number.POSITIVE_INFINITY : row.secondsSinceAttempt + elapsed,
    seen: row.secondsSinceSeen === null ? Number.POSITIVE_INFINITY : row.secondsSinceSeen + elapsed,
  }));
  const newest = Math.min(...aged.map((row) => row.attempt));
  const praefects = new Map(
    groupedInOrder(aged, (row) => row.praefect).map(([praefect, own]) => [
      praefect,
      Math.min(...own.map((row) => row.attempt)),
    ]),
  );
  const countWithin = (seconds: number) => [...praefects.values()].filter((age) => age <= seconds).length;
  const isAlive = (praefect: string) => (praefects.get(praefect) ?? Infinity) <= aliveWithinSeconds;
  const quorum = Math.ceil(countWithin(aliveWithinSeconds) / 2);

  const storages = new Map(
    groupedInOrder(aged, (row) => row.storage).map(([storage, own]): [string, StorageHealth] => {
      const seenBy = own.filter((row) => row.seen <= seenWithinSeconds).length;
      return [
        storage,
        {
          virtualStorage,
          storage,
          // The view groups the rows that saw it: without one there is no group, whatever the quorum.
          healthy: seenBy > 0 && seenBy >= quorum,
          seenHealthyBy: new Map(
            groupedInOrder(own, (row) => row.praefect)
              .filter(([praefect]) => isAlive(praefect))
              .map(([praefect, [row]]) => [praefect, (row?.seen ?? Infinity) <= seenWithinSeconds]),
          ),
          secondsSinceAttempt: finite(Math.min(...own.map((row) => row.attempt))),
          secondsSinceSeen: finite(Math.min(...own.map((row) => row.seen))),
        },
      ];
    }),
  );

  return {
    virtualStorage,
    secondsSinceHeartbeat: finite(newest),
    believed: countWithin(freshWithinSeconds) >= Math.max(1, quorum),
    praefects: new Map([...praefects].map(([praefect, seconds]) => [praefect, finite(seconds)])),
    storages,
    knownStorages: new Set(
      [...storages.values()]
        .filter(({ secondsSinceAttempt }) => (secondsSinceAttempt ?? Infinity) <= newest + aliveWithinSeconds)
        .map(({ storage }) => storage),
    ),
  };
}

/** Groups in order of their keys: node_status has no order of its own, and series should keep theirs. */
const groupedInOrder = <T>(items: readonly T[], keyOf: (item: T) => string): [string, T[]][] =>
  [...Map.groupBy(items, keyOf)].sort(([a], [b]) => (a < b ? -1 : 1));

const finite = (seconds: number): number | undefined => (Number.isFinite(seconds) ? seconds : undefined);
