/** The metrics that rest on repositories, storage_repositories and repository_assignments: the mirror answers them. */
import { anyValue, counter, gauge } from '../../../metrics/metric.ts';

const repositoriesTable = 'repositories';
const replicaTables = 'repositories, storage_repositories, repository_assignments';
const withHealth = `${replicaTables}, node_status`;

const perVirtualStorage = { virtual_storage: anyValue } as const;
const perStorage = { virtual_storage: anyValue, storage: anyValue } as const;

export const repositories = gauge('praefect_db_repositories', {
  help: 'Repositories that Praefect knows.',
  origin: repositoriesTable,
  labels: perVirtualStorage,
});

export const repositoriesUnavailable = gauge('praefect_db_repositories_unavailable', {
  help: 'Repositories without a valid primary, by the rule of the Praefect version that runs: neither readable nor writable. Not to be believed while praefect_db_heartbeat_timestamp_seconds is old. Absent before GitLab 14.0, which has no such rule.',
  origin: `${withHealth}, replication_queue (delete_replica jobs)`,
  labels: perVirtualStorage,
});

export const repositoriesLost = gauge('praefect_db_repositories_lost', {
  help: 'Repositories without any replica record: their data is on no storage that Praefect knows of.',
  origin: replicaTables,
  labels: perVirtualStorage,
});

export const repositoriesReadOnly = gauge('praefect_db_repositories_read_only', {
  help: "Repositories that refuse writes after a failover with data loss: their virtual storage has no primary, or the primary is behind the repository's generation. GitLab 13.x only.",
  origin: `${replicaTables}, shard_primaries`,
  labels: perVirtualStorage,
});

export const repositoriesWithoutPrimary = gauge('praefect_db_repositories_without_primary', {
  help: 'Repositories for which no primary is recorded.',
  origin: `${repositoriesTable}.primary; shard_primaries under the sql elector of 13.x`,
  labels: perVirtualStorage,
});

export const repositoriesByHealthyReplicas = gauge('praefect_db_repositories_by_healthy_replicas', {
  help: 'Repositories by the number of their up-to-date replicas on healthy storages.',
  origin: withHealth,
  labels: { virtual_storage: anyValue, replicas: anyValue },
});

export const replicaStates = ['current', 'outdated', 'missing', 'unassigned'] as const;

export const replicas = gauge('praefect_db_replicas', {
  help: "Replicas by state. current and outdated: assigned, at or behind the repository's generation. missing: assigned, without a record. unassigned: a record on a storage that the repository is not assigned to. A repository without assignments is assigned to every configured storage, which are those of Praefect's config.toml where it is given, else those that some Praefect contacted within a minute of the newest heartbeat.",
  origin: replicaTables,
  labels: { ...perStorage, state: replicaStates },
});

export const replicasOutdatedUnscheduled = gauge('praefect_db_replicas_outdated_unscheduled', {
  help: 'Assigned replicas that are behind or missing and for which no replication job was queued at this look. It flickers while jobs come and go: see praefect_db_replicas_stuck.',
  origin: `${replicaTables}, replication_queue`,
  labels: perStorage,
});

export const replicasStuck = gauge('praefect_db_replicas_stuck', {
  help: 'Assigned replicas that have been behind or missing for longer than --praefect.stuck-threshold without their generation moving, while their storage was healthy, whether or not a job comes and goes. Counted from the first look of this exporter on.',
  origin: withHealth,
  labels: perStorage,
});

export const replicaBehindSince = gauge('praefect_db_replica_behind_since_timestamp_seconds', {
  help: 'When the longest-lasting present lag of an assigned replica on this storage was first seen by a look. Absent when none is behind or missing.',
  origin: replicaTables,
  unit: 'seconds',
  labels: perStorage,
});

export const repositoriesAtRisk = gauge('praefect_db_repositories_at_risk', {
  help: 'Repositories that are available now and would be unavailable if this storage failed.',
  origin: withHealth,
  labels: perStorage,
});

export const replicaGenerationsBehindMax = gauge('praefect_db_replica_generations_behind_max', {
  help: 'By how many generations (writes) the worst assigned replica on this storage is behind its repository; a missing replica counts from generation -1.',
  origin: replicaTables,
  labels: perStorage,
});

export const primaries = gauge('praefect_db_primaries', {
  help: 'Repositories whose recorded primary is on this storage.',
  origin: `${repositoriesTable}.primary; shard_primaries under the sql elector of 13.x`,
  labels: perStorage,
});

export const moveCauses = ['unhealthy', 'other'] as const;

export const primaryMoves = counter('praefect_db_primary_moves_total', {
  help: 'Repositories whose primary changed between two looks. unhealthy: the storage that the primary left was unhealthy then. Created and deleted repositories do not count, nor does what changed while the past could not be followed (a restart, a restored database).',
  origin: repositoriesTable,
  labels: { virtual_storage: anyValue, from_storage: anyValue, to_storage: anyValue, cause: moveCauses },
});

export const failovers = counter('praefect_db_failovers_total', {
  help: 'Looks in which primaries moved off an unhealthy storage, and elections of the legacy sql elector.',
  origin: `${repositoriesTable}, shard_primaries.elected_at`,
  labels: { virtual_storage: anyValue, from_storage: anyValue },
});

export const lastFailover = gauge('praefect_db_last_failover_timestamp_seconds', {
  help: 'When the latest failover away from this storage was seen. Absent when there was none since the exporter started.',
  origin: `${repositoriesTable}, shard_primaries.elected_at`,
  unit: 'seconds',
  labels: { virtual_storage: anyValue, from_storage: anyValue },
});

/** Every metric that the mirror's collector owns. */
export const mirrorMetrics = [
  repositories,
  repositoriesUnavailable,
  repositoriesLost,
  repositoriesReadOnly,
  repositoriesWithoutPrimary,
  repositoriesByHealthyReplicas,
  replicas,
  replicasOutdatedUnscheduled,
  replicasStuck,
  replicaBehindSince,
  repositoriesAtRisk,
  replicaGenerationsBehindMax,
  primaries,
  primaryMoves,
  failovers,
  lastFailover,
] as const;
