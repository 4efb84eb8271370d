/** Praefect's database with the exporter's role: whether it is reachable, readable and read-only. */
import { type DatabaseConnection, isLocalDatabase } from '../config/database-connection.ts';
import type { Clock } from '../lib/clock.ts';
import { durationText } from '../lib/format.ts';
import { type Fix, fixText } from '../rules/finding.ts';
import { defaultThresholds, type Thresholds } from '../rules/thresholds.ts';
import { createBudget } from '../scheduler/budget.ts';
import { createEventLog } from '../scheduler/event-log.ts';
import type { Failure } from '../scheduler/outcome.ts';
import { createDatabase } from '../sources/praefect/connection/create-database.ts';
import { fixSeparator } from '../sources/praefect/connection/failures.ts';
import type { Database, DatabaseRow } from '../sources/praefect/database.ts';
import {
  columnNumber,
  createVariantSource,
  isFailure,
  type VariantSource,
} from '../sources/praefect/query.ts';
import { praefectTables, praefectViews } from '../sources/praefect/relations.ts';
import { epochOf, eq, ge, isPresent, minus, nameArray } from '../sources/praefect/sql.ts';
import type { SchemaVariant } from '../sources/praefect/variant.ts';
import { accessChecks, type DoctorCheck, type DoctorFinding, notPassed, passed } from './finding.ts';

const statementTimeoutMs = 5000;

export interface DatabaseReport {
  readonly findings: readonly DoctorFinding[];
  /** For the recommendations' checks; undefined while unknown. */
  readonly postgresqlVersion: string | undefined;
  readonly schemaVariant: string | undefined;
  readonly livePraefects: number | undefined;
}

/** Never rejects. Reads the catalog, and from node_status which Praefects are alive. `thresholds`: the operator's. */
export async function checkDatabase(
  connection: DatabaseConnection,
  clock: Clock,
  signal: AbortSignal,
  thresholds: Pick<Thresholds, 'clockSkew'> = defaultThresholds,
): Promise<DatabaseReport> {
  const database = createDatabase({
    connection,
    clock,
    budget: createBudget(1, clock),
    applicationName: 'gitaly-exporter doctor',
  });
  try {
    const variants = createVariantSource(database, createEventLog(clock));
    const { findings, schemaVariant } = await findingsIn(
      database,
      variants,
      connection,
      { clock, thresholds },
      signal,
    );
    const isReadable = findings.some(({ check }) => check === accessChecks.databaseTables);
    return {
      findings,
      postgresqlVersion: database.connection()?.serverVersion,
      schemaVariant,
      livePraefects: isReadable ? await livePraefects(database, variants, signal) : undefined,
    };
  } finally {
    await database.close();
  }
}

/** Those that tried to contact a storage within 60 s, and not in the future: the Praefects that count for the quorum. */
async function livePraefects(
  database: Database,
  variants: VariantSource,
  signal: AbortSignal,
): Promise<number | undefined> {
  const variant = await variants.current(signal);
  if (isFailure(variant)) return undefined;
  const read = await database.query(
    `SELECT pg_catalog.count(DISTINCT praefect_name) AS alive
       FROM ${variant.relation('node_status')}
      WHERE (last_contact_attempt_at ${ge} (pg_catalog.now() ${minus} interval '60 seconds'))
        AND (${isPresent('last_contact_attempt_at')})`,
    { signal, statementTimeoutMs, purpose: 'live Praefects' },
  );
  return read.ok ? columnNumber(read.value[0]?.['alive']) : undefined;
}

async function findingsIn(
  database: Database,
  variants: VariantSource,
  connection: DatabaseConnection,
  time: TimeJudgment,
  signal: AbortSignal,
): Promise<{ readonly findings: readonly DoctorFinding[]; readonly schemaVariant: string | undefined }> {
  const place = `${connection.host}:${connection.port}/${connection.database} as ${connection.user}`;
  const variant = await variants.detect(signal);
  const facts = database.connection();
  const withoutSchema = (...findings: readonly DoctorFinding[]) => ({ findings, schemaVariant: undefined });
  if (facts === undefined)
    return withoutSchema(
      failureFinding(
        accessChecks.databaseReachable,
        isFailure(variant) ? variant : { reason: 'internal', message: 'no connection was established' },
      ),
    );
  const reached = [
    passed(
      accessChecks.databaseReachable,
      `PostgreSQL ${facts.serverVersion}${facts.pooler === 'none' ? '' : ` behind ${facts.pooler}`}, ${place}`,
    ),
    tlsFinding(connection, facts.encrypted),
    await primaryFinding(database, time, signal),
  ];
  if (isFailure(variant))
    return withoutSchema(...reached, failureFinding(accessChecks.databaseSchema, variant));

  const rights = await database.query(rightsSql(variant), {
    signal,
    statementTimeoutMs,
    purpose: "the role's privileges",
  });
  const schema = passed(accessChecks.databaseSchema, `schema of GitLab ${variant.name}`);
  const ofRole = rights.ok
    ? rightsFindings(rights.value, connection.user)
    : [failureFinding(accessChecks.databaseTables, rights.failure, 'unknown')];
  return { findings: [...reached, schema, ...ofRole], schemaVariant: variant.name };
}

