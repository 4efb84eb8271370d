/** What the mirror's tests share: a collector on a real database, the health it is told, and what it said. */
import type pg from 'pg';
import { type Clock, systemClock } from '../../../../src/lib/clock.ts';
import type { Block } from '../../../../src/metrics/samples.ts';
import { createBudget } from '../../../../src/scheduler/budget.ts';
import type { Collector } from '../../../../src/scheduler/collector.ts';
import { createEventLog } from '../../../../src/scheduler/event-log.ts';
import { createWake } from '../../../../src/scheduler/wake.ts';
import { createHealthHistory, type HealthView, healthOf } from '../../../../src/sources/praefect/health.ts';
import { createRepositoriesCollector } from '../../../../src/sources/praefect/mirror/collector.ts';
import type { ConfiguredStorageMap } from '../../../../src/sources/praefect/queries/known-storages.ts';
import { type SchemaVariant, variantOf, variantSql } from '../../../../src/sources/praefect/variant.ts';
import { directDatabase } from './direct-database.ts';
import type { Counts } from './oracle.ts';
import { storages } from './workload.ts';

export interface WatcherOptions {
  readonly clock?: Clock;
  readonly configured?: ConfiguredStorageMap | 'from health';
}

/** Families as the oracle writes them: "virtual storage/storage state" -> value, without zeros. */
export function said(block: Block, name: string): Counts {
  const family = block.families.find(({ metric }) => metric.name === `praefect_db_${name}`);
  if (family === undefined || !('samples' in family)) throw new Error(`no family ${name}`);
  return Object.fromEntries(
    family.samples
      .filter(({ value }) => value !== 0)
      .map(({ labelValues: [virtualStorage, second, third], value }) => [
        name === 'repositories_by_healthy_replicas'
          ? `${virtualStorage} ${second}`
          : [virtualStorage, second].filter(Boolean).join('/') + (third === undefined ? '' : ` ${third}`),
        value,
      ]),
  );
}

/** A collector over its own client, the health that it is given, and a look that must succeed. */
/** `client` may be a function, for a client that is another one after a restart. */
export function watcher(client: pg.Client | (() => pg.Client), options: WatcherOptions = {}) {
  let health: HealthView | undefined;
  const clock = options.clock ?? systemClock;
  const events = createEventLog(clock);
  const statements: string[] = [];
  const history = createHealthHistory();
  const collector: Collector = createRepositoriesCollector({
    database: directDatabase(typeof client === 'function' ? client : () => client, statements),
    budget: createBudget(1, clock),
    clock,
    events,
    health: () => health,
    firstHealthRead: async () => undefined,
    history,
    wake: createWake(),
    configured: options.configured === 'from health' ? undefined : (options.configured ?? storages),
    refreshIntervalMs: 1000,
    maxStalenessMs: 60_000,
    statementTimeoutMs: 10_000,
    stuckThresholdMs: 900_000,
    verificationIntervalSeconds: 604_800,
  });
  const run = async (cause: 'due' | 'woken' = 'due'): Promise<Block> => {
    const outcome = await collector.collect({ signal: new AbortController().signal, cause });
    if (outcome.kind !== 'data') throw new Error(JSON.stringify(outcome));
    return outcome.block;
  };
  return {
    events,
    /** Every statement that was asked, in order. */
    statements,
    run,
    setHealth(view: HealthView | undefined) {
      health = view;
      if (view === undefined) return;
      history.record(view, Math.floor(clock.now() / 1000));
    },
  };
}

const nodeStatusSql = `SELECT praefect_name, shard_name, node_name,
  extract(epoch FROM now() - last_contact_attempt_at)::float8 AS attempt,
  extract(epoch FROM now() - last_seen_active_at)::float8 AS seen FROM node_status`;

export async function healthIn(client: pg.Client): Promise<HealthView> {
  const { rows } = await client.query(nodeStatusSql);
  return healthOf(
    rows.map((row) => ({
      praefect: row.praefect_name,
      virtualStorage: row.shard_name,
      storage: row.node_name,
      secondsSinceAttempt: row.attempt,
      secondsSinceSeen: row.seen,
    })),
    0,
  );
}

export async function variantIn(client: pg.Client): Promise<SchemaVariant> {
  const variant = variantOf((await client.query(variantSql)).rows);
  if ('reason' in variant) throw new Error(variant.message);
  return variant;
}
