/** The exporter reads the demo's cgroups: discovery, activity, file formats, and OOM kills at each level. */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { gitalyIncidents } from '../../demo/incidents/gitaly.ts';
import type { Scene } from '../../demo/incidents/incident.ts';
import { createDemoKubernetes, type DemoKubernetes } from '../../demo/kubernetes/cluster.ts';
import { type Cgroup, createCgroup } from '../../demo/node/cgroup.ts';
import { enforceLimits, runFor } from '../../demo/node/kernel.ts';
import { type DemoNode, startDemoNode } from '../../demo/node/node.ts';
import { sliceOf } from '../../demo/node/pods.ts';
import { demoTopology } from '../../demo/topology.ts';
import { createRandom, createWorld } from '../../demo/world.ts';
import { bucketsOf } from '../../src/buckets/hash.ts';
import { cgroupProblems } from '../../src/rules/problems/cgroup.ts';
import { createPodsFileDirectory } from '../../src/sources/kubernetes/directory/pods-file.ts';
import { createTestSource, samplesIn, valueIn } from '../sources/cgroup/source-support.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { problemSituation } from '../support/problem-situation.ts';

const fixtures = join(import.meta.dirname, '../fixtures/cgroup');
const replicaPath = '@cluster/repositories/ab/cd/42';
/** Each test writes hundreds of files: in memory where possible. */
const parentFolder = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const ended: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

/** As in the output of `kubectl get pods,nodes -o json`. */
const objectsOf = ({ store }: DemoKubernetes) => [...store.list('pods'), ...store.list('nodes')];

async function setUp() {
  const clock = createManualClock();
  const world = createWorld(demoTopology);
  const node: DemoNode = await startDemoNode({
    clock,
    random: createRandom(1),
    process: (storage) => world.gitaly(storage).process,
    folder: parentFolder,
  });
  ended.push(node.stop);
  const kubernetes = createDemoKubernetes({ clock, world, node, random: createRandom(2) });
  const end = new AbortController();
  const ran = kubernetes.run(end.signal);
  ended.push(async () => {
    end.abort();
    await ran;
  });
  const directory = createPodsFileDirectory({
    file: 'pods.json',
    readText: async () => JSON.stringify({ kind: 'List', items: objectsOf(kubernetes) }),
    clock,
    watch: () => () => undefined,
  });
  await directory.ready;
  const test = createTestSource(node.root, { clock, directory });
  ended.push(async () => {
    await test.source.stop();
    directory.close();
  });
  const pass = async (seconds: number): Promise<void> => {
    for (let passed = 0; passed < seconds * 1000; passed += 250) await clock.advance(250);
  };
  await pass(5);

  /** Runs an incident until `end`. */
  function begin(name: string) {
    const incident = gitalyIncidents.find((each) => each.name === name);
    if (incident === undefined) throw new Error(name);
    const ending = new AbortController();
    const reported: string[] = [];
    const { signal } = ending;
    const scene = {
      ...{ signal, cluster: { world }, node, kubernetes, report: (line: string) => reported.push(line) },
      sleep: (ms: number) => clock.sleep(ms, signal),
      until: async (condition: () => Promise<boolean>) => void (await condition()),
      sql: { query: async () => [{ relativePath: '@hashed/42.git', replicaPath }] },
    } as unknown as Scene;
    const over = incident.run(scene);
    const end = async (): Promise<void> => {
      ending.abort();
      await over;
    };
    ended.push(end);
    return { reported, end };
  }

  /** The text of /metrics once the condition holds, within a minute of the clock. */
  async function textWith(condition: (text: string) => boolean): Promise<string> {
    for (let tries = 0; tries < 60; tries += 1) {
      const text = await test.text();
      if (condition(text)) return text;
      await pass(1);
    }
    throw new Error('the condition did not hold within a minute');
  }
  return { node, kubernetes, world, pass, begin, textWith, ...test };
}

// Minutes of simulated time are written file by file, which takes seconds on a slow disk.
jest.setTimeout(120_000);

const of = (pod: string): string =>
  `{namespace="gitlab",pod="${pod}",node="${pod.replace('gitaly', 'worker')}"`;
const kills = (pod: string, level: string): string =>
  `gitaly_server_oom_kills_total${of(pod)},level="${level}"}`;

