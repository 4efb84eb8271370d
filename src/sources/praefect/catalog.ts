/** What the catalog says of Praefect's tables and views: the statement, and its rows as values. */
import type { DatabaseRow } from './database.ts';

/** Praefect's tables that a question may rest on. Whether a role may read them is another matter. */
export const praefectTables = [
  'schema_migrations',
  'node_status',
  'shard_primaries',
  'replication_queue',
  'replication_queue_lock',
  'replication_queue_job_lock',
  'repositories',
  'storage_repositories',
  'repository_assignments',
  'virtual_storages',
  'storage_cleanups',
  'repository_reference_write_locks',
] as const;
export type PraefectTable = (typeof praefectTables)[number];

export const praefectViews = ['healthy_storages', 'repository_generations', 'valid_primaries'] as const;
export type PraefectViewName = (typeof praefectViews)[number];

/**
 * One row for each relation of these names in the database, visible or not, or a single row of nulls. Reads
 * pg_catalog alone and takes no lock on Praefect's tables: pg_get_viewdef() would lock what the view reads, and
 * so wait behind a migration. PostgreSQL 11 to 18.
 */
export const variantSql = `
SELECT d.datname::text                                         AS database,
       d.oid::text                                             AS database_oid,
       current_user::text                                      AS role,
       current_setting('search_path')                          AS search_path,
       n.nspname::text                                         AS schema,
       has_schema_privilege(n.oid, 'USAGE')                    AS usable,
       pg_table_is_visible(c.oid)                              AS visible,
       c.relname::text                                         AS name,
       c.relkind::text                                         AS kind,
       c.oid::text                                             AS oid,
       (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                          || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END, E'\\n' ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT md5(string_agg(r.ev_action::text, ' ' ORDER BY r.oid))
          FROM pg_catalog.pg_rewrite r
         WHERE r.ev_class = c.oid)                             AS definition
  FROM pg_catalog.pg_database d
  LEFT JOIN (pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace)
    ON c.relname IN (${[
      ...praefectTables,
      ...praefectViews,
      'gitaly_replication_queue',
      'verification_leases',
    ]
      .map((name) => `'${name}'`)
      .join(', ')})
   AND c.relkind IN ('r', 'p', 'v', 'i')
 WHERE d.datname = current_database()
 ORDER BY n.nspname, c.relname`;

/** What `variantSql` gives for one relation. */
export interface Relation {
  readonly schema: string;
  readonly usable: boolean;
  readonly visible: boolean;
  readonly name: string;
  readonly kind: string;
  /** Column -> "type" or "type not null". */
  readonly columns: ReadonlyMap<string, string>;
  readonly identity: string;
}

export function relationOf(row: DatabaseRow): Relation {
  const columns = String(row['columns'] ?? '');
  return {
    schema: String(row['schema']),
    usable: row['usable'] === true,
    visible: row['visible'] === true,
    name: String(row['name']),
    kind: String(row['kind']),
    columns: new Map(
      columns
        .split('\n')
        .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]),
    ),
    identity: `${row['name']} ${row['oid']} (${columns.replaceAll('\n', ', ')}) ${row['definition'] ?? ''}`,
  };
}
