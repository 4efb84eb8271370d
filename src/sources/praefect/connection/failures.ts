/** From an error to a sentence for people: what was read, where, what was found, and how to fix it. */
import pg from 'pg';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import { errorMessageOf } from '../../../lib/errors.ts';
import { durationText } from '../../../lib/format.ts';
import { outsideText } from '../../../lib/outside-text.ts';
import type { Secret } from '../../../lib/secret.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { type DatabaseFault, ruleOf, systemFault } from './fault.ts';

/** The statement that was running when the error came. */
export interface RunningStatement {
  readonly sql: string;
  readonly statementTimeoutMs: number;
  readonly elapsedMs: number;
}

/** Who talks to the server, and what must not be repeated of it. */
export interface FaultContext {
  readonly user: string;
  /** The password that was sent, if one was: a server may ask for it in clear text and quote it. */
  readonly secrets: readonly Secret[];
}

/**
 * The fault of an error that pg threw: the server's, the operating system's, or the driver's own. What the server
 * wrote in it is cut, printable and redacted.
 *
 * @param running undefined while connecting
 */
export function faultOf(
  error: unknown,
  { user, secrets }: FaultContext,
  running?: RunningStatement,
): DatabaseFault {
  if (error instanceof pg.DatabaseError && error.code !== undefined)
    return serverFault(
      {
        message: outsideText(error.message, secrets),
        sqlState: /^[0-9A-Z]{5}$/.test(error.code) ? error.code : 'no SQLSTATE',
        position: error.position,
      },
      user,
      running,
    );
  return systemFault(error) ?? driverFault(outsideText(errorMessageOf(error), secrets));
}

/** An error of the server, with its text fit to be shown. */
interface ServerError {
  readonly message: string;
  readonly sqlState: string;
  /** In characters of the statement, from 1. */
  readonly position: string | undefined;
}

function serverFault(error: ServerError, user: string, running: RunningStatement | undefined): DatabaseFault {
  const { sqlState } = error;
  const reported = `the server reported: ${error.message} (${sqlState})`;
  const base: DatabaseFault = { ...ruleOf(sqlState, error.message), found: reported, sqlState };
  const table = tableIn(error, running?.sql);
  switch (sqlState) {
    case '28000':
      // A server that requires a client certificate reports it at login, after a complete handshake.
      if (/client certificate/.test(error.message))
        return {
          ...base,
          reason: 'tls',
          fix: 'set sslcert and sslkey to a certificate that the server accepts',
        };
      if (/no encryption|SSL off/.test(error.message))
        return { ...base, fix: 'pg_hba.conf may require TLS (hostssl): try sslmode=require or stricter' };
      return base;
    case '42501': {
      // Never read with the policy: it hides rows, and what is hidden would read as healthy.
      if (/row-level security/.test(error.message))
        return {
          ...base,
          found: `row-level security would hide rows from user "${user}"; ${reported}`,
          fix: `ALTER TABLE ... DISABLE ROW LEVEL SECURITY, or ALTER ROLE "${user}" BYPASSRLS`,
        };
      const { action, grant } = deniedAction(error.message, table, running === undefined);
      return {
        ...base,
        found: `user "${user}" may not ${action}; ${reported}`,
        fix: `GRANT ${grant} TO "${user}"; deploy/sql/role.sql grants everything that is needed`,
      };
    }
    case '57014':
      // statement_timeout and pg_cancel_backend share the state and the text is in any language: time decides.
      if (running !== undefined && running.elapsedMs >= running.statementTimeoutMs * 0.9)
        return {
          ...base,
          reason: 'timeout',
          found: `the server canceled it after ${durationText(running.statementTimeoutMs)} (statement_timeout)`,
          fix: 'the database is busy, or the query needs a longer timeout',
        };
      return { ...base, found: `the query was canceled by a user; ${reported}` };
    case '55P03':
      return {
        ...base,
        found: `${table === undefined ? 'a table' : `table "${table}"`} is locked; ${reported}`,
      };
    case '25006':
      return { ...base, found: `a query tried to write and was rejected; ${reported}` };
    default:
      return base;
  }
}

/** What the role may not do, and the missing grant. */
function deniedAction(
  message: string,
  table: string | undefined,
  isConnecting: boolean,
): { readonly action: string; readonly grant: string } {
  if (isConnecting) return { action: 'connect to the database', grant: 'CONNECT ON DATABASE ...' };
  const schema = /permission denied for schema "?([^"\s]+)"?$/.exec(message)?.[1];
  if (schema !== undefined) return { action: `use schema "${schema}"`, grant: `USAGE ON SCHEMA "${schema}"` };
  return table === undefined
    ? { action: 'read what this query needs', grant: 'SELECT ON ...' }
    : { action: `read table "${table}"`, grant: `SELECT ON "${table}"` };
}

/**
 * The table of an error. Messages name it last, some of them quoted; a lock timeout has no name, but its position
 * points at the table in the statement.
 */
function tableIn(error: ServerError, sql: string | undefined): string | undefined {
  const named = /permission denied for (?:table|relation|view|sequence) "?([^"\s]+)"?$/.exec(error.message);
  if (named?.[1] !== undefined) return named[1];
  if (error.position === undefined || sql === undefined) return undefined;
  // The position counts characters from 1, not UTF-16 units; the exporter's statements are ASCII but for a schema's name.
  return /^(?:(?:"(?:[^"]|"")+"|\w+)\.)?"?(\w+)"?/.exec(sql.slice(Number(error.position) - 1))?.[1];
}

/** pg's own errors have no code, only a message (pg 8.23: lib/client.js, lib/crypto/sasl.js, pg-protocol). */
function driverFault(message: string): DatabaseFault {
  if (/^Connection terminated|connection error and is not queryable|Client was closed/.test(message))
    return { reason: 'refused', found: 'the server closed the connection' };
  if (/^SASL:/.test(message))
    return {
      reason: 'authentication',
      found: `login failed: ${message}`,
      fix: 'check the password, and that PostgreSQL or a pooler that knows it listens at this address',
    };
  if (/^Unknown authenticationOk message type/.test(message))
    return {
      reason: 'authentication',
      found: `the server requires an unsupported authentication method (${message.replace(/^.* /, 'type ')})`,
      fix: 'pg_hba.conf must offer scram-sha-256, md5, cert or trust to this user, not GSSAPI, SSPI or others',
    };
  return { reason: 'internal', found: `unexpected error: ${message}` };
}

/** `db1:5432/praefect as gitaly_exporter`, or the socket's directory instead of the host. */
export function addressText({ host, port, database, user }: DatabaseConnection): string {
  const bracketed = host.includes(':') && !host.startsWith('/') ? `[${host}]` : host;
  return `${bracketed}:${port}/${database} as ${user}`;
}

/** Between what was found and how to fix it. */
export const fixSeparator = '. Fix: ';

/** @param purpose what the query reads, as a noun: `the replication queue` */
export function databaseFailure(
  fault: DatabaseFault,
  connection: DatabaseConnection,
  purpose: string,
): Failure {
  const fix = fault.fix === undefined ? '' : `${fixSeparator}${fault.fix}`;
  return { reason: fault.reason, message: `${purpose}, at ${addressText(connection)}: ${fault.found}${fix}` };
}
