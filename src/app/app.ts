/** The exporter without its HTTP server: collectors, problems and status. A reload replaces the collectors. */
import { type BucketLookup, createBucketLookup } from '../buckets/lookup.ts';
import type { ResolvedPraefect } from '../config/praefect/resolve.ts';
import { type Block, type Family, single } from '../metrics/samples.ts';
import { type ChecksCollector, checksCollectorName } from '../rules/checks/collector.ts';
import { checksView } from '../rules/checks/view.ts';
import { judgmentOf } from '../rules/judgment.ts';
import { createProblemTracker, type TrackedProblem } from '../rules/problems/tracker.ts';
import { createEventLog } from '../scheduler/event-log.ts';
import type { Scrape } from '../scheduler/runner.ts';
import type { ExtraFamilies } from '../scheduler/self-metrics.ts';
import { exporterTime, reloadSuccess, reloadTime } from '../scheduler/self-metrics.ts';
import { maintenanceCollectorNames } from '../sources/maintenance/source.ts';
import { type Collection, createCollection } from './collectors.ts';
import { type Configuration, excludedBySettings, type HostContext, type Sources } from './sources.ts';
import { collectorView, memoryView, podsView, problemView } from './status.ts';
import type { DemoView, StatusView } from './status-view.ts';

export interface AppOptions extends Configuration {
  readonly host: HostContext;
  /** Of the package. */
  readonly version: string;
  /** For the exporter's own block. */
  readonly extraFamilies: readonly ExtraFamilies[];
  readonly demo?: (() => DemoView) | undefined;
}

export interface App {
  /** Starts collecting. Once. */
  start(): void;
  /** The blocks of a scrape. */
  blocks(scrape: Scrape): Promise<readonly Block[]>;
  status(): StatusView;
  /** Whether every collector has completed a run. */
  isReady(): boolean;
  /** Whether there is anything to monitor. */
  isConfigured(): boolean;
  /** Undefined where no checks are run. */
  checks(): ChecksCollector | undefined;
  readonly buckets: BucketLookup;
  /** Replaces the configuration; resolves when the previous collectors have stopped. */
  replace(configuration: Configuration): Promise<void>;
  /** Records a configuration that could not be loaded. */
  reloadFailed(): void;
  /** Ends collectors and connections. */
  stop(): Promise<void>;
}

/** They have data whether or not there is anything to monitor. */
const ownCollectors: readonly string[] = [...maintenanceCollectorNames, checksCollectorName];

const problemIntervalMs = 2000;
/** Collectors that run at scrapes are read after this long without one. Prometheus' default interval is a minute. */
const idleAfterMs = 15_000;

export function createApp(options: AppOptions): App {
  const { host, version } = options;
  const { clock } = host;
  const startedAt = clock.now();
  const events = createEventLog(clock);
  const tracker = createProblemTracker(() => judgment, host.log);
  const stopping = new AbortController();
  const reload = { isSuccess: true, at: startedAt };
  const reloadFamilies = (): readonly Family[] => [
    single(exporterTime, clock.now() / 1000),
    single(reloadSuccess, reload.isSuccess ? 1 : 0),
    single(reloadTime, reload.at / 1000),
  ];
  let configuration: Configuration = options;
  let judgment = judgmentOf(options.settings);
  let collection = createFor(options);

  function createFor({ praefect, settings }: Configuration, previous?: Collection): Collection {
    return createCollection({
      settings,
      praefect,
      host,
      events,
      thresholds: judgment.thresholds,
      version,
      extraFamilies: [...options.extraFamilies, reloadFamilies],
      previous,
    });
  }

  function isConfigured(): boolean {
    const { cgroupFacts, configs, kubernetes, targets } = collection.sources;
    const others = [cgroupFacts, kubernetes, ...targets, ...configs];
    return configuration.praefect.database !== undefined || others.some((source) => source !== undefined);
  }

  const problems = (): readonly TrackedProblem[] => tracker.update(collection.views(), clock.now() / 1000);

  /** So that problems are dated by their start, not by the first visit of the page. */
  async function trackProblems(): Promise<void> {
    while (!stopping.signal.aborted) {
      // Without a Prometheus no scrape reads cgroups, and the page would show values of its start.
      collection.runner.readIdle(idleAfterMs);
      problems();
      await clock.sleep(problemIntervalMs, stopping.signal);
    }
  }

  return {
    start() {
      collection.runner.start();
      void trackProblems();
    },
    blocks: (scrape) => collection.runner.blocks(scrape),
    status() {
      const { cgroup, gitaly, kubernetes, maintenance } = collection.views();
      const { praefect, settings } = configuration;
      const excluded = [...excludedBySettings(settings), ...(gitaly?.excluded ?? [])];
      const { maxTimeRatio } = settings.praefect.database;
      const collectors = collection.runner.status();
      const ofSources = collectors.filter(({ name }) => !ownCollectors.includes(name));
      return {
        program: { name: 'gitaly-exporter', version },
        target: targetText(praefect, collection.sources),
        startedAt,
        isUnconfigured: !isConfigured(),
        problems: problems().map(problemView),
        isIdle: ofSources.length > 0 && ofSources.every(({ state }) => state === 'empty'),
        collectors: collectors.map((status) => collectorView(status, maxTimeRatio)),
        pods: kubernetes && podsView(kubernetes, excluded),
        memory: cgroup && memoryView(cgroup),
        maintenanceWindows: maintenance?.open ?? [],
        checks: collection.checks && checksView(collection.checks.latest(), clock.now()),
        events: events.recent(50),
        links: [{ text: 'Runbooks', href: 'runbooks/' }],
        demo: options.demo?.(),
      };
    },
    isReady: () => collection.runner.ready(),
    isConfigured,
    checks: () => collection.checks,
    buckets: createBucketLookup(
      () => ({
        connection: configuration.praefect.database,
        statementTimeoutMs: configuration.settings.praefect.database.statementTimeout,
        configs: collection.sources.configs,
        configuredStorages: configuration.praefect.configuredStorages?.flatMap(({ storages }) => storages),
      }),
      clock,
    ),
    // The new collectors start before the previous ones stop, so that every scrape has data.
    async replace(next) {
      const previous = collection;
      configuration = next;
      judgment = judgmentOf(next.settings);
      collection = createFor(next, previous);
      collection.runner.start();
      reload.isSuccess = true;
      reload.at = clock.now();
      await previous.stop(collection);
    },
    reloadFailed() {
      reload.isSuccess = false;
    },
    async stop() {
      stopping.abort();
      await collection.stop();
    },
  };
}

/** What is monitored, in a few words without secrets. */
function targetText({ database, databaseText }: ResolvedPraefect, sources: Sources): string {
  const others = [
    ...(sources.targets.length + sources.configs.length > 0 ? ["Gitaly's own metrics"] : []),
    ...(sources.cgroupFacts === undefined ? [] : ["Gitaly's cgroups on this host"]),
    ...(sources.kubernetes === undefined ? [] : ['Gitaly pods on Kubernetes']),
  ];
  if (database === undefined)
    return others.length === 0 ? databaseText : `${others.join(', ')}. ${databaseText}`;
  const place = `Praefect's database ${database.database} at ${database.host}:${database.port}`;
  return [place, ...others].join(', ');
}
