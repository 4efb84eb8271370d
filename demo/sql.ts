/** How a simulated Praefect talks to its database, and which of the database's refusals it takes in its stride. */
import pg from 'pg';

export interface Sql {
  /** One statement. bigint comes back as a number (ids and generations of a demo are small). */
  query<Row extends object = Record<never, never>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<readonly Row[]>;
}

export interface SqlPool extends Sql {
  /** Ends the connections: the idle ones at once, the others when their statement is done. */
  close(): Promise<void>;
}

export interface SqlTarget {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
}

const types = new pg.TypeOverrides();
types.setTypeParser(pg.types.builtins.INT8, Number);

/**
 * Connections as one Praefect process has them. When `signal` aborts, the process is dead: a statement that was
 * under way may still be carried out, but its answer reaches nobody.
 */
export function openPool(target: SqlTarget, applicationName: string, signal: AbortSignal): SqlPool {
  const pool = new pg.Pool({
    ...target,
    ssl: false,
    application_name: applicationName,
    max: 20,
    idleTimeoutMillis: 30_000,
    connectionTimeoutMillis: 5000,
    types,
  });
  pool.on('error', () => undefined); // idle connections end when the database does
  return {
    async query(text, values) {
      signal.throwIfAborted();
      const result = await pool.query(text, values === undefined ? undefined : [...values]);
      signal.throwIfAborted();
      return result.rows;
    },
    close: () => pool.end(),
  };
}

/**
 * SQLSTATE classes and socket errors that a Praefect logs and lives with: no connection (08, 53, 57), a read-only
 * database (25006), a transaction that lost against another (40, 55), a repository deleted meanwhile (23503).
 */
const expected = /^(08...|53...|57...|25006|40...|55...|23503|E(CONNREFUSED|CONNRESET|PIPE|TIMEDOUT))$/;

/** Whether the error is the database's or the connection's doing, and not a fault in a statement of ours. */
export function isDatabaseTrouble(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  if ('code' in error && typeof error.code === 'string') return expected.test(error.code);
  // What pg says itself: 'Connection terminated unexpectedly'.
  return 'message' in error && /connection|timeout/i.test(String(error.message));
}
