/**
 * What failed at the database: one shape for every step, and the tables that map an error's code to a failure
 * reason. failures.ts makes faults of errors and sentences of faults.
 */
import { codeOf, errorMessageOf } from '../../../lib/errors.ts';
import { outsideText } from '../../../lib/outside-text.ts';
import type { FailureReason } from '../../../scheduler/outcome.ts';

export interface DatabaseFault {
  readonly reason: FailureReason;
  /** What was found, as a clause: `the server closed the connection`. */
  readonly found: string;
  /** How to fix it, as a clause. */
  readonly fix?: string;
  /** SQLSTATE, where the server or the pooler reported the error. */
  readonly sqlState?: string;
}

export type DatabaseResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: DatabaseFault };

export const succeeded = <T>(value: T): DatabaseResult<T> => ({ ok: true, value });
export const faulty = (fault: DatabaseFault): DatabaseResult<never> => ({ ok: false, fault });

interface Rule {
  readonly reason: FailureReason;
  readonly fix?: string;
}

const hba = 'check pg_hba.conf, and that the role exists and may log in (deploy/sql/role.sql creates it)';
const password = 'check the user and the password; a password file is read again for each connection';
const reconnects = 'nothing to do after a planned restart: the exporter reconnects by itself';
const connectionLimit =
  "raise the server's max_connections, or the CONNECTION LIMIT of the role or the database; the exporter needs one connection";
const schema = "check the database's name and search_path, and that Praefect has run its migrations in it";
const variant = 'this build supports the schemas of GitLab 13.3 and later; see docs/database-access.md';
const locked = 'a migration, VACUUM FULL or another exclusive lock holds it: see pg_locks';
const standby = 'on a standby, set hot_standby_feedback = on or raise max_standby_streaming_delay';

/**
 * SQLSTATE (PostgreSQL documentation, appendix A) -> reason. Codes and not messages: the text follows the server's
 * lc_messages. Whole states come first, then classes (the first two characters).
 */
const sqlStates: Readonly<Record<string, Rule>> = {
  // While connecting
  '28P01': { reason: 'authentication', fix: password }, // invalid_password
  '28000': { reason: 'authentication', fix: hba }, // invalid_authorization_specification: pg_hba.conf, no such role
  '28': { reason: 'authentication', fix: hba },
  '3D000': { reason: 'missing_schema', fix: schema }, // invalid_catalog_name: no such database
  '53300': { reason: 'refused', fix: connectionLimit }, // too_many_connections
  '57P03': { reason: 'refused', fix: reconnects }, // cannot_connect_now: starting up, shutting down, recovering
  '08': { reason: 'refused', fix: reconnects }, // connection_exception

  // The connection ends
  '57P01': { reason: 'refused', fix: reconnects }, // admin_shutdown, pg_terminate_backend
  '57P02': { reason: 'refused', fix: reconnects }, // crash_shutdown
  '57P04': { reason: 'missing_schema', fix: schema }, // database_dropped
  '57P05': { reason: 'refused', fix: reconnects }, // idle_session_timeout (14 and later)
  '25P03': { reason: 'timeout' }, // idle_in_transaction_session_timeout: the exporter was too slow
  '25P04': { reason: 'timeout' }, // transaction_timeout (17 and later)

  // A statement fails
  '42501': { reason: 'permission' }, // insufficient_privilege
  '42P01': { reason: 'missing_schema', fix: schema }, // undefined_table
  '3F000': { reason: 'missing_schema', fix: schema }, // invalid_schema_name
  '42703': { reason: 'unsupported_schema', fix: variant }, // undefined_column
  '42883': { reason: 'unsupported_schema', fix: variant }, // undefined_function, or an operator of changed types
  '42704': { reason: 'unsupported_schema', fix: variant }, // undefined_object: a type, an enum
  '42804': { reason: 'unsupported_schema', fix: variant }, // datatype_mismatch
  '42P18': { reason: 'unsupported_schema', fix: variant }, // indeterminate_datatype
  '22P02': { reason: 'unsupported_schema', fix: variant }, // invalid_text_representation: an unknown enum value
  '42809': { reason: 'unsupported_schema', fix: variant }, // wrong_object_type: a table instead of a view
  '55P03': { reason: 'timeout', fix: locked }, // lock_not_available: lock_timeout
  '57014': { reason: 'query' }, // query_canceled: statement_timeout or pg_cancel_backend (failures.ts decides by time)
  '40001': { reason: 'query', fix: standby }, // in a read-only transaction only a recovery conflict
  '40P01': { reason: 'query', fix: standby }, // the same, by a buffer pin
  '25006': { reason: 'internal' }, // read_only_sql_transaction: the exporter never writes
};