interface TimeJudgment {
  readonly clock: Clock;
  readonly thresholds: Pick<Thresholds, 'clockSkew'>;
}

async function primaryFinding(
  database: Database,
  { clock, thresholds }: TimeJudgment,
  signal: AbortSignal,
): Promise<DoctorFinding> {
  const read = await database.query(
    `SELECT pg_catalog.pg_is_in_recovery() AS is_standby, ${epochOf('pg_catalog.clock_timestamp()')} AS now`,
    { signal, statementTimeoutMs, purpose: 'the state of the server' },
  );
  if (!read.ok) return failureFinding(accessChecks.databasePrimary, read.failure, 'unknown');
  const [row = {}] = read.value;
  const skewSeconds = (columnNumber(row['now']) ?? Number.NaN) - clock.now() / 1000;
  if (row['is_standby'] === true)
    return notPassed(accessChecks.databasePrimary, 'fail', 'the server is a standby (in recovery)', [
      fixText("Set the address of the primary: praefect.database.url, or Praefect's own address."),
    ]);
  if (Math.abs(skewSeconds) <= thresholds.clockSkew.value)
    return passed(accessChecks.databasePrimary, 'not in recovery');
  return notPassed(
    accessChecks.databasePrimary,
    'warn',
    `its clock is ${durationText(Math.abs(skewSeconds) * 1000)} ${skewSeconds > 0 ? 'ahead of' : 'behind'} this host's`,
    [fixText('Compare both with the real time, and correct NTP where the clock is wrong.')],
  );
}

/**
 * One row: the role's attributes and memberships, the relations that it cannot read, and those that it can change.
 * Reads pg_catalog only, so that a role that does not exist in this version is not an error.
 */
const rightsSql = (variant: SchemaVariant): string => {
  const relations = (kinds: string, names: readonly string[]): string => `
          FROM pg_catalog.pg_class c
         WHERE (c.relkind ${eq} ANY (ARRAY[${kinds}]::pg_catalog."char"[])) AND (c.relnamespace ${eq} ${variant.schemaOid})
           AND (c.relname ${eq} ANY (${nameArray(names)}))`;
  const names = "pg_catalog.string_agg(c.relname::pg_catalog.text, ',' ORDER BY c.relname)";
  const all = [...variant.tables, ...variant.views];
  return `
SELECT r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls,
       pg_catalog.pg_has_role(r.oid, 'pg_read_all_stats', 'USAGE') AS reads_stats,
       (SELECT pg_catalog.string_agg(p.rolname::pg_catalog.text, ',' ORDER BY p.rolname)
          FROM pg_catalog.pg_roles p
         WHERE (p.rolname ${eq} ANY (${nameArray(strongRoles)}))
           AND pg_catalog.pg_has_role(r.oid, p.oid, 'USAGE')) AS strong_roles,
       (SELECT ${names} ${relations("'r', 'p', 'v'", all)}
           AND NOT pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT')) AS unreadable,
       (SELECT ${names} ${relations("'r', 'p'", praefectTables)}
           AND pg_catalog.has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) AS writable,
       (SELECT pg_catalog.count(*) ${relations("'r', 'p', 'v'", [...praefectTables, ...praefectViews])}) AS relations,
       (SELECT pg_catalog.has_sequence_privilege(r.oid, c.oid, 'SELECT')
          ${relations("'S'", ['replication_queue_id_seq'])}) AS reads_sequence
  FROM pg_catalog.pg_roles r
 WHERE r.rolname ${eq} current_user`;
};

const strongRoles = [
  'pg_write_all_data',
  'pg_write_server_files',
  'pg_execute_server_program',
  'pg_read_server_files',
  'pg_signal_backend',
  'pg_maintain',
  'pg_checkpoint',
];

