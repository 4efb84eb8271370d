/** What follows a look: rows have changed, and shapes, lags, jobs and counters have to agree with them again. */
import type { HealthView } from '../health.ts';
import type { ConfiguredStorageMap } from '../queries/known-storages.ts';
import type { Mirror } from './mirror.ts';
import type { Move } from './moves.ts';
import type { Looked, Place } from './refresh.ts';
import { cell } from './shapes.ts';
import type { Slices } from './slices.ts';
import type { Column } from './table.ts';

/** Where no configuration was given: the storages that Praefects contact. */
export function storagesOfLate(health: HealthView | undefined): ConfiguredStorageMap | undefined {
  return (
    health &&
    new Map(
      [...health.virtualStorages.values()].map((each) => [each.virtualStorage, [...each.knownStorages]]),
    )
  );
}

/**
 * Marks the configured storages; where nothing is known of them, every storage that has a record counts. A
 * change concerns every repository of the virtual storage.
 */
export async function applyConfiguration(
  mirror: Mirror,
  configured: ConfiguredStorageMap | undefined,
  slices: Slices,
): Promise<void> {
  for (const name of configured?.keys() ?? []) mirror.table(mirror.names.of(name));
  for (const table of mirror.tables.values()) {
    const storages = configured?.get(mirror.names.text(table.virtualStorage)) ?? [];
    for (const storage of storages) table.column(mirror.names.of(storage));
    const wanted = ({ storage }: Column): boolean =>
      configured === undefined || storages.includes(mirror.names.text(storage));
    const changed = table.columns.filter((column) => column.configured !== wanted(column));
    for (const column of changed) column.configured = !column.configured;
    if (changed.length === 0) continue;
    for (let slot = 0; slot < table.slots.limit(); slot++) {
      if ((slot & 8191) === 0) await slices.pause();
      if (table.slots.used(slot)) table.touch(slot);
    }
  }
}

/** Takes the marks of the last look's delete_replica jobs off and sets those of this one. */
export function applyDeletions(before: readonly Place[], now: readonly Place[]): void {
  for (const { table, slot, column } of before) table.setFlag(slot, column, cell.deletePending, false);
  for (const { table, slot, column } of now) table.setFlag(slot, column, cell.deletePending, true);
}

/** Settles every slot that was touched and gives the moves of primaries. `now`: whole seconds since 1970. */
export async function settleTouched(
  mirror: Mirror,
  kind: Looked['kind'],
  now: number,
  slices: Slices,
): Promise<readonly Move[]> {
  const moves: Move[] = [];
  for (const table of mirror.tables.values()) {
    const counts = new Map<number, number>();
    let done = 0;
    for (const slot of table.takeTouched()) {
      if ((++done & 511) === 0) await slices.pause();
      const move = table.settle(slot, now, kind === 'changes');
      if (move === undefined) continue;
      const pair = move.from * 65_536 + move.to;
      counts.set(pair, (counts.get(pair) ?? 0) + 1);
    }
    const name = (column: number): string => mirror.names.text(table.columns[column]?.storage ?? -1);
    for (const [pair, repositories] of counts) {
      const from = name(Math.floor(pair / 65_536));
      moves.push({
        virtualStorage: mirror.names.text(table.virtualStorage),
        from,
        to: name(pair % 65_536),
        repositories,
      });
    }
  }
  return moves;
}

/** How many distinct replicas that are behind have a job that will mend them, by column. */
export function countScheduled(repairs: readonly Place[]): ReadonlyMap<Column, number> {
  const slots = new Map<Column, Set<number>>();
  for (const { table, slot, column } of repairs) {
    const at = table.columns[column];
    if (at === undefined || (at.behindSince[slot] ?? 0) === 0) continue;
    slots.set(at, (slots.get(at) ?? new Set()).add(slot));
  }
  return new Map([...slots].map(([column, set]) => [column, set.size]));
}
