/**
 * The mirror: the few numbers of Praefect's large tables that matter, kept in memory and updated with changed rows.
 * This file applies rows; refresh.ts reads them, recompute.ts updates what depends on them, summary.ts counts.
 */

import { UnacceptableRows } from '../database.ts';
import type { CopyTuple } from './copy-binary.ts';
import { cellBits } from './layouts.ts';
import { createMirrorMemory } from './mirror-memory.ts';
import { createReplicaTable, type ReplicaTable } from './table.ts';

export const mirroredTables = ['repositories', 'storage_repositories', 'repository_assignments'] as const;
export type MirroredTable = (typeof mirroredTables)[number];

/**
 * Detects deleted rows: the mirror never has too few rows, so with equal counts the tables are equal.
 */
export interface TableChecksum {
  rows: number;
  /** Sum of the keys' lowest 20 bits: a second check, exact up to 2^33 rows. */
  sum: number;
}

export const checksumMask = 0xf_ffff;

export const checksumsDiffer = (a: Readonly<TableChecksum>, b: Readonly<TableChecksum>): boolean =>
  a.rows !== b.rows || a.sum !== b.sum;

export interface Mirror {
  readonly names: NameIds;
  /** By the virtual storage's id in `names`. */
  readonly tables: ReadonlyMap<number, ReplicaTable>;
  checksum(kind: MirroredTable): Readonly<TableChecksum>;
  /** How many rows of `kind` were removed so far. */
  removals(kind: MirroredTable): number;
  /** The table of the virtual storage, added if it is new. */
  table(virtualStorage: number): ReplicaTable;
  /** Applies one tuple of COPY, in the column order of statements.ts. `now` in whole seconds since 1970. */
  put(kind: MirroredTable, tuple: CopyTuple, now: number): void;
  /** Removes what a row of `kind` contributed to the mirror's row (and column, except for repositories). */
  remove(kind: MirroredTable, table: ReplicaTable, row: number, column: number, now: number): void;
  /** Whether the mirror holds a row of `kind` for its row (and column). */
  holds(kind: MirroredTable, table: ReplicaTable, row: number, column: number): boolean;
}

export function createMirror(): Mirror {
  const names = createNameIds();
  const memory = createMirrorMemory();
  const tables = new Map<number, ReplicaTable>();
  const checksums: Record<MirroredTable, TableChecksum> = {
    repositories: { rows: 0, sum: 0 },
    storage_repositories: { rows: 0, sum: 0 },
    repository_assignments: { rows: 0, sum: 0 },
  };
  const removals: Record<MirroredTable, number> = {
    repositories: 0,
    storage_repositories: 0,
    repository_assignments: 0,
  };

  const tableOf = (virtualStorage: number): ReplicaTable => {
    const known = tables.get(virtualStorage);
    if (known !== undefined) return known;
    const created = createReplicaTable(virtualStorage, memory);
    tables.set(virtualStorage, created);
    return created;
  };

  const holds: Mirror['holds'] = (kind, table, row, column) => {
    const replicas = table.columns[column];
    switch (kind) {
      case 'repositories':
        return table.hasRepository(row);
      case 'storage_repositories':
        return replicas !== undefined && (replicas.generations[row] ?? -1) >= 0;
      case 'repository_assignments':
        return replicas !== undefined && ((replicas.flags[row] ?? 0) & cellBits.assigned) !== 0;
    }
  };

  const count = (kind: MirroredTable, table: ReplicaTable, row: number, step: 1 | -1): void => {
    checksums[kind].rows += step;
    checksums[kind].sum += step * (table.keys.low(row) & checksumMask);
  };

  return {
    names,
    tables,
    table: tableOf,
    holds,
    checksum: (kind) => checksums[kind],
    removals: (kind) => removals[kind],
    put(kind, tuple, now) {
      const table = tableOf(names.idInTuple(tuple, 1));
      const row = table.keys.ensure(tuple.high(0), tuple.low(0));
      if (kind === 'repositories') {
        const primary = tuple.isNull(3) ? -1 : names.idInTuple(tuple, 3);
        if (!table.hasRepository(row)) count(kind, table, row, 1);
        table.putRepository(row, tuple.isNull(2) ? -1 : generationOf(tuple, 2), primary);
        return;
      }
      const column = table.column(names.idInTuple(tuple, 2));
      if (!holds(kind, table, row, column)) count(kind, table, row, 1);
      if (kind === 'repository_assignments') {
        table.setFlag(row, column, cellBits.assigned, true);
        return;
      }
      table.putReplica(row, column, generationOf(tuple, 3), now);
      table.putVerification(row, column, wholeSeconds(tuple.seconds(4)), wholeSeconds(tuple.seconds(5)));
    },
    remove(kind, table, row, column, now) {
      if (!holds(kind, table, row, column)) return;
      count(kind, table, row, -1);
      removals[kind]++;
      if (kind === 'repositories') table.removeRepository(row);
      else if (kind === 'storage_repositories') table.removeReplica(row, column, now);
      else table.setFlag(row, column, cellBits.assigned, false);
    },
  };
}

