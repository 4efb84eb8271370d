/** Every metric that this program can say, by the part that says it: what the reference, boards and alerts quote. */

import type { Metric } from '../metrics/metric.ts';
import { processMetrics } from '../metrics/process.ts';
import { checkMetrics } from '../rules/checks/collector.ts';
import { eventMetrics } from '../scheduler/event-metrics.ts';
import { selfMetrics } from '../scheduler/self-metrics.ts';
import { serverMetrics } from '../server/metrics.ts';
import { bucketMetrics, cgroupSelfMetrics, levelsMetrics } from '../sources/cgroup/metrics.ts';
import { gitalyMetrics } from '../sources/gitaly/metrics.ts';
import { kubernetesMetrics, watchMetrics } from '../sources/kubernetes/metrics.ts';
import { maintenanceMetrics } from '../sources/maintenance/source.ts';
import { mirrorMetrics } from '../sources/praefect/mirror/metrics.ts';
import { verificationMetrics } from '../sources/praefect/mirror/verification.ts';
import { praefectQueryMetrics } from '../sources/praefect/queries/index.ts';
import { reloadMetrics } from './reload.ts';

export interface CatalogueSection {
  readonly title: string;
  readonly metrics: readonly Metric[];
}

export const catalogue: readonly CatalogueSection[] = [
  {
    title: "Praefect's database: repositories, replicas, primaries",
    metrics: [...mirrorMetrics, ...verificationMetrics],
  },
  { title: "Praefect's database: health, queue, server", metrics: praefectQueryMetrics },
  { title: "Gitaly's servers: concurrency limits", metrics: gitalyMetrics },
  { title: "Gitaly's servers: memory, CPU, OOM kills", metrics: levelsMetrics },
  { title: "Gitaly's servers: repository buckets", metrics: bucketMetrics },
  { title: 'Gitaly on Kubernetes', metrics: kubernetesMetrics },
  { title: 'Recommendations, as checks', metrics: checkMetrics },
  {
    title: 'The exporter',
    metrics: [
      ...selfMetrics,
      ...eventMetrics,
      ...serverMetrics,
      ...reloadMetrics,
      ...cgroupSelfMetrics,
      ...watchMetrics,
      ...maintenanceMetrics,
    ],
  },
  { title: "The exporter's process", metrics: processMetrics },
];

export const everyMetric: readonly Metric[] = catalogue.flatMap(({ metrics }) => metrics);
