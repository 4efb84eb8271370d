/** The relations of Praefect's schema as the catalog lists them, and which of them a session reads. */
import type { DatabaseRow } from './database.ts';
import { concat, eq, gt, nameArray, ne } from './sql.ts';

/** Praefect's tables that queries depend on, readable by the role or not. */
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

/** What the schema of a Praefect is recognized by, besides its tables and views. */
const otherRelations = ['gitaly_replication_queue', 'verification_leases'] as const;

/**
 * One row for each relation of these names in the database, in any schema; a single row of nulls if there is none.
 * Reads only pg_catalog and takes no lock on Praefect's tables: pg_get_viewdef() would lock what the view reads, and
 * wait behind a migration. PostgreSQL 11 to 18.
 *
 * search_path is what the role's sessions have by default, whatever is set in this one: where several schemas have
 * Praefect's tables, it decides as it would for Praefect.
 */
export const variantSql = `
SELECT d.datname                                               AS database,
       d.oid                                                   AS database_oid,
       current_user                                            AS role,
       (SELECT s.reset_val FROM pg_catalog.pg_settings s WHERE s.name ${eq} 'search_path') AS search_path,
       n.nspname                                               AS schema,
       n.oid                                                   AS schema_oid,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE')         AS usable,
       c.relname                                               AS name,
       c.relkind                                               AS kind,
       c.oid                                                   AS oid,
       c.relowner                                              AS owner,
       pg_catalog.pg_get_userbyid(c.relowner)                  AS owner_name,
       ((c.relowner ${eq} d.datdba) OR coalesce(o.rolsuper, false)) AS privileged_owner,
       (SELECT pg_catalog.string_agg((a.attname::pg_catalog.text ${concat} ' ') ${concat}
                          (pg_catalog.format_type(a.atttypid, a.atttypmod)
                          ${concat} (CASE WHEN a.attnotnull THEN ' not null' ELSE '' END)), E'\n' ORDER BY a.attnum)
          FROM pg_catalog.pg_attribute a
         WHERE (a.attrelid ${eq} c.oid) AND (a.attnum ${gt} 0) AND NOT a.attisdropped) AS columns,
       (SELECT pg_catalog.md5(pg_catalog.string_agg(pg_catalog.concat(r.ev_action), ' ' ORDER BY r.oid))
          FROM pg_catalog.pg_rewrite r
         WHERE r.ev_class ${eq} c.oid)                         AS definition
  FROM pg_catalog.pg_database d
  LEFT JOIN (pg_catalog.pg_class c
             JOIN pg_catalog.pg_namespace n ON (n.oid ${eq} c.relnamespace)
             LEFT JOIN pg_catalog.pg_roles o ON (o.oid ${eq} c.relowner))
    ON (c.relname ${eq} ANY (${nameArray([...praefectTables, ...praefectViews, ...otherRelations])}))
   AND (c.relkind ${eq} ANY (ARRAY['r', 'p', 'v', 'i']::pg_catalog."char"[]))
   AND (n.nspname ${ne} ALL (${nameArray(['pg_catalog', 'information_schema'])}))
   AND (c.relpersistence ${ne} 't'::pg_catalog."char")
 WHERE d.datname ${eq} pg_catalog.current_database()
 ORDER BY n.nspname, c.relname`;

/** Tables and columns that every query depends on; all exist since 13.3. */
export const required = {
  node_status: ['praefect_name', 'shard_name', 'node_name', 'last_contact_attempt_at', 'last_seen_active_at'],
  replication_queue: ['id', 'state', 'created_at', 'updated_at', 'attempt', 'lock_id', 'job'],
  repositories: ['virtual_storage', 'relative_path', 'generation'],
  storage_repositories: ['virtual_storage', 'relative_path', 'storage', 'generation'],
} as const satisfies Partial<Record<PraefectTable, readonly string[]>>;
export const requiredTables = Object.keys(required) as (keyof typeof required)[];
const isAnchor = (name: string): boolean =>
  Object.hasOwn(required, name) || name === 'gitaly_replication_queue';

export interface Relation {
  readonly schema: string;
  readonly schemaOid: number;
  readonly usable: boolean;
  readonly name: string;
  readonly kind: string;
  readonly owner: number;
  readonly ownerName: string;
  /** A superuser, or the database's owner. */
  readonly hasPrivilegedOwner: boolean;
  /** Column -> "type" or "type not null"; types outside of pg_catalog with their schema, quoted. */
  readonly columns: ReadonlyMap<string, string>;
  readonly identity: string;
}

export function relationOf(row: DatabaseRow): Relation {
  const columns = String(row['columns'] ?? '');
  return {
    schema: String(row['schema']),
    schemaOid: Number(row['schema_oid']),
    usable: row['usable'] === true,
    name: String(row['name']),
    kind: String(row['kind']),
    owner: Number(row['owner']),
    ownerName: String(row['owner_name']),
    hasPrivilegedOwner: row['privileged_owner'] === true,
    columns: new Map(
      columns
        .split('\n')
        .map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]),
    ),
    identity: `${row['name']} ${row['oid']} (${columns.replaceAll('\n', ', ')}) ${row['definition'] ?? ''}`,
  };
}

/**
 * The schema with Praefect's tables: the first of search_path that has one, as PostgreSQL itself would find them, else
 * the only one that has some and may be used.
 */
export function schemaOf(all: readonly Relation[], first: DatabaseRow | undefined): string | undefined {
  const schemas = new Set(
    all
      .filter(({ usable, name, kind }) => usable && (kind === 'r' || kind === 'p') && isAnchor(name))
      .map((relation) => relation.schema),
  );
  const inPath = searchPath(String(first?.['search_path'] ?? ''), String(first?.['role'] ?? ''));
  const [only] = schemas;
  return inPath.find((schema) => schemas.has(schema)) ?? (schemas.size === 1 ? only : undefined);
}

/** The schemas of a search_path, as in `"$user", public`. */
function searchPath(text: string, role: string): readonly string[] {
  return [...text.matchAll(/"((?:[^"]|"")*)"|[^\s,"]+/g)].map(([found, quoted]) => {
    const name = quoted === undefined ? found : quoted.replaceAll('""', '"');
    return name === '$user' ? role : name;
  });
}

/**
 * Without relations of another owner: up to PostgreSQL 14 every role may create a table in public that this Praefect
 * does not have, of types whose casts are functions of that role. A superuser or the database's owner may have run
 * some of the migrations.
 */
export function trusted(relations: readonly Relation[]): readonly Relation[] {
  const anchor = relations.find(({ name, hasPrivilegedOwner }) => isAnchor(name) && !hasPrivilegedOwner);
  return relations.filter((each) => each.hasPrivilegedOwner || each.owner === anchor?.owner);
}
