/** The collectors of all small queries. The large tables are read by ../mirror/. */

import type { Clock } from '../../../lib/clock.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { Collector, Run } from '../../../scheduler/collector.ts';
import type { EventLog } from '../../../scheduler/event-log.ts';
import type { Wake } from '../../../scheduler/wake.ts';
import type { Database } from '../database.ts';
import { createDatabaseClock } from '../database-clock.ts';
import type { HealthView } from '../health.ts';
import { createVariantSource } from '../query.ts';
import { connectionMetrics, createConnectionsCollector } from './connections.ts';
import { createDatabaseCollector, type DatabaseSnapshot, databaseMetrics } from './database.ts';
import { createHealthCollector, type HealthSnapshot, healthMaxAgeMs, healthMetrics } from './health.ts';
import { type ConfiguredStorageMap, knownStorages } from './known-storages.ts';
import { createQueueCollector, type QueueSnapshot, queueMetrics } from './queue.ts';
import { createShardPrimariesCollector, shardMetrics } from './shard-primaries.ts';
import { createTablesCollector, tableMetrics } from './tables.ts';
import { createWriteLocksCollector, writeLocks } from './write-locks.ts';

export interface PraefectCollectorsOptions {
  readonly database: Database;
  /** For the schedules; the database charges it. */
  readonly budget: Budget;
  readonly clock: Clock;
  readonly events: EventLog;
  /** Of Praefect's config.toml; undefined where it is not given. */
  readonly configuredStorages: ConfiguredStorageMap | undefined;
  /** Interval between reads of node_status. */
  readonly healthIntervalMs: number;
  /** Called when the set of healthy storages or the quorum has changed. */
  readonly healthWake: Wake;
  /** Called with every new view, before `healthWake`. */
  readonly onHealth?: (view: HealthView) => void;
  /** Called when a read of node_status ended, whether it succeeded or failed. */
  readonly onHealthRead?: () => void;
}

interface PraefectCollectors {
  readonly collectors: readonly Collector[];
  /** Those of `collectors` whose snapshots a `PraefectView` needs. */
  readonly viewed: {
    readonly database: Collector<DatabaseSnapshot>;
    readonly health: Collector<readonly HealthSnapshot[]>;
    readonly queue: Collector<QueueSnapshot>;
  };
  /** The newest health as it was read; undefined before the first read and past its maximum age. */
  health(): HealthView | undefined;
}

export function createPraefectCollectors(options: PraefectCollectorsOptions): PraefectCollectors {
  const { budget, clock, configuredStorages, database, events, healthWake } = options;
  const context = {
    ...{ database, budget, clock, events },
    variants: createVariantSource(database, events),
    databaseClock: createDatabaseClock(clock),
  };
  let newest: HealthView | undefined;
  // Never aged: rows that the exporter has not read again get older without Praefect being silent, and everything
  // would read as unhealthy.
  const maxAgeMs = healthMaxAgeMs(options.healthIntervalMs);
  const health = () => (newest && clock.monotonic() - newest.readAt <= maxAgeMs ? newest : undefined);
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
    queue: createQueueCollector({
      ...context,
      knownStorages: () => knownStorages(configuredStorages, health()),
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
    ],
  };
}

/** Every metric of these collectors, for the reference. */
export const praefectQueryMetrics = [
  ...databaseMetrics,
  ...healthMetrics,
  ...queueMetrics,
  ...connectionMetrics,
  ...tableMetrics,
  ...shardMetrics,
  writeLocks,
] as const;
