/** What each task of a simulated Praefect receives: its database connections and its view of the cluster. */
import pg from 'pg';
import type { Clock } from '../../src/lib/clock.ts';
import type { Timings, Topology } from '../topology.ts';
import type { Random, World } from '../world.ts';

export interface PraefectContext {
  readonly name: string;
  readonly topology: Topology;
  readonly world: World;
  readonly sql: Sql;
  readonly clock: Clock;
  readonly random: Random;
  readonly timings: Timings;
  /** Aborts when this Praefect's process ends. */
  readonly signal: AbortSignal;
  /** The result of its own last health check: routing and replication use it, not the consensus. */
  seesHealthy(storage: string): boolean;
  /** Storages whose connection gRPC has closed. The next successful health check reopens it. */
  readonly broken: Set<string>;
  /** IDs of the replication jobs that its workers have. */
  readonly held: Set<number>;
}

/** The storages of a virtual storage that this Praefect itself sees healthy. */
export const healthyStoragesOf = (context: PraefectContext, virtualStorage: string): readonly string[] =>
  context.topology.virtualStorages
    .filter(({ name }) => name === virtualStorage)
    .flatMap(({ storages }) => storages)
    .filter((storage) => context.seesHealthy(storage));

export interface Sql {
  /** One statement. bigint is returned as a number (IDs and generations of a demo are small). */
  query<Row extends object = Record<never, never>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<readonly Row[]>;
}

interface SqlPool extends Sql {
  /** Closes idle connections immediately, the others when their statement has finished. */
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
 * The connections of one Praefect process. `signal` aborts when the process dies: a statement that was sent may
 * still run in the database, but its result is discarded.
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
 * SQLSTATE classes and socket errors that Praefect logs and continues after: no connection (08, 53, 57), a read-only
 * database (25006), a transaction that lost a conflict (40, 55), a repository that was deleted (23503).
 */
const expected = /^(08...|53...|57...|25006|40...|55...|23503|E(CONNREFUSED|CONNRESET|PIPE|TIMEDOUT))$/;

/** Whether the database or the connection caused the error, as opposed to a wrong statement of the simulation. */
export function isDatabaseFailure(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  if ('code' in error && typeof error.code === 'string') return expected.test(error.code);
  // Errors of pg itself have no code: 'Connection terminated unexpectedly'.
  return 'message' in error && /connection|timeout/i.test(String(error.message));
}
