/** Right-sizing from a real Prometheus with a known history: the expected numbers are computed here, without PromQL. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest } from '@jest/globals';
import { parse } from 'yaml';
import { historySizing } from '../../../src/doctor/sizing/from-prometheus.ts';
import type { SizingGroup } from '../../../src/doctor/sizing/report.ts';
import type { Clock } from '../../../src/lib/clock.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { anonymousAccess } from '../../sources/gitaly/support.ts';
import { createBlocks, startPrometheus, type TestPrometheus } from '../../support/prometheus.ts';
import { hasTool, testWith } from '../../support/tools.ts';

jest.setTimeout(120_000);

const testInPrometheus = testWith('promtool');
const GiB = 2 ** 30;
const now = Date.UTC(2026, 10, 15) / 1000;
const dayS = 86_400;
const stepS = 120;
const days = 14;

/** Seconds before `now` at which there are samples, oldest first. */
const ages = Array.from({ length: (days * dayS) / stepS }, (_, index) => days * dayS - index * stepS - 60);
const dayOf = (age: number): number => Math.floor(age / dayS);
const inDay = (age: number): number => (age % dayS) / dayS;

/** Busy at midday, and 50 MiB more each day; one high peak ten days ago. */
const gitAnon = (age: number): number =>
  GiB * (1 + Math.sin(Math.PI * inDay(age)) ** 8) +
  (days - dayOf(age)) * 50 * 2 ** 20 +
  (dayOf(age) === 10 && inDay(age) < 0.01 ? 2 * GiB : 0);
const cores = (age: number): number => (inDay(age) > 0.5 && inDay(age) < 0.6 ? 2.6 : 0.7);
const inProgress = (age: number): number => (inDay(age) < 0.2 ? 20 : 6);

interface Series {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly labels: string;
  readonly value: (age: number) => number | undefined;
}

const pod0 = 'namespace="gitlab",pod="gl-gitaly-0"';
/** It moved to another node four days ago. */
const onNode =
  (node: 'a' | 'b', value: (age: number) => number): Series['value'] =>
  (age) =>
    dayOf(age) < 4 === (node === 'b') ? value(age) : undefined;
const moved = (name: string, type: Series['type'], labels: string, value: (age: number) => number) =>
  (['a', 'b'] as const).map(
    (node): Series => ({ name, type, labels: `${pod0},node="${node}"${labels}`, value: onNode(node, value) }),
  );
const pod1 = 'namespace="gitlab",pod="gl-gitaly-1",node="a"';
const host = 'namespace="",pod="",node="gitaly-vm"';
const clone = 'grpc_service="gitaly.SmartHTTPService",grpc_method="PostUploadPackWithSidechannel"';
const fetchRpc = 'grpc_service="gitaly.SSHService",grpc_method="SSHUploadPackWithSidechannel"';
const always =
  (value: number): Series['value'] =>
  () =>
    value;

/** A counter that has this rate. */
function integral(rate: (age: number) => number): (age: number) => number {
  const sums = new Map<number, number>();
  let sum = 0;
  for (const age of ages) {
    sums.set(age, sum);
    sum += rate(age - stepS / 2) * stepS;
  }
  return (age) => sums.get(age) ?? 0;
}

/** The virtual machine has three hours of history, with a gap of an hour. */
const recently =
  (value: number): Series['value'] =>
  (age) =>
    age < 3 * 3600 && !(age > 3600 && age < 2 * 3600) ? value : undefined;

