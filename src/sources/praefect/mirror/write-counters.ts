/**
 * PostgreSQL's counters of the rows written to the mirrored tables: while they stand still, a scan would find nothing.
 *
 * They are a hint. A session reports what it wrote only after its transaction, up to 10 s late on PostgreSQL 15 and
 * later, and before that possibly not until its next statement. So the collector uses them only in place of scans that
 * cost the database much, and only for a part of the maximum age; what it then exports keeps the time of the last scan.
 */
import type { DatabaseRow } from '../database.ts';
import type { PraefectTable } from '../relations.ts';
import { eq, literal, ne } from '../sql.ts';
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

/**
 * One row: `counters`, null where the server does not count: a standby, which counts nothing that it replays, or
 * track_counts off. The file of a table shows a TRUNCATE and a restore, which count no rows.
 */
export const writeCountersSql = ({ relation }: MirrorSchema): string => `
  SELECT CASE WHEN pg_catalog.pg_is_in_recovery() OR (pg_catalog.current_setting('track_counts') ${ne} 'on') THEN NULL
    ELSE pg_catalog.concat_ws(' ', pg_catalog.pg_postmaster_start_time(), pg_catalog.pg_stat_get_db_stat_reset_time(d.oid), d.oid,
      (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', id, pg_catalog.pg_relation_filenode(id),
                pg_catalog.pg_stat_get_tuples_inserted(id), pg_catalog.pg_stat_get_tuples_updated(id),
                pg_catalog.pg_stat_get_tuples_deleted(id)), ',' ORDER BY id)
         FROM pg_catalog.unnest(ARRAY[${readTables.map((name) => `pg_catalog.to_regclass(${literal(relation(name))})`).join(', ')}]::pg_catalog.oid[]) AS id)) END AS counters
  FROM pg_catalog.pg_database d WHERE d.datname ${eq} pg_catalog.current_database()`;

/** Equal for two moments between which no write was reported; undefined where the server does not count. */
export function writeCountersOf(rows: readonly DatabaseRow[]): string | undefined {
  const counters = rows[0]?.['counters'];
  return typeof counters === 'string' ? counters : undefined;
}
