import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { Failure } from '../../../src/scheduler/outcome.ts';
import type { CgroupSourceOptions } from '../../../src/sources/cgroup/source.ts';
import type { PodDirectory } from '../../../src/sources/cgroup/tree.ts';
import type { KnownPod } from '../../../src/sources/server-info.ts';
import { createTestSource, samplesIn, type TestSource, valueIn } from './source-support.ts';
import {
  bytes,
  type CgroupText,
  createWrittenTree,
  memoryEvents,
  memoryStat,
  populated,
  type WrittenTree,
} from './written-tree.ts';

let tree: WrittenTree;
const started: TestSource[] = [];
beforeEach(() => {
  tree = createWrittenTree();
});
afterEach(async () => {
  for (const { source } of started.splice(0)) await source.stop();
  tree.remove();
});

function start(options: Partial<CgroupSourceOptions> = {}, root = tree.root): TestSource {
  const test = createTestSource(root, options);
  started.push(test);
  return test;
}

const uid = '3f1c8d2a-7b5e-4c0d-9a6f-1e2d3c4b5a69';
const containerId = 'a'.repeat(64);
const sliceOf = (pod: string): string => `kubepods.slice/kubepods-pod${pod.replaceAll('-', '_')}.slice`;
const slice = sliceOf(uid);
const scope = `${slice}/cri-containerd-${containerId}.scope`;
const git = `${slice}/gitaly/gitaly-1`;
const labels = (pod: string): string => `namespace="",pod="${pod}",node="node-1"`;

function makePod(pod = uid, bucketCount = 3, ofPod: CgroupText = {}): void {
  const at = sliceOf(pod);
  tree.make('kubepods.slice');
  tree.make(at, { 'memory.max': bytes(300), ...ofPod });
  tree.make(`${at}/cri-containerd-${containerId}.scope`, { 'memory.max': bytes(200) });
  tree.make(`${at}/gitaly`);
  tree.make(`${at}/gitaly/gitaly-1`, { 'memory.max': bytes(250) });
  for (let bucket = 0; bucket < bucketCount; bucket++)
    tree.make(`${at}/gitaly/gitaly-1/repos-${bucket}`, { 'memory.max': bytes(100) });
}

/** The kernel's counters after `kills` kills in a bucket at its own limit. */
function killInBucket(bucket: number, kills: number): void {
  tree.write(`${git}/repos-${bucket}`, {
    'memory.events': memoryEvents({ oom: kills, oom_kill: kills }),
    'memory.events.local': memoryEvents({ oom: kills, oom_kill: kills }),
  });
  for (const above of [git, `${slice}/gitaly`, slice, 'kubepods.slice'])
    tree.write(above, { 'memory.events': memoryEvents({ oom: kills, oom_kill: kills }) });
}

function directoryOf(pods: readonly Partial<KnownPod>[], failure?: Failure): PodDirectory {
  const complete = pods.map((pod) => ({
    uid: '',
    namespace: 'gitlab',
    name: '',
    node: 'node-1',
    qosClass: 'Guaranteed',
    priorityClass: 'gitaly',
    version: 'v18.10.0',
    runtimeVersion: 'containerd://2.1.4',
    kernelVersion: '6.12.0-amd64',
    containers: [],
    ...pod,
  }));
  return { pods: () => ({ pods: complete, failure }), subscribe: () => () => undefined };
}

