/** Counts moves of primaries and failovers from what changed between two refreshes, with an event for each failover. */
import type { EventLog } from '../../../scheduler/event-log.ts';
import type { HealthHistory } from '../health-history.ts';
import type { ShardPrimary } from './refresh.ts';

export const moveCauses = ['unhealthy', 'other'] as const;
type MoveCause = (typeof moveCauses)[number];

/** Repositories whose primary moved between two storages in one refresh. */
export interface RecordedMove {
  readonly virtualStorage: string;
  readonly from: string;
  readonly to: string;
  readonly repositories: number;
}

export interface MoveTotal {
  readonly virtualStorage: string;
  readonly from: string;
  readonly to: string;
  readonly cause: MoveCause;
  /** Repositories. */
  readonly total: number;
}

export interface FailoverTotal {
  readonly virtualStorage: string;
  readonly from: string;
  readonly total: number;
  /** Seconds since 1970; undefined when there was none. */
  readonly last: number | undefined;
}

/** Times of the previous and of this refresh, in seconds since 1970. */
interface RefreshTimes {
  readonly previous: number;
  readonly now: number;
}

export interface PrimaryMoveCounter {
  /** Counts the moves of one refresh. */
  record(moves: readonly RecordedMove[], times: RefreshTimes): void;
  /**
   * Compares the primaries of the legacy `sql` elector with those of the previous refresh.
   *
   * @param countChanges false when the previous refresh is not comparable (a first load)
   * @param repositoriesOf the number of repositories of a virtual storage
   */
  recordElections(
    elected: readonly ShardPrimary[],
    times: RefreshTimes,
    countChanges: boolean,
    repositoriesOf: (virtualStorage: string) => number,
  ): void;
  moves(): readonly MoveTotal[];
  failovers(): readonly FailoverTotal[];
}

export function createPrimaryMoveCounter(history: HealthHistory, events: EventLog): PrimaryMoveCounter {
  const moves = new Map<string, MoveTotal>();
  const failovers = new Map<string, FailoverTotal>();
  let shardPrimaries = new Map<string, ShardPrimary>();

  const addMove = ({ virtualStorage, from, to, repositories }: RecordedMove, cause: MoveCause): void => {
    const key = JSON.stringify([virtualStorage, from, to, cause]);
    const total = (moves.get(key)?.total ?? 0) + repositories;
    moves.set(key, { virtualStorage, from, to, cause, total });
  };

  const addFailover = (virtualStorage: string, from: string, last: number): void => {
    const key = JSON.stringify([virtualStorage, from]);
    failovers.set(key, { virtualStorage, from, total: (failovers.get(key)?.total ?? 0) + 1, last });
  };

  return {
    moves: () => [...moves.values()],
    failovers: () => [...failovers.values()],
    record(found, { previous, now }) {
      const failedOver = new Map<string, RecordedMove[]>();
      for (const move of found) {
        // Unhealthy at any time between the refreshes: the storage may have recovered by the second one.
        const unhealthy = history.unhealthyAfter(move.virtualStorage, move.from, previous);
        addMove(move, unhealthy ? 'unhealthy' : 'other');
        const key = JSON.stringify([move.virtualStorage, move.from]);
        if (unhealthy) failedOver.set(key, [...(failedOver.get(key) ?? []), move]);
      }
      for (const group of failedOver.values()) {
        const { virtualStorage, from } = group[0] as RecordedMove;
        addFailover(virtualStorage, from, now);
        const targets = group.map(({ to, repositories }) => `${repositories} to ${to}`).join(', ');
        const count = group.reduce((sum, { repositories }) => sum + repositories, 0);
        const primaries = `${count} ${count === 1 ? 'primary' : 'primaries'}`;
        events.add('failover', `${primaries} of ${virtualStorage} moved off unhealthy ${from}: ${targets}`, {
          virtual_storage: virtualStorage,
          storage: from,
        });
      }
    },
    recordElections(elected, { previous, now }, countChanges, repositoriesOf) {
      const before = shardPrimaries;
      shardPrimaries = new Map(elected.map((shard) => [shard.virtualStorage, shard]));
      if (!countChanges) return;
      for (const { virtualStorage, storage: to, electedAt } of elected) {
        const from = before.get(virtualStorage)?.storage;
        if (from === undefined || from === to) continue;
        const unhealthy = history.unhealthyAfter(virtualStorage, from, previous);
        const repositories = repositoriesOf(virtualStorage);
        addMove({ virtualStorage, from, to, repositories }, unhealthy ? 'unhealthy' : 'other');
        // The sql elector elects only when the primary is unhealthy: each of its changes is a failover.
        // By the database's clock, which may differ from the exporter's or have been set: it was between the refreshes.
        addFailover(virtualStorage, from, electedAt >= previous && electedAt <= now ? electedAt : now);
        events.add('failover', `${virtualStorage} failed over from ${from} to ${to}`, {
          virtual_storage: virtualStorage,
          storage: from,
        });
      }
    },
  };
}