describe('the cgroups of the node', () => {
  test('contain three Gitalys with their names, in both layouts, without read errors', async () => {
    const { source, text } = await setUp();
    const shown = await text();
    expect(source.view()).toMatchObject({ failure: undefined, failures: [], missing: [] });
    expect([...samplesIn(shown, 'gitaly_server_info')].sort()).toEqual([
      expect.stringMatching(
        /pod="gitaly-1".*version="v19.0.1".*qos_class="Guaranteed".*cgroup_layout="sibling"/,
      ),
      expect.stringMatching(
        /pod="gitaly-2".*version="v19.0.1".*qos_class="Burstable".*cgroup_layout="nested"/,
      ),
      expect.stringMatching(
        /pod="gitaly-3".*version="v19.0.1".*qos_class="Guaranteed".*cgroup_layout="sibling"/,
      ),
    ]);
    expect(valueIn(shown, `gitaly_server_pod_memory_limit_bytes${of('gitaly-1')}}`)).toBe(8 * 2 ** 30);
    expect(valueIn(shown, `gitaly_server_pod_memory_usage_bytes${of('gitaly-2')}}`)).toBeGreaterThan(0);
    expect(valueIn(shown, `gitaly_server_pod_memory_limit_bytes${of('gitaly-2')}}`)).toBeUndefined();
    expect(valueIn(shown, `gitaly_server_git_memory_limit_bytes${of('gitaly-2')}}`)).toBe(6 * 2 ** 30);
    expect(samplesIn(shown, 'gitaly_server_oom_kills_total').every((line) => line.endsWith(' 0'))).toBe(true);
    expect(
      samplesIn(shown, 'gitaly_exporter_cgroup_read_failures_total').every((line) => line.endsWith(' 0')),
    ).toBe(true);
  });

  test('change over time: CPU, memory, processes and buckets of Git', async () => {
    const { text, pass } = await setUp();
    const before = await text();
    await pass(30);
    const after = await text();
    const cpu = `gitaly_server_git_cpu_usage_seconds_total${of('gitaly-1')}}`;
    expect(valueIn(after, cpu)! - valueIn(before, cpu)!).toBeGreaterThan(5);
    const memory = `gitaly_server_git_memory_anon_bytes${of('gitaly-1')}}`;
    expect(valueIn(after, memory)).not.toBe(valueIn(before, memory));
    const buckets = `gitaly_server_buckets${of('gitaly-1')}}`;
    expect(valueIn(after, buckets)!).toBeGreaterThanOrEqual(valueIn(before, buckets)!);
    expect(valueIn(after, `gitaly_server_git_processes${of('gitaly-2')}}`)).toBeGreaterThan(0);
  });

  test('have no problems without an incident', async () => {
    const { source, text, pass, clock } = await setUp();
    for (let minutes = 0; minutes < 2; minutes += 0.25) {
      await pass(15);
      await text();
      expect(cgroupProblems(problemSituation(source.view(), clock.now() / 1000))).toEqual([]);
    }
  });

  test('are updated in place: an open file shows later values', async () => {
    const { node, pass } = await setUp();
    const path = join(node.root, 'kubepods.slice/memory.current');
    const { ino } = statSync(path);
    const descriptor = openSync(path, 'r');
    const read = (): string => {
      const bytes = Buffer.alloc(100);
      return bytes.toString('utf8', 0, readSync(descriptor, bytes, 0, 100, 0));
    };
    const before = read();
    await pass(5);
    expect(read()).not.toBe(before);
    expect(read()).toBe(readFileSync(path, 'utf8'));
    expect(statSync(path).ino).toBe(ino);
    closeSync(descriptor);
  });

  test('have no processes while their Gitaly is dead', async () => {
    const { world, pass, text } = await setUp();
    world.gitaly('gitaly-1').process = 'dead';
    await pass(2);
    expect(valueIn(await text(), `gitaly_server_git_processes${of('gitaly-1')}}`)).toBe(0);
    expect(valueIn(await text(), `gitaly_server_git_processes${of('gitaly-2')}}`)).toBeGreaterThan(0);
    world.gitaly('gitaly-1').process = 'running';
    await pass(5);
    expect(valueIn(await text(), `gitaly_server_git_processes${of('gitaly-1')}}`)).toBeGreaterThan(0);
  });

  test('are removed when the node stops', async () => {
    const { node } = await setUp();
    await Promise.all([node.stop(), node.stop()]);
    expect(() => statSync(node.root)).toThrow(/ENOENT/);
  });

  test('have the lines of a kernel 6.12, in their order', async () => {
    const { node } = await setUp();
    const uid = '7c0e5b1a-3d8f-4a62-9b1e-5f2d8c4a7e10';
    const slice = join(node.root, ...sliceOf({ qosClass: 'Guaranteed', uid }));
    const captured = 'kernel-6.12-before.tar.gz';
    const real = (file: string): string =>
      execFileSync(
        'tar',
        [
          '-xzOf',
          join(fixtures, captured),
          '--wildcards',
          `*-pod3f1c8d2a_7b5e_4c0d_9a6f_1e2d3c4b5a69.slice/${file}`,
        ],
        { encoding: 'utf8' },
      );
    const shape = (text: string): readonly string[] =>
      text.split('\n').map((line) => line.replaceAll(/\b\d+(\.\d+)?\b/g, 'N'));
    for (const file of [
      ...[
        'memory.stat',
        'memory.events',
        'memory.events.local',
        'memory.current',
        'memory.max',
        'memory.peak',
      ],
      ...[
        'cpu.stat',
        'cpu.max',
        'cpu.pressure',
        'memory.pressure',
        'cgroup.events',
        'cgroup.type',
        'memory.oom.group',
      ],
    ])
      expect([file, shape(readFileSync(join(slice, file), 'utf8'))]).toEqual([file, shape(real(file))]);
  });
});

