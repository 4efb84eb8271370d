/** All small questions to Praefect's database, as collectors. What needs the large tables is in ../mirror/. */

import type { Clock } from '../../../lib/clock.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { Collector, Run } from '../../../scheduler/collector.ts';
import type { EventLog } from '../../../scheduler/event-log.ts';
import type { Wake } from '../../../scheduler/wake.ts';
import type { Database } from '../database.ts';
import type { HealthView } from '../health.ts';
import { createVariantSource } from '../query.ts';
import { connectionMetrics, createConnectionsCollector } from './connections.ts';
import { createDatabaseCollector, databaseMetrics, type Probe } from './database.ts';
import { createHealthCollector, type HealthSnapshot, healthMetrics, healthPromiseMs } from './health.ts';
import type { ConfiguredStorages } from './known-storages.ts';
import { createQueueCollector, type QueueSnapshot, queueMetrics } from './queue.ts';
import { createShardPrimariesCollector, shardMetrics } from './shard-primaries.ts';
import { createTablesCollector, tableMetrics } from './tables.ts';
import { createWriteLocksCollector, writeLocks } from './write-locks.ts';

export interface PraefectCollectorsOptions {
  readonly database: Database;
  /** For the schedules; the database itself is what charges it. */
  readonly budget: Budget;
  readonly clock: Clock;
  readonly events: EventLog;
  /** Virtual storage -> storages, of Praefect's config.toml; undefined where it was not given. */
  readonly configuredStorages: ConfiguredStorages | undefined;
  /** From one look at node_status to the next. */
  readonly healthIntervalMs: number;
  /** Called when the set of healthy storages changed, or whether they are to be believed. */
  readonly healthWake: Wake;
  /** Called with every new view, before `healthWake`. */
  readonly onHealth?: (view: HealthView) => void;
  /** Called when a read of node_status ended, whether it succeeded or failed. */
  readonly onHealthRead?: () => void;
}

export interface PraefectCollectors {
  readonly collectors: readonly Collector[];
  /** Those of `collectors` whose snapshots a `PraefectView` needs. */
  readonly viewed: {
    readonly database: Collector<Probe>;
    readonly health: Collector<readonly HealthSnapshot[]>;
    readonly queue: Collector<QueueSnapshot>;
  };
  /** The newest health as it was read; undefined before the first answer and when it is older than its promise. */
  health(): HealthView | undefined;
}

export function createPraefectCollectors(options: PraefectCollectorsOptions): PraefectCollectors {
  const { budget, clock, configuredStorages, database, events, healthWake } = options;
  const context = { database, variants: createVariantSource(database, events), budget, clock, events };
  let newest: HealthView | undefined;
  // As it was read, never aged: rows that we did not ask for again grow old by our silence, not by Praefect's, and
  // everything would read unhealthy. Past its promise it is not known.
  const promiseMs = healthPromiseMs(options.healthIntervalMs);
  const health = () => (newest && clock.monotonic() - newest.readAt <= promiseMs ? newest : undefined);
  const onHealth = (view: HealthView) => {
    newest = view;
    options.onHealth?.(view);
  };
  const healthCollector = createHealthCollector({
    ...context,
    everyMs: options.healthIntervalMs,
    healthWake,
    onHealth,
  });
  const viewed = {
    database: createDatabaseCollector(context),
    health: {
      ...healthCollector,
      collect: (run: Run) => healthCollector.collect(run).finally(() => options.onHealthRead?.()),
    },
    queue: createQueueCollector({ ...context, configuredStorages, health }),
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
    ],
  };
}

/** Every metric of these collectors, for the catalogue. */
export const praefectQueryMetrics = [
  ...databaseMetrics,
  ...healthMetrics,
  ...queueMetrics,
  ...connectionMetrics,
  ...tableMetrics,
  ...shardMetrics,
  writeLocks,
] as const;
