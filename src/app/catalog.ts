/** All declared metrics, by source: for the reference, dashboards and alerts. */

import { serverMetrics } from '../metrics/http-server.ts';
import type { Metric } from '../metrics/metric.ts';
import { processMetrics } from '../metrics/process.ts';
import type { ReferenceSection } from '../metrics/reference.ts';
import { checkMetrics } from '../rules/checks/collector.ts';
import { eventMetrics } from '../scheduler/event-log.ts';
import { selfMetrics } from '../scheduler/self-metrics.ts';
import { levelsText } from '../sources/cgroup/level-metrics.ts';
import { bucketMetrics, cgroupSelfMetrics, levelsMetrics } from '../sources/cgroup/metrics.ts';
import { gitalyMetrics } from '../sources/gitaly/metrics.ts';
import { kubernetesMetrics, watchMetrics } from '../sources/kubernetes/metrics.ts';
import { maintenanceMetrics } from '../sources/maintenance/source.ts';
import { mirrorMetrics } from '../sources/praefect/mirror/metrics.ts';
import { verificationMetrics } from '../sources/praefect/mirror/verification.ts';
import { praefectQueryMetrics } from '../sources/praefect/source.ts';
import { storageInfo } from '../sources/storages/source.ts';

export const catalog: readonly ReferenceSection[] = [
  {
    title: "Praefect's database: repositories, replicas, primaries",
    metrics: [...mirrorMetrics, ...verificationMetrics],
  },
  { title: "Praefect's database: health, queue, server", metrics: praefectQueryMetrics },
  { title: "Gitaly servers of Praefect's storages", metrics: [storageInfo] },
  { title: "Gitaly's servers: concurrency limits", metrics: gitalyMetrics },
  { title: "Gitaly's servers: memory, CPU, OOM kills", text: levelsText, metrics: levelsMetrics },
  { title: "Gitaly's servers: repository buckets", metrics: bucketMetrics },
  { title: 'Gitaly on Kubernetes', metrics: kubernetesMetrics },
  { title: 'Recommendations, as checks', metrics: checkMetrics },
  {
    title: 'The exporter',
    metrics: [
      ...selfMetrics,
      ...eventMetrics,
      ...serverMetrics,
      ...cgroupSelfMetrics,
      ...watchMetrics,
      ...maintenanceMetrics,
    ],
  },
  { title: "The exporter's process", metrics: processMetrics },
];

export const everyMetric: readonly Metric[] = catalog.flatMap(({ metrics }) => metrics);
