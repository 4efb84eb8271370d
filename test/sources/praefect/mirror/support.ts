/** The repositories collector on a given client, with a given health, and the values of its samples. */
import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { type Clock, steadySeconds, systemClock } from '../../../../src/lib/clock.ts';
import type { Block } from '../../../../src/metrics/samples.ts';
import { createBudget } from '../../../../src/scheduler/budget.ts';
import type { Collector } from '../../../../src/scheduler/collector.ts';
import { createEventLog } from '../../../../src/scheduler/event-log.ts';
import { createWake } from '../../../../src/scheduler/wake.ts';
import type { Database, ReadTransaction } from '../../../../src/sources/praefect/database.ts';
import { type HealthView, healthOf } from '../../../../src/sources/praefect/health.ts';
import { createHealthHistory } from '../../../../src/sources/praefect/health-history.ts';
import { createRepositoriesCollector } from '../../../../src/sources/praefect/mirror/collector.ts';
import type { ConfiguredStorageMap } from '../../../../src/sources/praefect/queries/known-storages.ts';
import { variantSql } from '../../../../src/sources/praefect/relations.ts';
import { type SchemaVariant, variantOf } from '../../../../src/sources/praefect/variant.ts';
import type { Counts } from './oracle.ts';
import { storages } from './workload.ts';

export interface MirrorOptions {
  readonly clock?: Clock;
  readonly configured?: ConfiguredStorageMap | 'from health';
  /** By default every refresh reads the tables, as the server's counters lag behind a test's writes. */
  readonly costlyRefreshMs?: number;
}

/** The samples of a metric under the oracle's keys, `virtual storage/storage state`, without zeros. */
export function valuesOf(block: Block, name: string): Counts {
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

/** @param client a function where a restart of the server replaces the client */
export function createMirrorCollector(client: pg.Client | (() => pg.Client), options: MirrorOptions = {}) {
  let health: HealthView | undefined;
  const clock = options.clock ?? systemClock;
  const events = createEventLog(clock);
  const steady = steadySeconds(clock);
  const statements: string[] = [];
  const history = createHealthHistory({ add: () => undefined });
  const collector: Collector = createRepositoriesCollector({
    database: directDatabase(typeof client === 'function' ? client : () => client, statements),
    budget: createBudget(1, clock),
    steady,
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
    costlyRefreshMs: options.costlyRefreshMs ?? Number.POSITIVE_INFINITY,
  });
  const collect = async (cause: 'due' | 'woken' = 'due') => {
    const outcome = await collector.collect({ signal: new AbortController().signal, cause });
    if (outcome.kind !== 'data') throw new Error(JSON.stringify(outcome));
    return outcome;
  };
  /** One refresh, which must succeed. */
  const run = async (cause?: 'due' | 'woken'): Promise<Block> => (await collect(cause)).block;
  return {
    events,
    /** Every statement that ran, in order. */
    statements,
    /** Like `run`, with the time of the data. */
    collect,
    run,
    setHealth(view: HealthView | undefined) {
      health = view;
      if (view === undefined) return;
      history.record(view, steady.now());
    },
  };
}

/** A Database without limits and budget. Appends each statement that runs to `statements`. */
function directDatabase(client: () => pg.Client, statements: string[]): Database {
  const transaction: ReadTransaction = {
    rows: async (sql) => {
      statements.push(sql);
      return (await client().query(sql)).rows;
    },
    async copy(sql, onChunk) {
      statements.push(sql);
      for await (const chunk of client().query(copyTo(`COPY (${sql}) TO STDOUT (FORMAT binary)`)))
        await onChunk(chunk);
    },
  };
  return {
    query: async (sql) => ({ ok: true, value: (await client().query(sql)).rows, elapsedMs: 0 }),
    async transaction(_options, body) {
      await client().query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      try {
        return { ok: true, value: await body(transaction), elapsedMs: 0 };
      } finally {
        await client().query('COMMIT');
      }
    },
    connection: () => undefined,
    close: async () => undefined,
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