const series: readonly Series[] = [
  ...moved('gitaly_server_info', 'gauge', ',cgroup_layout="sibling"', () => 1),
  ...moved('gitaly_server_git_memory_anon_bytes', 'gauge', '', gitAnon),
  ...moved('gitaly_server_git_memory_file_bytes', 'gauge', '', () => 20 * GiB),
  ...moved(
    'gitaly_server_container_memory_working_set_bytes',
    'gauge',
    ',container="gitaly"',
    () => 0.6 * GiB,
  ),
  ...moved(
    'gitaly_server_container_memory_working_set_bytes',
    'gauge',
    ',container="sidecar"',
    () => 9 * GiB,
  ),
  ...moved('gitaly_server_pod_cpu_usage_seconds_total', 'counter', '', integral(cores)),
  ...moved('gitaly_server_bucket_memory_usage_bytes', 'gauge', ',bucket="7"', () => 1.5 * GiB),
  ...moved('gitaly_server_buckets', 'gauge', '', () => 100),
  ...moved('gitaly_server_buckets_active', 'gauge', '', (age) => (dayOf(age) === 2 ? 60 : 30)),
  ...moved('gitaly_server_oom_kills_total', 'counter', ',level="bucket"', () => 0),
  ...moved('gitaly_server_git_memory_limit_bytes', 'gauge', '', () => 8 * GiB),
  ...moved('gitaly_server_pod_memory_request_bytes', 'gauge', '', () => 10 * GiB),
  { name: 'gitaly_server_scrape_up', type: 'gauge', labels: `${pod1},component="gitaly"`, value: always(1) },
  {
    name: 'gitaly_server_concurrency_limit',
    type: 'gauge',
    labels: `${pod1},${clone},kind="static",bound="current"`,
    value: always(20),
  },
  {
    name: 'gitaly_server_concurrency_in_progress',
    type: 'gauge',
    labels: `${pod1},${clone}`,
    value: inProgress,
  },
  {
    name: 'gitaly_server_concurrency_queued',
    type: 'gauge',
    labels: `${pod1},${clone}`,
    value: (age) => (inDay(age) < 0.2 ? 9 : 0),
  },
  {
    name: 'gitaly_server_requests_dropped_total',
    type: 'counter',
    labels: `${pod1},${clone},reason="queue_wait"`,
    value: integral((age) => (dayOf(age) === 5 ? 0.01 : 0)),
  },
  {
    name: 'gitaly_server_concurrency_limit',
    type: 'gauge',
    labels: `${pod1},${fetchRpc},kind="static",bound="current"`,
    value: always(400),
  },
  {
    name: 'gitaly_server_concurrency_in_progress',
    type: 'gauge',
    labels: `${pod1},${fetchRpc}`,
    value: inProgress,
  },
  {
    name: 'gitaly_server_concurrency_queued',
    type: 'gauge',
    labels: `${pod1},${fetchRpc}`,
    value: always(0),
  },
  {
    name: 'gitaly_server_requests_dropped_total',
    type: 'counter',
    labels: `${pod1},${fetchRpc},reason="queue_full"`,
    value: always(0),
  },
  {
    name: 'gitaly_server_info',
    type: 'gauge',
    labels: `${host},cgroup_layout="sibling"`,
    value: recently(1),
  },
  { name: 'gitaly_server_git_memory_anon_bytes', type: 'gauge', labels: host, value: recently(3 * GiB) },
];

function openMetrics(): string {
  const lines: string[] = [];
  for (const [name, alike] of Map.groupBy(series, (each) => each.name)) {
    lines.push(`# TYPE ${name.replace(/_total$/, '')} ${alike[0]?.type}`);
    for (const { labels, value } of alike)
      for (const age of ages) {
        const found = value(age);
        if (found !== undefined)
          lines.push(`${name}{job="gitaly-exporter",instance="x",${labels}} ${found} ${now - age}`);
      }
  }
  return `${lines.join('\n')}\n# EOF\n`;
}

let folder: string;
let prometheus: TestPrometheus | undefined;
let url: string;
let groups: readonly SizingGroup[];

const clock: Clock = { ...systemClock, now: () => now * 1000 };
const sizing = (ofDays: number) =>
  historySizing(
    { url, days: ofDays, access: anonymousAccess },
    { clock, readText: async () => '' },
    AbortSignal.timeout(60_000),
  );

beforeAll(async () => {
  if (!hasTool('promtool')) return;
  folder = await mkdtemp(join(tmpdir(), 'gitaly-exporter-history-'));
  await createBlocks(folder, openMetrics());
  prometheus = await startPrometheus(folder, { scrape_configs: [] });
  url = prometheus.url;
  groups = (await sizing(days)).sizing?.groups ?? [];
});

