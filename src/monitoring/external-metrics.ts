/**
 * Metrics of others that alerts and dashboards read where Prometheus has them: Prometheus' own, Gitaly's gRPC server,
 * the kubelet, node_exporter. Declared like the exporter's, with the labels that are used.
 */
import { anyValue, counter, gauge } from '../metrics/metric.ts';

export const targetUp = gauge('up', {
  help: 'Whether the last scrape of a target succeeded.',
  origin: 'Prometheus',
});

export const grpcHandled = counter('grpc_server_handled_total', {
  help: 'Completed RPCs by status code.',
  origin: "Gitaly's and Praefect's own /metrics",
  labels: { grpc_service: anyValue, grpc_method: anyValue, grpc_code: anyValue },
});

const perClaim = { persistentvolumeclaim: anyValue } as const;

export const claimAvailableBytes = gauge('kubelet_volume_stats_available_bytes', {
  help: 'Available bytes of a volume.',
  origin: 'the kubelet',
  labels: perClaim,
});
export const claimCapacityBytes = gauge('kubelet_volume_stats_capacity_bytes', {
  help: 'Capacity of a volume.',
  origin: 'the kubelet',
  labels: perClaim,
});
export const claimInodesFree = gauge('kubelet_volume_stats_inodes_free', {
  help: 'Free inodes of a volume.',
  origin: 'the kubelet',
  labels: perClaim,
});
export const claimInodes = gauge('kubelet_volume_stats_inodes', {
  help: 'Inodes of a volume.',
  origin: 'the kubelet',
  labels: perClaim,
});

const perMount = { mountpoint: anyValue } as const;

export const filesystemAvailable = gauge('node_filesystem_avail_bytes', {
  help: 'Available bytes of a file system.',
  origin: 'node_exporter',
  labels: perMount,
});
export const filesystemSize = gauge('node_filesystem_size_bytes', {
  help: 'Size of a file system.',
  origin: 'node_exporter',
  labels: perMount,
});
export const filesystemFilesFree = gauge('node_filesystem_files_free', {
  help: 'Free inodes of a file system.',
  origin: 'node_exporter',
  labels: perMount,
});
export const filesystemFiles = gauge('node_filesystem_files', {
  help: 'Inodes of a file system.',
  origin: 'node_exporter',
  labels: perMount,
});

export const externalMetrics = [
  targetUp,
  grpcHandled,
  claimAvailableBytes,
  claimCapacityBytes,
  claimInodesFree,
  claimInodes,
  filesystemAvailable,
  filesystemSize,
  filesystemFilesFree,
  filesystemFiles,
] as const;
