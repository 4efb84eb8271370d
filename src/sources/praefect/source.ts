/** Praefect's database as a source: all collectors that read it, on one connection and one time budget. */

import { unlessAborted } from '../../lib/abort.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Budget } from '../../scheduler/budget.ts';
import type { Collector } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { createWake } from '../../scheduler/wake.ts';
import type { Database } from './database.ts';
import { createHealthHistory, type HealthView, steadySeconds } from './health.ts';
import { createRepositoriesCollector } from './mirror/collector.ts';
import { createPraefectCollectors } from './queries/index.ts';
import type { ConfiguredStorageMap } from './queries/known-storages.ts';
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
  const { clock } = options;
  const history = createHealthHistory();
  const steady = steadySeconds(clock);
  const healthWake = createWake();
  const { promise: firstHealthRead, resolve: onHealthRead } = Promise.withResolvers<void>();
  const queries = createPraefectCollectors({
    ...options,
    healthWake,
    onHealth: (view) => history.record(view, steady.now()),
    onHealthRead,
  });
  const repositories = createRepositoriesCollector({
    ...options,
    configured: options.configuredStorages,
    health: queries.health,
    // Without health, a first refresh would take every storage as configured and correct itself at the next.
    firstHealthRead: (signal) => unlessAborted(firstHealthRead, signal),
    history,
    steady,
    wake: healthWake,
    verificationIntervalSeconds: options.verificationIntervalSeconds ?? weekInSeconds,
    costlyRefreshMs: options.costlyRefreshMs ?? defaultCostlyRefreshMs,
  });
  return {
    collectors: [...queries.collectors, repositories],
    viewed: { ...queries.viewed, repositories },
    health: queries.health,
  };
}