/** As the mirror keeps times, 32 bits from 1970: an infinite or later one is the last second, one before 1970 is none. */
const wholeSeconds = (seconds: number): number => Math.min(0xffff_ffff, Math.max(0, Math.floor(seconds)));

/** A generation counts writes; 31 bits are enough for 68 years of one write per second. */
function generationOf(tuple: CopyTuple, field: number): number {
  const low = tuple.low(field);
  if (tuple.high(field) !== 0 || low < 0) {
    throw new UnacceptableRows(
      'parse',
      'a generation is negative or over 2,147,483,647, which Praefect never writes',
    );
  }
  return low;
}

/** A cluster has dozens. */
const maxNames = 10_000;
/** The columns of node_status are varchar(255). */
const maxNameLength = 1000;

/**
 * Names of virtual storages and storages as small numbers. Millions of rows carry the same few names: comparing their
 * bytes with known names is several times faster than decoding them into strings.
 */
export interface NameIds {
  /** The id of the name in the tuple's field; ids count up from 0. */
  idInTuple(tuple: CopyTuple, field: number): number;
  idOf(name: string): number;
  nameOf(id: number): string;
}

function createNameIds(): NameIds {
  const names: string[] = [];
  const encoded: Buffer[] = [];
  const ids = new Map<string, number>();
  /** The last id under each cheap hash. Few names hardly ever collide; a collision takes the slow path. */
  const recent = new Int32Array(1024).fill(-1);

  const idOf = (name: string): number => {
    const known = ids.get(name);
    if (known !== undefined) return known;
    if (names.length >= maxNames)
      throw new UnacceptableRows('too_large', `more than ${maxNames} names of storages`);
    if (name.length > maxNameLength)
      throw new UnacceptableRows('too_large', `a storage's name of ${name.length} characters`);
    const id = names.length;
    names.push(name);
    encoded.push(Buffer.from(name, 'utf8'));
    ids.set(name, id);
    return id;
  };

  return {
    idOf,
    nameOf: (id) => names[id] ?? '',
    idInTuple(tuple, field) {
      const { bytes } = tuple;
      const start = tuple.start(field);
      const end = tuple.end(field);
      const hash = cheapHash(bytes, start, end);
      const candidate = recent[hash] ?? -1;
      if (candidate >= 0 && equalBytes(encoded[candidate] as Buffer, bytes, start, end)) return candidate;
      const id = idOf(bytes.toString('utf8', start, end));
      recent[hash] = id;
      return id;
    },
  };
}

/** Length and the last two bytes: names of storages usually differ at their end. */
const cheapHash = (bytes: Buffer, start: number, end: number): number =>
  ((end - start) * 31 + (bytes[end - 1] ?? 0) * 7 + (bytes[end - 2] ?? 0)) & 1023;

function equalBytes(name: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let at = 0; at < name.length; at++) if (name[at] !== bytes[start + at]) return false;
  return true;
}
