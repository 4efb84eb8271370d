/**
 * The form of Praefect's schema, read from the catalog: the tables, columns and views that exist decide which
 * statements can run.
 *
 * Never from the newest id in schema_migrations: ids were added out of order (20200225220728_readd_job_queue,
 * 20210922143752_storage_repositories_cascade_delete), so equal newest ids stand for different tables, and an
 * upgrade in progress leaves states between the releases. Each feature is detected by itself; the name is only for
 * people. docs/decisions/0007-schema-variants.md has the table.
 */
import { outsideText } from '../../lib/outside-text.ts';
import type { Failure } from '../../scheduler/outcome.ts';
import type { DatabaseRow } from './database.ts';
import {
  type PraefectTable,
  type PraefectViewName,
  praefectTables,
  praefectViews,
  type Relation,
  relationOf,
  required,
  requiredTables,
  schemaOf,
  trusted,
} from './relations.ts';
import { quotedName } from './sql.ts';

/** Named after the first release with that form; each is valid up to the next one. */
const variantNames = [
  '13.3', // 13.3 and 13.4
  '13.5', // repositories."primary"
  '13.6', // storage_repositories.assigned
  '13.7', // repository_assignments, in addition
  '13.8', // storage_repositories.assigned dropped; 13.8 to 13.12
  '14.0', // views, by path; 14.0 to 14.2
  '14.3', // repository_id
  '14.4', // storage_cleanups
  '14.5', // view valid_primaries by repository_id
  '14.6', // repository_id not null; 14.6 to 14.9
  '14.10', // verification
  '15.0', // index verification_leases; 15.0 up to the next
  '19.0', // repository_reference_write_locks; 18.11 or 19.0 and later
] as const;
type VariantName = (typeof variantNames)[number];

/** The releases whose Praefect has the schema of that name; undefined for a name that this build does not have. */
export function releasesOfVariant(
  name: string,
): { readonly from: VariantName; readonly before: VariantName | undefined } | undefined {
  const index = (variantNames as readonly string[]).indexOf(name);
  const from = variantNames[index];
  return from === undefined ? undefined : { from, before: variantNames[index + 1] };
}

/** A frozen value; variants with the same `fingerprint` are equal. */
export interface SchemaVariant {
  readonly name: VariantName;
  /** OID of the schema that holds Praefect's tables. */
  readonly schemaOid: number;
  /** A table or view with its schema, as statements write it. */
  readonly relation: (name: PraefectTable | PraefectViewName) => string;
  /** The type of replication_queue.state with its schema, as statements write it. */
  readonly jobStateType: string;
  /** Depends on the database, the tables' OIDs, their columns, and the views' definitions. */
  readonly fingerprint: string;
  readonly tables: ReadonlySet<PraefectTable>;
  readonly views: ReadonlySet<PraefectViewName>;
  readonly repositories: {
    /** Column "primary" (13.5): always null with the `sql` elector. */
    readonly primary: boolean;
    /** Column replica_path (14.3). */
    readonly replicaPath: boolean;
  };
  readonly storageRepositories: {
    /** False while repository_id may be null (14.3 to 14.5): rows must be joined by path. */
    readonly repositoryIdNotNull: boolean;
    /** Columns verified_at and verification_leased_until (14.10). */
    readonly verification: boolean;
  };
  /** Table repository_assignments (13.7). */
  readonly assignments: boolean;
  /**
   * The rule by which a replica may become primary. `by_path_highest` (14.0 to 14.4): at the highest generation
   * of any replica; `by_id` (14.5): at repositories.generation; `none`: 13.x has no such view.
   */
  readonly validPrimaries: 'none' | 'by_path_highest' | 'by_id';
  /**
   * States in which jobs stay forever: up to 13.3 completed and dead ones, up to 14.4 dead ones (stale jobs without
   * attempts left), from 14.5 none.
   */
  readonly finalStates: readonly ('completed' | 'dead')[];
}

/**
 * The variant of the rows of `variantSql`, or why there is none: `missing_schema` (no schema has Praefect's tables, or
 * several do and search_path names none of them), `permission` (they are in a schema that the role may not use),
 * `unsupported_schema` (older than 13.3, or without a table or column that every known form has).
 */
