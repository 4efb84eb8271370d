/**
 * What the collectors expose of Gitalys that are unreadable, run outside of their slice, or were removed; and
 * of clocks that are set.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createCgroupFactsReader } from '../../../src/sources/cgroup/facts.ts';
import type { CgroupSourceOptions } from '../../../src/sources/cgroup/source.ts';
import type { KnownPod } from '../../../src/sources/server-info.ts';
import { createManualClock } from '../../support/manual-clock.ts';
import { asUnprivileged, directoryOf, type TestDirectory } from './discovery/support.ts';
import { createTestSource, samplesIn, type TestSource, valueIn } from './source-support.ts';
import { bytes, createWrittenTree, memoryEvents, populated, type WrittenTree } from './written-tree.ts';

let tree: WrittenTree;
const started: TestSource[] = [];
beforeEach(() => {
  tree = createWrittenTree();
  chmodSync(tree.root, 0o755);
});
afterEach(async () => {
  for (const { source } of started.splice(0)) await source.stop();
  tree.remove();
});

function start(options: Partial<CgroupSourceOptions> = {}): TestSource {
  const test = createTestSource(tree.root, options);
  started.push(test);
  return test;
}

const uids = ['3f1c8d2a-7b5e-4c0d-9a6f-1e2d3c4b5a69', 'a94be07c-21d3-4f58-8c17-6d0e5f9b2a31'] as const;
const ids = ['a'.repeat(64), 'b'.repeat(64)] as const;
const sliceOf = (index: 0 | 1): string =>
  `kubepods.slice/kubepods-pod${uids[index].replaceAll('-', '_')}.slice`;
const podOf = (index: 0 | 1, running = true): KnownPod => ({
  uid: uids[index],
  namespace: 'gitlab',
  name: `gl-gitaly-${index}`,
  node: 'node-1',
  qosClass: 'Guaranteed',
  priorityClass: '',
  version: '',
  runtimeVersion: '',
  kernelVersion: '',
  containers: [{ name: 'gitaly', id: ids[index], ...(running && { running }) }],
});
const labels = (index: 0 | 1): string => `namespace="gitlab",pod="gl-gitaly-${index}",node="node-1"`;

function makePod(index: 0 | 1): void {
  const slice = sliceOf(index);
  tree.make('kubepods.slice');
  for (const path of [
    slice,
    `${slice}/cri-containerd-${ids[index]}.scope`,
    `${slice}/gitaly/gitaly-1/repos-0`,
  ])
    tree.make(path, { 'memory.current': bytes(100), 'cgroup.events': populated(true) });
  for (const path of [`${slice}/gitaly`, `${slice}/gitaly/gitaly-1`]) tree.make(path);
}

function killIn(index: 0 | 1, kills: number): void {
  const bucket = `${sliceOf(index)}/gitaly/gitaly-1/repos-0`;
  const counts = memoryEvents({ oom: kills, oom_kill: kills });
  tree.write(bucket, { 'memory.events': counts, 'memory.events.local': counts });
  for (let above = bucket; above !== 'kubepods.slice'; ) {
    above = above.slice(0, above.lastIndexOf('/'));
    tree.write(above, { 'memory.events': counts });
  }
}

test("an unreadable directory of the Linux package's Gitaly makes both collectors fail, and no value is 0", async () => {
  tree.make('gitlab.slice/gitaly/gitaly-77/repos-0', { 'memory.max': bytes(512) });
  chmodSync(join(tree.root, 'gitlab.slice/gitaly'), 0o700);
  await asUnprivileged(async () => {
    const { collect, source, text } = start();
    for (const name of ['cgroup', 'cgroup_buckets'] as const)
      expect(await collect(name)).toMatchObject({
        kind: 'failed',
        reason: 'permission',
        message: expect.stringContaining('/gitlab.slice/gitaly'),
      });
    const found = await text();
    expect(samplesIn(found, 'gitaly_server')).toEqual([]);
    expect(samplesIn(found, 'gitaly_exporter_cgroup_gitalys')).toEqual([]);
    expect(source.view().failures).toMatchObject([{ reason: 'permission' }]);
  });
});

test('a pod with unreadable Git cgroups keeps its own values; its layout is unknown, not none', async () => {
  makePod(0);
  chmodSync(join(tree.root, sliceOf(0), 'gitaly'), 0o700);
  await asUnprivileged(async () => {
    const { collect, source, text } = start({ directory: directoryOf([podOf(0)]) });
    expect(await collect('cgroup')).toMatchObject({ kind: 'failed', reason: 'permission' });
    expect(await collect('cgroup_buckets')).toMatchObject({ kind: 'failed', reason: 'permission' });
    const found = await text();
    expect(samplesIn(found, 'gitaly_server_info')[0]).toContain('cgroup_layout=""');
    expect(valueIn(found, `gitaly_server_pod_memory_usage_bytes{${labels(0)}}`)).toBe(100 * 2 ** 20);
    expect(samplesIn(found, 'gitaly_server_git_')).toEqual([]);
    expect(source.view().gitalys[0]?.layout).toBeUndefined();
    const facts = createCgroupFactsReader({
      root: tree.root,
      node: 'node-1',
      directory: directoryOf([podOf(0)]),
      readText: async () => '',
      proc: '/proc',
      clock: createManualClock(),
    });
    expect((await facts.read(new AbortController().signal)).servers).toEqual([]);
  });
});

test('a Gitaly whose directory becomes unreadable has not disappeared', async () => {
  makePod(0);
  const { clock, collect, source } = start({ directory: directoryOf([podOf(0)]) });
  await asUnprivileged(async () => expect((await collect('cgroup')).kind).toBe('data'));
  chmodSync(join(tree.root, 'kubepods.slice'), 0o700);
  await asUnprivileged(async () => {
    await clock.advance(61_000);
    expect(await collect('cgroup')).toMatchObject({ kind: 'failed', reason: 'permission' });
  });
  chmodSync(join(tree.root, 'kubepods.slice'), 0o755);
  expect(source.view().disappeared).toEqual([]);
});

describe('a pod that runs outside of its slice', () => {
  const empty = { 'cgroup.events': populated(false), 'memory.current': '0\n', 'memory.peak': '0\n' };
  const stray = `system.slice/${sliceOf(0).split('/')[1]}:cri-containerd:${ids[0]}`;

  test('has no values and no counters, the collectors fail, and another pod has all of its own', async () => {
    tree.make('kubepods.slice');
    tree.make(sliceOf(0), empty);
    tree.make('system.slice');
    tree.make(stray, { 'memory.events': memoryEvents({ oom_kill: 2 }) });
    makePod(1);
    const { collect, source, text } = start({ directory: directoryOf([podOf(0), podOf(1)]) });
    expect(await collect('cgroup')).toMatchObject({
      kind: 'failed',
      reason: 'missing',
      message: expect.stringContaining('gitlab/gl-gitaly-0: the pod runs, but none of its containers'),
    });
    const found = await text();
    expect(samplesIn(found, 'gitaly_server').filter((line) => line.includes('gl-gitaly-0'))).toEqual([]);
    expect(valueIn(found, `gitaly_server_pod_memory_usage_bytes{${labels(1)}}`)).toBe(100 * 2 ** 20);
    expect(valueIn(found, `gitaly_server_oom_kills_total{${labels(1)},level="bucket"}`)).toBe(0);
    expect(valueIn(found, 'gitaly_exporter_cgroup_gitalys')).toBe(1);
    expect(source.view().gitalys.map(({ identity }) => identity.pod)).toEqual(['gl-gitaly-1']);
  });

  test('has values again when it is back in its slice', async () => {
    tree.make('kubepods.slice');
    tree.make(sliceOf(0), empty);
    const { clock, collect, text } = start({ directory: directoryOf([podOf(0)]) });
    expect((await collect('cgroup')).kind).toBe('failed');
    makePod(0);
    await clock.advance(6000);
    expect((await collect('cgroup')).kind).toBe('data');
    expect(valueIn(await text(), `gitaly_server_oom_kills_total{${labels(0)},level="pod"}`)).toBe(0);
  });
});

describe('OOM kills of a pod that was removed before the first scrape', () => {
  async function killedAndRemoved(): Promise<TestSource & { readonly directory: TestDirectory }> {
    tree.make('kubepods.slice');
    const directory = directoryOf([]);
    const running = start({ directory });
    await running.clock.advance(1000);
    makePod(0);
    directory.set([podOf(0)]);
    await running.clock.advance(61_000);
    killIn(0, 3);
    await running.clock.advance(1000);
    tree.removeCgroup(sliceOf(0));
    directory.set([podOf(0, false)]);
    await running.clock.advance(61_000);
    directory.set([]);
    await running.clock.advance(120_000);
    return { ...running, directory };
  }

  test('are exposed for an hour, by pod, level and bucket', async () => {
    const { clock, text } = await killedAndRemoved();
    const found = await text();
    expect(valueIn(found, `gitaly_server_oom_kills_total{${labels(0)},level="bucket"}`)).toBe(3);
    expect(valueIn(found, `gitaly_server_bucket_oom_kills_total{${labels(0)},bucket="0"}`)).toBe(3);
    expect(samplesIn(found, 'gitaly_server_pod_')).toEqual([]);
    await clock.advance(3_600_000);
    expect(samplesIn(await text(), 'gitaly_server_oom_kills_total')).toEqual([]);
  });

  test('are in the view, together with the Gitaly that disappeared', async () => {
    const { source } = await killedAndRemoved();
    expect(source.view().kills).toMatchObject([
      { level: 'bucket', processes: 3, identity: { pod: 'gl-gitaly-0' } },
    ]);
    expect(source.view().disappeared.map(({ identity }) => identity.pod)).toEqual(['gl-gitaly-0']);
  });

  test.each([
    ['back', -7_200_000],
    ['forward', 7_200_000],
  ])(
    'keep their age, and stay in the view for an hour, when the clock of the host is set %s by two hours',
    async (_, by) => {
      const { clock, source, text } = await killedAndRemoved();
      const agesOf = async () => [
        clock.now() / 1000 -
          (valueIn(await text(), `gitaly_server_last_oom_timestamp_seconds{${labels(0)},level="bucket"}`) ??
            0),
        (clock.now() - (source.view().kills[0]?.at ?? 0)) / 1000,
      ];
      const ages = await agesOf();
      expect(ages[0]).toBeGreaterThan(180);
      clock.setWall(clock.now() + by);
      // A timestamp in the future, or hours ago, would read as a new kill or an old one.
      const [exposed = 0, shown = 0] = await agesOf();
      expect(exposed).toBeCloseTo(ages[0] ?? 0, 0);
      expect(shown).toBeCloseTo(ages[1] ?? 0, 0);
      expect([source.view().kills.length, source.view().disappeared.length]).toEqual([1, 1]);
      await clock.advance(3_600_000);
      expect([source.view().kills.length, source.view().disappeared.length]).toEqual([0, 0]);
    },
  );
});

test.each(['memory.stat', 'cpu.stat', 'memory.events.local'])(
  '%s without the lines that every kernel has is a failure, and its values are absent',
  async (file) => {
    makePod(0);
    tree.write(sliceOf(0), { [file]: 'something 1\n' });
    const { collect, text } = start({ directory: directoryOf([podOf(0)]) });
    expect(await collect('cgroup')).toMatchObject({
      kind: 'failed',
      reason: 'parse',
      message: expect.stringContaining(`${file} (incomplete) of the level pod`),
    });
    const names = {
      'memory.stat': 'memory_anon',
      'cpu.stat': 'cpu_usage',
      'memory.events.local': 'memory_events',
    };
    const absent = names[file as keyof typeof names];
    expect(samplesIn(await text(), `gitaly_server_pod_${absent}`)).toEqual([]);
  },
);

test('a named pipe in place of every file is a failure and blocks nothing', async () => {
  makePod(0);
  for (const file of readdirSync(join(tree.root, sliceOf(0))).filter((name) =>
    /^(memory|cpu|io|cgroup)\./.test(name),
  )) {
    const path = join(tree.root, sliceOf(0), file);
    rmSync(path);
    spawnSync('mkfifo', [path]);
  }
  const { collect, text } = start({ directory: directoryOf([podOf(0)]) });
  expect(await collect('cgroup')).toMatchObject({ kind: 'failed', reason: 'query' });
  expect(samplesIn(await text(), 'gitaly_server_pod_')).toEqual([]);
});
