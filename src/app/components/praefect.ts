/** Praefect's database and all that reads it. */

import { praefectProblems } from '../../rules/problems/praefect.ts';
import { createBudget } from '../../scheduler/budget.ts';
import { databaseTimeFamilies } from '../../scheduler/self-metrics.ts';
import { createDatabase } from '../../sources/praefect/connection/create-database.ts';
import { createPraefectSource, praefectCollectorNames } from '../../sources/praefect/source.ts';
import { absentPart, type Part, type PartOptions } from './part.ts';

export function praefectPart({ settings, sources, clock, log, events }: PartOptions): Part {
  if (sources.database === undefined) return absentPart(praefectCollectorNames);
  const { database: limits, stuckThreshold } = settings.praefect;
  const budget = createBudget(limits.maxTimeRatio, clock);
  const database = createDatabase({ connection: sources.database, clock, budget, log });
  const room = createPraefectSource({
    database,
    budget,
    clock,
    events,
    configuredStorages:
      sources.configuredStorages &&
      new Map(sources.configuredStorages.map(({ name, storages }) => [name, storages])),
    refreshIntervalMs: limits.refreshInterval,
    maxStalenessMs: limits.maxStaleness,
    healthIntervalMs: limits.healthInterval,
    statementTimeoutMs: limits.statementTimeout,
    stuckThresholdMs: stuckThreshold,
    verificationIntervalSeconds: sources.config?.verificationIntervalSeconds,
  });
  return {
    collectors: room.collectors,
    disabled: [],
    families: [() => databaseTimeFamilies(budget)],
    problems: (reading) => praefectProblems({ reading, health: room.health(), now: clock.now() / 1000 }),
    stop: () => database.close(),
  };
}
