/**
 * The transactions around our questions, as SQL that PostgreSQL 11 to 18 and PgBouncer in transaction mode take.
 *
 * Everything is SET LOCAL: with a pooler in between, the server's session is shared with Praefect, so nothing may
 * outlive the transaction, and nothing may be believed of what others left in the session either.
 */

/** Waiting for a lock longer than this means a migration or VACUUM FULL: come back later. */
const lockTimeoutMs = 1000;
/** Between two statements of a look we only hand over rows; a process that hangs must not hold a snapshot. */
const idleTimeoutMs = 10_000;

const settings = (statementTimeoutMs: number): readonly string[] => [
  `statement_timeout = ${milliseconds(statementTimeoutMs)}`,
  `lock_timeout = ${Math.min(lockTimeoutMs, statementTimeoutMs)}`,
  `idle_in_transaction_session_timeout = ${idleTimeoutMs}`,
  // One process of the server's at most, and no compiling of plans that run once.
  'max_parallel_workers_per_gather = 0',
  'jit = off',
  // What the role or the database says, as for Praefect, and not what another client of the pool left behind.
  'search_path TO DEFAULT',
  // Text that does not depend on the server's settings; 3 gives floats that read back exactly, 11 included.
  "TimeZone = 'UTC'",
  "DateStyle = 'ISO, YMD'",
  'extra_float_digits = 3',
];

const setLocal = (statementTimeoutMs: number): string =>
  settings(statementTimeoutMs)
    .map((setting) => `SET LOCAL ${setting};`)
    .join(' ');

/** For whoever looks into pg_stat_activity or the server's log: who asks, and what for. */
const signed = (about: string): string => `/* gitaly-exporter: ${about.replace(/[^\w ,.'-]/g, '')} */`;

/**
 * One question with its transaction as one message. No BEGIN: a message of several statements is a transaction
 * of its own (PostgreSQL documentation, 54.2.2.1), and it ends with the message in every case. After an error
 * an explicit one would stay open until a ROLLBACK, one more round trip that may not arrive.
 */
export const questionAlone = (sql: string, about: string, statementTimeoutMs: number): string =>
  `${signed(about)} SET TRANSACTION READ ONLY; ${setLocal(statementTimeoutMs)} ${sql}`;

/** Opens a transaction whose statements all see one instant. */
export const beginLook = (about: string, statementTimeoutMs: number): string =>
  `${signed(about)} BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${setLocal(statementTimeoutMs)}`;

function milliseconds(value: number): number {
  if (Number.isSafeInteger(value) && value > 0 && value < 2 ** 31) return value;
  throw new RangeError(`a statement_timeout is a whole number of milliseconds over 0, not ${value}`);
}