describe('an incident of the node', () => {
  test("named oom-bucket causes kills at the bucket's level, in the repository's own bucket, until it ends", async () => {
    const { begin, textWith, pass, logged, text } = await setUp();
    const { reported, end } = begin('oom-bucket');
    const series = kills('gitaly-2', 'bucket');
    const shown = await textWith((found) => (valueIn(found, series) ?? 0) >= 2);

    const [bucket] = bucketsOf('gitaly-2', replicaPath, { count: 100, maxCgroupsPerRepo: 1 });
    expect(valueIn(shown, `gitaly_server_bucket_oom_kills_total${of('gitaly-2')},bucket="${bucket}"}`)).toBe(
      valueIn(shown, series),
    );
    for (const level of ['git', 'container', 'pod', 'node'])
      expect(valueIn(shown, kills('gitaly-2', level))).toBe(0);
    expect(valueIn(shown, kills('gitaly-1', 'bucket'))).toBe(0);
    expect(reported[0]).toBe(`clone 1 of @hashed/42.git runs in repos-${bucket} of gitaly-2`);
    expect(logged).toContain(`warn: OOM kill bucket=${bucket}`);

    await end();
    const after = valueIn(await text(), series);
    await pass(30);
    expect(valueIn(await text(), series)).toBe(after);
  });

  test('named oom-bucket brings the bucket near its limit before each kill', async () => {
    const { begin, textWith } = await setUp();
    begin('oom-bucket');
    await textWith((text) => valueIn(text, `gitaly_server_buckets_near_limit${of('gitaly-2')}}`) === 1);
  });

  test("named oom-pod kills the container at the pod's limit, and the kubelet replaces it", async () => {
    const { begin, textWith, node, world } = await setUp();
    const idIn = (): string => node.pod('gitaly-1').containerId();
    const before = idIn();
    const { end } = begin('oom-pod');
    const shown = await textWith((found) => (valueIn(found, kills('gitaly-1', 'pod')) ?? 0) > 0);

    // Gitaly, its supervisor, and the added process: the victim is not counted twice.
    expect(valueIn(shown, kills('gitaly-1', 'pod'))).toBe(3);
    expect(valueIn(shown, `gitaly_server_oom_events_total${of('gitaly-1')},level="pod"}`)).toBe(1);
    for (const level of ['bucket', 'git', 'container', 'node'])
      expect(valueIn(shown, kills('gitaly-1', level))).toBe(0);

    const later = await textWith(() => idIn() !== before && world.gitaly('gitaly-1').process === 'running');
    expect(valueIn(later, kills('gitaly-1', 'pod'))).toBe(3);
    await textWith(
      (text) => samplesIn(text, `gitaly_server_container_memory_usage_bytes${of('gitaly-1')}`).length === 1,
    );
    await end();
    expect(world.gitaly('gitaly-1').process).toBe('running');
  });
});

