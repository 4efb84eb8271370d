/** From an error to a sentence for people: what was asked, where, what was found there, and the mend. */
import pg from 'pg';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { type Finding, inWords } from './finding.ts';
import { ruleOf } from './sql-states.ts';
import { messageOf, systemFinding } from './system-errors.ts';

/** What was under way when the error came; absent while connecting. */
export interface Asked {
  readonly sql: string;
  readonly statementTimeoutMs: number;
  readonly elapsedMs: number;
}

/** The finding of an error that pg threw: the server's, the operating system's, or its own. */
export function findingOf(error: unknown, user: string, asked?: Asked): Finding {
  if (error instanceof pg.DatabaseError && error.code !== undefined) return serverFinding(error, user, asked);
  return systemFinding(error) ?? driverFinding(error);
}

function serverFinding(error: pg.DatabaseError, user: string, asked: Asked | undefined): Finding {
  const sqlState = error.code ?? '';
  const said = `the server said: ${error.message} (${sqlState})`;
  const base: Finding = { ...ruleOf(sqlState, error.message), found: said, sqlState };
  const table = tableIn(error, asked?.sql);
  switch (sqlState) {
    case '28000':
      // A server that demands a client's certificate says so at login, after a good handshake.
      if (/client certificate/.test(error.message))
        return {
          ...base,
          reason: 'tls',
          mend: 'set sslcert and sslkey to a certificate that the server accepts',
        };
      if (/no encryption|SSL off/.test(error.message))
        return { ...base, mend: 'pg_hba.conf may want TLS (hostssl): try sslmode=require or stricter' };
      return base;
    case '42501': {
      const { what, grant } = forbidden(error.message, table, asked === undefined);
      return {
        ...base,
        found: `user "${user}" may not ${what}; ${said}`,
        mend: `GRANT ${grant} TO "${user}"; deploy/sql/role.sql grants all that is needed`,
      };
    }
    case '57014':
      // The same state for statement_timeout and for pg_cancel_backend, in the server's language: time tells.
      if (asked !== undefined && asked.elapsedMs >= asked.statementTimeoutMs * 0.9)
        return {
          ...base,
          reason: 'timeout',
          found: `the server cancelled it at its limit of ${inWords(asked.statementTimeoutMs)} (statement_timeout)`,
          mend: 'the database is busy, or this question is too large for its limit',
        };
      return { ...base, found: `somebody cancelled it; ${said}` };
    case '55P03':
      return { ...base, found: `${table === undefined ? 'a table' : `table "${table}"`} is locked; ${said}` };
    case '25006':
      return { ...base, found: `a question of ours tried to write, and was refused; ${said}` };
    default:
      return base;
  }
}

/** What a role may not do, and the grant that it lacks. */
function forbidden(
  message: string,
  table: string | undefined,
  connecting: boolean,
): { readonly what: string; readonly grant: string } {
  if (connecting) return { what: 'enter the database', grant: 'CONNECT ON DATABASE ...' };
  const schema = /permission denied for schema "?([^"\s]+)"?$/.exec(message)?.[1];
  if (schema !== undefined) return { what: `use schema "${schema}"`, grant: `USAGE ON SCHEMA "${schema}"` };
  return table === undefined
    ? { what: 'read what this question needs', grant: 'SELECT ON ...' }
    : { what: `read table "${table}"`, grant: `SELECT ON "${table}"` };
}

/**
 * The table that an error is about. The server's messages put it last, quoted in some; a lock timeout has no
 * name, but its position points at the table in the question.
 */
function tableIn(error: pg.DatabaseError, sql: string | undefined): string | undefined {
  const named = /permission denied for (?:table|relation|view|sequence) "?([^"\s]+)"?$/.exec(error.message);
  if (named?.[1] !== undefined) return named[1];
  if (error.position === undefined || sql === undefined) return undefined;
  // The position counts characters from 1, not UTF-16 units; our questions are plain ASCII.
  return /^"?([\w.]+)"?/.exec(sql.slice(Number(error.position) - 1))?.[1];
}

/** Errors of pg itself have no code, only words (pg 8.23: lib/client.js, lib/crypto/sasl.js, pg-protocol). */
function driverFinding(error: unknown): Finding {
  const words = messageOf(error);
  if (/^Connection terminated|connection error and is not queryable|Client was closed/.test(words))
    return { reason: 'refused', found: 'the server ended the connection' };
  if (/^SASL:/.test(words))
    return {
      reason: 'authentication',
      found: `logging in failed: ${words}`,
      mend: 'check the password, and that something that knows it answers at this address',
    };
  if (/^Unknown authenticationOk message type/.test(words))
    return {
      reason: 'authentication',
      found: `the server wants a way of logging in that is not supported (${words.replace(/^.* /, 'type ')})`,
      mend: 'pg_hba.conf must offer scram-sha-256, md5, cert or trust to this user, not GSSAPI, SSPI or others',
    };
  return { reason: 'internal', found: `an error that nobody expected: ${words}` };
}

/** `db1:5432/praefect as gitaly_exporter`, or the socket's folder in place of the host. */
export function placeOf({ host, port, database, user }: DatabaseConnection): string {
  const bracketed = host.includes(':') && !host.startsWith('/') ? `[${host}]` : host;
  return `${bracketed}:${port}/${database} as ${user}`;
}

/** @param about what was asked, as a noun: `the replication queue`. */
export function failureOf(finding: Finding, connection: DatabaseConnection, about: string): Failure {
  const mend = finding.mend === undefined ? '' : `. Mend: ${finding.mend}`;
  return { reason: finding.reason, message: `${about}, at ${placeOf(connection)}: ${finding.found}${mend}` };
}
