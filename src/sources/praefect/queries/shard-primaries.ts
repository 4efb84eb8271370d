/**
 * Primaries of whole virtual storages, every 10 s, as the legacy `sql` elector keeps them: the default up to GitLab
 * 13.12, and an unsupported option up to the newest release.
 *
 * The table is never dropped, so an upgraded cluster keeps outdated rows. They count only where that elector can be
 * in use: node_status has heartbeats from the last day for the virtual storage (the `local` elector writes neither
 * table), and no repository of it has a primary of its own (`per_repository` assigns one to each).
 */
import { anyValue, gauge } from '../../../metrics/metric.ts';
import { type Block, createSamples, emptyBlock } from '../../../metrics/samples.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { collectorNames } from '../collector-names.ts';
import type { DatabaseRow } from '../database.ts';
import { type DatabaseClock, localTimeNote } from '../database-clock.ts';
import type { HealthView } from '../health.ts';
import {
  columnNumber,
  columnText,
  type DatabaseContext,
  databaseSchedule,
  failedOutcome,
  queryVariant,
} from '../query.ts';
import { epochOf, eq, isPresent } from '../sql.ts';
import type { SchemaVariant } from '../variant.ts';

export const shardPrimary = gauge('praefect_db_shard_primary', {
  help: '1 for the storage that is the primary of the virtual storage, 0 for its other storages.',
  details:
    'Only with the legacy sql elector, the default up to GitLab 13.12. Absent with per_repository: see praefect_db_primaries.',
  origin: 'shard_primaries.node_name, .demoted',
  labels: { virtual_storage: anyValue, storage: anyValue },
});

export const shardReadOnly = gauge('praefect_db_shard_read_only', {
  help: '1 while the virtual storage has no primary and rejects writes, otherwise 0.',
  details:
    'None of its storages is healthy (demoted). After a failover with data loss single repositories are read-only: see praefect_db_repositories_read_only. Only with the legacy sql elector.',
  origin: 'shard_primaries.demoted; the column read_only has no meaning since GitLab 13.3',
  labels: { virtual_storage: anyValue },
});

export const shardElected = gauge('praefect_db_shard_elected_timestamp_seconds', {
  help: 'When the primary of the virtual storage was elected.',
  details: `The time of the last failover; absent when it is in the future. Only with the legacy sql elector. ${localTimeNote}`,
  origin: 'shard_primaries.elected_at',
  labels: { virtual_storage: anyValue },
});

export const shardMetrics = [shardPrimary, shardReadOnly, shardElected] as const;

const shardPrimariesSql = (variant: SchemaVariant): string => `
SELECT shard_name                                  AS virtual_storage,
       node_name                                   AS storage,
       demoted,
       CASE WHEN ${isPresent('elected_at')} THEN ${epochOf('elected_at')} END AS elected
  FROM ${variant.relation('shard_primaries')}
 ORDER BY shard_name`;

/**
 * Virtual storages of which some repository has a primary of its own. LIMIT stops at the first one; with the legacy
 * elector there is none and it reads the whole table, so it runs only every five minutes.
 */
const perRepositorySql = (variant: SchemaVariant): string => `
SELECT shard_name AS virtual_storage
  FROM ${variant.relation('shard_primaries')}
 CROSS JOIN LATERAL (SELECT FROM ${variant.relation('repositories')}
                      WHERE (virtual_storage ${eq} shard_name) AND "primary" IS NOT NULL
                      LIMIT 1) AS elected`;

const detectElectorEveryMs = 300_000;

/** Without heartbeats for a day the elector is unknown. */
const heartbeatWithinSeconds = 86_400;

/** @param perRepository virtual storages whose repositories have primaries of their own */
function shardPrimariesBlock(
  rows: readonly DatabaseRow[],
  health: HealthView | undefined,
  perRepository: ReadonlySet<string>,
  databaseClock: DatabaseClock,
): Block {
  const samples = createSamples(shardMetrics);
  for (const row of rows) {
    const virtual_storage = columnText(row['virtual_storage']);
    const cluster = health?.virtualStorages.get(virtual_storage);
    if ((cluster?.secondsSinceHeartbeat ?? Infinity) > heartbeatWithinSeconds || !cluster?.contacted)
      continue;
    if (perRepository.has(virtual_storage)) continue;
    const found = columnText(row['storage']);
    const isReadOnly = row['demoted'] === true;
    const electedAt = columnNumber(row['elected']);
    for (const storage of new Set([...(cluster?.knownStorages ?? []), found]))
      samples.set(shardPrimary, { virtual_storage, storage }, storage === found && !isReadOnly);
    samples.set(shardReadOnly, { virtual_storage }, isReadOnly);
    samples.set(
      shardElected,
      { virtual_storage },
      electedAt === undefined ? undefined : databaseClock.local(electedAt),
    );
  }
  return { families: samples.families() };
}

interface ShardPrimariesCollectorOptions extends DatabaseContext {
  /** The newest health, or undefined while it is unknown. */
  readonly health: () => HealthView | undefined;
}

export function createShardPrimariesCollector(options: ShardPrimariesCollectorOptions): Collector {
  const { clock } = options;
  let elector: { readonly readAt: number; readonly perRepository: ReadonlySet<string> } | undefined;

  return {
    name: collectorNames.shardPrimaries,
    title: 'Primaries of virtual storages with the legacy elector (shard_primaries)',
    metrics: shardMetrics,
    ...databaseSchedule(options, { everyMs: 10_000, timeoutMs: 10_000, maxAgeMs: 60_000 }),
    async collect({ signal }) {
      const limits = { signal, statementTimeoutMs: 4000, purpose: 'primaries of virtual storages' };
      const read = await queryVariant(options, limits, (variant) =>
        variant.tables.has('shard_primaries') ? shardPrimariesSql(variant) : undefined,
      );
      if (!read.ok) return failedOutcome(read.failure);
      if (read.value === undefined) return { kind: 'empty', why: 'this schema has no table shard_primaries' };
      // An empty table means that the `sql` elector never ran, whatever the second query would return.
      if (read.value.length === 0) return { kind: 'data', block: emptyBlock };

      if (elector === undefined || clock.monotonic() - elector.readAt >= detectElectorEveryMs) {
        const found = await queryVariant(options, limits, (variant) =>
          variant.repositories.primary ? perRepositorySql(variant) : undefined,
        );
        if (!found.ok) return failedOutcome(found.failure);
        const perRepository = new Set((found.value ?? []).map((row) => columnText(row['virtual_storage'])));
        elector = { readAt: clock.monotonic(), perRepository };
      }
      const { perRepository } = elector;
      const block = shardPrimariesBlock(read.value, options.health(), perRepository, options.databaseClock);
      return { kind: 'data', block };
    },
  };
}