describe('the series of a host', () => {
  test('are none on a node without Gitaly: no failure, and the reason is reported', async () => {
    tree.make('kubepods.slice');
    const { collect, source } = start();
    const outcome = await collect('cgroup');
    if (outcome.kind !== 'empty') throw new Error(outcome.kind);
    expect(outcome.why).toContain('no cgroups of Gitaly');
    expect(await collect('cgroup_buckets', 'due')).toMatchObject({ kind: 'empty' });
    expect(source.view()).toMatchObject({ failure: undefined, gitalys: [] });
  });

  test('are none without cgroup v2, and the collectors fail', async () => {
    const v1 = join(tree.root, 'v1');
    mkdirSync(join(v1, 'memory'), { recursive: true });
    writeFileSync(join(v1, 'memory', 'cgroup.procs'), '1\n');
    const { collect, source, text } = start({}, v1);
    for (const name of ['cgroup', 'cgroup_buckets'] as const)
      expect(await collect(name)).toMatchObject({ kind: 'failed', block: { families: [] } });
    expect(source.view().failure?.message).toContain('is cgroup v1');
    expect(samplesIn(await text(), 'gitaly_server')).toEqual([]);
    expect(samplesIn(await text(), 'gitaly_exporter_cgroup_gitalys')).toEqual([]);
  });

  test('without the API are those of every level of a pod, under its UID', async () => {
    makePod();
    const text = await start({ kernelVersion: '6.12.1' }).text();
    const own = labels(uid);
    expect(valueIn(text, 'gitaly_exporter_cgroup_gitalys')).toBe(1);
    expect(valueIn(text, `gitaly_server_pod_memory_limit_bytes{${own}}`)).toBe(300 * 2 ** 20);
    expect(valueIn(text, `gitaly_server_container_memory_limit_bytes{${own},container="aaaaaaaaaaaa"}`)).toBe(
      200 * 2 ** 20,
    );
    expect(valueIn(text, `gitaly_server_git_memory_limit_bytes{${own}}`)).toBe(250 * 2 ** 20);
    expect(valueIn(text, `gitaly_server_buckets{${own}}`)).toBe(3);
    expect(samplesIn(text, 'gitaly_server_info')).toEqual([
      `gitaly_server_info{${own},uid="${uid}",version="",qos_class="Guaranteed",priority_class="",runtime_version="",kernel_version="6.12.1",cgroup_driver="systemd",cgroup_layout="sibling"} 1`,
    ]);
  });

  test("with the API have the pod's name and version, and include only Gitaly's container", async () => {
    makePod();
    tree.make(`${slice}/cri-containerd-${'b'.repeat(64)}.scope`);
    const containers = [
      { name: 'gitaly', id: containerId },
      { name: 'sidecar', id: 'b'.repeat(64) },
    ];
    const { text } = start({
      directory: directoryOf([{ uid, name: 'gl-gitaly-0', containers }]),
      configuredBuckets: ({ pod }) => (pod === 'gl-gitaly-0' ? 1000 : undefined),
    });
    const seen = await text();
    const own = 'namespace="gitlab",pod="gl-gitaly-0",node="node-1"';
    expect(samplesIn(seen, 'gitaly_server_container_memory_usage_bytes')).toEqual([
      `gitaly_server_container_memory_usage_bytes{${own},container="gitaly"} 0`,
    ]);
    expect(samplesIn(seen, 'gitaly_server_info')).toEqual([
      `gitaly_server_info{${own},uid="${uid}",version="v18.10.0",qos_class="Guaranteed",priority_class="gitaly",runtime_version="containerd://2.1.4",kernel_version="6.12.0-amd64",cgroup_driver="systemd",cgroup_layout="sibling"} 1`,
    ]);
    expect(valueIn(seen, `gitaly_server_buckets{${own}}`)).toBe(1000);
  });

  test("of a pod with Gitaly's cgroups disabled have the levels pod and container, and not git", async () => {
    tree.make('kubepods.slice');
    tree.make(slice);
    tree.make(scope, { 'memory.max': bytes(200) });
    const directory = directoryOf([
      { uid, name: 'gl-gitaly-0', containers: [{ name: 'gitaly', id: containerId }] },
    ]);
    const { collect, text } = start({ directory });
    const seen = await text();
    expect(samplesIn(seen, 'gitaly_server_info')[0]).toContain('cgroup_layout="none"');
    expect(samplesIn(seen, 'gitaly_server_container_memory_limit_bytes')).toHaveLength(1);
    expect(samplesIn(seen, 'gitaly_server_git')).toEqual([]);
    expect(samplesIn(seen, 'gitaly_server_bucket')).toEqual([]);
    expect(await collect('cgroup_buckets', 'due')).toMatchObject({ kind: 'empty' });
  });

  test("of a virtual machine have the level git only, and the host's name", async () => {
    tree.make('gitaly');
    tree.make('gitaly/gitaly-1234', { 'memory.max': bytes(500) });
    tree.make('gitaly/gitaly-1234/repos-0');
    const text = await start({ hostName: 'gitaly-1' }).text();
    expect(valueIn(text, 'gitaly_server_git_memory_limit_bytes{namespace="",pod="",node="gitaly-1"}')).toBe(
      500 * 2 ** 20,
    );
    expect(samplesIn(text, 'gitaly_server_pod')).toEqual([]);
    expect(samplesIn(text, 'gitaly_server_container')).toEqual([]);
  });

  test('of a virtual machine count the restarts of Gitaly, those of a pod do not', async () => {
    tree.make('gitaly');
    const started = (pid: number): void => {
      tree.make(`gitaly/gitaly-${pid}`);
      tree.make(`gitaly/gitaly-${pid}/repos-0`);
    };
    makePod();
    started(100);
    const { clock, text } = start({ hostName: 'gitaly-1' });
    const restarts = async () => samplesIn(await text(), 'gitaly_server_restarts_total');
    const shown = (count: number) => [
      `gitaly_server_restarts_total{namespace="",pod="",node="gitaly-1"} ${count}`,
    ];
    expect(await restarts()).toEqual(shown(0));
    tree.removeCgroup('gitaly/gitaly-100');
    expect(await restarts()).toEqual(shown(0));
    for (const pid of [101, 102]) {
      started(pid);
      await clock.advance(6000);
      expect(await restarts()).toEqual(shown(pid - 100));
      tree.removeCgroup(`gitaly/gitaly-${pid}`);
    }
  });

  test('of a pod that was created again are one set while its old slice still exists', async () => {
    makePod();
    const before = '00000000-7b5e-4c0d-9a6f-1e2d3c4b5a69';
    tree.make(sliceOf(before));
    const { text } = start({
      directory: directoryOf([
        { uid: before, name: 'gl-gitaly-0' },
        { uid, name: 'gl-gitaly-0' },
      ]),
    });
    const seen = await text();
    expect(samplesIn(seen, 'gitaly_server_pod_memory_usage_bytes')).toHaveLength(1);
    expect(samplesIn(seen, 'gitaly_server_info')[0]).toContain(`uid="${uid}"`);
    expect(samplesIn(seen, 'gitaly_server_oom_kills_total')).toHaveLength(5);
  });
});

