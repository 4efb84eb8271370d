/**
 * An exposition in which every declared metric, and those of other programs that recording rules read, has a series for
 * each combination of its closed label values.
 */
import { everyMetric } from '../../src/app/catalog.ts';
import type { Metric } from '../../src/metrics/metric.ts';
import { externalMetrics, targetUp } from '../../src/monitoring/external-metrics.ts';

const openLabels: Readonly<Record<string, string | readonly string[]>> = {
  window: ['rollout:gitlab/gitaly', 'upgrade'],
  namespace: 'gitlab',
  pod: 'gitaly-0',
  node: 'node-1',
  virtual_storage: 'default',
  storage: 'gitaly-1',
  from_storage: 'gitaly-1',
  to_storage: 'gitaly-2',
  replicas: '1',
  grpc_service: 'gitaly.SmartHTTPService',
  grpc_method: 'PostUploadPackWithSidechannel',
  grpc_code: ['OK', 'Internal'],
  persistentvolumeclaim: 'repo-data-gitaly-0',
  mountpoint: '/var/opt/gitlab',
};

/** Values for which the queries that filter by value return something. */
const fixedValues: Readonly<Record<string, number>> = {
  gitaly_exporter_collector_success: 0,
  gitaly_server_check_passed: 0,
};

/** @param second of the simulation: counters grow with it. @param now Unix time in seconds */
export const completeExposition = (second: number, now: number): string =>
  [...everyMetric, ...externalMetrics.filter((metric) => metric !== targetUp)]
    .map((metric) => [`# TYPE ${metric.name} ${metric.type}`, ...samples(metric, second, now)].join('\n'))
    .join('\n')
    .concat('\n');

function samples(metric: Metric, second: number, now: number): readonly string[] {
  return combinations(metric).flatMap((labels) => {
    if (metric.type !== 'histogram')
      return [`${metric.name}${braces(labels)} ${sampleValue(metric, second, now)}`];
    const steps: readonly [string, number][] = [
      ['0.1', second],
      ['1', 2 * second],
      ['+Inf', 3 * second],
    ];
    return [
      ...steps.map(([le, count]) => `${metric.name}_bucket${braces({ ...labels, le })} ${count}`),
      `${metric.name}_sum${braces(labels)} ${second}`,
      `${metric.name}_count${braces(labels)} ${3 * second}`,
    ];
  });
}

function sampleValue({ name, type }: Metric, second: number, now: number): number {
  const fixed = fixedValues[name];
  if (fixed !== undefined) return fixed;
  // The replication queue shrinks.
  if (name === 'praefect_db_replication_jobs_removed_total') return 2 * second;
  if (type === 'counter') return second;
  if (name.endsWith('_end_timestamp_seconds')) return now + 600;
  if (name.endsWith('_timestamp_seconds')) return now - 60;
  // Grows and stays below its limit.
  if (name.endsWith('_memory_anon_bytes')) return 1000 + second;
  if (name.endsWith('_limit_bytes')) return 500_000;
  return 1;
}

type Labels = Readonly<Record<string, string>>;

const combinations = (metric: Metric): readonly Labels[] =>
  metric.labelNames.reduce<readonly Labels[]>(
    (combined, name) => {
      const closed = metric.labels[name];
      const isOpen = typeof closed === 'string' || closed === undefined;
      const choices: readonly string[] = isOpen ? [openLabels[name] ?? 'any'].flat() : closed;
      return combined.flatMap((labels) => choices.map((value) => ({ ...labels, [name]: value })));
    },
    [{}],
  );

const braces = (labels: Labels): string =>
  `{${Object.entries(labels)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(',')}}`;
