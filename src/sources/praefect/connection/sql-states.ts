/**
 * What an error of the server or of a pooler means to us: SQLSTATE, or the pooler's words, -> failure reason.
 *
 * By SQLSTATE (PostgreSQL documentation, appendix A) wherever there is one: the server's words follow its
 * lc_messages. PgBouncer's words are English always and need reading, because up to 1.18 all its errors carry
 * 08P01 (`disconnect_client` in its src/, releases 1.18 and 1.25), the server's own refusal of a login included.
 */
import type { FailureReason } from '../../../scheduler/outcome.ts';

export interface Rule {
  readonly reason: FailureReason;
  readonly mend?: string;
}

const hba = 'check pg_hba.conf, and that the role exists and may log in (deploy/sql/role.sql creates it)';
const password = 'check the user and the password; a password file is read again at each connection';
const comesBack = 'nothing to do if it was restarted on purpose: the connection is made anew';
const roleLimit =
  "raise the server's max_connections, or the CONNECTION LIMIT of the role or the database; one is enough for the exporter";
const schema = "check the database's name and search_path, and that Praefect has run its migrations in it";
const variant = "this build knows Praefect's schema from GitLab 13.3 on; see docs/database-access.md";
const locked = 'a migration, VACUUM FULL or another exclusive lock holds it: look for it in pg_locks';
const standby = 'on a standby: set hot_standby_feedback = on, or raise max_standby_streaming_delay';

/** Full states first, then classes (the first two characters). */
export const sqlStates: Readonly<Record<string, Rule>> = {
  // Connecting
  '28P01': { reason: 'authentication', mend: password }, // invalid_password
  '28000': { reason: 'authentication', mend: hba }, // invalid_authorization_specification: pg_hba.conf, no such role
  '28': { reason: 'authentication', mend: hba },
  '3D000': { reason: 'missing_schema', mend: schema }, // invalid_catalog_name: no such database
  '53300': { reason: 'refused', mend: roleLimit }, // too_many_connections
  '57P03': { reason: 'refused', mend: comesBack }, // cannot_connect_now: starting up, shutting down, recovering
  '08': { reason: 'refused', mend: comesBack }, // connection_exception

  // Losing the connection
  '57P01': { reason: 'refused', mend: comesBack }, // admin_shutdown, pg_terminate_backend
  '57P02': { reason: 'refused', mend: comesBack }, // crash_shutdown
  '57P04': { reason: 'missing_schema', mend: schema }, // database_dropped
  '57P05': { reason: 'refused', mend: comesBack }, // idle_session_timeout (14 and later)
  '25P03': { reason: 'timeout' }, // idle_in_transaction_session_timeout: we were too slow
  '25P04': { reason: 'timeout' }, // transaction_timeout (17 and later)

  // Asking
  '42501': { reason: 'permission' }, // insufficient_privilege
  '42P01': { reason: 'missing_schema', mend: schema }, // undefined_table
  '3F000': { reason: 'missing_schema', mend: schema }, // invalid_schema_name
  '42703': { reason: 'unsupported_schema', mend: variant }, // undefined_column
  '42883': { reason: 'unsupported_schema', mend: variant }, // undefined_function: also an operator of changed types
  '42704': { reason: 'unsupported_schema', mend: variant }, // undefined_object: a type, an enum
  '42804': { reason: 'unsupported_schema', mend: variant }, // datatype_mismatch
  '42P18': { reason: 'unsupported_schema', mend: variant }, // indeterminate_datatype
  '22P02': { reason: 'unsupported_schema', mend: variant }, // invalid_text_representation: a value no enum has
  '42809': { reason: 'unsupported_schema', mend: variant }, // wrong_object_type: a table where a view was
  '55P03': { reason: 'timeout', mend: locked }, // lock_not_available: lock_timeout
  '57014': { reason: 'query' }, // query_canceled: statement_timeout or a person, told apart by time (failures.ts)
  '40001': { reason: 'query', mend: standby }, // in a read-only transaction only a conflict with recovery
  '40P01': { reason: 'query', mend: standby }, // the same, by a buffer pin
  '25006': { reason: 'internal' }, // read_only_sql_transaction: the exporter never writes
};

/** PgBouncer's words, and those of other poolers that copied them. Only asked when the SQLSTATE says nothing. */
export const poolerMessages: readonly (Rule & { readonly words: RegExp })[] = [
  {
    words: /^no such database|^database "[^"]*" does not exist/,
    reason: 'missing_schema',
    mend: "check the database's name against [databases] in pgbouncer.ini",
  },
  {
    // The login of PgBouncer at the server; before 1.19 in the server's own words with PgBouncer's state.
    words: /^server login failed: |^server login has been failing, cached error: .*(password|authentication)/,
    reason: 'authentication',
    mend: "check the user's entry in PgBouncer's auth_file or auth_query: the server refuses it",
  },
  {
    words: /^SSL required/,
    reason: 'tls',
    mend: "PgBouncer's client_tls_sslmode wants TLS: use sslmode=require or stricter",
  },
  {
    words: /no such user|authentication failed|^login rejected|^unix socket login rejected|empty password/,
    reason: 'authentication',
    mend: "check the user and the password, here and in PgBouncer's auth_file",
  },
  {
    words: /^query_wait_timeout|^client_login_timeout/,
    reason: 'timeout',
    mend: 'PgBouncer had no server connection to give: look at SHOW POOLS, pool_size, and whether the server answers',
  },
  {
    words: /^query_timeout|_idle_timeout|^idle_transaction_timeout|^transaction_timeout/,
    reason: 'timeout',
    mend: "the limit is PgBouncer's own setting of that name",
  },
  {
    words: /^no more connections allowed|^client connections exceeded/,
    reason: 'refused',
    mend: "raise PgBouncer's max_client_conn, max_db_client_connections or max_user_client_connections",
  },
  {
    words:
      /^server login has been failing|is disabled$|shutting down|^pause failed|^server conn crashed|^connect failed/,
    reason: 'refused',
    mend: "PgBouncer answers, the server behind it does not: look at PgBouncer's log and SHOW DATABASES",
  },
  {
    words: /not allowed in statement pooling mode/,
    reason: 'query',
    mend: 'set pool_mode = transaction (or session) for this database in pgbouncer.ini',
  },
  {
    words: /^PQexec disallowed/,
    reason: 'query',
    mend: 'the exporter needs simple queries: set disable_pqexec = 0 in pgbouncer.ini',
  },
];

/** The rule for a SQLSTATE and the words that came with it; anything unknown was a refused question. */
export function ruleOf(sqlState: string, words: string): Rule {
  // 08P01 from a server is a broken protocol; from PgBouncer it is anything.
  const byWords = sqlState === '08P01' ? poolerMessages.find((rule) => rule.words.test(words)) : undefined;
  return byWords ?? sqlStates[sqlState] ?? sqlStates[sqlState.slice(0, 2)] ?? { reason: 'query' };
}
