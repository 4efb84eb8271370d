/**
 * Finds deleted rows, which leave nothing to read: those of deleted repositories first, then counts and sums per range of
 * keys, and row by row in the ranges that differ. The mirror has no row too few (changed rows were read before), so a
 * range with the same count is the same range.
 */
import type { Yielder } from '../../../lib/yielder.ts';
import type { ReadTransaction } from '../database.ts';
import { checksumMask, type Mirror, type MirroredTable, type TableChecksum } from './mirror.ts';
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
  const { bits, first, count, of } =
    schema.keyedBy === 'id' ? await rangesOfIds(mirror, yielder) : rangesOfHashes;
  // What the mirror has more than the database, by range from the first.
  const rows = new Float64Array(count);
  const sums = new Float64Array(count);
  const add = (at: number, sign: 1 | -1, checksum: TableChecksum): void => {
    rows[at] = (rows[at] ?? 0) + sign * checksum.rows;
    sums[at] = (sums[at] ?? 0) + sign * checksum.sum;
  };
  const [found] = await Promise.all([
    transaction.rows(statements.ranges(kind, bits)),
    // While the server works: the transaction ends that much earlier.
    eachHeldRow(mirror, kind, yielder, ({ table, row }) =>
      add(of(table, row) - first, 1, { rows: 1, sum: table.keys.low(row) & checksumMask }),
    ),
  ]);
  for (const range of found)
    add(Number(range['range']) - first, -1, { rows: Number(range['rows']), sum: Number(range['sum']) });
  const differs = (at: number): boolean => rows[at] !== 0 || sums[at] !== 0;
  // Ranges beyond the mirror's own, too: a missing row is read with them.
  const ranges = new Set([
    ...found.map((range) => Number(range['range'])),
    ...rows.keys().map((at) => first + at),
  ]);
  const differing = [...ranges].filter((range) => differs(range - first));
  if (differing.length === 0) return [];
  return removeMissing(search, statements.inRanges(differing, bits), (visit) =>
    eachHeldRow(mirror, kind, yielder, visit, (table, row) => differs(of(table, row) - first)),
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

/** Calls back for every row of the database table that the mirror holds, of repositories that are `included`. */
async function eachHeldRow(
  mirror: Mirror,
  kind: MirroredTable,
  yielder: Yielder,
  visit: (replica: ReplicaRef) => void,
  included: (table: ReplicaTable, row: number) => boolean = () => true,
): Promise<void> {
  for (const table of mirror.tables.values()) {
    const columns = kind === 'repositories' ? 1 : table.columns.length;
    for (let row = 0; row < table.keys.limit(); row++) {
      if ((row & 1023) === 0) await yielder.yieldIfDue();
      if (!table.keys.used(row) || !included(table, row)) continue;
      for (let column = 0; column < columns; column++) {
        if (mirror.holds(kind, table, row, column)) visit({ table, row, column });
      }
    }
  }
}

interface KeyRanges {
  /** range = key >> bits, as in SQL. */
  readonly bits: number;
  readonly first: number;
  readonly count: number;
  readonly of: (table: ReplicaTable, row: number) => number;
}

/** Hashes fill all 64 bits evenly: 4,096 ranges of 52 bits each. */
const rangesOfHashes: KeyRanges = {
  bits: 52,
  first: -2048,
  count: 4096,
  of: ({ keys }, row) => keys.high(row) >> 20,
};

/** Some 4,096 ranges between the lowest and the highest id. */
async function rangesOfIds(mirror: Mirror, yielder: Yielder): Promise<KeyRanges> {
  const idOf = ({ keys }: ReplicaTable, row: number): number =>
    keys.high(row) * 2 ** 32 + (keys.low(row) >>> 0);
  let lowest = 0;
  let highest = 0;
  for (const table of mirror.tables.values()) {
    for (let row = 0; row < table.keys.limit(); row++) {
      if ((row & 1023) === 0) await yielder.yieldIfDue();
      const id = idOf(table, row);
      if (id > highest) highest = id;
      else if (id < lowest) lowest = id;
    }
  }
  const bits = Math.max(0, Math.ceil(Math.log2((highest - lowest + 1) / 4096)));
  const rangeOf = (id: number): number => Math.floor(id / 2 ** bits);
  return {
    bits,
    first: rangeOf(lowest),
    count: rangeOf(highest) - rangeOf(lowest) + 1,
    of: (table, row) => rangeOf(idOf(table, row)),
  };
}
