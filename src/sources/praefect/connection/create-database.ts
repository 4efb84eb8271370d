/**
 * Praefect's database: one connection, one query at a time, each in a read-only transaction that is limited on both
 * sides and charged to the time budget.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import { createDeadline, unlessAborted } from '../../../lib/abort.ts';
import type { Clock } from '../../../lib/clock.ts';
import { type Log, silentLog } from '../../../lib/log.ts';
import { createSerialQueue } from '../../../lib/serial-queue.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { ConnectionFacts, Database, QueryOptions, QueryResult } from '../database.ts';
import { connect, createOutage } from './connect.ts';
import { addressText, databaseFailure } from './failures.ts';
import { type DatabaseFault, type DatabaseResult, faulty, succeeded } from './fault.ts';
import type { Session } from './session.ts';
import { runTransaction, singleStatement } from './transaction.ts';

export interface DatabaseOptions {
  readonly connection: DatabaseConnection;
  readonly clock: Clock;
  /**
   * Charged the time of every statement, failed ones included, less the network's round trips and those without a
   * response, which do not load the database. Waiting in the queue and connecting are free.
   */
  readonly budget: Budget;
  readonly log?: Log;
  /** Shown in pg_stat_activity. Default `gitaly-exporter`. */
  readonly applicationName?: string;
  /** For the jitter between attempts to connect; default Math.random. */
  readonly random?: () => number;
}

/** Connects with the first query, and again with the next one after the connection was lost. */
export function createDatabase({
  connection,
  clock,
  budget,
  log = silentLog,
  applicationName = 'gitaly-exporter',
  random = Math.random,
}: DatabaseOptions): Database {
  const queue = createSerialQueue();
  const outage = createOutage(clock, random);
  const closing = new AbortController();
  let session: Session | undefined;
  let facts: ConnectionFacts | undefined;
  let roundTripMs = 0;

  /** The open session, or a new one. */
  async function connected(signal: AbortSignal): Promise<DatabaseResult<Session>> {
    if (session !== undefined) {
      // The end of an idle connection may lie unread in the socket: two turns of the event loop include one poll.
      await nextTurn();
      await nextTurn();
      if (session.lost() === undefined) return succeeded(session);
      // At most one connection: the old one must have ended, which takes a second at most.
      if (
        !(await unlessAborted(
          session.closed.then(() => true),
          signal,
        ))
      )
        return faulty(queueTimeout);
      session = undefined;
    }
    const blocked = outage.blocked();
    if (blocked !== undefined) return faulty(blocked);
    const result = await connect(connection, applicationName, clock, signal);
    if (!result.ok) {
      outage.attemptFailed(result.fault);
      return result;
    }
    session = result.value;
    facts = session.facts;
    roundTripMs = await fastestRoundTripMs(session, clock, signal);
    const downMs = outage.end();
    log.info(
      {
        address: addressText(connection),
        encrypted: facts.encrypted,
        server_version: facts.serverVersion,
        pooler: facts.pooler,
        ...(downMs !== undefined && { unreachable_seconds: Math.round(downMs / 1000) }),
      },
      "connected to Praefect's database",
    );
    return result;
  }

  /** Waits for the queue and connects. The caller ends its turn, which charges the budget and admits the next one. */
  async function takeTurn(given: QueryOptions) {
    const { purpose = "Praefect's database" } = given;
    // Not AbortSignal.any: what depends on a signal that lives as long as the program is never collected.
    const deadline = createDeadline(clock, undefined, given.signal, closing.signal);
    const { signal } = deadline;
    const leave = await queue.enter(signal);
    const live =
      leave === undefined
        ? faulty(closing.signal.aborted ? shuttingDown : queueTimeout)
        : await connected(signal);
    const couldConnect = live.ok || leave === undefined;
    const started = clock.monotonic();
    const before = live.ok ? { roundTrips: live.value.roundTrips(), busyMs: live.value.busyMs() } : undefined;
    const elapsedMs = (): number => clock.monotonic() - started;
    return {
      live,
      options: { ...given, purpose, signal },
      result: <T>(result: DatabaseResult<T>): QueryResult<T> =>
        result.ok
          ? { ok: true, value: result.value, elapsedMs: elapsedMs() }
          : {
              ok: false,
              // What the query reads says nothing about a failed login.
              failure: databaseFailure(
                result.fault,
                connection,
                couldConnect ? purpose : "Praefect's database",
              ),
            },
      end(): void {
        if (live.ok && before !== undefined) {
          const networkMs = (live.value.roundTrips() - before.roundTrips) * roundTripMs;
          budget.charge(Math.max(0, live.value.busyMs() - before.busyMs - networkMs));
        }
        deadline.release();
        leave?.();
      },
    };
  }

  return {
    async query(sql, given) {
      const { live, options, result, end } = await takeTurn(given);
      try {
        if (!live.ok) return result(live);
        const rows = await live.value.send(singleStatement(sql, options), options);
        if (!live.value.isInTransaction()) return result(rows);
        live.value.abandon();
        return result(rows.ok ? faulty(openTransaction) : rows);
      } finally {
        end();
      }
    },
    async transaction(given, body) {
      const { live, options, result, end } = await takeTurn(given);
      try {
        return result(live.ok ? await runTransaction(live.value, options, body) : live);
      } finally {
        end();
      }
    },
    connection: () => facts,
    async close() {
      closing.abort();
      // What runs gives up; this waits for its end.
      const leave = await queue.enter();
      await session?.end();
      await session?.closed;
      leave?.();
    },
  };
}

/**
 * The shortest time that an empty message takes there and back, in milliseconds: nearly all of it is the network.
 * Without this a round trip of 20 ms alone would exceed the budget of 1% with one query a second.
 */
async function fastestRoundTripMs(session: Session, clock: Clock, signal: AbortSignal): Promise<number> {
  let fastest = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < 3; attempt++) {
    const started = clock.monotonic();
    const result = await session.send('', { signal, statementTimeoutMs: 1000 });
    if (!result.ok) return 0;
    fastest = Math.min(fastest, clock.monotonic() - started);
  }
  return fastest;
}

const queueTimeout: DatabaseFault = {
  reason: 'timeout',
  found: 'the deadline passed while it waited for earlier queries to finish',
};
const shuttingDown: DatabaseFault = { reason: 'internal', found: 'the exporter is shutting down' };
const openTransaction: DatabaseFault = { reason: 'internal', found: 'the query left a transaction open' };
