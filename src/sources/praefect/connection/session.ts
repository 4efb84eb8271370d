/** One live connection: statements on it, each within its limits, and its end, gentle or not. */

import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { DatabaseRow } from '../database.ts';
import { cancelRunning } from './cancel.ts';
import { type Asked, findingOf } from './failures.ts';
import { type Finding, found, inWords, type Result, succeeded } from './finding.ts';
import { limit } from './limit.ts';
import type { Login } from './login.ts';

/** statement_timeout ends a question on the server; this much later we give up on the server itself. */
const graceMs = 1000;
/** A server is given this long to stop what we no longer wait for. */
const cancelMs = 1000;
const farewellMs = 500;

export interface Limits {
  readonly signal: AbortSignal;
  readonly statementTimeoutMs: number;
}

export interface Session {
  readonly facts: Facts;
  /** Sends the text as one message; the rows of its last statement. */
  rows(sql: string, limits: Limits): Promise<Result<readonly DatabaseRow[]>>;
  /** COPY ... TO STDOUT. What `onChunk` throws is thrown on, and ends the session. */
  copy(sql: string, limits: Limits, onChunk: (chunk: Buffer) => Promise<void> | void): Promise<Result<void>>;
  /** How many messages were sent and waited for, since the beginning. */
  roundTrips(): number;
  /** Why it cannot be used any more, or undefined while it can. */
  lost(): Finding | undefined;
  /** True between statements of an open transaction, whether good or failed. */
  inTransaction(): boolean;
  /** Gives up on what runs: cancels it on the server where that is possible, and destroys the socket. */
  abandon(): void;
  /** Says goodbye and closes; does nothing when it is lost. */
  end(): Promise<void>;
  /** Resolves when the socket is destroyed and nothing is under way for it any more; at most 1 s after its end. */
  readonly gone: Promise<void>;
}

export interface Facts {
  readonly encrypted: boolean;
  readonly serverVersion: string;
  readonly pooler: 'none' | 'pgbouncer';
}

export function createSession(login: Login, connection: DatabaseConnection, clock: Clock): Session {
  const { client, transport, facts } = login;
  let lost: Finding | undefined;
  let status: 'I' | 'T' | 'E' = 'I';
  let ready: (() => void) | undefined;
  const roundTrips = 0;
  let gone = (): void => undefined;
  const whenGone = new Promise<void>((resolve) => {
    gone = resolve;
  });

  client.connection.on('readyForQuery', (message: { status: 'I' | 'T' | 'E' }) => {
    status = message.status;
    ready?.();
  });
  client.on('error', (error) => lose(findingOf(error, connection.user)));
  client.on('end', () => lose({ reason: 'refused', found: 'the server ended the connection' }));

  function lose(finding: Finding): void {
    ready?.();
    if (lost !== undefined) return;
    lost = finding;
    transport.socket.destroy();
    gone();
  }

  function abandon(): void {
    if (lost !== undefined) return;
    lost = { reason: 'timeout', found: 'an earlier question was given up' };
    ready?.();
    transport.socket.pause(); // whatever still arrives is for nobody
    // A pooler forgets the key of a client that has left, so there the socket goes after the cancel request.
    if (facts.pooler === 'none') transport.socket.destroy();
    void cancelRunning(login, connection, clock, cancelMs).finally(() => {
      transport.socket.destroy();
      gone();
    });
  }

  /** Runs `work` within the limits. What it throws becomes a finding; what it was when it hangs, too. */
  async function statement<T>(sql: string, limits: Limits, work: () => Promise<T>): Promise<Result<T>> {
    if (lost !== undefined) return found(lost);
    if (limits.signal.aborted)
      return found({ reason: 'timeout', found: 'its time was up before it was asked' });
    const started = clock.monotonic();
    const bounds = limit(clock, limits.statementTimeoutMs + graceMs, limits.signal);
    const isReady = new Promise<void>((resolve) => {
      ready = resolve;
    });
    const gaveUp = new Promise<'gave up'>((resolve) => {
      bounds.signal.addEventListener('abort', () => resolve('gave up'), { once: true });
      if (bounds.signal.aborted) resolve('gave up');
    });
    const asked = (): Asked => ({
      sql,
      statementTimeoutMs: limits.statementTimeoutMs,
      elapsedMs: clock.monotonic() - started,
    });
    const outcome = work().then(
      (value) => succeeded(value),
      (error: unknown) => found(findingOf(error, connection.user, asked())),
    );
    try {
      const first = await Promise.race([outcome, gaveUp]);
      // pg reports an error before the server is ready for the next question; or it ends the connection.
      const settled = first === 'gave up' ? first : await Promise.race([isReady, gaveUp]);
      if (first !== 'gave up' && settled !== 'gave up') return first;
      abandon();
      return first === 'gave up' ? found(silence(bounds.timedOut(), asked())) : first;
    } finally {
      bounds.release();
      ready = undefined;
    }
  }

  return {
    facts,
    rows: (sql, limits) =>
      statement(sql, limits, async () => {
        // Several statements give an array of results, which pg's types do not know.
        const results = (await client.query<DatabaseRow>(sql)) as
          | pg.QueryResult<DatabaseRow>
          | pg.QueryResult<DatabaseRow>[];
        return (Array.isArray(results) ? results.at(-1) : results)?.rows ?? [];
      }),
    async copy(sql, limits, onChunk) {
      let thrown: { readonly error: unknown } | undefined;
      const result = await statement(sql, limits, async () => {
        for await (const chunk of client.query(copyTo(sql))) {
          try {
            await onChunk(chunk as Buffer);
          } catch (error) {
            thrown = { error };
            // The rest of the rows would have to be read to use the connection again.
            abandon();
            return;
          }
        }
      });
      if (thrown !== undefined) throw thrown.error;
      return result;
    },
    roundTrips: () => roundTrips,
    lost: () => lost,
    inTransaction: () => status !== 'I',
    abandon,
    async end() {
      if (lost !== undefined) return whenGone;
      const bounds = limit(clock, farewellMs);
      bounds.signal.addEventListener('abort', () => lose({ reason: 'refused', found: 'closed' }));
      client.end().catch(() => undefined);
      await whenGone;
      bounds.release();
    },
    gone: whenGone,
  };
}

function silence(timedOut: boolean, { elapsedMs, statementTimeoutMs }: Asked): Finding {
  return timedOut
    ? {
        reason: 'timeout',
        found: `no answer for ${inWords(elapsedMs)}, although the server should stop after ${inWords(statementTimeoutMs)}`,
        mend: 'the network, a pooler without a free server connection, or a server that hangs',
      }
    : { reason: 'timeout', found: `no answer before the deadline, ${inWords(elapsedMs)} after asking` };
}
