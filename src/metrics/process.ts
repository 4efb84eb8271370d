/**
 * The exporter's own process: process_* and nodejs_* as prom-client reads them, under the names that public
 * dashboards use, as samples like all others.
 *
 * Omitted: nodejs_active_*_total, which are gauges with names of counters, and nodejs_active_handles and _requests,
 * which Node has deprecated in favor of nodejs_active_resources.
 */
import { collectDefaultMetrics, Registry } from 'prom-client';
import { anyValue, counter, gauge, histogram, type Metric } from './metric.ts';
import type { Block, Family, HistogramSample, Sample } from './samples.ts';

const lagWindow =
  'Measured by a 10 ms timer, so an idle loop shows about 0.01. Covers the time since the previous scrape of any ' +
  'client; absent when nothing was measured since.';

const lag = (statistic: string, meaning: string) =>
  gauge(`nodejs_eventloop_lag_${statistic}_seconds`, {
    help: `${meaning} delay of the event loop since the previous scrape.`,
    details: lagWindow,
    origin: `perf_hooks.monitorEventLoopDelay, ${statistic}`,
  });

const lagStatistics = [
  lag('min', 'Shortest'),
  lag('max', 'Longest'),
  lag('mean', 'Mean'),
  lag('stddev', 'Standard deviation of the'),
  lag('p50', 'Median'),
  lag('p90', '90th percentile of the'),
  lag('p99', '99th percentile of the'),
];

const heapSpace = (part: 'total' | 'used' | 'available', field: string) =>
  gauge(`nodejs_heap_space_size_${part}_bytes`, {
    labels: { space: anyValue },
    help: `Size of each of V8's heap spaces: ${part}.`,
    origin: `v8.getHeapSpaceStatistics, ${field}`,
  });

export const processResidentMemory = gauge('process_resident_memory_bytes', {
  help: 'Resident memory of the exporter.',
  origin: '/proc/self/status, VmRSS',
});

export const processCpuSeconds = counter('process_cpu_seconds_total', {
  help: 'CPU time of the exporter, user and system.',
  origin: 'process.cpuUsage',
});

/** Label-less gauges of prom-client start at 0 and stay there when reading fails: there, 0 is "not read". */
const neverZero: readonly Metric[] = [
  processResidentMemory,
  gauge('process_virtual_memory_bytes', {
    help: 'Virtual memory of the exporter.',
    details: 'Linux only.',
    origin: '/proc/self/status, VmSize',
  }),
  gauge('process_heap_bytes', {
    help: 'Data segment of the exporter: all of its private writable mappings.',
    details: 'Linux only.',
    origin: '/proc/self/status, VmData',
  }),
  gauge('process_open_fds', {
    help: 'Open file descriptors of the exporter.',
    details: 'Linux only.',
    origin: '/proc/self/fd',
  }),
  gauge('process_max_fds', {
    help: 'Limit of open file descriptors of the exporter.',
    details: 'Linux only.',
    origin: '/proc/self/limits, Max open files',
  }),
  gauge('nodejs_eventloop_lag_seconds', {
    help: 'Delay of one setImmediate callback, measured at the previous scrape.',
    origin: 'setImmediate',
  }),
];

/** All metrics of this file, for the catalog. */
export const processMetrics: readonly Metric[] = [
  counter('process_cpu_user_seconds_total', {
    help: 'CPU time that the exporter spent in user mode.',
    origin: 'process.cpuUsage, user',
  }),
  counter('process_cpu_system_seconds_total', {
    help: 'CPU time that the kernel spent for the exporter.',
    origin: 'process.cpuUsage, system',
  }),
  processCpuSeconds,
  gauge('process_start_time_seconds', {
    help: 'Unix time at which the exporter started.',
    origin: 'process.uptime',
  }),
  ...neverZero,
  ...lagStatistics,
  gauge('nodejs_active_resources', {
    labels: { type: anyValue },
    help: 'Resources that keep the event loop alive (sockets, timers), by kind.',
    origin: 'process.getActiveResourcesInfo',
  }),
  gauge('nodejs_heap_size_total_bytes', {
    help: "Size of V8's heap.",
    origin: 'process.memoryUsage, heapTotal',
  }),
  gauge('nodejs_heap_size_used_bytes', {
    help: "Used part of V8's heap, including garbage.",
    origin: 'process.memoryUsage, heapUsed',
  }),
  gauge('nodejs_external_memory_bytes', {
    help: "Memory outside V8's heap that its objects own, mainly buffers.",
    origin: 'process.memoryUsage, external',
  }),
  heapSpace('total', 'space_size'),
  heapSpace('used', 'space_used_size'),
  heapSpace('available', 'space_available_size'),
  gauge('nodejs_version_info', {
    labels: { version: anyValue, major: anyValue, minor: anyValue, patch: anyValue },
    help: 'Version of Node.js that runs the exporter; always 1.',
    origin: 'process.version',
  }),
  histogram('nodejs_gc_duration_seconds', {
    labels: { kind: ['major', 'minor', 'incremental', 'weakcb'] },
    help: 'Pauses for garbage collection.',
    details: 'Of pauses that Node reports together only the first is counted.',
    origin: 'perf_hooks.PerformanceObserver, gc',
  }),
];

type Reading = Awaited<ReturnType<Registry['getMetricsAsJSON']>>[number];
type Value = Reading['values'][number] & { readonly metricName?: string };

/**
 * Starts measuring this process (event loop, garbage collection) and returns how to read it. Call it once: the
 * measurement runs as long as the process. A read of the event loop's delay starts the next window.
 */
export function createProcessMetrics(): () => Promise<Block> {
  const register = new Registry();
  collectDefaultMetrics({ register });
  return async () => {
    const readings = new Map((await register.getMetricsAsJSON()).map((reading) => [reading.name, reading]));
    const lagMeasured = !Number.isNaN(readings.get('nodejs_eventloop_lag_mean_seconds')?.values[0]?.value);
    const families = processMetrics.map((metric): Family => {
      const values: readonly Value[] = readings.get(metric.name)?.values ?? [];
      if (metric.type === 'histogram') return { metric, histograms: histogramsOf(metric, values) };
      if (lagStatistics.some((statistic) => statistic === metric) && !lagMeasured)
        return { metric, samples: [] };
      const read = neverZero.includes(metric) ? values.filter(({ value }) => value !== 0) : values;
      return { metric, samples: read.map((value) => sampleOf(metric, value)) };
    });
    return { families };
  };
}

const sampleOf = (metric: Metric, value: Value): Sample => ({
  labelValues: labelValuesOf(metric, value),
  value: value.value,
});

const labelValuesOf = (metric: Metric, { labels }: Value): readonly string[] =>
  metric.labelNames.map((name) => String(labels[name] ?? ''));

/** prom-client lists a histogram line by line: buckets with `le`, then _sum, then _count, of each label set. */
function histogramsOf(metric: Metric, values: readonly Value[]): readonly HistogramSample[] {
  const byLabels = Map.groupBy(values, (value) => JSON.stringify(labelValuesOf(metric, value)));
  return [...byLabels.values()].map((lines) => {
    const lineOf = (suffix: string) =>
      lines.find(({ metricName }) => metricName === metric.name + suffix)?.value ?? 0;
    return {
      labelValues: lines.slice(0, 1).flatMap((line) => labelValuesOf(metric, line)),
      buckets: lines.flatMap(({ labels, value }) => {
        const le = labels['le'];
        return le === undefined ? [] : [{ le: le === '+Inf' ? Infinity : Number(le), count: value }];
      }),
      sum: lineOf('_sum'),
      count: lineOf('_count'),
    };
  });
}
