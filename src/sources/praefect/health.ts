/**
 * Storage health exactly as Praefect computes it, from the rows of node_status: a pure function, which also gives
 * the health at a later moment without another query.
 *
 * The rule (view healthy_storages since 14.0; the `sql` elector of 13.x has the same): a storage is healthy when
 * the Praefects that saw it active within 10 s are at least half, rounded up, of the Praefects that tried to contact
 * any storage of its virtual storage within 60 s.
 */
import { futureToleranceSeconds } from './sql.ts';

/** One row of node_status. Seconds before the database's now(), negative after it; null: never. */
export interface NodeStatusRow {
  readonly praefect: string;
  readonly virtualStorage: string;
  readonly storage: string;
  readonly secondsSinceAttempt: number | null;
  readonly secondsSinceSeen: number | null;
}

/** A storage seen active at most this long ago counts for the consensus. */
export const seenWithinSeconds = 10;
/** A Praefect whose newest attempt is at most this old is alive and counts for the quorum. */
export const aliveWithinSeconds = 60;
/**
 * A Praefect's heartbeat is fresh while its newest attempt is at most this old. Each Praefect writes one per second,
 * at worst one in 3 s (a health check may take 1 s, and 13.x dates its rows before the check). The limit is well under
 * the 10 s after which all storages read unhealthy once heartbeats stop, so missing heartbeats never look like a
 * trusted unhealthy storage.
 */
export const freshWithinSeconds = 5;

export interface StorageHealth {
  readonly virtualStorage: string;
  readonly storage: string;
  /**
   * The consensus: by Praefect's rule, and by times that are not in the future. Praefect's rule alone takes a storage
   * that died before the clock was set back by two hours for healthy during those hours.
   */
  readonly healthy: boolean;
  /** Whether each living Praefect saw it active within 10 s. */
  readonly seenHealthyBy: ReadonlyMap<string, boolean>;
  /** Since the newest attempt of any Praefect to contact it; undefined: never, or in the future. */
  readonly secondsSinceAttempt: number | undefined;
  /** Since any Praefect saw it active; undefined: never, or in the future. */
  readonly secondsSinceSeen: number | undefined;
  /** Some row of it has a time in the future. */
  readonly hasFutureTime: boolean;
}

export interface VirtualStorageHealth {
  readonly virtualStorage: string;
  /** Since the newest attempt of any Praefect to contact any of its storages; undefined: never, or in the future. */
  readonly secondsSinceHeartbeat: number | undefined;
  /**
   * At least half of the living Praefects have a fresh heartbeat, so an unhealthy storage really is unhealthy and not
   * just unreported. One fresh Praefect of three is not enough: the consensus then lacks votes for every storage, and
   * all storages read unhealthy for up to a minute after two Praefects died or while all restart one by one.
   */
  readonly hasQuorum: boolean;
  /** Praefect -> seconds since its newest attempt to contact any of the storages; undefined: never, or in the future. */
  readonly praefects: ReadonlyMap<string, number | undefined>;
  /** Praefects of which some row has a time in the future. */
  readonly futurePraefects: ReadonlySet<string>;
  readonly storages: ReadonlyMap<string, StorageHealth>;
  /**
   * Storages contacted within 60 s before the newest heartbeat (not before now, so the storages stay known when all
   * Praefects stop). Praefect never deletes rows: a storage that was removed from the configuration keeps its rows
   * and leaves this set a minute later. Empty where the virtual storage is not contacted.
   */
  readonly knownStorages: ReadonlySet<string>;
  /** False: removed from the configuration, as Praefects have contacted only other ones for 60 s. */
  readonly contacted: boolean;
}

export interface HealthView {
  /** Clock.monotonic() at the database's now(), to within one round trip. */
  readonly readAt: number;
  /** Clock.monotonic() of the moment that this view describes: readAt or later. */
  readonly at: number;
  readonly virtualStorages: ReadonlyMap<string, VirtualStorageHealth>;
  /** The consensus; false for a storage that node_status does not know. */
  healthy(virtualStorage: string, storage: string): boolean;
  /** Whether enough Praefects report on the virtual storage; false for one that node_status does not know. */
  hasQuorum(virtualStorage: string): boolean;
  /** The healthy storages and the virtual storages with a quorum: views with equal keys agree on both. */
  readonly key: string;
}

/**
 * The health at `at`, from rows read at `readAt` (both Clock.monotonic()), if nothing was written in between.
 *
 * @param isKept whether a virtual storage counts as contacted although its heartbeats stopped and those of others did not
 */