/** The results are those captured on real kernels. */
describe('the simulated kernel', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(parentFolder, 'gitaly-exporter-test-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const mib = 2 ** 20;
  const hog = (anon: number) => ({ pid: 1, anon: anon * mib, cores: 0 });
  const none = { max: expect.any(Number), oom: 0, oom_kill: 0, oom_group_kill: 0 };

  /** Limits as in the captures, in MiB: pod 300, scope 300 (group), gitaly-1 250, buckets 100. */
  function pod(isNested = false): {
    slice: Cgroup;
    scope: Cgroup;
    git: Cgroup;
    bucket: (n: number) => Cgroup;
  } {
    const slice = createCgroup(folder, 'slice', { memory: 300 * mib });
    const scope = slice.child('scope', { memory: 300 * mib, oomGroup: true });
    const git = (isNested ? scope : slice).child('gitaly-1', { memory: 250 * mib });
    return { slice, scope, git, bucket: (n) => git.child(`repos-${n}`, { memory: 100 * mib }) };
  }

  test("kills the process of a bucket at the bucket's own limit", () => {
    const { slice, git, bucket } = pod();
    for (let i = 0; i < 3; i += 1) {
      bucket(3).processes.push(hog(120));
      enforceLimits(slice);
    }
    expect(bucket(3).local).toEqual({ ...none, oom: 3, oom_kill: 3 });
    expect(git.local).toEqual(none);
    expect(git.events()).toMatchObject({ oom: 3, oom_kill: 3 });
    expect(slice.events()).toMatchObject({ oom: 3, oom_kill: 3 });
  });

  test("kills the largest process of all buckets at gitaly-1's limit", () => {
    const { slice, git, bucket } = pod();
    bucket(1).processes.push(hog(80));
    bucket(2).processes.push(hog(95));
    bucket(4).processes.push(hog(85));
    expect(enforceLimits(slice)).toMatchObject([
      { cgroup: { path: 'slice/gitaly-1/repos-2' }, processes: 1 },
    ]);
    expect(bucket(2).local).toEqual({ ...none, oom: 0, oom_kill: 1 });
    expect(git.local).toEqual({ ...none, oom: 1 });
  });

  test("kills the scope as a group at the pod's limit when the victim is in it, and spares the buckets", () => {
    const { slice, scope, bucket } = pod();
    scope.processes.push(hog(150), hog(5), hog(5));
    bucket(1).processes.push(hog(80));
    bucket(2).processes.push(hog(80));
    enforceLimits(slice);
    expect(slice.local).toEqual({ ...none, oom: 1 });
    expect(scope.local).toEqual({ ...none, oom_kill: 4, oom_group_kill: 1 });
    expect(scope.processes).toEqual([]);
    expect(bucket(1).processes).toHaveLength(1);
  });

  test("kills one process at a bucket's limit inside the scope, and all at the scope's limit", () => {
    const { slice, scope, bucket } = pod(true);
    scope.child('init').processes.push(hog(40));
    bucket(1).processes.push(hog(120));
    enforceLimits(slice);
    expect(scope.processCount()).toBe(1);
    bucket(2).processes.push(hog(95));
    bucket(3).processes.push(hog(90));
    scope.child('init').processes.push(hog(80));
    enforceLimits(slice);
    expect(scope.processCount()).toBe(0);
    expect(scope.local).toMatchObject({ oom: 1, oom_group_kill: 1 });
  });

  test('reclaims page cache before it kills', () => {
    const { slice, bucket } = pod();
    bucket(1).processes.push(hog(90));
    bucket(1).file = 200 * mib;
    expect(enforceLimits(slice)).toEqual([]);
    expect(bucket(1).local).toEqual({ ...none, oom: 0 });
    expect(bucket(1).local.max).toBeGreaterThan(0);
    expect(bucket(1).usage()).toBeLessThanOrEqual(100 * mib);
  });

  test('keeps the events of a removed cgroup in its ancestors', () => {
    const { slice, bucket } = pod();
    bucket(3).processes.push(hog(120));
    enforceLimits(slice);
    slice.remove('gitaly-1');
    expect(slice.events()).toMatchObject({ oom: 1, oom_kill: 1 });
    expect(() => statSync(join(folder, 'slice/gitaly-1'))).toThrow(/ENOENT/);
  });

  test('throttles CPU above a limit and counts it', () => {
    const slice = createCgroup(folder, 'slice', { cores: 2 });
    const one = slice.child('one', { cores: 1 });
    one.processes.push({ pid: 1, anon: 0, cores: 3 });
    slice.child('two').processes.push({ pid: 2, anon: 0, cores: 0.5 });
    runFor(slice, 10);
    expect(one.cpu).toEqual({ usage: 10, periods: 100, throttledPeriods: 100, throttled: 20 });
    expect(slice.cpu).toEqual({ usage: 15, periods: 100, throttledPeriods: 0, throttled: 0 });
  });
});
