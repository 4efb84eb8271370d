/** One open connection: statements on it, each within its time limits, and its end. */
import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import { createDeadline, untilAborted } from '../../../lib/abort.ts';
import type { Clock } from '../../../lib/clock.ts';
import { durationText } from '../../../lib/format.ts';
import type { Secret } from '../../../lib/secret.ts';
import type { ConnectionFacts, DatabaseRow, QueryOptions } from '../database.ts';
import { type FaultContext, faultOf, type RunningStatement } from './failures.ts';
import { type DatabaseFault, type DatabaseResult, faulty, succeeded } from './fault.ts';
import { copyBounds, rowsBounds } from './response-guard.ts';
import { type BackendKey, cancelBackend, type DriverStream } from './transport.ts';

/** statement_timeout ends a statement on the server; the exporter gives up this much later. */
const graceMs = 1000;
const cancelTimeoutMs = 1000;
const closeTimeoutMs = 500;

export type ReadChunk = (chunk: Buffer) => Promise<void> | void;

export interface Session {
  readonly facts: ConnectionFacts;
  /**
   * Sends the text as one message and waits for the response within the limits; gives the session up when they are over.
   * Returns the rows of the last statement.
   *
   * @param onChunk receives the data of COPY ... TO STDOUT, which has no rows. What it throws ends the session, and
   *   `send` rejects with it
   */
  send(
    sql: string,
    limits: QueryOptions,
    onChunk?: ReadChunk,
  ): Promise<DatabaseResult<readonly DatabaseRow[]>>;
  /** Messages that were sent and waited for since the connection was opened. */
  roundTrips(): number;
  /**
   * Time of all statements since then, of each at most until its limit, without those that had no response when their
   * statement_timeout was over: the server would have ended them, so it did not run them. It hangs, the network lost them,
   * or this process was suspended.
   */
  busyMs(): number;
  /** Why the session is unusable; undefined while it is usable. */
  lost(): DatabaseFault | undefined;
  /** True between the statements of an open transaction, failed or not. */
  isInTransaction(): boolean;
  /** Gives up what runs: cancels it on the server and closes the socket. */
  abandon(): void;
  /** Closes the connection in the protocol's own way; does nothing when it is lost. */
  end(): Promise<void>;
  /** Resolves when the socket is destroyed and no cancel request is under way, at most 1 s after the end. */
  readonly closed: Promise<void>;
}

/** What `connect` has opened. */
export interface OpenedConnection {
  readonly client: pg.Client;
  readonly stream: DriverStream;
  readonly facts: ConnectionFacts;
  readonly backendKey: BackendKey;
  /** The password that was sent. */
  readonly secrets: readonly Secret[];
}