export function healthOf(
  rows: readonly NodeStatusRow[],
  readAt: number,
  at = readAt,
  isKept: (virtualStorage: string) => boolean = () => false,
): HealthView {
  const elapsed = Math.max(0, at - readAt) / 1000;
  const found = groupedInOrder(rows, (row) => row.virtualStorage).map(([name, own]) =>
    virtualStorageHealth(name, own, elapsed),
  );
  const newest = least(found, ({ secondsSinceHeartbeat = Infinity }) => secondsSinceHeartbeat);
  const virtualStorages = new Map(
    found.map((health) => {
      const { futurePraefects, secondsSinceHeartbeat = Infinity, virtualStorage: name } = health;
      const contacted =
        secondsSinceHeartbeat <= newest + aliveWithinSeconds || futurePraefects.size > 0 || isKept(name);
      return [name, { ...health, contacted, ...(!contacted && { knownStorages: new Set<string>() }) }];
    }),
  );
  return {
    readAt,
    at,
    virtualStorages,
    healthy: (virtualStorage, storage) =>
      virtualStorages.get(virtualStorage)?.storages.get(storage)?.healthy ?? false,
    hasQuorum: (virtualStorage) => virtualStorages.get(virtualStorage)?.hasQuorum ?? false,
    key: JSON.stringify(
      [...virtualStorages.values()].map(({ virtualStorage, hasQuorum, storages }) => [
        virtualStorage,
        hasQuorum,
        [...storages.values()].filter(({ healthy }) => healthy).map(({ storage }) => storage),
      ]),
    ),
  };
}

function virtualStorageHealth(
  virtualStorage: string,
  rows: readonly NodeStatusRow[],
  elapsed: number,
): Omit<VirtualStorageHealth, 'contacted'> {
  const aged = rows.map((row) => ({
    ...row,
    attempt: ageOf(row.secondsSinceAttempt, elapsed),
    seen: ageOf(row.secondsSinceSeen, elapsed),
    inView: {
      attempt: (row.secondsSinceAttempt ?? Infinity) + elapsed,
      seen: (row.secondsSinceSeen ?? Infinity) + elapsed,
    },
    isFuture: isFuture(row.secondsSinceAttempt) || isFuture(row.secondsSinceSeen),
  }));
  const newest = least(aged, (row) => row.attempt);
  const praefects = new Map(
    groupedInOrder(aged, (row) => row.praefect).map(([praefect, own]) => [
      praefect,
      least(own, (row) => row.attempt),
    ]),
  );
  const countWithin = (seconds: number) => [...praefects.values()].filter((age) => age <= seconds).length;
  const isAlive = (praefect: string) => (praefects.get(praefect) ?? Infinity) <= aliveWithinSeconds;
  const quorum = Math.ceil(countWithin(aliveWithinSeconds) / 2);
  // Praefect's own rule has one bound: what lies in the future counts.
  const viewQuorum = Math.ceil(
    new Set(aged.filter((row) => row.inView.attempt <= aliveWithinSeconds).map(({ praefect }) => praefect))
      .size / 2,
  );

  const storages = new Map(
    groupedInOrder(aged, (row) => row.storage).map(([storage, own]): [string, StorageHealth] => {
      const seenBy = own.filter((row) => row.seen <= seenWithinSeconds).length;
      const seenInView = own.filter((row) => row.inView.seen <= seenWithinSeconds).length;
      return [
        storage,
        {
          virtualStorage,
          storage,
          // The SQL view groups rows that saw it active: without such a row there is no group, whatever the quorum.
          healthy: seenBy > 0 && seenBy >= quorum && seenInView >= viewQuorum,
          seenHealthyBy: new Map(
            groupedInOrder(own, (row) => row.praefect)
              .filter(([praefect]) => isAlive(praefect))
              .map(([praefect, [row]]) => [praefect, (row?.seen ?? Infinity) <= seenWithinSeconds]),
          ),
          secondsSinceAttempt: finite(least(own, (row) => row.attempt)),
          secondsSinceSeen: finite(least(own, (row) => row.seen)),
          hasFutureTime: own.some((row) => row.isFuture),
        },
      ];
    }),
  );

  return {
    virtualStorage,
    secondsSinceHeartbeat: finite(newest),
    hasQuorum: countWithin(freshWithinSeconds) >= Math.max(1, quorum),
    praefects: new Map([...praefects].map(([praefect, seconds]) => [praefect, finite(seconds)])),
    futurePraefects: new Set(aged.filter((row) => row.isFuture).map(({ praefect }) => praefect)),
    storages,
    knownStorages: new Set(
      [...storages.values()]
        .filter(({ secondsSinceAttempt }) => (secondsSinceAttempt ?? Infinity) <= newest + aliveWithinSeconds)
        .map(({ storage }) => storage),
    ),
  };
}

/** Groups sorted by key: node_status has no order, and the order of series must not change between scrapes. */
const groupedInOrder = <T>(items: readonly T[], keyOf: (item: T) => string): [string, T[]][] =>
  [...Map.groupBy(items, keyOf)].sort(([a], [b]) => (a < b ? -1 : 1));

/** Infinity: never, or a time in the future, which does not come nearer while this reading gets older. */
const ageOf = (seconds: number | null, elapsed: number): number =>
  seconds === null || isFuture(seconds) ? Number.POSITIVE_INFINITY : seconds + elapsed;

const isFuture = (seconds: number | null): boolean =>
  seconds !== null && !(seconds >= -futureToleranceSeconds);

const least = <T>(items: readonly T[], ageIn: (item: T) => number): number =>
  items.reduce((age, item) => Math.min(age, ageIn(item)), Number.POSITIVE_INFINITY);

const finite = (seconds: number): number | undefined => (Number.isFinite(seconds) ? seconds : undefined);
