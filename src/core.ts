/** What the settings ask for, running: sources, collectors and the runner. A reload replaces it whole. */
import type { PraefectSources } from './config/praefect/sources.ts';
import type { Settings } from './config/sections/index.ts';
import type { EventLog } from './events/log.ts';
import { eventFamilies } from './events/metrics.ts';
import { prepare } from './metrics/exposition.ts';
import type { Block } from './metrics/samples.ts';
import { createDatabase } from './praefect/connection/create-database.ts';
import { createPraefectRoom, praefectCollectorNames } from './praefect/room.ts';
import { type Problem, praefectProblems } from './problems/praefect.ts';
import { readingOf } from './problems/reading.ts';
import { createBudget } from './runtime/budget.ts';
import type { Clock } from './runtime/clock.ts';
import type { Log } from './runtime/log.ts';
import { createRunner, type Runner } from './runtime/runner.ts';
import type { ExtraFamilies } from './runtime/self-block.ts';
import { type BuildInfo, databaseTimeFamilies } from './runtime/self-metrics.ts';

export interface CoreOptions {
  readonly settings: Settings;
  readonly sources: PraefectSources;
  readonly build: BuildInfo;
  readonly clock: Clock;
  readonly log: Log;
  readonly events: EventLog;
  /** Families of the server and of the reload, for the exporter's own block. */
  readonly extraFamilies: readonly ExtraFamilies[];
}

export interface Core {
  readonly runner: Runner;
  /** What it watches, in a few words without secrets. */
  readonly target: string;
  /** What the blocks of a scrape say is wrong. */
  problems(blocks: readonly Block[]): readonly Problem[];
  stop(): Promise<void>;
}

export function createCore(options: CoreOptions): Core {
  const { settings, sources, clock, log, events } = options;
  const common = {
    build: options.build,
    clock,
    log,
    prepare,
    maxSeriesPerCollector: settings.metrics.maxSeries,
  };
  const extraFamilies = [...options.extraFamilies, () => eventFamilies(events)];
  if (sources.database === undefined) {
    const runner = createRunner({
      ...common,
      collectors: [],
      disabled: praefectCollectorNames,
      extraFamilies,
    });
    return { runner, target: sources.databaseText, problems: () => [], stop: () => runner.stop() };
  }

  const { database: name, host, port } = sources.database;
  const { database: limits, stuckAfter } = settings.praefect;
  const budget = createBudget(limits.timeShare, clock);
  const database = createDatabase({ connection: sources.database, clock, budget, log });
  const room = createPraefectRoom({
    database,
    budget,
    clock,
    events,
    configuredStorages:
      sources.configuredStorages &&
      new Map(sources.configuredStorages.map(({ name, storages }) => [name, storages])),
    lookIntervalMs: limits.lookInterval,
    lookMaxAgeMs: limits.lookMaxAge,
    healthIntervalMs: limits.healthInterval,
    statementTimeoutMs: limits.statementTimeout,
    stuckAfterMs: stuckAfter,
    verificationIntervalSeconds: sources.config?.verificationIntervalSeconds,
  });
  const runner = createRunner({
    ...common,
    collectors: room.collectors,
    extraFamilies: [...extraFamilies, () => databaseTimeFamilies(budget)],
  });
  return {
    runner,
    target: `Praefect's database ${name} at ${host}:${port}`,
    problems: (blocks) =>
      praefectProblems({ reading: readingOf(blocks), health: room.health(), now: clock.now() / 1000 }),
    async stop() {
      await runner.stop();
      await database.close();
    },
  };
}
