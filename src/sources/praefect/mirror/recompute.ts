/** After a refresh: updates what depends on the rows that changed: layouts, lags, delete jobs and moves of primaries. */
import type { Yielder } from '../../../lib/yielder.ts';
import type { HealthView } from '../health.ts';
import type { ConfiguredStorageMap } from '../queries/known-storages.ts';
import { cellBits } from './layouts.ts';
import type { Mirror } from './mirror.ts';
import type { RecordedMove } from './primary-moves.ts';
import type { ReplicaRef, StorageColumn } from './table.ts';

/**
 * The storages that Praefects contact, which stand in for a configuration that was not given. Undefined without any: a
 * Praefect without heartbeats (the `local` elector) has storages all the same.
 */
export function storagesInHealth(health: HealthView | undefined): ConfiguredStorageMap | undefined {
  const all = [...(health?.virtualStorages.values() ?? [])];
  return all.every(({ knownStorages }) => knownStorages.size === 0)
    ? undefined
    : new Map(all.map((each) => [each.virtualStorage, [...each.knownStorages]]));
}

/**
 * Marks the configured storages; without any information every storage with a record counts as configured. A change
 * affects every repository of the virtual storage.
 */
export async function applyConfiguration(
  mirror: Mirror,
  configured: ConfiguredStorageMap | undefined,
  yielder: Yielder,
): Promise<void> {
  for (const name of configured?.keys() ?? []) mirror.table(mirror.names.idOf(name));
  for (const table of mirror.tables.values()) {
    const storages = configured?.get(mirror.names.nameOf(table.virtualStorage)) ?? [];
    for (const storage of storages) table.column(mirror.names.idOf(storage));
    const isConfigured = ({ storage }: StorageColumn): boolean =>
      configured === undefined || storages.includes(mirror.names.nameOf(storage));
    const changed = table.columns.filter((column) => column.configured !== isConfigured(column));
    for (const column of changed) column.configured = !column.configured;
    if (changed.length === 0) continue;
    for (let row = 0; row < table.keys.limit(); row++) {
      if ((row & 8191) === 0) await yielder.yieldIfDue();
      if (table.keys.used(row)) table.markDirty(row);
    }
  }
}

/** Replaces the marks of the previous refresh's delete_replica jobs with those of this one. */
export function applyDeleteJobs(before: readonly ReplicaRef[], now: readonly ReplicaRef[]): void {
  for (const { table, row, column } of before) table.setFlag(row, column, cellBits.deletePending, false);
  for (const { table, row, column } of now) table.setFlag(row, column, cellBits.deletePending, true);
}

/**
 * Recomputes every row that is marked dirty and returns the moves of primaries.
 *
 * @param countMoves false after a load, whose previous state is not comparable
 * @param now whole seconds since 1970
 */
export async function recomputeDirtyRows(
  mirror: Mirror,
  countMoves: boolean,
  now: number,
  yielder: Yielder,
): Promise<readonly RecordedMove[]> {
  const moves: RecordedMove[] = [];
  for (const table of mirror.tables.values()) {
    const counts = new Map<number, number>();
    let done = 0;
    for (const row of table.takeDirty()) {
      if ((++done & 511) === 0) await yielder.yieldIfDue();
      const move = table.recompute(row, now, countMoves);
      if (move === undefined) continue;
      const pair = move.from * 65_536 + move.to;
      counts.set(pair, (counts.get(pair) ?? 0) + 1);
    }
    const storageAt = (column: number): string => mirror.names.nameOf(table.columns[column]?.storage ?? -1);
    for (const [pair, repositories] of counts) {
      moves.push({
        virtualStorage: mirror.names.nameOf(table.virtualStorage),
        from: storageAt(Math.floor(pair / 65_536)),
        to: storageAt(pair % 65_536),
        repositories,
      });
    }
  }
  return moves;
}

/** How many distinct replicas that are behind have a job that brings them up to date, by column. */
export function countScheduledReplicas(repairs: readonly ReplicaRef[]): ReadonlyMap<StorageColumn, number> {
  const rows = new Map<StorageColumn, Set<number>>();
  for (const { table, row, column: index } of repairs) {
    const column = table.columns[index];
    if (column === undefined || (column.behindSince[row] ?? 0) === 0) continue;
    rows.set(column, (rows.get(column) ?? new Set()).add(row));
  }
  return new Map([...rows].map(([column, set]) => [column, set.size]));
}
