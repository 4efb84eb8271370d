/** The collectors of every source on one runner, and the typed views of what they read. A reload replaces them. */
import { prepare } from '../metrics/exposition.ts';
import {
  type ChecksCollector,
  checksCollectorName,
  createChecksCollector,
} from '../rules/checks/collector.ts';
import { checksOfRole } from '../rules/checks/evaluate.ts';
import { judgmentOf } from '../rules/judgment.ts';
import type { ProblemViews } from '../rules/problems/tracker.ts';
import { createBudget } from '../scheduler/budget.ts';
import type { Collector } from '../scheduler/collector.ts';
import { eventFamilies } from '../scheduler/event-log.ts';
import { createRunner, type Runner } from '../scheduler/runner.ts';
import type { ExtraFamilies } from '../scheduler/self-metrics.ts';
import { databaseTimeFamilies } from '../scheduler/self-metrics.ts';
import { createGitalyCollector, gitalyCollectorNames } from '../sources/gitaly/collector.ts';
import { createDropTracker } from '../sources/gitaly/drops.ts';
import { systemResolve } from '../sources/gitaly/resolve.ts';
import type { GitalyView } from '../sources/gitaly/view.ts';
import type { Identity } from '../sources/identity.ts';
import { createKubernetesWindows } from '../sources/kubernetes/maintenance.ts';
import {
  configuredWindows,
  createMaintenanceSource,
  maintenanceCollectorNames,
} from '../sources/maintenance/source.ts';
import { praefectCollectorNames } from '../sources/praefect/collector-names.ts';
import { createDatabase } from '../sources/praefect/connection/create-database.ts';
import { createPraefectSource } from '../sources/praefect/source.ts';
import { type PraefectView, praefectView } from '../sources/praefect/view.ts';
import { createStorageCollector, storageCollectorNames } from '../sources/storages/source.ts';
import { livePraefects, readCheckInputs } from './check-inputs.ts';
import {
  type CollectorContext,
  createWatched,
  disabledSource,
  type Kept,
  keep,
  type SourceCollectors,
  type Watched,
} from './kept-collectors.ts';
import { type Configuration, createSources, type KubernetesAccess, type Sources } from './sources.ts';

export interface CollectionOptions extends Configuration, CollectorContext {
  /** Of the package. */
  readonly version: string;
  /** Families of the server and of the reload, for the exporter's own block. */
  readonly extraFamilies: readonly ExtraFamilies[];
  /** The one that this one replaces at a reload. */
  readonly previous?: Collection | undefined;
}

export interface Collection {
  readonly runner: Runner;
  readonly sources: Sources;
  views(): ProblemViews;
  /** Undefined where no checks are run. */
  readonly checks: ChecksCollector | undefined;
  /** A successor may share it. */
  readonly kept: Kept<Watched>;
  /** Ends all but what the successor shares. */
  stop(successor?: Collection): Promise<void>;
}

export function createCollection(options: CollectionOptions): Collection {
  const { events, host, settings } = options;
  const watchedSettings = [settings.kubernetes, settings.cgroup, settings.gitaly];
  const kept = keep(options.previous?.kept, watchedSettings, () => createWatched(options));
  const { cgroup, kubernetes, podsFile } = kept.value;
  const { access } = kubernetes;
  const sources = createSources(settings, host, { kubernetes: access, podsFile });
  const gitaly = gitalyCollector(options, sources);
  const database = createPraefectCollectors(options);
  const maintenance = createMaintenance(options, access);
  const storages = createStorages(options, sources);

  const praefectNow = (): PraefectView => praefectView(database?.viewed, runner.latest);
  const checks = createChecks(options, sources, kubernetes.rotationSeconds, praefectNow);
  const ofSources: readonly SourceCollectors[] = [
    enabledOr(gitalyCollectorNames, gitaly && [gitaly]),
    database ?? disabledSource(praefectCollectorNames),
    enabledOr(storageCollectorNames, storages && [storages]),
    cgroup,
    kubernetes,
    enabledOr([checksCollectorName], checks && [checks.collector]),
    enabledOr(maintenanceCollectorNames, maintenance?.collectors),
  ];
  const runner = createRunner({
    version: options.version,
    clock: host.clock,
    log: host.log,
    prepare,
    maxSeriesPerCollector: settings.metrics.maxSeries,
    collectors: ofSources.flatMap(({ collectors }) => collectors),
    disabled: ofSources.flatMap(({ disabled }) => disabled),
    extraFamilies: [
      ...options.extraFamilies,
      () => eventFamilies(events),
      ...ofSources.flatMap(({ families }) => families),
    ],
  });
  return {
    runner,
    sources,
    views: () => ({
      praefect: praefectNow(),
      gitaly: gitaly && runner.latest(gitaly),
      cgroup: cgroup.view(),
      kubernetes: kubernetes.view(),
      maintenance: maintenance?.view(),
      storageServers: storages && runner.latest(storages),
      collectors: runner.status(),
    }),
    checks,
    kept,
    async stop(successor) {
      // What watches by itself stops immediately: what two of them see would be counted twice.
      await Promise.all([runner.stop(), successor?.kept === kept ? undefined : kept.value.stop()]);
      await database?.close();
    },
  };
}

const enabledOr = (
  names: readonly string[],
  collectors: readonly Collector[] | undefined,
): SourceCollectors =>
  collectors === undefined ? disabledSource(names) : { collectors, disabled: [], families: [] };