describe('a metric that the kernel or the cgroup lacks is absent without a failure', () => {
  const pod = { namespace: '', pod: uid, node: 'node-1' };

  test('for the limit of a pod without limits', async () => {
    makePod(uid, 1, { 'memory.max': 'max\n', 'cpu.max': 'max 100000\n' });
    const text = await start().text();
    for (const usage of ['memory_usage_bytes', 'cpu_usage_seconds_total'])
      expect(valueIn(text, `gitaly_server_pod_${usage}{${labels(uid)}}`)).toBeDefined();
    expect(samplesIn(text, 'gitaly_server_pod_memory_limit_bytes')).toEqual([]);
    expect(samplesIn(text, 'gitaly_server_pod_cpu_limit_cores')).toEqual([]);
  });

  test('for Linux 5.4, without memory.peak, oom_group_kill and full pressure of cpu', async () => {
    const some = 'some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n';
    makePod(uid, 1, {
      'memory.peak': undefined,
      'memory.events.local': 'low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\n',
      'cpu.pressure': some,
    });
    const { collect, text } = start();
    expect((await collect('cgroup')).kind).toBe('data');
    const seen = await text();
    expect(samplesIn(seen, `gitaly_server_pod_memory_peak_bytes`)).toEqual([]);
    expect(valueIn(seen, `gitaly_server_pod_memory_events_total{${labels(uid)},event="max"}`)).toBe(7);
    expect(seen).not.toContain(
      `gitaly_server_pod_memory_events_total{${labels(uid)},event="oom_group_kill"}`,
    );
    const cpu = samplesIn(seen, `gitaly_server_pod_pressure_seconds_total{${labels(uid)},resource="cpu"`);
    expect(cpu).toEqual([
      `gitaly_server_pod_pressure_seconds_total{${labels(uid)},resource="cpu",kind="some"} 1.5`,
    ]);
  });

  test('for a kernel with psi=0, without pressure', async () => {
    makePod(uid, 1, { 'cpu.pressure': undefined, 'memory.pressure': undefined, 'io.pressure': undefined });
    const { collect, source } = start();
    expect((await collect('cgroup')).kind).toBe('data');
    expect(source.view().gitalys[0]?.levels.flatMap(({ readErrors }) => readErrors)).toEqual([]);
  });

  test('the working set is never negative', async () => {
    makePod(uid, 1, { 'memory.current': bytes(5), 'memory.stat': memoryStat(0, 8) });
    const text = await start().text();
    expect(valueIn(text, `gitaly_server_pod_memory_working_set_bytes{${labels(pod.pod)}}`)).toBe(0);
  });
});

