/** Helpers of the connection tests: opening a Database, deadlines, waiting for a condition. */
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

/** A Database with its own budget, and without delays between attempts to connect unless `random` adds them. */
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

/** A query's options; `ms` is the deadline. */
export const within = (ms: number, statementTimeoutMs = ms): QueryOptions => ({
  signal: AbortSignal.timeout(ms),
  statementTimeoutMs,
  purpose: 'the test',
});

export function valueIn<T>(result: QueryResult<T>): T {
  if (result.ok) return result.value;
  throw new Error(`${result.failure.reason}: ${result.failure.message}`);
}

export function failureIn(result: QueryResult<unknown>): Failure {
  if (result.ok) throw new Error(`no failure, but ${JSON.stringify(result.value)}`);
  return result.failure;
}

export async function until(condition: () => boolean | Promise<boolean>, withinMs = 5000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
