/**
 * The transactions of the exporter, in SQL that PostgreSQL 11 to 18 and PgBouncer in transaction mode accept.
 *
 * Everything is SET LOCAL: behind a pooler Praefect uses the same server session, so nothing may outlive the
 * transaction, and nothing that others left in the session may count.
 */
import { unlessAborted } from '../../../lib/abort.ts';
import { type DatabaseRow, type QueryOptions, type ReadTransaction, UnacceptableRows } from '../database.ts';
import { type DatabaseFault, type DatabaseResult, faulty, succeeded } from './fault.ts';
import type { ReadChunk, Session } from './session.ts';

/** QueryOptions with their purpose. */
type StatementOptions = QueryOptions & { readonly purpose: string };

/** A longer wait for a lock means a migration or VACUUM FULL: the next run tries again. */
const lockTimeoutMs = 1000;
/** Between two statements the exporter only processes rows; a process that hangs must not hold a snapshot. */
const idleTimeoutMs = 10_000;

const settings = (statementTimeoutMs: number): readonly string[] => [
  `statement_timeout = ${milliseconds(statementTimeoutMs)}`,
  `lock_timeout = ${Math.min(lockTimeoutMs, statementTimeoutMs)}`,
  `idle_in_transaction_session_timeout = ${idleTimeoutMs}`,
  // At most one process of the server, and no compilation of plans that run once.
  'max_parallel_workers_per_gather = 0',
  'jit = off',
  // Nothing of another schema can be called by accident: ../sql.ts has the reasons.
  'search_path = pg_catalog',
  // A policy of row-level security is a function of the table's owner: fail instead of calling it.
  'row_security = off',
  // Text that does not depend on the server's settings; 3 gives floats that read back exactly, on 11 too.
  "TimeZone = 'UTC'",
  "DateStyle = 'ISO, YMD'",
  'extra_float_digits = 3',
];

const setLocal = (statementTimeoutMs: number): string =>
  settings(statementTimeoutMs)
    .map((setting) => `SET LOCAL ${setting};`)
    .join(' ');

/** Shows in pg_stat_activity and in the server's log what a query is for. */
const comment = (purpose: string): string => `/* gitaly-exporter: ${purpose.replace(/[^\w ,.'-]/g, '')} */`;

/**
 * A statement with its transaction as one message. No BEGIN: a message of several statements is a transaction of its
 * own (PostgreSQL documentation, 54.2.2.1) that always ends with the message. An explicit one would stay open after
 * an error until a ROLLBACK, which costs a round trip and may not arrive.
 */
export const singleStatement = (sql: string, { purpose, statementTimeoutMs }: StatementOptions): string =>
  `${comment(purpose)} SET TRANSACTION READ ONLY; ${setLocal(statementTimeoutMs)} ${sql}`;

const beginStatement = ({ purpose, statementTimeoutMs }: StatementOptions): string =>
  `${comment(purpose)} BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${setLocal(statementTimeoutMs)}`;

function milliseconds(value: number): number {
  if (Number.isSafeInteger(value) && value > 0 && value < 2 ** 31) return value;
  throw new RangeError(`statement_timeout must be a whole number of milliseconds over 0, not ${value}`);
}

/** Carries a fault through the body of a transaction, which need not know of it. */
class StatementFailed extends Error {
  readonly fault: DatabaseFault;
  constructor(fault: DatabaseFault) {
    super(fault.found);
    this.fault = fault;
  }
}

/**
 * Runs the body between BEGIN and COMMIT. The first statement that fails decides the result, even if the body goes on.
 * Rejects with what the body throws of its own, except for UnacceptableRows.
 */
export async function runTransaction<T>(
  session: Session,
  options: StatementOptions,
  body: (transaction: ReadTransaction) => Promise<T>,
): Promise<DatabaseResult<T>> {
  let failed: DatabaseFault | undefined;
  let isRunning = false;
  let isOver = false;

  async function runStatement(sql: string, onChunk?: ReadChunk): Promise<readonly DatabaseRow[]> {
    if (failed !== undefined) throw new StatementFailed(failed);
    if (isRunning || isOver)
      throw new Error('a transaction runs one statement at a time, and none after its end');
    isRunning = true;
    try {
      const result = await session.send(sql, options, onChunk);
      if (result.ok) return result.value;
      failed ??= result.fault;
      throw new StatementFailed(result.fault);
    } finally {
      isRunning = false;
    }
  }

  const transaction: ReadTransaction = {
    rows: runStatement,
    async copy(sql, onChunk) {
      await runStatement(`COPY (${sql}) TO STDOUT (FORMAT binary)`, onChunk);
    },
  };

  const begun = await session.send(beginStatement(options), options);
  if (!begun.ok) {
    await rollBack(session, options);
    return begun;
  }
  try {
    const ended = await unlessAborted(
      body(transaction).then((value) => ({ value })),
      options.signal,
    );
    if (failed !== undefined) throw new StatementFailed(failed);
    if (ended === undefined)
      throw new StatementFailed({
        reason: 'timeout',
        found: 'the deadline passed in the middle of the transaction',
      });
    isOver = true;
    const committed = await session.send('COMMIT', options);
    return committed.ok ? succeeded(ended.value) : committed;
  } catch (error) {
    isOver = true;
    if (isRunning) session.abandon();
    else await rollBack(session, options);
    if (failed !== undefined) return faulty(failed);
    if (error instanceof StatementFailed) return faulty(error.fault);
    if (error instanceof UnacceptableRows) return faulty({ reason: error.reason, found: error.message });
    throw error;
  }
}

async function rollBack(session: Session, options: QueryOptions): Promise<void> {
  if (session.lost() !== undefined) return;
  // Without time left only a new connection is certain to be clean.
  if (options.signal.aborted) return session.abandon();
  const rolledBack = await session.send('ROLLBACK', options);
  if (!rolledBack.ok || session.isInTransaction()) session.abandon();
}
