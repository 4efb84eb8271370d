/** The metrics of repositories, replicas and primaries, and the mapping from the mirror's snapshot to their samples. */
import { anyValue, type Metric, metricGroup } from '../../../metrics/metric.ts';
import { createSamples, type Family } from '../../../metrics/samples.ts';
import { type FailoverTotal, type MoveTotal, moveCauses } from './primary-moves.ts';
import type { VirtualStorageReplicas } from './summary.ts';

const { gauge, metrics: replicaMetrics } = metricGroup();
const moves = metricGroup();

const repositoriesTable = 'repositories';
const replicaTables = 'repositories, storage_repositories, repository_assignments';
const withHealth = `${replicaTables}, node_status`;

const perVirtualStorage = { virtual_storage: anyValue } as const;
const perStorage = { virtual_storage: anyValue, storage: anyValue } as const;

const needsQuorum =
  'Not meaningful while praefect_db_heartbeat_quorum is 0; absent for a virtual storage without heartbeats: it was removed from the configuration, or Praefect writes none.';

export const repositories = gauge('praefect_db_repositories', {
  help: "Repositories in Praefect's database.",
  origin: repositoriesTable,
  labels: perVirtualStorage,
});

export const repositoriesUnavailable = gauge('praefect_db_repositories_unavailable', {
  help: 'Repositories without a valid primary, which can be neither read nor written.',
  details: `Which primaries are valid follows the rule of the running Praefect version. Absent before GitLab 14.0, which has no such rule. ${needsQuorum}`,
  origin: `${withHealth}, replication_queue (delete_replica jobs)`,
  labels: perVirtualStorage,
});

export const repositoriesLost = gauge('praefect_db_repositories_lost', {
  help: 'Repositories without any replica record: no storage that Praefect knows of has their data.',
  details: "Absent for a virtual storage that was removed from Praefect's configuration.",
  origin: replicaTables,
  labels: perVirtualStorage,
});

export const repositoriesReadOnly = gauge('praefect_db_repositories_read_only', {
  help: 'Repositories that reject writes after a failover with data loss.',
  details:
    "Their virtual storage has no primary, or the primary is behind the repository's generation. GitLab 13.x only, and absent without heartbeats: the `local` elector records no primary.",
  origin: `${replicaTables}, shard_primaries`,
  labels: perVirtualStorage,
});

export const repositoriesWithoutPrimary = gauge('praefect_db_repositories_without_primary', {
  help: 'Repositories without a recorded primary.',
  origin: `${repositoriesTable}.primary; shard_primaries under the sql elector of 13.x`,
  labels: perVirtualStorage,
});

export const repositoriesByHealthyReplicas = gauge('praefect_db_repositories_by_healthy_replicas', {
  help: 'Repositories by the number of their up-to-date replicas on healthy storages.',
  details: `The sum over replicas is praefect_db_repositories. ${needsQuorum}`,
  origin: withHealth,
  labels: { virtual_storage: anyValue, replicas: anyValue },
});

export const repositoriesSingleCopy = gauge('praefect_db_repositories_single_copy', {
  help: 'Repositories with one up-to-date replica on a healthy storage although they are assigned to another storage.',
  details: `Repositories with replication factor 1 do not count. ${needsQuorum}`,
  origin: withHealth,
  labels: perVirtualStorage,
});

export const repositoriesBelowFactor = gauge('praefect_db_repositories_below_replication_factor', {
  help: 'Repositories with fewer up-to-date replicas on healthy storages than default_replication_factor.',
  details: `Absent where Praefect's config.toml is not read or sets no factor. Praefect uses the factor when it creates a repository and never again, so that repositories from before a change stay below it. ${needsQuorum}`,
  origin: `${withHealth}; default_replication_factor of Praefect's config.toml`,
  labels: perVirtualStorage,
});

export const replicaStates = ['current', 'outdated', 'missing', 'unassigned'] as const;

export const replicas = gauge('praefect_db_replicas', {
  help: "Replicas on the storage by state: compared with the repository's generation and its assignments.",
  details:
    "current and outdated: assigned, at or behind the repository's generation. missing: assigned, without a record. unassigned: a record on a storage that the repository is not assigned to. A repository without assignments is assigned to every configured storage: those of Praefect's config.toml if it is known, else those that some Praefect contacted within a minute of the newest heartbeat.",
  origin: replicaTables,
  labels: { ...perStorage, state: replicaStates },
});

export const replicasOutdatedUnscheduled = gauge('praefect_db_replicas_outdated_unscheduled', {
  help: 'Assigned replicas that are outdated or missing and have no replication job.',
  details:
    'It fluctuates while jobs are enqueued and finished: praefect_db_replicas_stuck is the stable signal.',
  origin: `${replicaTables}, replication_queue`,
  labels: perStorage,
});

export const replicasStuck = gauge('praefect_db_replicas_stuck', {
  help: 'Assigned replicas that made no progress for --praefect.stuck-threshold although their storage is healthy.',
  details:
    "Outdated and missing replicas whose generation did not advance, with or without a replication job. Measured from the exporter's first refresh on.",
  origin: withHealth,
  labels: perStorage,
});

export const replicaBehindSince = gauge('praefect_db_replica_behind_since_timestamp_seconds', {
  help: 'When the assigned replica that has been behind longest on this storage was first seen behind.',
  details: 'Missing replicas included. Absent when no assigned replica is outdated or missing.',
  origin: replicaTables,
  labels: perStorage,
});

export const repositoriesAtRisk = gauge('praefect_db_repositories_at_risk', {
  help: 'Repositories that are available now and would be unavailable if this storage failed.',
  origin: withHealth,
  labels: perStorage,
});

