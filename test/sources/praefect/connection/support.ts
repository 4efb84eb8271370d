/** What the tests of this room share: opening a Database, deadlines, waiting for a condition. */
import type { DatabaseConnection } from '../../../../src/config/database-connection.ts';
import { systemClock } from '../../../../src/lib/clock.ts';
import { type Budget, createBudget } from '../../../../src/scheduler/budget.ts';
import type { Failure } from '../../../../src/scheduler/outcome.ts';
import {
  createDatabase,
  type DatabaseOptions,
} from '../../../../src/sources/praefect/connection/create-database.ts';
import type { Database, QueryOptions, QueryResult } from '../../../../src/sources/praefect/database.ts';

export type Opened = Database & { readonly budget: Budget };

/** A Database with a budget of its own, without waits between attempts to connect unless `random` says so. */
export function open(connection: DatabaseConnection, options: Partial<DatabaseOptions> = {}): Opened {
  const budget = createBudget(1, systemClock);
  const database = createDatabase({
    connection,
    clock: systemClock,
    budget,
    random: () => 0,
    ...options,
  });
  return { ...database, budget };
}

/** A question's options; `ms` is the deadline. */
export const within = (ms: number, statementTimeoutMs = ms): QueryOptions => ({
  signal: AbortSignal.timeout(ms),
  statementTimeoutMs,
  purpose: 'the test',
});

export function valueIn<T>(answer: QueryResult<T>): T {
  if (answer.ok) return answer.value;
  throw new Error(`${answer.failure.reason}: ${answer.failure.message}`);
}

export function failureIn(answer: QueryResult<unknown>): Failure {
  if (answer.ok) throw new Error(`no failure, but ${JSON.stringify(answer.value)}`);
  return answer.failure;
}

export async function until(condition: () => boolean | Promise<boolean>, withinMs = 5000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
