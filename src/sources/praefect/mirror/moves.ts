/** Moves of primaries and failovers, counted from what two looks show; pure bookkeeping with an event each. */
import type { EventLog } from '../../../scheduler/event-log.ts';
import type { HealthHistory } from '../health.ts';
import type { moveCauses } from './metrics.ts';
import type { ShardPrimary } from './refresh.ts';

type Cause = (typeof moveCauses)[number];

/** Repositories that moved between two storages of one virtual storage, in one look. */
export interface Move {
  readonly virtualStorage: string;
  readonly from: string;
  readonly to: string;
  readonly repositories: number;
}

export interface MoveTotal {
  readonly virtualStorage: string;
  readonly from: string;
  readonly to: string;
  readonly cause: Cause;
  readonly total: number;
}

export interface FailoverTotal {
  readonly virtualStorage: string;
  readonly from: string;
  readonly total: number;
  /** Seconds since 1970; undefined when there was none. */
  readonly last: number | undefined;
}

export interface MoveBook {
  /** Enters the moves of one look. `previous` and `now`: this look and the one before, in seconds since 1970. */
  enter(moves: readonly Move[], previous: number, now: number): void;
  /**
   * Compares the legacy elector's choice with that of the look before. `follow`: whether the past is known.
   * `repositories` tells how many repositories the virtual storage has.
   */
  enterShards(
    found: readonly ShardPrimary[],
    follow: boolean,
    previous: number,
    now: number,
    repositories: (virtualStorage: string) => number,
  ): void;
  moves(): readonly MoveTotal[];
  failovers(): readonly FailoverTotal[];
}

export function createMoveBook(history: HealthHistory, events: EventLog): MoveBook {
  const moves = new Map<string, MoveTotal>();
  const failovers = new Map<string, FailoverTotal>();
  let shards = new Map<string, ShardPrimary>();

  const add = ({ virtualStorage, from, to, repositories }: Move, cause: Cause): void => {
    const key = JSON.stringify([virtualStorage, from, to, cause]);
    const total = (moves.get(key)?.total ?? 0) + repositories;
    moves.set(key, { virtualStorage, from, to, cause, total });
  };

  const failover = (virtualStorage: string, from: string, last: number): void => {
    const key = JSON.stringify([virtualStorage, from]);
    failovers.set(key, { virtualStorage, from, total: (failovers.get(key)?.total ?? 0) + 1, last });
  };

  const plural = (count: number): string => `${count} ${count === 1 ? 'primary' : 'primaries'}`;

  return {
    moves: () => [...moves.values()],
    failovers: () => [...failovers.values()],
    enter(found, previous, now) {
      const left = new Map<string, Move[]>();
      for (const move of found) {
        // "Then" is any time between the looks: the storage may be back by the time of the second.
        const unhealthy = history.unhealthyAfter(move.virtualStorage, move.from, previous);
        add(move, unhealthy ? 'unhealthy' : 'other');
        const key = JSON.stringify([move.virtualStorage, move.from]);
        if (unhealthy) left.set(key, [...(left.get(key) ?? []), move]);
      }
      for (const group of left.values()) {
        const { virtualStorage, from } = group[0] as Move;
        failover(virtualStorage, from, now);
        const targets = group.map(({ to, repositories }) => `${repositories} to ${to}`).join(', ');
        const count = group.reduce((sum, { repositories }) => sum + repositories, 0);
        events.add('failover', `${plural(count)} of ${virtualStorage} left unhealthy ${from}: ${targets}`, {
          virtual_storage: virtualStorage,
          storage: from,
        });
      }
    },
    enterShards(found, follow, previous, now, repositories) {
      const before = shards;
      shards = new Map(found.map((shard) => [shard.virtualStorage, shard]));
      if (!follow) return;
      for (const shard of found) {
        const old = before.get(shard.virtualStorage);
        if (old === undefined || old.storage === shard.storage) continue;
        const { virtualStorage } = shard;
        const unhealthy = history.unhealthyAfter(virtualStorage, old.storage, previous);
        const move = {
          virtualStorage,
          from: old.storage,
          to: shard.storage,
          repositories: repositories(virtualStorage),
        };
        add(move, unhealthy ? 'unhealthy' : 'other');
        // The sql elector elects only when the primary is gone: its every change is a failover.
        failover(virtualStorage, old.storage, Math.min(now, shard.electedAt));
        events.add('failover', `${virtualStorage} failed over from ${old.storage} to ${shard.storage}`, {
          virtual_storage: virtualStorage,
          storage: old.storage,
        });
      }
    },
  };
}
