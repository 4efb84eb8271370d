/**
 * Praefect's database as its readers see it: one connection, one query at a time, each in a read-only transaction
 * with time limits, paid from one time budget. connection/ implements it.
 */
import type { Failure, FailureReason } from '../../scheduler/outcome.ts';

/** The value, with the milliseconds that the query took on the open connection; or why it failed. */
export type QueryResult<T> =
  | { readonly ok: true; readonly value: T; readonly elapsedMs: number }
  | { readonly ok: false; readonly failure: Failure };

/** A row: int2, int4, float4 and float8 as numbers, booleans as booleans, everything else as PostgreSQL's text. */
export type DatabaseRow = Readonly<Record<string, unknown>>;

/** What the response to one statement may consist of. */
export interface ResponseBounds {
  readonly rows: number;
  readonly bytes: number;
}

export interface QueryOptions {
  /** Aborting it cancels the query on the server and closes the connection; the next query opens a new one. */
  readonly signal: AbortSignal;
  /** statement_timeout: a whole number of milliseconds over 0. In a transaction it holds for each statement. */
  readonly statementTimeoutMs: number;
  /** Of the response to each statement; by default 100,000 rows and 16 MiB, for `copy` 20 million and 2 GiB. */
  readonly bounds?: ResponseBounds;
  /** What the query reads, as a noun for failure messages and pg_stat_activity: `the replication queue`. */
  readonly purpose?: string;
}

/** One read-only REPEATABLE READ transaction. Its statements run one at a time. */
export interface ReadTransaction {
  /** Runs one statement without parameters. Callers insert numbers only, never quoted text. */
  rows(sql: string): Promise<readonly DatabaseRow[]>;
  /** Streams `COPY (sql) TO STDOUT (FORMAT binary)`. A promise from `onChunk` pauses the stream. */
  copy(sql: string, onChunk: (chunk: Buffer) => Promise<void> | void): Promise<void>;
}

/**
 * Thrown in the body of a transaction, or by what processes its rows, for rows that Praefect never writes: too many of
 * them, or not what they must be. The transaction then fails with this reason.
 */
export class UnacceptableRows extends Error {
  readonly reason: Extract<FailureReason, 'too_large' | 'parse'>;

  constructor(reason: UnacceptableRows['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface ConnectionFacts {
  readonly encrypted: boolean;
  readonly serverVersion: string;
  readonly pooler: 'none' | 'pgbouncer';
}

export interface Database {
  /** Runs one statement without parameters in its own transaction, in one round trip. */
  query(sql: string, options: QueryOptions): Promise<QueryResult<readonly DatabaseRow[]>>;
  /**
   * Runs several statements that see the same snapshot. Rejects with what `body` throws itself (a bug), except for
   * UnacceptableRows; that, a refused statement and a lost connection are failures. The transaction ends in every case.
   */
  transaction<T>(
    options: QueryOptions,
    body: (transaction: ReadTransaction) => Promise<T>,
  ): Promise<QueryResult<T>>;
  /** For praefect_db_info; undefined before the first connection. */
  connection(): ConnectionFacts | undefined;
  close(): Promise<void>;
}
