/**
 * Finds deleted rows, which leave nothing to read: those of deleted repositories first, then counts and sums per range of
 * keys, and row by row in the ranges that differ. The mirror has no row too few (changed rows were read before), so a
 * range with the same count is the same range.
 */
import type { Yielder } from '../../../lib/yielder.ts';
import type { ReadTransaction } from '../database.ts';
import {
  checksumMask,
  checksumsDiffer,
  type Mirror,
  type MirroredTable,
  type TableChecksum,
} from './mirror.ts';
import type { MirrorSchema, MirrorStatements } from './statements.ts';
import type { ReplicaRef, ReplicaTable } from './table.ts';

export interface DeletedRowsSearch {
  readonly transaction: ReadTransaction;
  readonly mirror: Mirror;
  readonly statements: MirrorStatements;
  readonly schema: MirrorSchema;
  readonly kind: MirroredTable;
  /** Whole seconds since 1970. */
  readonly now: number;
  readonly yielder: Yielder;
  /** Reads rows into the mirror and calls `onRow` for each. */
  readonly readRows: (
    kind: MirroredTable,
    where: string,
    onRow: (replica: ReplicaRef) => void,
  ) => Promise<void>;
}

/** With more deleted repositories than this, the whole table is searched. */
const maxKeys = 10_000;

/**
 * Removes what was deleted together with repositories, as its foreign keys do: by their keys, which an index finds, and not
 * by a scan of the largest table.
 */
export async function removeWithRepositories(
  search: DeletedRowsSearch,
  repositories: readonly ReplicaRef[],
): Promise<void> {
  const { mirror, statements, kind } = search;
  if (repositories.length === 0 || repositories.length > maxKeys) return;
  const condition = statements.ofKeys(
    repositories.map(
      ({ table: { keys }, row }) => (BigInt(keys.high(row)) << 32n) | BigInt(keys.low(row) >>> 0),
    ),
  );
  if (condition === undefined) return;
  await removeMissing(search, condition, async (visit) => {
    for (const { table, row } of repositories)
      for (let column = 0; column < table.columns.length; column++)
        if (mirror.holds(kind, table, row, column)) visit({ table, row, column });
  });
}

/** Returns what it removed. */
export async function removeDeletedRows(search: DeletedRowsSearch): Promise<readonly ReplicaRef[]> {
  const { transaction, mirror, statements, schema, kind, yielder } = search;
  const ranges = schema.keyedBy === 'id' ? rangesOfIds(mirror) : rangesOfHashes;
  // The mirror's checksum of each range, until only those that differ from the database's are left.
  const differing = new Map<number, TableChecksum>();
  await eachHeldRow(mirror, kind, yielder, ({ table, row }) => {
    const range = ranges.of(table, row);
    const checksum = differing.get(range) ?? { rows: 0, sum: 0 };
    checksum.rows++;
    checksum.sum += table.keys.low(row) & checksumMask;
    differing.set(range, checksum);
  });
  for (const found of await transaction.rows(statements.ranges(kind, ranges.bits))) {
    const range = Number(found['range']);
    const actual = { rows: Number(found['rows']), sum: Number(found['sum']) };
    const own = differing.get(range);
    if (own !== undefined && !checksumsDiffer(own, actual)) differing.delete(range);
    else differing.set(range, actual);
  }
  if (differing.size === 0) return [];
  return removeMissing(search, statements.inRanges([...differing.keys()], ranges.bits), (visit) =>
    eachHeldRow(mirror, kind, yielder, (replica) => {
      if (differing.has(ranges.of(replica.table, replica.row))) visit(replica);
    }),
  );
}

/** Reads the rows of a condition, and removes those of the mirror (`eachHeld`) that are not among them. */
async function removeMissing(
  { mirror, kind, now, readRows }: DeletedRowsSearch,
  condition: string,
  eachHeld: (visit: (replica: ReplicaRef) => void) => Promise<void>,
): Promise<readonly ReplicaRef[]> {
  const existing = new Map<ReplicaTable, Set<number>>();
  const cellOf = (row: number, column: number): number => row * 65_536 + column;
  await readRows(kind, condition, ({ table, row, column }) => {
    const cells = existing.get(table) ?? new Set();
    existing.set(table, cells.add(cellOf(row, column)));
  });
  const deleted: ReplicaRef[] = [];
  await eachHeld((replica) => {
    const { table, row, column } = replica;
    if (!existing.get(table)?.has(cellOf(row, column))) deleted.push(replica);
  });
  for (const { table, row, column } of deleted) mirror.remove(kind, table, row, column, now);
  return deleted;
}

/** Calls back for every row of the database table that the mirror holds. */
async function eachHeldRow(
  mirror: Mirror,
  kind: MirroredTable,
  yielder: Yielder,
  visit: (replica: ReplicaRef) => void,
): Promise<void> {
  for (const table of mirror.tables.values()) {
    const columns = kind === 'repositories' ? 1 : table.columns.length;
    for (let row = 0; row < table.keys.limit(); row++) {
      if ((row & 1023) === 0) await yielder.yieldIfDue();
      if (!table.keys.used(row)) continue;
      for (let column = 0; column < columns; column++) {
        if (mirror.holds(kind, table, row, column)) visit({ table, row, column });
      }
    }
  }
}

interface KeyRanges {
  /** range = key >> bits, as in SQL. */
  readonly bits: number;
  readonly of: (table: ReplicaTable, row: number) => number;
}

/** Hashes fill all 64 bits evenly: 4,096 ranges of 52 bits each. */
const rangesOfHashes: KeyRanges = { bits: 52, of: ({ keys }, row) => keys.high(row) >> 20 };

/** Ids count up from 1: at most 4,096 ranges between 0 and the highest. */
function rangesOfIds(mirror: Mirror): KeyRanges {
  const idOf = ({ keys }: ReplicaTable, row: number): number =>
    keys.high(row) * 2 ** 32 + (keys.low(row) >>> 0);
  let highest = 0;
  for (const table of mirror.tables.values()) {
    for (let row = 0; row < table.keys.limit(); row++) highest = Math.max(highest, idOf(table, row));
  }
  const bits = Math.max(0, Math.ceil(Math.log2((highest + 1) / 4096)));
  return { bits, of: (table, row) => Math.floor(idOf(table, row) / 2 ** bits) };
}
