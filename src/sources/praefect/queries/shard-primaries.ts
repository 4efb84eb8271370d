/**
 * Primaries of whole virtual storages, as the legacy `sql` elector keeps them: the default up to GitLab 13.12, and
 * behind an option that is called unsupported up to the newest.
 *
 * The table is never dropped, so an upgraded cluster keeps rows that mean nothing. They are believed only where
 * that elector can be at work: node_status has heartbeats of the last day for the virtual storage (the `local`
 * elector writes neither table), and no repository of it has a primary of its own (`per_repository` gives each one).
 */

import type { Clock } from '../../../lib/clock.ts';
import { anyValue, gauge } from '../../../metrics/metric.ts';
import { type Block, emptyBlock, samplesOf } from '../../../metrics/samples.ts';
import type { Budget } from '../../../scheduler/budget.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import type { DatabaseRow } from '../database.ts';
import type { HealthView } from '../health.ts';
import { failedOutcome, numberOf, type QueryContext, queryByVariant, textOf } from '../query.ts';

export const shardPrimary = gauge('praefect_db_shard_primary', {
  help: '1 for the storage that is primary of the whole virtual storage, 0 for the others. Only with the legacy sql elector (default up to GitLab 13.12); absent with per_repository, whose primaries are in praefect_db_primaries.',
  origin: 'shard_primaries.node_name, .demoted',
  labels: { virtual_storage: anyValue, storage: anyValue },
});

export const shardReadOnly = gauge('praefect_db_shard_read_only', {
  help: '1 while the whole virtual storage has no primary and takes no writes, because none of its storages is healthy (demoted). After a failover that lost data single repositories are read-only: see praefect_db_repositories_read_only. Only with the legacy sql elector.',
  origin: 'shard_primaries.demoted; the column read_only has no meaning since GitLab 13.3',
  labels: { virtual_storage: anyValue },
});

export const shardElected = gauge('praefect_db_shard_elected_timestamp_seconds', {
  help: "When the primary of the virtual storage was elected: the moment of the last failover, by the database's clock. Only with the legacy sql elector.",
  origin: 'shard_primaries.elected_at',
  unit: 'seconds',
  labels: { virtual_storage: anyValue },
});

export const shardMetrics = [shardPrimary, shardReadOnly, shardElected] as const;

export const shardPrimariesSql = `
SELECT shard_name                                  AS virtual_storage,
       node_name                                   AS storage,
       demoted,
       extract(epoch FROM elected_at)::float8      AS elected
  FROM shard_primaries
 ORDER BY shard_name`;

/**
 * Virtual storages of which some repository has a primary of its own. LIMIT stops at the first one found; where
 * there is none (the legacy elector) it reads all of the table, so it is asked once in five minutes.
 */
export const perRepositorySql = `
SELECT shard_name AS virtual_storage
  FROM shard_primaries
 CROSS JOIN LATERAL (SELECT FROM repositories
                      WHERE virtual_storage = shard_name AND "primary" IS NOT NULL
                      LIMIT 1) AS elected`;

const askElectorEveryMs = 300_000;

/** A day of silence, and nobody can say any more which elector is at work. */
const heartbeatWithinSeconds = 86_400;

/** @param perRepository virtual storages whose repositories have primaries of their own */
export function shardBlock(
  rows: readonly DatabaseRow[],
  health: HealthView | undefined,
  perRepository: ReadonlySet<string>,
): Block {
  const primary = samplesOf(shardPrimary);
  const readOnly = samplesOf(shardReadOnly);
  const electedAt = samplesOf(shardElected);
  for (const row of rows) {
    const virtual_storage = textOf(row['virtual_storage']);
    const cluster = health?.virtualStorages.get(virtual_storage);
    if ((cluster?.secondsSinceHeartbeat ?? Infinity) > heartbeatWithinSeconds) continue;
    if (perRepository.has(virtual_storage)) continue;
    const elected = textOf(row['storage']);
    const demoted = row['demoted'] === true;
    for (const storage of new Set([...(cluster?.knownStorages ?? []), elected]))
      primary.set({ virtual_storage, storage }, Number(storage === elected && !demoted));
    readOnly.set({ virtual_storage }, Number(demoted));
    const seconds = numberOf(row['elected']);
    if (seconds !== undefined) electedAt.set({ virtual_storage }, seconds);
  }
  return { families: [primary, readOnly, electedAt].map((samples) => samples.family()) };
}

export interface ShardPrimariesCollectorOptions extends QueryContext {
  readonly budget: Budget;
  readonly clock: Clock;
  /** The newest health as it was read; undefined while it is not known. */
  readonly health: () => HealthView | undefined;
}

export function createShardPrimariesCollector(options: ShardPrimariesCollectorOptions): Collector {
  const { clock } = options;
  let elector: { readonly askedAt: number; readonly perRepository: ReadonlySet<string> } | undefined;

  return {
    name: 'praefect_shard_primaries',
    title: 'Primaries of virtual storages, with the legacy elector (shard_primaries)',
    metrics: shardMetrics,
    schedule: {
      kind: 'interval',
      everyMs: 10_000,
      timeoutMs: 10_000,
      maxAgeMs: 60_000,
      budget: options.budget,
    },
    async collect({ signal }) {
      const limits = { signal, statementTimeoutMs: 4000, purpose: 'primaries of virtual storages' };
      const asked = await queryByVariant(options, limits, ({ tables }) =>
        tables.has('shard_primaries') ? shardPrimariesSql : undefined,
      );
      if (!asked.ok) return failedOutcome(asked.failure);
      if (asked.value === undefined) return { kind: 'empty', why: 'this schema has no shard_primaries' };
      // An empty table says that no `sql` elector ever ran; the other question then has nothing to tell apart.
      if (asked.value.length === 0) return { kind: 'data', block: emptyBlock };

      if (elector === undefined || clock.monotonic() - elector.askedAt >= askElectorEveryMs) {
        const found = await queryByVariant(options, limits, ({ repositories }) =>
          repositories.primary ? perRepositorySql : undefined,
        );
        if (!found.ok) return failedOutcome(found.failure);
        const perRepository = new Set((found.value ?? []).map((row) => textOf(row['virtual_storage'])));
        elector = { askedAt: clock.monotonic(), perRepository };
      }
      return { kind: 'data', block: shardBlock(asked.value, options.health(), elector.perRepository) };
    },
  };
}
