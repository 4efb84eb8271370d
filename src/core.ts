/** What the settings ask for, running: sources, collectors and the runner. A reload replaces it whole. */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { PraefectSources } from './config/praefect/sources.ts';
import type { Settings } from './config/sections/index.ts';
import type { EventLog } from './events/log.ts';
import { eventFamilies } from './events/metrics.ts';
import { gitalyRoomFromSettings } from './gitaly/from-settings.ts';
import { systemResolve } from './gitaly/http/resolve.ts';
import { createNativeAnswers, nativeCollectorNames } from './gitaly/native-answers.ts';
import { gitalyCollectorNames } from './gitaly/room.ts';
import { prepare } from './metrics/exposition.ts';
import type { Block } from './metrics/samples.ts';
import { createDatabase } from './praefect/connection/create-database.ts';
import { repositoriesUnavailable } from './praefect/mirror/metrics.ts';
import { createPraefectRoom, praefectCollectorNames } from './praefect/room.ts';
import { gitalyProblems } from './problems/gitaly.ts';
import { nativeProblems } from './problems/native.ts';
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
  const praefect = praefectPart(options);
  const gitaly = gitalyRoomFromSettings({
    settings: { gitaly: settings.gitaly, praefectTargets: settings.praefect.target },
    clock,
    events,
    hostName: hostname(),
    resolve: systemResolve,
    readText: (file) => readFile(file, 'utf8'),
  });
  const { scrape } = settings.gitaly;
  const native = createNativeAnswers({
    targets: settings.praefect.dbMetricsTarget,
    intervalMs: settings.praefect.dbMetricsInterval,
    access: { tls: scrape.tls, credentialsFile: scrape.credentialsFile },
    maxBytes: scrape.maxBytes,
    maxSamples: scrape.maxSeries,
    clock,
    hostName: hostname(),
    resolve: systemResolve,
    readText: (file) => readFile(file, 'utf8'),
    ours: () =>
      new Map(
        readingOf(runner.snapshots())
          .series(repositoriesUnavailable)
          .map(({ labels, value }) => [labels.virtual_storage, value]),
      ),
  });
  const runner = createRunner({
    build: options.build,
    clock,
    log,
    prepare,
    maxSeriesPerCollector: settings.metrics.maxSeries,
    collectors: [
      ...(gitaly?.collectors ?? []),
      ...(praefect?.room.collectors ?? []),
      ...(native?.collectors ?? []),
    ],
    disabled: [
      ...(praefect === undefined ? praefectCollectorNames : []),
      ...(gitaly === undefined ? gitalyCollectorNames : []),
      ...(native === undefined ? nativeCollectorNames : []),
    ],
    extraFamilies: [
      ...options.extraFamilies,
      () => eventFamilies(events),
      ...(praefect === undefined ? [] : [() => databaseTimeFamilies(praefect.budget)]),
    ],
  });
  return {
    runner,
    target: targetText(sources, gitaly !== undefined),
    problems(blocks) {
      const reading = readingOf(blocks);
      return [
        ...(praefect === undefined
          ? []
          : praefectProblems({ reading, health: praefect.room.health(), now: clock.now() / 1000 })),
        ...(gitaly === undefined ? [] : gitalyProblems({ reading, view: gitaly.view() })),
        ...(native === undefined ? [] : nativeProblems({ reading, differences: native.differences() })),
      ];
    },
    async stop() {
      await runner.stop();
      await praefect?.database.close();
    },
  };
}

/** Praefect's database and all that reads it; undefined where no database is configured. */
function praefectPart({ settings, sources, clock, log, events }: CoreOptions) {
  if (sources.database === undefined) return undefined;
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
  return { budget, database, room };
}

function targetText({ database, databaseText }: PraefectSources, gitaly: boolean): string {
  if (database === undefined) return gitaly ? `Gitaly's own metrics. ${databaseText}` : databaseText;
  const place = `Praefect's database ${database.database} at ${database.host}:${database.port}`;
  return gitaly ? `${place}, and Gitaly's own metrics` : place;
}
