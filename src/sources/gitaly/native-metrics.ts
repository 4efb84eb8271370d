/** What Praefect itself says of its database, passed on under names of its own, to be held against praefect_db_*. */
import { anyValue, gauge, type Metric } from '../../metrics/metric.ts';

export const nativeRepositoriesUnavailable = gauge('praefect_native_repositories_unavailable', {
  help: "Praefect's own answer, for comparison with praefect_db_repositories_unavailable: repositories without a valid primary. Of several Praefects the highest. As old as praefect.db-metrics-interval; absent when none could be read.",
  origin: 'gitaly_praefect_unavailable_repositories at /db_metrics of Praefect',
  labels: { virtual_storage: anyValue },
});

export const nativeReplicationQueueDepth = gauge('praefect_native_replication_queue_depth', {
  help: "Praefect's own answer, for comparison: replication jobs by state. Of several Praefects the highest. Praefect shows no series where there are no jobs, and none at all when its query fails, so absent is not proof of 0.",
  origin:
    'gitaly_praefect_replication_queue_depth (target_node is storage here) at /db_metrics of Praefect, from GitLab 14.7 on',
  labels: { virtual_storage: anyValue, storage: anyValue, state: anyValue },
});

/** All metrics of the collector `praefect_db_metrics`. */
export const nativeMetrics: readonly Metric[] = Object.freeze([
  nativeRepositoriesUnavailable,
  nativeReplicationQueueDepth,
]);