export function variantOf(rows: readonly DatabaseRow[]): SchemaVariant | Failure {
  const all = rows.filter((row) => row['name'] !== null).map(relationOf);
  const schema = schemaOf(all, rows[0]);
  const visible = new Map(
    trusted(all.filter((relation) => relation.schema === schema)).map((relation) => [
      relation.name,
      relation,
    ]),
  );
  const table = (name: PraefectTable) => {
    const relation = visible.get(name);
    return relation?.kind === 'r' || relation?.kind === 'p' ? relation : undefined;
  };
  const has = (name: PraefectTable, column: string) => table(name)?.columns.has(column) ?? false;

  const failure = schemaFailure(rows[0], all, visible, table);
  // Names are text of the server.
  if (failure !== undefined) return { ...failure, message: outsideText(failure.message, [], 1000) };

  const views = new Set(praefectViews.filter((name) => visible.get(name)?.kind === 'v'));
  const assignedColumn = has('storage_repositories', 'assigned');
  const assignments = table('repository_assignments') !== undefined;
  const repositoryId = has('repositories', 'repository_id');
  const replicaIdType = table('storage_repositories')?.columns.get('repository_id');
  const isReplicaIdNotNull = replicaIdType?.endsWith(' not null') ?? false;
  const verification =
    has('storage_repositories', 'verified_at') && has('storage_repositories', 'verification_leased_until');
  const validPrimaries = !views.has('valid_primaries')
    ? 'none'
    : visible.get('valid_primaries')?.columns.has('repository_id')
      ? 'by_id'
      : 'by_path_highest';
  const primary = has('repositories', 'primary');

  return Object.freeze({
    name: nameOf({
      '19.0': table('repository_reference_write_locks') !== undefined,
      '15.0': verification && visible.has('verification_leases'),
      '14.10': verification,
      '14.6': validPrimaries === 'by_id' && isReplicaIdNotNull,
      '14.5': validPrimaries === 'by_id',
      '14.4': repositoryId && table('storage_cleanups') !== undefined,
      '14.3': repositoryId,
      '14.0': validPrimaries !== 'none',
      '13.8': assignments && !assignedColumn,
      '13.7': assignments,
      '13.6': assignedColumn,
      '13.5': primary,
      '13.3': true,
    }),
    schemaOid: visible.get('node_status')?.schemaOid ?? 0,
    relation: (name: PraefectTable | PraefectViewName) => `${quotedName(schema ?? 'public')}.${name}`,
    jobStateType: (table('replication_queue')?.columns.get('state') ?? '').replace(/ not null$/, ''),
    fingerprint: [
      rows[0]?.['database_oid'],
      ...[...visible.values()].map((relation) => relation.identity),
    ].join('; '),
    tables: new Set(praefectTables.filter((name) => table(name) !== undefined)),
    views,
    repositories: Object.freeze({ primary, replicaPath: has('repositories', 'replica_path') }),
    storageRepositories: Object.freeze({
      repositoryIdNotNull: isReplicaIdNotNull,
      verification,
    }),
    assignments,
    validPrimaries,
    finalStates: Object.freeze(
      validPrimaries === 'by_id'
        ? ([] as const)
        : primary
          ? (['dead'] as const)
          : (['completed', 'dead'] as const),
    ),
  });
}

/** The newest form whose feature exists. */
function nameOf(features: Readonly<Record<VariantName, boolean>>): VariantName {
  return variantNames.findLast((name) => features[name]) ?? '13.3';
}

function schemaFailure(
  first: DatabaseRow | undefined,
  all: readonly Relation[],
  visible: ReadonlyMap<string, Relation>,
  table: (name: PraefectTable) => Relation | undefined,
): Failure | undefined {
  const database = `database "${first?.['database'] ?? '?'}"`;
  if (visible.has('gitaly_replication_queue') || (table('replication_queue') && !table('repositories')))
    return {
      reason: 'unsupported_schema',
      message: `${database} has the tables of a Praefect older than 13.3, which this build does not support: upgrade Praefect`,
    };
  if (!requiredTables.some((name) => table(name))) {
    const found = all.filter(({ name }) => name === 'replication_queue');
    const hidden = found.find(({ usable }) => !usable);
    if (found.length === 0)
      return {
        reason: 'missing_schema',
        message: `${database} has none of Praefect's tables: check the database's name, or run praefect sql-migrate`,
      };
    const schemas = found.map((each) => quotedName(each.schema)).join(', ');
    return hidden === undefined
      ? {
          reason: 'missing_schema',
          message: `several schemas of ${database} have Praefect's tables (${schemas}), and none of them is in the search_path (${first?.['search_path']}): ALTER ROLE "${first?.['role']}" SET search_path = the one to monitor`,
        }
      : {
          reason: 'permission',
          message: `role "${first?.['role']}" may not use schema "${hidden.schema}" of ${database}: GRANT USAGE ON SCHEMA "${hidden.schema}" TO "${first?.['role']}"`,
        };
  }
  const missing = requiredTables.flatMap((name) => {
    const found = table(name);
    if (found === undefined) return [name];
    return required[name].filter((column) => !found.columns.has(column)).map((column) => `${name}.${column}`);
  });
  if (missing.length === 0) return undefined;
  const foreign = all
    .filter(({ name }) => missing.includes(name))
    .map((each) => `${each.name} of ${each.ownerName}`);
  if (foreign.length > 0)
    return {
      reason: 'unsupported_schema',
      message: `tables of ${database} belong to another role than the rest of Praefect's and are not read (${foreign.join(', ')}): ALTER TABLE ... OWNER TO the owner of the others`,
    };
  return {
    reason: 'unsupported_schema',
    message: `${database} lacks ${missing.join(', ')}, which every Praefect since 13.3 has: check that it is Praefect's database and that its migrations are complete, or upgrade the exporter`,
  };
}