/** Undefined when there is nothing to read. */
function gitalyCollector(
  { events, host, settings, thresholds }: CollectionOptions,
  { configs, targets }: Sources,
): Collector<GitalyView> | undefined {
  if (targets.length === 0 && configs.length === 0) return undefined;
  const { scrape } = settings.gitaly;
  return createGitalyCollector({
    targets,
    configs,
    limits: { timeoutMs: scrape.timeout, maxBytes: scrape.maxBytes, maxSamples: scrape.maxSeries },
    intervalMs: scrape.interval,
    clock: host.clock,
    resolve: systemResolve,
    readText: host.readText,
    drops: createDropTracker(host.clock, events, thresholds.rateWindow.value * 1000),
  });
}

/** Undefined where no database is configured. */
function createPraefectCollectors({ events, host, praefect, settings }: CollectionOptions) {
  if (praefect.database === undefined) return undefined;
  const { clock, log } = host;
  const { database: limits, stuckThreshold } = settings.praefect;
  const budget = createBudget(limits.maxTimeRatio, clock);
  const database = createDatabase({ connection: praefect.database, clock, budget, log });
  const source = createPraefectSource({
    database,
    budget,
    clock,
    events,
    configuredStorages:
      praefect.configuredStorages &&
      new Map(praefect.configuredStorages.map(({ name, storages }) => [name, storages])),
    refreshIntervalMs: limits.refreshInterval,
    maxStalenessMs: limits.maxStaleness,
    healthIntervalMs: limits.healthInterval,
    statementTimeoutMs: limits.statementTimeout,
    stuckThresholdMs: stuckThreshold,
    replicationFactors: new Map(
      praefect.config?.virtualStorages
        .filter(({ defaultReplicationFactor }) => defaultReplicationFactor > 0)
        .map(({ defaultReplicationFactor, name }) => [name, defaultReplicationFactor]),
    ),
    verificationIntervalSeconds: praefect.config?.verificationIntervalSeconds,
  });
  return {
    collectors: source.collectors,
    disabled: [],
    families: [() => databaseTimeFamilies(budget)],
    viewed: source.viewed,
    close: () => database.close(),
  };
}

/** Undefined where neither an address nor a setting shows the Gitaly of a storage. */
function createStorages({ praefect, settings }: CollectionOptions, { targets }: Sources) {
  const configured = new Map(settings.praefect.storageServer?.map(({ name, value }) => [name, value]));
  const addresses = praefect.config?.virtualStorages ?? [];
  const nodes = (praefect.configuredStorages ?? addresses).flatMap(({ name, storages }) =>
    storages.map((storage) => ({
      virtualStorage: name,
      storage,
      address: addresses.find((each) => each.name === name)?.addresses.get(storage) ?? '',
    })),
  );
  const shown = nodes.filter(({ address, storage }) => address !== '' || configured.has(storage));
  if (shown.length === 0) return undefined;
  return createStorageCollector({
    nodes: shown,
    configured,
    async servers(signal) {
      const lists = await Promise.all(targets.map((source) => source.list(signal)));
      return lists
        .flatMap((list) => list.targets)
        .filter(({ component }) => component === 'gitaly')
        .map(({ address, identity, url }) => ({
          identity,
          host: (address ?? url.hostname.replace(/^\[(.*)\]$/, '$1')).toLowerCase(),
        }));
    },
    resolve: systemResolve,
  });
}

/** Undefined on an agent: the cluster's exporter reports the windows. */
function createMaintenance(
  { events, host, settings }: CollectionOptions,
  access: KubernetesAccess | undefined,
) {
  const { kubernetes, maintenance } = settings;
  if (kubernetes.enabled && kubernetes.role === 'agent') return undefined;
  const stepMs = judgmentOf(settings).thresholds.rolloutStep.value * 1000;
  return createMaintenanceSource({
    sources: [
      configuredWindows(maintenance.window ?? []),
      ...(access === undefined ? [] : [createKubernetesWindows(access.stores, stepMs)]),
    ],
    clock: host.clock,
    events,
  });
}

/** Undefined where neither Kubernetes nor cgroups are read: there would be nothing to check. */
function createChecks(
  { host, praefect, settings }: CollectionOptions,
  sources: Sources,
  rotationSeconds: ((identity: Identity) => number | undefined) | undefined,
  praefectNow: () => PraefectView,
): ChecksCollector | undefined {
  const { kubernetes, cgroupFacts } = sources;
  if (kubernetes === undefined && cgroupFacts === undefined) return undefined;
  const { role } = settings.kubernetes;
  const isPraefectKnown = praefect.database !== undefined || praefect.config !== undefined;
  return createChecksCollector({
    async inputs(signal) {
      await kubernetes?.listed(signal);
      const { database, health } = praefectNow();
      return readCheckInputs(
        {
          ...sources,
          clock: host.clock,
          isAgent: role === 'agent',
          rotationSeconds,
          clientRetryWindow: settings.checks.clientRetryWindow,
          praefect: isPraefectKnown
            ? {
                postgresqlVersion: database?.serverVersion,
                schemaVariant: database?.schemaVariant,
                connection: praefect.config?.database,
                instances: health && livePraefects(health),
              }
            : undefined,
        },
        signal,
      );
    },
    filter: checksOfRole[role === 'all' && cgroupFacts === undefined ? 'cluster' : role],
  });
}
