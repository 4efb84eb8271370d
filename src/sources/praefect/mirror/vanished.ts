/**
 * Finds the rows that were deleted, of which nothing remains to be read: by counts and sums per range of keys
 * first, then row by row in the ranges that differ. The mirror is never short of a row (changed rows were read
 * before), so a range with the same count is the same range.
 */
import type { ReadTransaction } from '../database.ts';
import { differs, type Mirror, type MirroredTable, type Tally, witnessBits } from './mirror.ts';
import type { Place } from './refresh.ts';
import type { Slices } from './slices.ts';
import type { MirrorSchema, Statements } from './statements.ts';
import type { Table } from './table.ts';

export interface VanishedQuestion {
  readonly look: ReadTransaction;
  readonly mirror: Mirror;
  readonly statements: Statements;
  readonly schema: MirrorSchema;
  readonly table: MirroredTable;
  /** Whole seconds since 1970. */
  readonly now: number;
  readonly slices: Slices;
  /** Reads rows into the mirror and calls back for each. */
  readonly read: (table: MirroredTable, where: string, each: (target: Place) => void) => Promise<void>;
}

export async function forgetVanished(question: VanishedQuestion): Promise<void> {
  const { look, mirror, statements, schema, table: kind, now, slices } = question;
  const ranges = schema.keyedBy === 'id' ? rangesOfIds(mirror) : rangesOfHashes;
  const suspects = new Map<number, Tally>();
  await eachHeld(mirror, kind, slices, (table, slot) => {
    const range = ranges.of(table, slot);
    const tally = suspects.get(range) ?? { rows: 0, sum: 0 };
    tally.rows++;
    tally.sum += table.slots.low(slot) & witnessBits;
    suspects.set(range, tally);
  });
  for (const row of await look.rows(statements.ranges(kind, ranges.bits))) {
    const range = Number(row['range']);
    const truth = { rows: Number(row['rows']), sum: Number(row['sum']) };
    const ours = suspects.get(range);
    if (ours !== undefined && !differs(ours, truth)) suspects.delete(range);
    else suspects.set(range, truth);
  }
  if (suspects.size === 0) return;

  const seen = new Map<Table, Set<number>>();
  const cell = (slot: number, column: number): number => slot * 65_536 + column;
  await question.read(kind, statements.inRanges([...suspects.keys()], ranges.bits), (row) => {
    const marks = seen.get(row.table) ?? new Set();
    seen.set(row.table, marks.add(cell(row.slot, row.column)));
  });
  const gone: Place[] = [];
  await eachHeld(mirror, kind, slices, (table, slot, column) => {
    if (!suspects.has(ranges.of(table, slot))) return;
    if (!seen.get(table)?.has(cell(slot, column))) gone.push({ table, slot, column });
  });
  for (const { table, slot, column } of gone) mirror.remove(kind, table, slot, column, now);
}

/** Calls back for every row of the table that the mirror holds. */
async function eachHeld(
  mirror: Mirror,
  kind: MirroredTable,
  slices: Slices,
  visit: (table: Table, slot: number, column: number) => void,
): Promise<void> {
  for (const table of mirror.tables.values()) {
    const columns = kind === 'repositories' ? 1 : table.columns.length;
    for (let slot = 0; slot < table.slots.limit(); slot++) {
      if ((slot & 1023) === 0) await slices.pause();
      if (!table.slots.used(slot)) continue;
      for (let column = 0; column < columns; column++) {
        if (mirror.holds(kind, table, slot, column)) visit(table, slot, column);
      }
    }
  }
}

interface Ranges {
  /** range = key >> bits, as in SQL. */
  readonly bits: number;
  readonly of: (table: Table, slot: number) => number;
}

/** Hashes fill all 64 bits evenly: 4,096 ranges of 52 bits each. */
const rangesOfHashes: Ranges = { bits: 52, of: ({ slots }, slot) => slots.high(slot) >> 20 };

/** Ids count up from 1: at most 4,096 ranges between 0 and the highest. */
function rangesOfIds(mirror: Mirror): Ranges {
  const id = ({ slots }: Table, slot: number): number => slots.high(slot) * 2 ** 32 + (slots.low(slot) >>> 0);
  let highest = 0;
  for (const table of mirror.tables.values()) {
    for (let slot = 0; slot < table.slots.limit(); slot++) highest = Math.max(highest, id(table, slot));
  }
  const bits = Math.max(0, Math.ceil(Math.log2((highest + 1) / 4096)));
  return { bits, of: (table, slot) => Math.floor(id(table, slot) / 2 ** bits) };
}
