import { describe, expect, test } from '@jest/globals';
import { levels } from '../../../src/sources/cgroup/level-metrics.ts';
import { bucketMetrics, cgroupSelfMetrics, levelsMetrics } from '../../../src/sources/cgroup/metrics.ts';
import { cgroupCollectorNames } from '../../../src/sources/cgroup/source.ts';
import { lintMetrics } from '../../support/lint-metrics.ts';
import { createTestSource } from './source-support.ts';
import { createWrittenTree } from './written-tree.ts';

const cgroupMetrics = [...levelsMetrics, ...bucketMetrics, ...cgroupSelfMetrics];

test('the declarations pass the lint', () => {
  expect(lintMetrics(cgroupMetrics)).toEqual([]);
});

test('every metric belongs to a collector or to the source itself, and every collector is listed', async () => {
  const tree = createWrittenTree();
  const { source } = createTestSource(tree.root);
  expect(source.collectors.map(({ name }) => name)).toEqual([...cgroupCollectorNames]);
  expect(source.collectors.map(({ metrics }) => metrics)).toEqual([levelsMetrics, bucketMetrics]);
  expect(source.selfFamilies().map(({ metric }) => metric)).toEqual([...cgroupSelfMetrics]);
  await source.stop();
  tree.remove();
});

/** Names that operators' dashboards and alerts depend on. */
describe('the metric contract', () => {
  const rows = [
    'memory_usage_bytes',
    'memory_working_set_bytes',
    'memory_anon_bytes',
    'memory_file_bytes',
    'memory_peak_bytes',
    'memory_limit_bytes',
    'cpu_usage_seconds_total',
    'cpu_user_seconds_total',
    'cpu_system_seconds_total',
    'cpu_limit_cores',
    'cpu_periods_total',
    'cpu_throttled_periods_total',
    'cpu_throttled_seconds_total',
    'pressure_seconds_total{resource,kind}',
    'memory_events_total{event}',
  ];
  const others = [
    'git_processes',
    'buckets',
    'buckets_active',
    'buckets_near_limit',
    'bucket_memory_usage_bytes{bucket}',
    'bucket_memory_limit_bytes{bucket}',
    'bucket_cpu_usage_seconds_total{bucket}',
    'bucket_cpu_throttled_seconds_total{bucket}',
    'bucket_oom_kills_total{bucket}',
    'oom_kills_total{level}',
    'oom_events_total{level}',
    'last_oom_timestamp_seconds{level}',
    'info{uid,version,qos_class,priority_class,runtime_version,kernel_version,cgroup_driver,cgroup_layout}',
  ];
  const written = new Set(
    cgroupMetrics.map(({ name, labelNames }) => {
      const own = labelNames.filter((label) => !['namespace', 'pod', 'node', 'container'].includes(label));
      return own.length === 0 ? name : `${name}{${own.join(',')}}`;
    }),
  );
  const wanted = [...levels.flatMap((level) => rows.map((row) => `${level}_${row}`)), ...others];

  test.each(wanted.map((name) => `gitaly_server_${name}`))('has %s', (name) => {
    expect(written).toContain(name);
  });

  test('labels every gitaly_server_* metric with an identity, and container_* with the container', () => {
    for (const { name, labelNames } of cgroupMetrics) {
      if (!name.startsWith('gitaly_server_')) continue;
      expect(labelNames.slice(0, 3)).toEqual(['namespace', 'pod', 'node']);
      expect(labelNames.includes('container')).toBe(name.startsWith('gitaly_server_container_'));
    }
  });
});