afterAll(async () => {
  await prometheus?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

const peakOf = (value: (age: number) => number, day: number): number =>
  Math.max(...ages.filter((age) => dayOf(age) === day).map(value));
const middle = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[3] ?? Number.NaN;
const dailyPeaks = Array.from({ length: days }, (_, day) => peakOf(gitAnon, day));

describe('the pods of a namespace', () => {
  const pods = (): SizingGroup | undefined => groups.find(({ name }) => name === 'gitlab');
  const size = (id: string) => pods()?.sizes.find((each) => each.id === id);

  testInPrometheus('have two weeks of history, across the move of one to another node', () => {
    expect(groups.map(({ name }) => name)).toEqual(['gitaly-vm', 'gitlab']);
    expect(pods()).toMatchObject({
      servers: ['gitlab/gl-gitaly-0', 'gitlab/gl-gitaly-1'],
      isAdvice: true,
      oomKills: 0,
      gitlabRb: undefined,
    });
    expect((pods()?.historySeconds ?? 0) / dayS).toBeCloseTo(days, 1);
  });

  testInPrometheus("get Git's memory for the highest peak and four weeks of growth", () => {
    const peak = Math.max(...dailyPeaks);
    const growth = 4 * (middle(dailyPeaks.slice(0, 7)) - middle(dailyPeaks.slice(7)));
    expect(growth / 2 ** 20).toBeGreaterThan(1000);
    const anon = (peak + growth) * 1.25;
    expect(size('git_memory_bytes')).toMatchObject({
      value: Math.ceil((anon * 1.25) / (128 * 2 ** 20)) * 128 * 2 ** 20,
      current: 8 * GiB,
      calculation: expect.stringMatching(
        /^peak of Git \(3\.2 GiB \+ 1\.2 GiB of growth\) x 1\.25 \(p99 2\.7 GiB, \+300 MiB a week, on gitlab\/gl-gitaly-0\)/,
      ),
    });
  });

  testInPrometheus("get CPU for the peak over minutes, and a buffer for Gitaly's own container", () => {
    expect(size('cpu_cores')).toMatchObject({
      value: 3.25,
      calculation: expect.stringContaining('peak of the pod 2.6 cores'),
    });
    expect(size('buffer_bytes')).toMatchObject({ value: GiB, current: 2 * GiB });
  });

  testInPrometheus('get buckets for the active repositories that hash into 60 of 100', () => {
    // 100 x (1 - 0.99^92) = 60.3
    expect(pods()?.buckets).toMatchObject({ count: 200, current: 100 });
    expect(pods()?.buckets?.calculation).toContain('about 92 repositories');
  });

  testInPrometheus(
    'get a higher limit where requests wait and are dropped, a lower one where it has no effect',
    () => {
      expect(pods()?.limits).toMatchObject([
        { name: 'gitaly.SSHService/SSHUploadPackWithSidechannel', change: 'lower', current: 400, value: 30 },
        {
          name: 'gitaly.SmartHTTPService/PostUploadPackWithSidechannel',
          change: 'raise',
          current: 20,
          value: 30,
          // 0.01 a second for a day
          calculation: expect.stringMatching(
            /^peak 20 in progress, p99 20, at most 9 waiting, 86\d dropped:/,
          ),
        },
      ]);
    },
  );

  testInPrometheus('get all of it as Helm values', () => {
    expect(parse(pods()?.helm ?? '')).toMatchObject({
      gitlab: {
        gitaly: {
          resources: { requests: { cpu: '3.25' } },
          cgroups: {
            enabled: true,
            memoryBytes: size('git_memory_bytes')?.value,
            repositories: { count: 200 },
          },
          shell: { concurrency: [{ maxPerRepo: 30 }, { maxPerRepo: 30 }] },
        },
      },
    });
  });
});

testInPrometheus('a host with three hours of history, an hour of it missing, gets no advice', () => {
  const vm = groups.find(({ name }) => name === 'gitaly-vm');
  expect(vm).toMatchObject({ isAdvice: false, confidence: 'low', helm: undefined, gitlabRb: undefined });
  expect((vm?.historySeconds ?? 0) / 3600).toBeGreaterThan(1.7);
  expect((vm?.historySeconds ?? 0) / 3600).toBeLessThan(2.6);
  // Shown with its calculation, but not as a value to copy.
  expect(vm?.sizes.map(({ id }) => id)).toContain('git_memory_bytes');
});

testInPrometheus('three days of history are advice of medium confidence, without growth', async () => {
  const { sizing: found, finding } = await sizing(3);
  expect(finding.status).toBe('pass');
  const pods = found?.groups.find(({ name }) => name === 'gitlab');
  expect(pods).toMatchObject({ isAdvice: true, confidence: 'medium' });
  expect(pods?.caveats.join()).toMatch(/measured over [23] d/);
  expect(pods?.sizes[0]?.calculation).not.toContain('growth');
  // No limit is lowered before a week of history.
  expect(pods?.limits.map(({ change }) => change)).toEqual(['keep', 'raise']);
});