/**
 * Messages of PgBouncer and of poolers that copied them, always English. Up to 1.18 all its errors carry 08P01
 * (`disconnect_client` in its src/, releases 1.18 and 1.25), including the server's own refusal of a login.
 */
const poolerMessages: readonly (Rule & { readonly pattern: RegExp })[] = [
  {
    pattern: /^no such database|^database "[^"]*" does not exist/,
    reason: 'missing_schema',
    fix: "check the database's name against [databases] in pgbouncer.ini",
  },
  {
    // PgBouncer's own login at the server; before 1.19 the server's message with PgBouncer's state.
    pattern:
      /^server login failed: |^server login has been failing, cached error: .*(password|authentication)/,
    reason: 'authentication',
    fix: "check the user's entry in PgBouncer's auth_file or auth_query: the server rejects it",
  },
  {
    pattern: /^SSL required/,
    reason: 'tls',
    fix: "PgBouncer's client_tls_sslmode requires TLS: use sslmode=require or stricter",
  },
  {
    pattern: /no such user|authentication failed|^login rejected|^unix socket login rejected|empty password/,
    reason: 'authentication',
    fix: "check the user and the password, here and in PgBouncer's auth_file",
  },
  {
    pattern: /^query_wait_timeout|^client_login_timeout/,
    reason: 'timeout',
    fix: 'PgBouncer had no free server connection: check SHOW POOLS, pool_size, and whether the server responds',
  },
  {
    pattern: /^query_timeout|_idle_timeout|^idle_transaction_timeout|^transaction_timeout/,
    reason: 'timeout',
    fix: "the limit is PgBouncer's own setting of that name",
  },
  {
    pattern: /^no more connections allowed|^client connections exceeded/,
    reason: 'refused',
    fix: "raise PgBouncer's max_client_conn, max_db_client_connections or max_user_client_connections",
  },
  {
    pattern:
      /^server login has been failing|is disabled$|shutting down|^pause failed|^server conn crashed|^connect failed/,
    reason: 'refused',
    fix: "PgBouncer responds, the server behind it does not: check PgBouncer's log and SHOW DATABASES",
  },
  {
    pattern: /not allowed in statement pooling mode/,
    reason: 'query',
    fix: 'set pool_mode = transaction (or session) for this database in pgbouncer.ini',
  },
  {
    pattern: /^PQexec disallowed/,
    reason: 'query',
    fix: 'the exporter needs simple queries: set disable_pqexec = 0 in pgbouncer.ini',
  },
];

/** The rule for a SQLSTATE and its message; `query` for an unknown one. */
export function ruleOf(sqlState: string, message: string): Rule {
  // 08P01 from a server is a protocol error; from PgBouncer it is anything.
  const pooler =
    sqlState === '08P01' ? poolerMessages.find(({ pattern }) => pattern.test(message)) : undefined;
  if (pooler !== undefined) return { reason: pooler.reason, ...(pooler.fix && { fix: pooler.fix }) };
  return sqlStates[sqlState] ?? sqlStates[sqlState.slice(0, 2)] ?? { reason: 'query' };
}

const address = 'check the host and the port, and that no firewall or network policy blocks them';
const root =
  "sslrootcert must hold the CA that signed the server's certificate; on RDS that is the region's bundle";
const validity = "check the certificate's dates and both clocks";
const unknownClientCa: DatabaseFault = {
  reason: 'tls',
  found: 'the server does not trust the client certificate',
  fix: "sslcert must be signed by a CA in the server's ssl_ca_file",
};

/**
 * Codes of the operating system, the resolver and OpenSSL (errno(3), getaddrinfo(3), Node's documentation of tls and
 * errors, OpenSSL's x509_vfy.h).
 */
