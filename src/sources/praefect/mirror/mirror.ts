/**
 * The mirror: the few numbers of Praefect's two large tables that matter, kept in memory and brought up to date
 * by rows that changed. This file applies rows; look.ts fetches them, answers.ts reads the result.
 */
import type { CopyRow } from './copy-binary.ts';
import { createNames, type Names } from './names.ts';
import { cell } from './shapes.ts';
import { createTable, type Table } from './table.ts';

export const mirroredTables = ['repositories', 'storage_repositories', 'repository_assignments'] as const;
export type MirroredTable = (typeof mirroredTables)[number];

/** What tells whether rows vanished: the mirror never has too few rows, so equal counts are equal tables. */
export interface Tally {
  rows: number;
  /** Sum of the keys' lowest 20 bits: a second witness, exact up to 2^33 rows. */
  sum: number;
}

export const witnessBits = 0xf_ffff;

export const differs = (a: Readonly<Tally>, b: Readonly<Tally>): boolean =>
  a.rows !== b.rows || a.sum !== b.sum;

export interface Mirror {
  readonly names: Names;
  readonly tables: ReadonlyMap<number, Table>;
  tally(table: MirroredTable): Readonly<Tally>;
  table(virtualStorage: number): Table;
  /** Applies one row of COPY, in the column order of statements.ts. `now` in whole seconds since 1970. */
  put(table: MirroredTable, row: CopyRow, now: number): void;
  /** Takes away what a row of the table had said about the slot (and column, except for repositories). */
  remove(table: MirroredTable, of: Table, slot: number, column: number, now: number): void;
  /** Whether the mirror holds a row of the table for the slot (and column). */
  holds(table: MirroredTable, of: Table, slot: number, column: number): boolean;
}

export function createMirror(): Mirror {
  const names = createNames();
  const tables = new Map<number, Table>();
  const tallies: Record<MirroredTable, Tally> = {
    repositories: { rows: 0, sum: 0 },
    storage_repositories: { rows: 0, sum: 0 },
    repository_assignments: { rows: 0, sum: 0 },
  };

  const table = (virtualStorage: number): Table => {
    const known = tables.get(virtualStorage);
    if (known !== undefined) return known;
    const made = createTable(virtualStorage);
    tables.set(virtualStorage, made);
    return made;
  };

  const holds = (kind: MirroredTable, of: Table, slot: number, column: number): boolean => {
    const at = of.columns[column];
    switch (kind) {
      case 'repositories':
        return of.hasRepository(slot);
      case 'storage_repositories':
        return at !== undefined && (at.generations[slot] ?? -1) >= 0;
      case 'repository_assignments':
        return at !== undefined && ((at.flags[slot] ?? 0) & cell.assigned) !== 0;
    }
  };

  const count = (kind: MirroredTable, of: Table, slot: number, step: 1 | -1): void => {
    tallies[kind].rows += step;
    tallies[kind].sum += step * (of.slots.low(slot) & witnessBits);
  };

  return {
    names,
    tables,
    table,
    holds,
    tally: (kind) => tallies[kind],
    put(kind, row, now) {
      const of = table(names.ofBytes(row.bytes, row.start(1), row.end(1)));
      const slot = of.slots.ensure(row.high(0), row.low(0));
      if (kind === 'repositories') {
        const primary = row.isNull(3) ? -1 : names.ofBytes(row.bytes, row.start(3), row.end(3));
        if (!of.hasRepository(slot)) count(kind, of, slot, 1);
        of.putRepository(slot, row.isNull(2) ? -1 : generation(row, 2), primary);
        return;
      }
      const column = of.column(names.ofBytes(row.bytes, row.start(2), row.end(2)));
      if (!holds(kind, of, slot, column)) count(kind, of, slot, 1);
      if (kind === 'repository_assignments') {
        of.setFlag(slot, column, cell.assigned, true);
        return;
      }
      of.putReplica(slot, column, generation(row, 3), now);
      of.putVerification(slot, column, Math.floor(row.seconds(4)), row.seconds(5));
    },
    remove(kind, of, slot, column, now) {
      if (!holds(kind, of, slot, column)) return;
      count(kind, of, slot, -1);
      if (kind === 'repositories') of.removeRepository(slot);
      else if (kind === 'storage_repositories') of.removeReplica(slot, column, now);
      else of.setFlag(slot, column, cell.assigned, false);
    },
  };
}

/** A generation counts writes; 32 bits of them are 68 years of one write a second. */
function generation(row: CopyRow, field: number): number {
  const low = row.low(field);
  if (row.high(field) !== 0 || low < 0) {
    throw new RangeError('a generation is negative or over 2,147,483,647: no Praefect writes that');
  }
  return low;
}
