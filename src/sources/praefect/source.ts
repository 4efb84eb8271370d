/** Praefect's database as a source: all collectors that read it, on one connection and one time budget. */

import { unlessAborted } from '../../lib/abort.ts';
import { type Clock, steadySeconds } from '../../lib/clock.ts';
import type { Budget } from '../../scheduler/budget.ts';
import type { Collector, Run } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { reservedWaitMs } from '../../scheduler/schedule.ts';
import { createWake } from '../../scheduler/wake.ts';
import type { Database } from './database.ts';
import { createDatabaseClock } from './database-clock.ts';
import type { HealthView } from './health.ts';
import { createHealthHistory } from './health-history.ts';
import { createRepositoriesCollector } from './mirror/collector.ts';
import { connectionMetrics, createConnectionsCollector } from './queries/connections.ts';
import { createDatabaseCollector, databaseMetrics } from './queries/database.ts';
import { createHealthCollector, healthMaxAgeMs, healthMetrics, healthTimeoutMs } from './queries/health.ts';
import { type ConfiguredStorageMap, knownStorages } from './queries/known-storages.ts';
import { createQueueCollector, queueMetrics } from './queries/queue.ts';
import { createShardPrimariesCollector, shardMetrics } from './queries/shard-primaries.ts';
import { createTablesCollector, tableMetrics } from './queries/tables.ts';
import { createWriteLocksCollector, writeLocks } from './queries/write-locks.ts';
import { createVariantSource } from './query.ts';
import type { PraefectViewCollectors } from './view.ts';

export interface PraefectSourceOptions {
  readonly database: Database;
  readonly budget: Budget;
  readonly clock: Clock;
  readonly events: EventLog;
  /** Virtual storage -> storages, of Praefect's config.toml; undefined where it was not given. */
  readonly configuredStorages: ConfiguredStorageMap | undefined;
  /** default_replication_factor of Praefect's config.toml by virtual storage, where it is set. */
  readonly replicationFactors?: ReadonlyMap<string, number> | undefined;
  readonly refreshIntervalMs: number;
  readonly maxStalenessMs: number;
  readonly healthIntervalMs: number;
  readonly statementTimeoutMs: number;
  readonly stuckThresholdMs: number;
  /** Praefect's background_verification.verification_interval; 7 days by default, 0 where it is switched off. */
  readonly verificationIntervalSeconds?: number | undefined;
  /** A refresh of the mirror that takes the database longer is left out while no write is counted; 100 by default. */
  readonly costlyRefreshMs?: number;
}

export interface PraefectSource {
  /** In the order in which they should first run: the heaviest last. */
  readonly collectors: readonly Collector[];
  /** For `praefectView`. */
  readonly viewed: PraefectViewCollectors;
  /** The newest health; undefined while it is unknown. */
  health(): HealthView | undefined;
}

const weekInSeconds = 604_800;

/** About 100,000 repositories with three replicas each. */
const defaultCostlyRefreshMs = 100;

export function createPraefectSource(options: PraefectSourceOptions): PraefectSource {
  const { budget, clock, configuredStorages, database, events } = options;
  const context = {
    ...{ database, budget, clock },
    variants: createVariantSource(database, events),
    databaseClock: createDatabaseClock(clock),
  };
  const history = createHealthHistory(events);
  const steady = steadySeconds(clock);
  const healthWake = createWake();
  const { promise: firstHealthRead, resolve: endFirstHealthRead } = Promise.withResolvers<void>();
  let newest: HealthView | undefined;
  /** Between the newest two reads of health; 0 after a failed one. */
  let gapMs = 0;
  const maxAgeMs = healthMaxAgeMs(options.healthIntervalMs);
  // Never aged: rows that the exporter has not read again get older without Praefect being silent, and everything
  // would read as unhealthy. Where the budget keeps reads apart, the limit is the runner's for the samples of health:
  // what depends on health would be absent otherwise, with no collector that fails.
  const health = () => {
    const limitedMs = 2 * Math.min(gapMs, reservedWaitMs) + healthTimeoutMs;
    const isValid = newest && clock.monotonic() - newest.readAt <= Math.max(maxAgeMs, limitedMs);
    return isValid ? newest : undefined;
  };
  const healthCollector = createHealthCollector({
    ...context,
    everyMs: options.healthIntervalMs,
    configuredStorages,
    healthWake,
    onHealth(view) {
      gapMs = newest === undefined ? 0 : view.readAt - newest.readAt;
      newest = view;
      history.record(view, steady.now());
    },
  });
  const viewed: PraefectViewCollectors = {
    database: createDatabaseCollector(context),
    health: {
      ...healthCollector,
      async collect(run: Run) {
        const outcome = await healthCollector.collect(run).finally(endFirstHealthRead);
        if (outcome.kind === 'failed') gapMs = 0;
        return outcome;
      },
    },
    queue: createQueueCollector({
      ...context,
      knownStorages: () => knownStorages(configuredStorages, health()),
    }),
    repositories: createRepositoriesCollector({
      ...options,
      configured: configuredStorages,
      health,
      // Without health, a first refresh would take every storage as configured and correct itself at the next.
      firstHealthRead: (signal) => unlessAborted(firstHealthRead, signal),
      history,
      steady,
      wake: healthWake,
      verificationIntervalSeconds: options.verificationIntervalSeconds ?? weekInSeconds,
      costlyRefreshMs: options.costlyRefreshMs ?? defaultCostlyRefreshMs,
    }),
  };
  return {
    health,
    viewed,
    collectors: [
      viewed.database,
      viewed.health,
      viewed.queue,
      createConnectionsCollector(context),
      createTablesCollector(context),
      createShardPrimariesCollector({ ...context, health }),
      createWriteLocksCollector(context),
      viewed.repositories,
    ],
  };
}

/** Every metric of the small queries, for the reference. */
export const praefectQueryMetrics = [
  ...databaseMetrics,
  ...healthMetrics,
  ...queueMetrics,
  ...connectionMetrics,
  ...tableMetrics,
  ...shardMetrics,
  writeLocks,
] as const;
