/**
 * How the rest of the room reads Praefect's database: one connection, one reader, one read-only transaction a
 * question, all of it bounded and paid from one budget. The implementation is in connection/.
 */
import type { Failure } from '../../scheduler/outcome.ts';

/** A value, or why not; with the wall time that the question took of the database. */
export type Answer<T> =
  | { readonly ok: true; readonly value: T; readonly elapsedMs: number }
  | { readonly ok: false; readonly failure: Failure };

/** A row as the driver gives it: int8 and numeric as strings, float8 and int4 as numbers, no Dates wanted. */
export type Row = Readonly<Record<string, unknown>>;

export interface QuestionOptions {
  /** Aborting it cancels the question and destroys the socket; the next question connects anew. */
  readonly signal: AbortSignal;
  /** SET LOCAL statement_timeout; a whole number of milliseconds over 0. In a look it holds for each statement. */
  readonly statementTimeoutMs: number;
  /** What is asked for, as a noun for a failure's message: `the replication queue`. */
  readonly about?: string;
}

/** Inside one read-only REPEATABLE READ transaction. */
export interface Look {
  /** One statement without parameters: whoever calls formats numbers and quotes nothing else into it. */
  rows(sql: string): Promise<readonly Row[]>;
  /**
   * `COPY (sql) TO STDOUT (FORMAT binary)`: hands over the chunks as they arrive, a promise holds the stream
   * back (that is the flow control).
   */
  copy(sql: string, onChunk: (chunk: Buffer) => Promise<void> | void): Promise<void>;
}

export interface Database {
  /** One statement in a transaction of its own, in one round trip (it must not contain parameters). */
  ask(sql: string, options: QuestionOptions): Promise<Answer<readonly Row[]>>;
  /**
   * Several statements that see one instant. What the body throws of its own is thrown on (a bug); what the
   * database refuses, or a lost connection, comes back as a failure. Rolled back or committed in every case.
   */
  look<T>(options: QuestionOptions, body: (look: Look) => Promise<T>): Promise<Answer<T>>;
  /** What is known of the connection, for `info` and the page; undefined until the first connection. */
  connection():
    | { readonly encrypted: boolean; readonly serverVersion: string; readonly pooler: string }
    | undefined;
  close(): Promise<void>;
}