const systemCodes: Readonly<Record<string, DatabaseFault>> = {
  ECONNREFUSED: { reason: 'refused', found: 'connection refused', fix: address },
  ENOTFOUND: {
    reason: 'refused',
    found: 'the host name does not resolve',
    fix: 'check the host name and DNS',
  },
  EAI_AGAIN: { reason: 'refused', found: 'the DNS server did not respond', fix: 'check DNS' },
  EAI_FAIL: { reason: 'refused', found: 'the DNS server failed', fix: 'check DNS' },
  EHOSTUNREACH: { reason: 'refused', found: 'no route to the host', fix: address },
  ENETUNREACH: { reason: 'refused', found: 'no route to the network', fix: address },
  EHOSTDOWN: { reason: 'refused', found: 'the host is down', fix: address },
  ENETDOWN: { reason: 'refused', found: 'the network is down', fix: address },
  EADDRNOTAVAIL: { reason: 'refused', found: 'the address cannot be reached from here', fix: address },
  ECONNRESET: { reason: 'refused', found: 'connection reset' },
  ECONNABORTED: { reason: 'refused', found: 'connection aborted' },
  EPIPE: { reason: 'refused', found: 'the connection was closed during a write' },
  ETIMEDOUT: { reason: 'timeout', found: 'the network timed out', fix: address },
  ENOENT: { reason: 'refused', found: 'no such socket', fix: "host must be the socket's directory" },
  EACCES: {
    reason: 'permission',
    found: 'permission denied on the socket',
    fix: "check the socket's mode",
  },
  EPERM: {
    reason: 'permission',
    found: 'the connection is not permitted',
    fix: 'check the network policy',
  },
  EMFILE: { reason: 'internal', found: 'this process has no file descriptors left', fix: 'raise ulimit -n' },
  ENFILE: { reason: 'internal', found: 'this machine has no file descriptors left' },

  ERR_TLS_CERT_ALTNAME_INVALID: {
    reason: 'tls',
    found: "the server's certificate is for another host",
    fix: 'connect by a name in the certificate, or use sslmode=verify-ca if its CA signs nothing else',
  },
  DEPTH_ZERO_SELF_SIGNED_CERT: {
    reason: 'tls',
    found: "the server's certificate is self-signed",
    fix: root,
  },
  SELF_SIGNED_CERT_IN_CHAIN: {
    reason: 'tls',
    found: "the server's certificate is signed by a CA that is not trusted",
    fix: root,
  },
  UNABLE_TO_GET_ISSUER_CERT: { reason: 'tls', found: 'a CA is missing from the chain', fix: root },
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: {
    reason: 'tls',
    found: "the CA that signed the server's certificate is not trusted",
    fix: root,
  },
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: {
    reason: 'tls',
    found: "the server's certificate cannot be verified",
    fix: root,
  },
  CERT_SIGNATURE_FAILURE: {
    reason: 'tls',
    found: "the signature of the server's certificate is invalid",
    fix: root,
  },
  CERT_HAS_EXPIRED: { reason: 'tls', found: "the server's certificate has expired", fix: validity },
  CERT_NOT_YET_VALID: { reason: 'tls', found: "the server's certificate is not valid yet", fix: validity },
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: unknownClientCa,
  ERR_SSL_SSL_TLSV1_ALERT_UNKNOWN_CA: unknownClientCa,
};

const tlsCode =
  /^(ERR_SSL_|ERR_TLS_|ERR_OSSL_|EPROTO$|CERT_|CRL_|UNABLE_TO_|ERROR_IN_CERT|INVALID_(CA|PURPOSE)|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH|ERR_CRYPTO_)/;

/** The fault of a system, resolver or TLS error; undefined for other errors. */
export function systemFault(error: unknown): DatabaseFault | undefined {
  const code = codeOf(error);
  if (code === undefined) return undefined;
  const known = Object.hasOwn(systemCodes, code) ? systemCodes[code] : undefined;
  if (known !== undefined) return { ...known, found: `${known.found} (${code})` };
  return tlsCode.test(code)
    ? { reason: 'tls', found: `TLS failed: ${outsideText(errorMessageOf(error))} (${code})` }
    : undefined;
}
