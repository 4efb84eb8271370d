/**
 * Praefect's database as the rest of the room sees it: one connection, one question at a time, each in a
 * read-only transaction that is bounded on both sides and paid from the budget.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import type { Clock } from '../../../lib/clock.ts';
import { type Log, silentLog } from '../../../lib/log.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { Database, QueryOptions, QueryResult } from '../database.ts';
import { createBackoff } from './backoff.ts';
import { connect } from './connect.ts';
import { failureOf, placeOf } from './failures.ts';
import { type Finding, found, inWords, type Result, succeeded } from './finding.ts';
import { limit } from './limit.ts';
import { lookAt } from './look.ts';
import { createQueue } from './queue.ts';
import type { Facts, Session } from './session.ts';
import { questionAlone } from './transaction.ts';

export interface DatabaseOptions {
  readonly connection: DatabaseConnection;
  readonly clock: Clock;
  /**
   * Pays the wall time of every question, failed ones too, less what the network takes for its messages: that is
   * not the database's time. Neither is the wait in our queue, nor connecting.
   */
  readonly budget: Budget;
  readonly log?: Log;
  /** Seen in pg_stat_activity. Default `gitaly-exporter`. */
  readonly applicationName?: string;
  /** For the backoff's jitter; default Math.random. */
  readonly random?: () => number;
}

/** Connects at the first question, and again at the next one after a loss. */
export function createDatabase({
  connection,
  clock,
  budget,
  log = silentLog,
  applicationName = 'gitaly-exporter',
  random = Math.random,
}: DatabaseOptions): Database {
  const queue = createQueue();
  const backoff = createBackoff(clock, random);
  const closing = new AbortController();
  const place = placeOf(connection);
  let session: Session | undefined;
  let roundTripMs = 0;
  let facts: Facts | undefined;

  /** The live session, or a new one. */
  async function connected(signal: AbortSignal): Promise<Result<Session>> {
    if (session !== undefined) {
      // The end of an idle connection may lie in the socket, unread: two turns let one poll pass for certain.
      await nextTurn();
      await nextTurn();
      const lost = session.lost();
      if (lost === undefined) return succeeded(session);
      // One connection: not before the old one has ended, which takes a second at most.
      if (!(await endsBefore(signal, session.gone))) return found(noTurn);
      session = undefined;
    }
    const wait = backoff.reason();
    if (wait !== undefined) return found(wait);
    const result = await connect(connection, applicationName, clock, signal);
    if (!result.ok) {
      backoff.failed(result.finding);
      return result;
    }
    session = result.value;
    roundTripMs = await fastestRoundTripMs(session, clock, signal);
    facts = session.facts;
    const away = backoff.succeeded();
    log.info(
      { ...facts },
      `connected to Praefect's database at ${place}${away === undefined ? '' : `, after ${inWords(away)}`}`,
    );
    return result;
  }

  /** One turn in the queue: connects, asks, pays. */
  async function turn<T>(
    options: QueryOptions,
    ask: (session: Session, options: Required<QueryOptions>) => Promise<Result<T>>,
  ): Promise<QueryResult<T>> {
    const purpose = options.purpose ?? "Praefect's database";
    // Not AbortSignal.any: what hangs on a signal that lives as long as the program is never collected.
    const bounds = limit(clock, undefined, options.signal, closing.signal);
    const { signal } = bounds;
    const answer = (result: Result<T>, elapsedMs: number): QueryResult<T> =>
      result.ok
        ? { ok: true, value: result.value, elapsedMs }
        : {
            ok: false,
            failure: failureOf(result.finding, connection, purpose),
          };
    const leave = await queue.enter(signal);
    if (leave === undefined) {
      bounds.release();
      return answer(found(closing.signal.aborted ? closed : noTurn), 0);
    }
    try {
      const live = await connected(signal);
      if (!live.ok) return answer(live, 0);
      const started = clock.monotonic();
      const elapsed = (): number => clock.monotonic() - started;
      const before = live.value.roundTrips();
      try {
        return answer(await ask(live.value, { ...options, purpose, signal }), elapsed());
      } finally {
        const network = (live.value.roundTrips() - before) * roundTripMs;
        budget.charge(Math.max(0, elapsed() - network));
      }
    } finally {
      bounds.release();
      leave();
    }
  }

  return {
    query: (sql, options) =>
      turn(options, async (live, limits) => {
        const text = questionAlone(sql, limits.purpose, limits.statementTimeoutMs);
        const rows = await live.rows(text, limits);
        if (!live.inTransaction()) return rows;
        live.abandon();
        return rows.ok ? found({ reason: 'internal', found: 'a question left its transaction open' }) : rows;
      }),
    transaction: (options, body) => turn(options, (live, limits) => lookAt(live, limits, body)),
    connection: () => facts,
    async close() {
      closing.abort();
      // Whatever runs gives up at once; this waits for its end.
      const leave = await queue.enter(new AbortController().signal);
      await session?.end();
      await session?.gone;
      leave?.();
    },
  };
}

/** How long the shortest of a few empty messages takes there and back: nearly all of it is the network. */
async function fastestRoundTripMs(session: Session, clock: Clock, signal: AbortSignal): Promise<number> {
  let fastest = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 3; attempt++) {
    const started = clock.monotonic();
    const answer = await session.rows('', { signal, statementTimeoutMs: 1000 });
    if (!answer.ok) return 0;
    fastest = Math.min(fastest, clock.monotonic() - started);
  }
  return fastest;
}

const noTurn: Finding = {
  reason: 'timeout',
  found: 'its time was up while it waited for its turn behind other questions',
};
const closed: Finding = { reason: 'internal', found: 'the exporter is stopping' };

/** False when the signal aborts first. */
async function endsBefore(signal: AbortSignal, work: Promise<void>): Promise<boolean> {
  let stop = (): void => undefined;
  const aborted = new Promise<false>((resolve) => {
    stop = () => resolve(false);
    signal.addEventListener('abort', stop, { once: true });
  });
  const ended = await Promise.race([work.then(() => true), aborted]);
  signal.removeEventListener('abort', stop);
  return ended;
}
