/** Praefect's source for tests, with short intervals and no configuration of Praefect. */
import { createBudget } from '../../src/scheduler/budget.ts';
import { createEventLog } from '../../src/scheduler/event-log.ts';
import {
  createPraefectSource,
  type PraefectSource,
  type PraefectSourceOptions,
} from '../../src/sources/praefect/source.ts';

export function praefectSource(
  options: Pick<PraefectSourceOptions, 'database' | 'clock'> & Partial<PraefectSourceOptions>,
): PraefectSource {
  const { clock } = options;
  return createPraefectSource({
    budget: createBudget(1, clock),
    events: createEventLog(clock),
    configuredStorages: undefined,
    refreshIntervalMs: 1000,
    maxStalenessMs: 60_000,
    healthIntervalMs: 1000,
    statementTimeoutMs: 10_000,
    stuckThresholdMs: 900_000,
    ...options,
  });
}