export const replicaGenerationsBehindMax = gauge('praefect_db_replica_generations_behind_max', {
  help: 'Largest number of generations (writes) by which an assigned replica on this storage is behind.',
  details: 'A missing replica counts from generation -1.',
  origin: replicaTables,
  labels: perStorage,
});

export const primaries = gauge('praefect_db_primaries', {
  help: 'Repositories whose recorded primary is on this storage.',
  origin: `${repositoriesTable}.primary; shard_primaries under the sql elector of 13.x`,
  labels: perStorage,
});

export const primaryMoves = moves.counter('praefect_db_primary_moves_total', {
  help: 'Repositories whose primary changed between two refreshes, by cause.',
  details:
    'unhealthy: the storage that the primary left was unhealthy at that time; other: it was healthy. Created and deleted repositories do not count, nor changes across a restart of the exporter or a restored database.',
  origin: repositoriesTable,
  labels: { virtual_storage: anyValue, from_storage: anyValue, to_storage: anyValue, cause: moveCauses },
});

export const failovers = moves.counter('praefect_db_failovers_total', {
  help: 'Refreshes in which primaries moved off an unhealthy storage, and elections of the legacy sql elector.',
  origin: `${repositoriesTable}, shard_primaries.elected_at`,
  labels: { virtual_storage: anyValue, from_storage: anyValue },
});

export const lastFailover = moves.gauge('praefect_db_last_failover_timestamp_seconds', {
  help: 'When the latest failover away from this storage was seen.',
  details: 'Absent when there was none since the exporter started.',
  origin: `${repositoriesTable}, shard_primaries.elected_at`,
  labels: { virtual_storage: anyValue, from_storage: anyValue },
});

export const mirrorMetrics: readonly Metric[] = [...replicaMetrics, ...moves.metrics];

/** @param factors default_replication_factor by virtual storage; those that are not set or 0 are missing */
export function replicaFamilies(
  virtualStorages: readonly VirtualStorageReplicas[],
  factors: ReadonlyMap<string, number>,
): readonly Family[] {
  const samples = createSamples(replicaMetrics);
  for (const { virtualStorage: virtual_storage, storages, ...found } of virtualStorages) {
    samples.set(repositories, { virtual_storage }, found.repositories);
    samples.set(repositoriesLost, { virtual_storage }, found.lost);
    samples.set(repositoriesWithoutPrimary, { virtual_storage }, found.withoutPrimary);
    samples.set(repositoriesUnavailable, { virtual_storage }, found.unavailable);
    samples.set(repositoriesReadOnly, { virtual_storage }, found.readOnly);
    found.byHealthyReplicas?.forEach((count, healthy) => {
      samples.set(repositoriesByHealthyReplicas, { virtual_storage, replicas: String(healthy) }, count);
    });
    samples.set(repositoriesSingleCopy, { virtual_storage }, found.singleCopy);
    const factor = factors.get(virtual_storage);
    const below = factor === undefined ? undefined : found.byHealthyReplicas?.slice(0, factor);
    samples.set(
      repositoriesBelowFactor,
      { virtual_storage },
      below?.reduce((sum, count) => sum + count, 0),
    );
    for (const { storage, ...on } of storages) {
      const labels = { virtual_storage, storage };
      for (const state of replicaStates) samples.set(replicas, { ...labels, state }, on[state]);
      samples.set(primaries, labels, on.primaries);
      samples.set(replicaGenerationsBehindMax, labels, on.generationsBehindMax);
      samples.set(replicasOutdatedUnscheduled, labels, on.unscheduled);
      samples.set(replicasStuck, labels, on.stuck);
      samples.set(replicaBehindSince, labels, on.behindSince);
      samples.set(repositoriesAtRisk, labels, on.atRisk);
    }
  }
  return samples.families();
}

/** With more storages than this in a virtual storage, only pairs that were seen have a series of moves. */
const maxPairedStorages = 10;

/** A zero for every known pair and storage, so that the first move is a step that rate() sees. */
export function primaryMoveFamilies(
  virtualStorages: readonly VirtualStorageReplicas[],
  moveTotals: readonly MoveTotal[],
  failoverTotals: readonly FailoverTotal[],
): readonly Family[] {
  const samples = createSamples(moves.metrics);
  const key = (...parts: readonly string[]): string => JSON.stringify(parts);

  const movesByKey = new Map(
    moveTotals.map((move) => [key(move.virtualStorage, move.from, move.to, move.cause), move]),
  );
  const failoversByKey = new Map(failoverTotals.map((each) => [key(each.virtualStorage, each.from), each]));
  for (const { virtualStorage, storages } of virtualStorages) {
    for (const { storage: from } of storages) {
      const none = { virtualStorage, from, total: 0, last: undefined };
      if (!failoversByKey.has(key(virtualStorage, from))) failoversByKey.set(key(virtualStorage, from), none);
      if (storages.length > maxPairedStorages) continue;
      for (const { storage: to } of storages) {
        for (const cause of moveCauses) {
          const pair = key(virtualStorage, from, to, cause);
          if (from !== to && !movesByKey.has(pair))
            movesByKey.set(pair, { virtualStorage, from, to, cause, total: 0 });
        }
      }
    }
  }
  for (const { virtualStorage: virtual_storage, from, to, cause, total } of movesByKey.values())
    samples.set(primaryMoves, { virtual_storage, from_storage: from, to_storage: to, cause }, total);
  for (const { virtualStorage: virtual_storage, from, total, last } of failoversByKey.values()) {
    samples.set(failovers, { virtual_storage, from_storage: from }, total);
    samples.set(lastFailover, { virtual_storage, from_storage: from }, last);
  }
  return samples.families();
}
