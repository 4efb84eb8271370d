/** The room as a whole: from a database and its budget to all collectors that read it. */

import type { Clock } from '../../lib/clock.ts';
import type { Budget } from '../../scheduler/budget.ts';
import type { Collector } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { createWake } from '../../scheduler/wake.ts';
import type { Database } from './database.ts';
import { createHealthHistory, type HealthView } from './health.ts';
import { createRepositoriesCollector } from './mirror/collector.ts';
import { createPraefectCollectors } from './queries/index.ts';
import type { ConfiguredStorageMap } from './queries/known-storages.ts';
import type { PraefectViewCollectors } from './view.ts';

/** The names of all collectors of the room, for when it has no database to read. */
export const praefectCollectorNames: readonly string[] = [
  'praefect_database',
  'praefect_health',
  'praefect_queue',
  'praefect_connections',
  'praefect_tables',
  'praefect_shard_primaries',
  'praefect_write_locks',
  'praefect_repositories',
];

export interface PraefectSourceOptions {
  readonly database: Database;
  readonly budget: Budget;
  readonly clock: Clock;
  readonly events: EventLog;
  /** Virtual storage -> storages, of Praefect's config.toml; undefined where it was not given. */
  readonly configuredStorages: ConfiguredStorageMap | undefined;
  readonly refreshIntervalMs: number;
  readonly maxStalenessMs: number;
  readonly healthIntervalMs: number;
  readonly statementTimeoutMs: number;
  readonly stuckThresholdMs: number;
  /** Praefect's background_verification.verification_interval; 7 days by default, 0 where it is switched off. */
  readonly verificationIntervalSeconds?: number | undefined;
}

export interface PraefectSource {
  /** In the order in which they should first run: cheap ones first, the heaviest last. */
  readonly collectors: readonly Collector[];
  /** For `praefectView`. */
  readonly viewed: PraefectViewCollectors;
  /** The newest health as it was read; undefined while it is not known. */
  health(): HealthView | undefined;
}

const weekInSeconds = 604_800;

export function createPraefectSource(options: PraefectSourceOptions): PraefectSource {
  const { clock } = options;
  const history = createHealthHistory();
  const healthWake = createWake();
  let healthWasRead = (): void => undefined;
  const firstHealthRead = new Promise<void>((resolve) => {
    healthWasRead = resolve;
  });
  const small = createPraefectCollectors({
    ...options,
    healthWake,
    onHealth: (view) => history.record(view, Math.floor(clock.now() / 1000)),
    onHealthRead: () => healthWasRead(),
  });
  const repositories = createRepositoriesCollector({
    ...options,
    configured: options.configuredStorages,
    health: small.health,
    // Without health, a first look would take every storage for configured and correct itself at the next.
    healthAsked: (signal) => Promise.race([firstHealthRead, aborted(signal)]),
    history,
    wake: healthWake,
    verificationIntervalSeconds: options.verificationIntervalSeconds ?? weekInSeconds,
  });
  return {
    collectors: [...small.collectors, repositories],
    viewed: { ...small.viewed, repositories },
    health: small.health,
  };
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