describe('an unreadable value is absent, named and counted, and the rest is exposed', () => {
  test('for a level', async () => {
    makePod(uid, 1, { 'memory.stat': 'anon many\n' });
    const { collect, source, text } = start();
    const outcome = await collect('cgroup');
    if (outcome.kind !== 'failed') throw new Error(outcome.kind);
    expect(outcome.reason).toBe('parse');
    expect(outcome.message).toContain('malformed');
    const seen = await text();
    expect(samplesIn(seen, 'gitaly_server_pod_memory_anon_bytes')).toEqual([]);
    expect(samplesIn(seen, 'gitaly_server_pod_memory_working_set_bytes')).toEqual([]);
    expect(samplesIn(seen, 'gitaly_server_pod_memory_usage_bytes')).toHaveLength(1);
    expect(samplesIn(seen, 'gitaly_server_git_memory_anon_bytes')).toHaveLength(1);
    expect(valueIn(seen, 'gitaly_exporter_cgroup_read_failures_total{reason="malformed"}')).toBeGreaterThan(
      0,
    );
    expect(source.view().gitalys[0]?.levels[0]).toMatchObject({ level: 'pod', anon: undefined });

    tree.write(slice, { 'memory.stat': memoryStat(1) });
    expect((await collect('cgroup')).kind).toBe('data');
  });

  test('for a bucket: the counts of its Gitaly are absent, those of another one are exposed', async () => {
    makePod(uid, 2);
    const other = 'a94be07c-21d3-4f58-8c17-6d0e5f9b2a31';
    makePod(other, 2);
    tree.write(`${git}/repos-1`, { 'cgroup.events': 'populated maybe\n' });
    const { collect, text } = start();
    expect(await collect('cgroup_buckets', 'due')).toMatchObject({
      kind: 'failed',
      reason: 'parse',
      message: expect.stringContaining(`1 bucket of ${uid}`),
    });
    const seen = await text();
    expect(samplesIn(seen, 'gitaly_server_buckets_active')).toEqual([
      `gitaly_server_buckets_active{${labels(other)}} 0`,
    ]);
    expect(valueIn(seen, `gitaly_server_bucket_read_errors{${labels(uid)}}`)).toBe(1);
    expect(valueIn(seen, `gitaly_server_buckets{${labels(uid)}}`)).toBe(2);
  });
});

