/** Praefect's database as the exporter's role sees it: reachable, readable, and no more than that. */
import type { DatabaseConnection } from '../config/database-connection.ts';
import type { Clock } from '../lib/clock.ts';
import { createBudget } from '../scheduler/budget.ts';
import { createEventLog } from '../scheduler/event-log.ts';
import type { Failure } from '../scheduler/outcome.ts';
import { createDatabase } from '../sources/praefect/connection/create-database.ts';
import { fixSeparator } from '../sources/praefect/connection/failures.ts';
import type { Database, DatabaseRow } from '../sources/praefect/database.ts';
import { createVariantSource, isFailure } from '../sources/praefect/query.ts';
import { praefectTables, praefectViews } from '../sources/praefect/variant.ts';
import { accessChecks, type Finding, finds, type Mend, passes, todo } from './finding.ts';

const statementTimeoutMs = 5000;

export interface DatabaseLook {
  readonly findings: readonly Finding[];
  /** For the checks that rest on them; undefined where it is not known. */
  readonly postgresqlVersion: string | undefined;
  readonly livePraefects: number | undefined;
}

/** Never rejects. Asks the catalog, and node_status for who is alive. */
export async function lookAtDatabase(
  connection: DatabaseConnection,
  clock: Clock,
  signal: AbortSignal,
): Promise<DatabaseLook> {
  const database = createDatabase({
    connection,
    clock,
    budget: createBudget(1, clock),
    applicationName: 'gitaly-exporter doctor',
  });
  try {
    const findings = await findingsIn(database, connection, clock, signal);
    const isAsked = findings.some(({ check }) => check === accessChecks.databaseTables);
    return {
      findings,
      postgresqlVersion: database.connection()?.serverVersion,
      livePraefects: isAsked ? await livePraefects(database, signal) : undefined,
    };
  } finally {
    await database.close();
  }
}

/** Those that tried to contact a storage within the last minute, as Praefect itself counts its quorum. */
async function livePraefects(database: Database, signal: AbortSignal): Promise<number | undefined> {
  const answer = await database.query(
    `SELECT count(DISTINCT praefect_name)::int AS alive
       FROM node_status WHERE last_contact_attempt_at >= now() - interval '60 seconds'`,
    { signal, statementTimeoutMs, purpose: 'who is alive' },
  );
  const alive = answer.ok ? answer.value[0]?.['alive'] : undefined;
  return typeof alive === 'number' ? alive : undefined;
}

async function findingsIn(
  database: Database,
  connection: DatabaseConnection,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const place = `${connection.host}:${connection.port}/${connection.database} as ${connection.user}`;
  const variant = await createVariantSource(database, createEventLog(clock)).detect(signal);
  const facts = database.connection();
  if (facts === undefined)
    return [
      failureFinding(
        accessChecks.databaseReachable,
        isFailure(variant) ? variant : { reason: 'internal', message: 'no connection was made' },
      ),
    ];
  const reached = [
    passes(
      accessChecks.databaseReachable,
      `PostgreSQL ${facts.serverVersion}${facts.pooler === 'none' ? '' : ` behind ${facts.pooler}`}, ${place}`,
    ),
    tlsFinding(connection, facts.encrypted),
  ];
  if (isFailure(variant)) return [...reached, failureFinding(accessChecks.databaseSchema, variant)];

  const rights = await database.query(rightsSql, {
    signal,
    statementTimeoutMs,
    purpose: "the role's privileges",
  });
  const schema = passes(accessChecks.databaseSchema, `the form of GitLab ${variant.name}`);
  if (!rights.ok)
    return [...reached, schema, failureFinding(accessChecks.databaseTables, rights.failure, 'unknown')];
  return [...reached, schema, ...rightsFindings(rights.value, connection.user)];
}

/**
 * One row: the role's attributes and memberships, which relations it may read, and which it could change. Reads
 * pg_catalog alone. `to_regrole` keeps roles that a version does not have from being an error.
 */
const rightsSql = `
SELECT r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls,
       pg_has_role(r.oid, 'pg_read_all_stats', 'USAGE') AS reads_stats,
       (SELECT string_agg(p.rolname::text, ',' ORDER BY p.rolname)
          FROM pg_catalog.pg_roles p
         WHERE p.rolname IN ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program',
                             'pg_read_server_files', 'pg_signal_backend', 'pg_maintain', 'pg_checkpoint')
           AND pg_has_role(r.oid, p.oid, 'USAGE')) AS strong_roles,
       (SELECT string_agg(c.relname::text, ',' ORDER BY c.relname)
          FROM pg_catalog.pg_class c
         WHERE c.relkind IN ('r', 'p', 'v') AND pg_table_is_visible(c.oid)
           AND c.relname IN (${[...praefectTables, ...praefectViews].map((name) => `'${name}'`).join(', ')})
           AND NOT has_table_privilege(r.oid, c.oid, 'SELECT')) AS unreadable,
       (SELECT string_agg(c.relname::text, ',' ORDER BY c.relname)
          FROM pg_catalog.pg_class c
         WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)
           AND c.relname IN (${praefectTables.map((name) => `'${name}'`).join(', ')})
           AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')) AS writable,
       (SELECT count(*)::int
          FROM pg_catalog.pg_class c
         WHERE c.relkind IN ('r', 'p', 'v') AND pg_table_is_visible(c.oid)
           AND c.relname IN (${[...praefectTables, ...praefectViews].map((name) => `'${name}'`).join(', ')})) AS relations,
       (SELECT has_sequence_privilege(r.oid, c.oid, 'SELECT')
          FROM pg_catalog.pg_class c
         WHERE c.relname = 'replication_queue_id_seq' AND c.relkind = 'S' AND pg_table_is_visible(c.oid)) AS reads_sequence
  FROM pg_catalog.pg_roles r
 WHERE r.rolname = current_user`;