function rightsFindings(rows: readonly DatabaseRow[], user: string): readonly DoctorFinding[] {
  const [row = {}] = rows;
  const unreadable = namesOf(row['unreadable']);
  const tables =
    unreadable.length === 0
      ? passed(accessChecks.databaseTables, `all ${String(row['relations'])} tables and views`)
      : notPassed(
          accessChecks.databaseTables,
          'fail',
          `no SELECT on ${unreadable.join(', ')}`,
          grant(`GRANT SELECT ON ${unreadable.map(quoted).join(', ')} TO ${quoted(user)};`),
        );
  const sequence =
    row['reads_sequence'] === true
      ? passed(accessChecks.databaseSequence, 'replication_queue_id_seq')
      : notPassed(
          accessChecks.databaseSequence,
          'warn',
          row['reads_sequence'] === false
            ? 'no SELECT on replication_queue_id_seq'
            : "no replication_queue_id_seq in the schema of Praefect's tables",
          grant(`GRANT SELECT ON replication_queue_id_seq TO ${quoted(user)};`),
        );
  const statistics =
    row['reads_stats'] === true
      ? passed(accessChecks.databaseStatistics, 'pg_read_all_stats')
      : notPassed(
          accessChecks.databaseStatistics,
          'warn',
          'not a member of pg_read_all_stats',
          grant(`GRANT pg_read_all_stats TO ${quoted(user)};`),
        );
  return [tables, sequence, statistics, leastFinding(row, user)];
}

const attributes = {
  rolsuper: ['is a superuser', 'NOSUPERUSER'],
  rolcreaterole: ['can create roles', 'NOCREATEROLE'],
  rolcreatedb: ['can create databases', 'NOCREATEDB'],
  rolreplication: ['can replicate the server', 'NOREPLICATION'],
  rolbypassrls: ['bypasses row-level security', 'NOBYPASSRLS'],
} as const;

function leastFinding(row: DatabaseRow, user: string): DoctorFinding {
  const excess = Object.entries(attributes).filter(([column]) => row[column] === true);
  const isSuperuser = row['rolsuper'] === true;
  // A superuser has all of the rest too.
  const strong = isSuperuser ? [] : namesOf(row['strong_roles']);
  const writable = isSuperuser ? [] : namesOf(row['writable']);
  if (excess.length + strong.length + writable.length === 0)
    return passed(accessChecks.databaseLeast, 'only reads');
  const detail = [
    ...excess.map(([, [words]]) => words),
    ...strong.map((role) => `is a member of ${role}`),
    ...(writable.length === 0 ? [] : [`can write to ${writable.join(', ')}`]),
  ].join('; ');
  const sql = [
    ...(excess.length === 0
      ? []
      : [`ALTER ROLE ${quoted(user)} ${excess.map(([, [, word]]) => word).join(' ')};`]),
    ...strong.map((role) => `REVOKE ${role} FROM ${quoted(user)};`),
    ...(writable.length === 0
      ? []
      : [
          `REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ${writable.map(quoted).join(', ')} FROM ${quoted(user)};`,
        ]),
  ].join(' ');
  return notPassed(accessChecks.databaseLeast, 'warn', `"${user}" ${detail}`, [
    fixText(
      'Connect as a dedicated role, with praefect.database.user and password-file: deploy/sql/role.sql creates one with read-only privileges.',
    ),
    ...(isSuperuser ? [] : [{ kind: 'sql', text: sql } as const]),
  ]);
}

function tlsFinding({ host, ssl }: DatabaseConnection, encrypted: boolean): DoctorFinding {
  if (encrypted) return passed(accessChecks.databaseTls, `TLS, sslmode ${ssl.mode}`);
  if (isLocalDatabase(host)) return passed(accessChecks.databaseTls, 'not encrypted, but local to this host');
  return notPassed(accessChecks.databaseTls, 'warn', `not encrypted (sslmode ${ssl.mode})`, [
    fixText('Add sslmode=verify-full and sslrootcert to the connection; at least sslmode=require.'),
  ]);
}

function failureFinding(
  check: DoctorCheck,
  { message }: Failure,
  status: 'fail' | 'unknown' = 'fail',
): DoctorFinding {
  // Messages of database failures end with the fix.
  const [detail = message, fix] = message.split(fixSeparator);
  return notPassed(check, status, detail, fix === undefined ? [] : [fixText(fix)]);
}

const grant = (text: string): readonly Fix[] => [
  fixText('Run deploy/sql/role.sql again: it grants exactly the privileges that are used.'),
  { kind: 'sql', text },
];

/** The names in a string_agg; null is none. */
const namesOf = (value: unknown): readonly string[] => (typeof value === 'string' ? value.split(',') : []);

const quoted = (name: string): string =>
  /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
