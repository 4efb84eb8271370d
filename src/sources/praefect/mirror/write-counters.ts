/**
 * PostgreSQL's counters of the rows written to the mirrored tables: while they stand still, a scan would find nothing, and
 * while no deletion is counted, the rows need not be counted.
 *
 * They are a hint. A session reports what it wrote only after its transaction, up to 10 s late on PostgreSQL 15 and
 * later, and before that possibly not until its next statement. So the collector uses them only in place of scans that
 * cost the database much, and only for a part of the maximum age; what it then exports keeps the time of the last
 * refresh that did not rely on them.
 */
import type { DatabaseRow } from '../database.ts';
import type { PraefectTable } from '../relations.ts';
import { eq, literal } from '../sql.ts';
import type { Mirror, MirroredTable } from './mirror.ts';
import type { MirrorSchema } from './statements.ts';

/** Everything that a refresh reads. schema_migrations: a migration may change how the rows are to be read. */
const readTables = [
  'schema_migrations',
  'shard_primaries',
  'replication_queue',
  'repositories',
  'storage_repositories',
  'repository_assignments',
] as const satisfies readonly PraefectTable[];

/** The rows of one table that the server has counted as written. */
interface TableWrites {
  /**
   * Another one after a restart or reset of the counters, and where the table has another file, as after a TRUNCATE or
   * a restore, which count no rows.
   */
  readonly epoch: string;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

export type WriteCounters = ReadonlyMap<(typeof readTables)[number], TableWrites>;

/**
 * A row for each table; none where the server does not count: a standby, which counts nothing that it replays, or
 * track_counts off.
 */
export const writeCountersSql = ({ relation }: MirrorSchema): string => `
  SELECT at,
    pg_catalog.concat_ws(' ', pg_catalog.pg_postmaster_start_time(), pg_catalog.pg_stat_get_db_stat_reset_time(d.oid), d.oid,
      id, pg_catalog.pg_relation_filenode(id)) AS epoch,
    coalesce(pg_catalog.pg_stat_get_tuples_inserted(id), 0)::pg_catalog.float8 AS inserted,
    coalesce(pg_catalog.pg_stat_get_tuples_updated(id), 0)::pg_catalog.float8 AS updated,
    coalesce(pg_catalog.pg_stat_get_tuples_deleted(id), 0)::pg_catalog.float8 AS deleted
  FROM pg_catalog.pg_database d, (
    ${readTables.map((name, at) => `SELECT ${at} AS at, pg_catalog.to_regclass(${literal(relation(name))})::pg_catalog.oid AS id`).join(' UNION ALL ')}
  ) AS tables
  WHERE (d.datname ${eq} pg_catalog.current_database()) AND NOT pg_catalog.pg_is_in_recovery()
    AND (pg_catalog.current_setting('track_counts') ${eq} 'on')`;

/** Undefined where the server does not count. */
export function writeCountersOf(rows: readonly DatabaseRow[]): WriteCounters | undefined {
  const counters = new Map<(typeof readTables)[number], TableWrites>();
  for (const row of rows) {
    const table = readTables[Number(row['at'])];
    if (table === undefined) continue;
    counters.set(table, {
      epoch: String(row['epoch']),
      inserted: Number(row['inserted']),
      updated: Number(row['updated']),
      deleted: Number(row['deleted']),
    });
  }
  return counters.size === readTables.length ? counters : undefined;
}

/** Whether no write was reported between the two. */
export const isUnwritten = (before: WriteCounters, after: WriteCounters): boolean =>
  readTables.every((table) => {
    const [a, b] = [before.get(table), after.get(table)];
    return (
      a?.epoch === b?.epoch &&
      a?.inserted === b?.inserted &&
      a?.updated === b?.updated &&
      a?.deleted === b?.deleted
    );
  });

/** Compares the deletions that the server has counted with those that the mirror has removed. */
export interface DeletionTally {
  /** Before a refresh reads its snapshot; undefined where unknown. */
  setCounters(counters: WriteCounters | undefined): void;
  /** Records that the table and the mirror were found to be equal. */
  settle(kind: MirroredTable): void;
  /**
   * Whether deletions were counted since `settle` that the mirror has not removed. Where `none` were, the mirror has at
   * most as many rows too many as there are deletions not yet reported. `some` includes deletions rolled back, until the
   * table is settled again.
   */
  remaining(kind: MirroredTable): 'none' | 'some' | 'unknown';
}

export function createDeletionTally(mirror: Mirror): DeletionTally {
  let counters: WriteCounters | undefined;
  const settled = new Map<MirroredTable, Difference>();
  const differenceOf = (kind: MirroredTable): Difference | undefined => {
    const writes = counters?.get(kind);
    return writes && { epoch: writes.epoch, rows: writes.deleted - mirror.removals(kind) };
  };
  return {
    setCounters(read) {
      counters = read;
    },
    settle(kind) {
      const now = differenceOf(kind);
      if (now === undefined) settled.delete(kind);
      else settled.set(kind, now);
    },
    remaining(kind) {
      const [now, before] = [differenceOf(kind), settled.get(kind)];
      if (now === undefined || now.epoch !== before?.epoch) return 'unknown';
      return now.rows === before.rows ? 'none' : 'some';
    },
  };
}

/** Deletions that the server has counted, less those that the mirror has removed. */
interface Difference {
  readonly epoch: string;
  readonly rows: number;
}