export function createSession(
  { client, stream, facts, backendKey, secrets }: OpenedConnection,
  connection: DatabaseConnection,
  clock: Clock,
): Session {
  let lost: DatabaseFault | undefined;
  let roundTrips = 0;
  let busyMs = 0;
  let onReady: (() => void) | undefined;
  const { promise: closed, resolve: markClosed } = Promise.withResolvers<void>();

  client.on('drain', () => onReady?.()); // at each ReadyForQuery
  const context: FaultContext = { user: connection.user, secrets };
  client.on('error', (error) => lose(stream.violation() ?? faultOf(error, context)));
  client.on('end', () => lose({ reason: 'refused', found: 'the server closed the connection' }));

  function lose(fault: DatabaseFault): void {
    onReady?.();
    if (lost !== undefined) return;
    lost = fault;
    stream.destroy();
    markClosed();
  }

  function abandon(): void {
    if (lost !== undefined) return;
    lost = { reason: 'timeout', found: 'an earlier query was given up' };
    onReady?.();
    stream.pause(); // what still arrives has no reader
    // A pooler forgets the key of a client that has left, so there the socket is destroyed after the cancel request.
    if (facts.pooler === 'none') stream.destroy();
    void cancelBackend(connection, facts.encrypted, backendKey, clock, cancelTimeoutMs).finally(() => {
      stream.destroy();
      markClosed();
    });
  }

  async function send(
    sql: string,
    { bounds, signal, statementTimeoutMs }: QueryOptions,
    onChunk?: ReadChunk,
  ): Promise<DatabaseResult<readonly DatabaseRow[]>> {
    if (lost !== undefined) return faulty(lost);
    if (signal.aborted)
      return faulty({ reason: 'timeout', found: 'the deadline passed before the query was sent' });
    let thrown: { readonly error: unknown } | undefined;
    async function readAll(read: ReadChunk): Promise<readonly DatabaseRow[]> {
      for await (const chunk of client.query(copyTo(sql))) {
        try {
          await read(chunk as Buffer);
        } catch (error) {
          thrown = { error };
          // To use the connection again, the remaining rows would have to be read.
          abandon();
          break;
        }
      }
      return [];
    }
    stream.expect(bounds ?? (onChunk === undefined ? rowsBounds : copyBounds));
    const work = onChunk === undefined ? client.query<DatabaseRow>(sql).then(lastRows) : readAll(onChunk);
    const started = clock.monotonic();
    const limitMs = statementTimeoutMs + graceMs;
    roundTrips += 1;
    const deadline = createDeadline(clock, limitMs, signal);
    const isReady = new Promise<void>((resolve) => {
      onReady = resolve;
    });
    const gaveUp = untilAborted(deadline.signal).then(() => 'gave up' as const);
    const running = (): RunningStatement => ({
      sql,
      statementTimeoutMs,
      elapsedMs: clock.monotonic() - started,
    });
    const outcome = work.then(
      (value) => succeeded(value),
      (error: unknown) => faulty(stream.violation() ?? faultOf(error, context, running())),
    );
    let isUnanswered = false;
    try {
      const raced = await Promise.race([outcome, gaveUp]);
      const { elapsedMs } = running();
      // The process was suspended and reads the response after the deadline: it is as old as the suspension.
      const isLate = raced !== 'gave up' && elapsedMs > limitMs;
      const first = isLate ? 'gave up' : raced;
      isUnanswered =
        isLate || (raced === 'gave up' && elapsedMs >= statementTimeoutMs && stream.responseBytes() === 0);
      // pg reports an error before the server is ready for the next statement, or before the connection ends.
      const settled = first === 'gave up' ? first : await Promise.race([isReady, gaveUp]);
      if (thrown !== undefined) throw thrown.error;
      if (first !== 'gave up' && settled !== 'gave up') return first;
      abandon();
      return first === 'gave up' ? faulty(noResponse(isLate || deadline.isTimedOut(), running())) : first;
    } finally {
      if (!isUnanswered) busyMs += Math.min(running().elapsedMs, limitMs);
      deadline.release();
      onReady = undefined;
    }
  }

  return {
    facts,
    send,
    roundTrips: () => roundTrips,
    busyMs: () => busyMs,
    lost: () => lost,
    isInTransaction: () => client.getTransactionStatus() !== 'I',
    abandon,
    async end() {
      if (lost !== undefined) return closed;
      const deadline = createDeadline(clock, closeTimeoutMs);
      void untilAborted(deadline.signal).then(() => lose({ reason: 'refused', found: 'closed' }));
      client.end().catch(() => undefined);
      await closed;
      deadline.release();
    },
    closed,
  };
}

/** Several statements return an array of results, which pg's types do not declare. */
const lastRows = (
  results: pg.QueryResult<DatabaseRow> | readonly pg.QueryResult<DatabaseRow>[],
): readonly DatabaseRow[] => ('rows' in results ? results.rows : (results.at(-1)?.rows ?? []));

function noResponse(isTimedOut: boolean, { elapsedMs, statementTimeoutMs }: RunningStatement): DatabaseFault {
  return isTimedOut
    ? {
        reason: 'timeout',
        found: `no response for ${durationText(elapsedMs)}, although the server should stop after ${durationText(statementTimeoutMs)}`,
        fix: 'check the network, whether the pooler has a free server connection, and whether the server hangs',
      }
    : { reason: 'timeout', found: `no response before the deadline, after ${durationText(elapsedMs)}` };
}