describe('OOM kills', () => {
  test('are in the next scrape, once in the log and in the events, and their bucket gets series', async () => {
    makePod(uid, 3);
    const { collect, clock, events, logged, source, text } = start({ buckets: 'top', topBuckets: 1 });
    const before = await text();
    expect(valueIn(before, `gitaly_server_oom_kills_total{${labels(uid)},level="bucket"}`)).toBe(0);
    expect(samplesIn(before, 'gitaly_server_last_oom')).toEqual([]);
    expect(samplesIn(before, 'gitaly_server_bucket_oom_kills_total')).toHaveLength(1);

    tree.write(`${git}/repos-2`, { 'memory.stat': memoryStat(99), 'memory.current': bytes(99) });
    killInBucket(2, 1);
    await collect('cgroup');
    await collect('cgroup');
    await clock.advance(5000);
    const message = `1 process OOM-killed in ${uid}, bucket 2: the bucket's memory limit of 100 MiB was exceeded (99 MiB of anonymous memory after the kill)`;
    expect(logged).toEqual(['warn: OOM kill bucket=2']);
    expect(events.recent().map(({ kind, labels: of, message: text }) => [kind, of['bucket'], text])).toEqual([
      ['oom_kill', '2', message],
    ]);
    expect(source.view().kills).toHaveLength(1);

    const woken = await collect('cgroup_buckets', 'woken');
    if (woken.kind !== 'data') throw new Error(woken.kind);
    expect(woken.readAt).toBeDefined();
    const after = await text();
    expect(valueIn(after, `gitaly_server_oom_kills_total{${labels(uid)},level="bucket"}`)).toBe(1);
    expect(valueIn(after, `gitaly_server_bucket_oom_kills_total{${labels(uid)},bucket="2"}`)).toBe(1);
    expect(samplesIn(after, 'gitaly_server_last_oom_timestamp_seconds')).toHaveLength(1);
  });

  test('are found by polling, without a scrape', async () => {
    makePod();
    const { clock, collect, events } = start({ pollIntervalMs: 500 });
    await collect('cgroup');
    killInBucket(1, 2);
    await clock.advance(600);
    for (let wait = 0; wait < 200 && events.recent().length === 0; wait++) await clock.advance(50);
    expect(events.recent().map(({ message }) => message)).toEqual([
      expect.stringContaining('2 processes OOM-killed in'),
    ]);
  });

  test("before the exporter's start are not counted", async () => {
    makePod();
    killInBucket(0, 5);
    const text = await start().text();
    expect(valueIn(text, `gitaly_server_oom_kills_total{${labels(uid)},level="bucket"}`)).toBe(0);
  });

  test('of a removed pod are kept, and all its other series are dropped', async () => {
    makePod();
    const { collect, source, text } = start();
    await collect('cgroup');
    killInBucket(0, 1);
    await collect('cgroup');
    tree.removeCgroup(slice);
    const after = await text();
    expect(valueIn(after, `gitaly_server_oom_kills_total{${labels(uid)},level="bucket"}`)).toBe(1);
    expect(valueIn(after, `gitaly_server_bucket_oom_kills_total{${labels(uid)},bucket="0"}`)).toBe(1);
    expect(samplesIn(after, 'gitaly_server_pod')).toEqual([]);
    expect(samplesIn(after, 'gitaly_server_buckets')).toEqual([]);
    expect(valueIn(after, 'gitaly_exporter_cgroup_gitalys')).toBe(0);
    expect(source.view().disappeared.map(({ uid: of }) => of)).toEqual([uid]);
  });

  test('of a pod that a complete list shows not to be Gitaly do not make it a removed Gitaly', async () => {
    makePod();
    let failure: Failure | undefined = { reason: 'timeout', message: 'not listed yet' };
    const directory: PodDirectory = {
      pods: () => ({ pods: [], failure }),
      subscribe: () => () => undefined,
    };
    const { collect, clock, source } = start({ directory });
    await collect('cgroup');
    expect(source.view().gitalys.map(({ uid: of }) => of)).toEqual([uid]);
    failure = undefined;
    clock.stall(60_000);
    await collect('cgroup');
    expect(source.view().gitalys).toEqual([]);
    expect(source.view().disappeared).toEqual([]);
  });

  test('are exposed for a bucket that was removed before the next sweep', async () => {
    makePod();
    const { collect, text } = start({ buckets: 'all' });
    await text();
    killInBucket(1, 1);
    await collect('cgroup');
    tree.removeCgroup(`${git}/repos-1`);
    const after = await text();
    expect(valueIn(after, `gitaly_server_bucket_oom_kills_total{${labels(uid)},bucket="1"}`)).toBe(1);
    expect(samplesIn(after, 'gitaly_server_bucket_memory_usage_bytes')).toHaveLength(2);
  });
});