function rightsFindings(rows: readonly DatabaseRow[], user: string): readonly Finding[] {
  const [row = {}] = rows;
  const unreadable = namesOf(row['unreadable']);
  const tables =
    unreadable.length === 0
      ? passes(accessChecks.databaseTables, `all ${String(row['relations'])} of them`)
      : finds(
          accessChecks.databaseTables,
          'fail',
          `may not read ${unreadable.join(', ')}`,
          grant(`GRANT SELECT ON ${unreadable.map(quoted).join(', ')} TO ${quoted(user)};`),
        );
  const sequence =
    row['reads_sequence'] === true
      ? passes(accessChecks.databaseSequence, 'replication_queue_id_seq')
      : finds(
          accessChecks.databaseSequence,
          'warn',
          row['reads_sequence'] === false
            ? 'may not read replication_queue_id_seq'
            : 'there is no replication_queue_id_seq in the search path',
          grant(`GRANT SELECT ON replication_queue_id_seq TO ${quoted(user)};`),
        );
  const statistics =
    row['reads_stats'] === true
      ? passes(accessChecks.databaseStatistics, 'pg_read_all_stats')
      : finds(
          accessChecks.databaseStatistics,
          'warn',
          'is not a member of pg_read_all_stats',
          grant(`GRANT pg_read_all_stats TO ${quoted(user)};`),
        );
  return [tables, sequence, statistics, leastFinding(row, user)];
}

const attributes = {
  rolsuper: ['is a superuser', 'NOSUPERUSER'],
  rolcreaterole: ['may create roles', 'NOCREATEROLE'],
  rolcreatedb: ['may create databases', 'NOCREATEDB'],
  rolreplication: ['may replicate the server', 'NOREPLICATION'],
  rolbypassrls: ['is past row security', 'NOBYPASSRLS'],
} as const;

function leastFinding(row: DatabaseRow, user: string): Finding {
  const held = Object.entries(attributes).filter(([column]) => row[column] === true);
  const isSuperuser = row['rolsuper'] === true;
  // A superuser may do all of it anyway: one line says so.
  const strong = isSuperuser ? [] : namesOf(row['strong_roles']);
  const writable = isSuperuser ? [] : namesOf(row['writable']);
  if (held.length + strong.length + writable.length === 0)
    return passes(accessChecks.databaseLeast, 'reads, and nothing else');
  const found = [
    ...held.map(([, [words]]) => words),
    ...strong.map((role) => `is a member of ${role}`),
    ...(writable.length === 0 ? [] : [`may write to ${writable.join(', ')}`]),
  ].join('; ');
  const sql = [
    ...(held.length === 0
      ? []
      : [`ALTER ROLE ${quoted(user)} ${held.map(([, [, word]]) => word).join(' ')};`]),
    ...strong.map((role) => `REVOKE ${role} FROM ${quoted(user)};`),
    ...(writable.length === 0
      ? []
      : [
          `REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ${writable.map(quoted).join(', ')} FROM ${quoted(user)};`,
        ]),
  ].join(' ');
  return finds(accessChecks.databaseLeast, 'warn', `"${user}" ${found}`, [
    todo(
      'Log in as a role of its own, with password-file or praefect.database.user: deploy/sql/role.sql makes one that may do nothing else.',
    ),
    ...(isSuperuser ? [] : [{ kind: 'sql', text: sql } as const]),
  ]);
}

function tlsFinding({ host, ssl }: DatabaseConnection, encrypted: boolean): Finding {
  const isLocal = host.startsWith('/') || host === 'localhost' || host === '::1' || host.startsWith('127.');
  if (encrypted) return passes(accessChecks.databaseTls, `TLS, sslmode ${ssl.mode}`);
  if (isLocal) return passes(accessChecks.databaseTls, 'not encrypted, and does not leave this host');
  return finds(accessChecks.databaseTls, 'warn', `not encrypted (sslmode ${ssl.mode})`, [
    todo('Add sslmode=verify-full and sslrootcert to the address; sslmode=require at least.'),
  ]);
}

function failureFinding(
  check: (typeof accessChecks)['databaseReachable'],
  { message }: Failure,
  status: 'fail' | 'unknown' = 'fail',
): Finding {
  // The mend stands in the message of the database's own failures.
  const [found = message, mend] = message.split(fixSeparator);
  return finds(check, status, found, mend === undefined ? [] : [todo(mend)]);
}

const grant = (text: string): readonly Mend[] => [
  todo('Run deploy/sql/role.sql again: it grants all that is needed, and nothing else.'),
  { kind: 'sql', text },
];

/** A string_agg of identifiers; null where there is none. */
const namesOf = (value: unknown): readonly string[] => (typeof value === 'string' ? value.split(',') : []);

const quoted = (name: string): string =>
  /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