describe('open files and watches', () => {
  const openFiles = async ({ text }: TestSource): Promise<number | undefined> =>
    valueIn(await text(), 'gitaly_exporter_cgroup_open_files');

  test('are released with the pods: their number after a dozen pods is as after the first one', async () => {
    const running = start();
    tree.make('kubepods.slice');
    await running.text();
    const counts: (number | undefined)[] = [];
    for (let pod = 10; pod < 22; pod++) {
      const other = `${pod}000000-7b5e-4c0d-9a6f-1e2d3c4b5a69`;
      makePod(other, 5);
      await running.clock.advance(6000);
      const present = await running.text();
      expect(samplesIn(present, 'gitaly_server_pod_memory_usage_bytes')).toHaveLength(1);
      tree.removeCgroup(sliceOf(other));
      await running.clock.advance(6000);
      const after = await running.text();
      expect(samplesIn(after, 'gitaly_server')).toEqual([]);
      counts.push(valueIn(after, 'gitaly_exporter_cgroup_open_files'));
    }
    expect(new Set(counts).size).toBe(1);
  });

  test('are released by stop, which may be called twice', async () => {
    makePod();
    const running = start();
    expect(await openFiles(running)).toBeGreaterThan(10);
    await running.source.stop();
    await running.source.stop();
    const self = running.source.selfFamilies();
    const families = self.filter(({ metric }) => /_(open_files|watches)$/.test(metric.name));
    expect(
      families.flatMap((family) => ('samples' in family ? family.samples.map(({ value }) => value) : [])),
    ).toEqual([0, 0, 0]);
  });
});

test('the view has levels, buckets near their limit and missing data, and drops stale data', async () => {
  makePod(uid, 2, { 'memory.current': bytes(290), 'memory.stat': memoryStat(280) });
  tree.write(`${git}/repos-1`, {
    'memory.current': bytes(95),
    'memory.stat': memoryStat(95),
    'cgroup.events': populated(true),
    'cgroup.procs': '77\n',
  });
  const { clock, source, text } = start();
  await text();
  const view = source.view();
  expect(view.missing.join()).toContain('named by UID');
  const [gitaly] = view.gitalys;
  expect(gitaly).toMatchObject({ uid, layout: 'sibling', identity: { pod: uid, node: 'node-1' } });
  expect(gitaly?.levels.map(({ level }) => level)).toEqual(['pod', 'container', 'git']);
  expect(gitaly?.levels[0]).toMatchObject({
    anon: 280 * 2 ** 20,
    limit: { kind: 'limit', value: 300 * 2 ** 20 },
  });
  expect(gitaly?.buckets).toMatchObject({ found: 2, active: 1, readErrors: 0, nearLimit: [{ bucket: 1 }] });
  expect(gitaly?.oom?.kills).toMatchObject({ bucket: 0, node: 0 });

  await clock.advance(61_000);
  expect(source.view().gitalys[0]).toMatchObject({ uid, buckets: undefined });
  await clock.advance(240_000);
  expect(source.view().gitalys).toEqual([]);
});
