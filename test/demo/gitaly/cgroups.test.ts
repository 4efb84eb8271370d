/** The demo's cgroups through the exporter's own eyes: found, alive, shaped as a kernel's, and killed at each level. */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { type Cgroup, createCgroup } from '../../../demo/gitaly/cgroups/cgroup.ts';
import { type DemoCgroups, startDemoCgroups } from '../../../demo/gitaly/cgroups/cgroups.ts';
import { enforceLimits, runFor } from '../../../demo/gitaly/cgroups/kernel.ts';
import { sliceOf } from '../../../demo/gitaly/cgroups/pods.ts';
import type { Scene } from '../../../demo/incidents/incident.ts';
import { createRandom } from '../../../demo/random.ts';
import { demoTopology } from '../../../demo/topology.ts';
import { createWorld } from '../../../demo/world.ts';
import { bucketsOf } from '../../../src/buckets/hash.ts';
import { cgroupProblems } from '../../../src/rules/problems/cgroup.ts';
import { createPodsFileDirectory } from '../../../src/sources/kubernetes/directory/pods-file.ts';
import { createTestSource, samplesIn, valueIn } from '../../sources/cgroup/source-support.ts';
import { createManualClock } from '../../support/manual-clock.ts';

const fixtures = join(import.meta.dirname, '../../fixtures/cgroup');
const replicaPath = '@cluster/repositories/ab/cd/42';
/** Hundreds of files are made for each test: not on a disk, where there is another way. */
const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const ended: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

async function stage() {
  const clock = createManualClock();
  const world = createWorld(demoTopology);
  const cgroups: DemoCgroups = await startDemoCgroups({
    clock,
    random: createRandom(1),
    process: (storage) => world.gitaly(storage).process,
    folder: memory,
  });
  ended.push(cgroups.stop);
  const directory = createPodsFileDirectory({
    file: cgroups.podsFile,
    readText: (file) => readFile(file, 'utf8'),
    clock,
    watch: () => () => undefined,
  });
  await directory.ready;
  const test = createTestSource(cgroups.root, { clock, directory });
  ended.push(async () => {
    await test.source.stop();
    directory.close();
  });
  const pass = async (seconds: number): Promise<void> => {
    for (let passed = 0; passed < seconds * 1000; passed += 250) await clock.advance(250);
  };
  await pass(5);

  /** An incident that goes on, until `end`. */
  function begin(name: string) {
    const incident = cgroups.incidents.find((each) => each.name === name);
    if (incident === undefined) throw new Error(name);
    const ending = new AbortController();
    const said: string[] = [];
    const { signal } = ending;
    const scene = {
      ...{ signal, cluster: { world }, say: (line: string) => said.push(line) },
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
    return { said, end };
  }

  /** What /metrics shows once the condition holds; a minute of the clock at most. */
  async function textWith(condition: (text: string) => boolean): Promise<string> {
    for (let tries = 0; tries < 60; tries += 1) {
      const text = await test.text();
      if (condition(text)) return text;
      await pass(1);
    }
    throw new Error('it never came');
  }
  return { cgroups, world, pass, begin, textWith, ...test };
}

// Minutes of a tree's life are written file by file: seconds on a slow disk.
jest.setTimeout(120_000);

const of = (pod: string): string => `{namespace="gitlab",pod="${pod}",node="worker-1"`;
const kills = (pod: string, level: string): string =>
  `gitaly_server_oom_kills_total${of(pod)},level="${level}"}`;

describe('the tree', () => {
  test('two Gitalys are found, by name, in both layouts; nothing is missing and nothing is wrong', async () => {
    const { source, text } = await stage();
    const shown = await text();
    expect(source.view()).toMatchObject({ failure: undefined, failures: [], missing: [] });
    expect(samplesIn(shown, 'gitaly_server_info')).toEqual([
      expect.stringMatching(
        /pod="gitaly-1".*version="v19.0.1".*qos_class="Guaranteed".*cgroup_layout="sibling"/,
      ),
      expect.stringMatching(
        /pod="gitaly-2".*version="v19.0.1".*qos_class="Burstable".*cgroup_layout="nested"/,
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

  test('it lives: CPU, memory and processes of Git change, and buckets come into use', async () => {
    const { text, pass } = await stage();
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

  test('at rest nothing is wrong', async () => {
    const { source, text, pass } = await stage();
    for (let minutes = 0; minutes < 2; minutes += 0.25) {
      await pass(15);
      await text();
      expect(cgroupProblems({ view: source.view() })).toEqual([]);
    }
  });

  test('a file that was opened once shows what is written later', async () => {
    const { cgroups, pass } = await stage();
    const path = join(cgroups.root, 'kubepods.slice/memory.current');
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

  test('a Gitaly that died has no processes, and works again when it runs', async () => {
    const { world, pass, text } = await stage();
    world.gitaly('gitaly-1').process = 'dead';
    await pass(2);
    expect(valueIn(await text(), `gitaly_server_git_processes${of('gitaly-1')}}`)).toBe(0);
    expect(valueIn(await text(), `gitaly_server_git_processes${of('gitaly-2')}}`)).toBeGreaterThan(0);
    world.gitaly('gitaly-1').process = 'running';
    await pass(5);
    expect(valueIn(await text(), `gitaly_server_git_processes${of('gitaly-1')}}`)).toBeGreaterThan(0);
  });

  test('nothing is left of it', async () => {
    const { cgroups } = await stage();
    await Promise.all([cgroups.stop(), cgroups.stop()]);
    expect(() => statSync(cgroups.root)).toThrow(/ENOENT/);
    expect(() => statSync(cgroups.podsFile)).toThrow(/ENOENT/);
  });

  test('its files have the lines that a kernel 6.12 writes, in their order', async () => {
    const { cgroups } = await stage();
    const uid = '7c0e5b1a-3d8f-4a62-9b1e-5f2d8c4a7e10';
    const slice = join(cgroups.root, ...sliceOf({ qosClass: 'Guaranteed', uid }));
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

describe('incidents', () => {
  test("oom-bucket: kills are of the bucket's level, in the repository's own bucket, as long as it lasts", async () => {
    const { begin, textWith, pass, logged, text } = await stage();
    const { said, end } = begin('oom-bucket');
    const series = kills('gitaly-2', 'bucket');
    const shown = await textWith((found) => (valueIn(found, series) ?? 0) >= 2);

    const [bucket] = bucketsOf('gitaly-2', replicaPath, { count: 100, maxCgroupsPerRepo: 1 });
    expect(valueIn(shown, `gitaly_server_bucket_oom_kills_total${of('gitaly-2')},bucket="${bucket}"}`)).toBe(
      valueIn(shown, series),
    );
    for (const level of ['git', 'container', 'pod', 'node'])
      expect(valueIn(shown, kills('gitaly-2', level))).toBe(0);
    expect(valueIn(shown, kills('gitaly-1', 'bucket'))).toBe(0);
    expect(said[0]).toBe(`clone 1 of @hashed/42.git, whose Git processes run in repos-${bucket} of gitaly-2`);
    expect(logged).toContain(`warn: OOM kill bucket=${bucket}`);

    await end();
    const after = valueIn(await text(), series);
    await pass(30);
    expect(valueIn(await text(), series)).toBe(after);
  });

  test('oom-bucket: the bucket is near its limit before each kill', async () => {
    const { begin, textWith } = await stage();
    begin('oom-bucket');
    await textWith((text) => valueIn(text, `gitaly_server_buckets_near_limit${of('gitaly-2')}}`) === 1);
  });

  test("oom-pod: the container dies by the pod's limit, and a new one takes its place", async () => {
    const { begin, textWith, cgroups, world } = await stage();
    const idIn = (): string =>
      JSON.parse(readFileSync(cgroups.podsFile, 'utf8')).items[0].status.containerStatuses[0].containerID;
    const before = idIn();
    const { end } = begin('oom-pod');
    const shown = await textWith((found) => (valueIn(found, kills('gitaly-1', 'pod')) ?? 0) > 0);

    // Gitaly, its supervisor, and what grew: the victim is not counted twice.
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

describe("the kernel's rules, as they were seen on real ones", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(memory, 'gitaly-exporter-test-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const mib = 2 ** 20;
  const hog = (anon: number) => ({ pid: 1, anon: anon * mib, cores: 0 });
  const none = { max: expect.any(Number), oom: 0, oom_kill: 0, oom_group_kill: 0 };

  /** Limits as in the captured trees, in MiB: pod 300, scope 300 (group), gitaly-1 250, buckets 100. */
  function pod(inside = false): { slice: Cgroup; scope: Cgroup; git: Cgroup; bucket: (n: number) => Cgroup } {
    const slice = createCgroup(folder, 'slice', { memory: 300 * mib });
    const scope = slice.child('scope', { memory: 300 * mib, oomGroup: true });
    const git = (inside ? scope : slice).child('gitaly-1', { memory: 250 * mib });
    return { slice, scope, git, bucket: (n) => git.child(`repos-${n}`, { memory: 100 * mib }) };
  }

  test("a bucket's own limit", () => {
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

  test("gitaly-1's limit, victim in repos-2", () => {
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

  test("the pod's limit, victim in the scope, which dies as a group; the buckets live", () => {
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

  test("the tree inside the scope: a bucket's limit takes one process, the scope's takes all", () => {
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

  test('page cache is given back before anybody is killed', () => {
    const { slice, bucket } = pod();
    bucket(1).processes.push(hog(90));
    bucket(1).file = 200 * mib;
    expect(enforceLimits(slice)).toEqual([]);
    expect(bucket(1).local).toEqual({ ...none, oom: 0 });
    expect(bucket(1).local.max).toBeGreaterThan(0);
    expect(bucket(1).usage()).toBeLessThanOrEqual(100 * mib);
  });

  test('a removed cgroup leaves its counts with those above', () => {
    const { slice, bucket } = pod();
    bucket(3).processes.push(hog(120));
    enforceLimits(slice);
    slice.remove('gitaly-1');
    expect(slice.events()).toMatchObject({ oom: 1, oom_kill: 1 });
    expect(() => statSync(join(folder, 'slice/gitaly-1'))).toThrow(/ENOENT/);
  });

  test('CPU over a limit is withheld, and counted', () => {
    const slice = createCgroup(folder, 'slice', { cores: 2 });
    const one = slice.child('one', { cores: 1 });
    one.processes.push({ pid: 1, anon: 0, cores: 3 });
    slice.child('two').processes.push({ pid: 2, anon: 0, cores: 0.5 });
    runFor(slice, 10);
    expect(one.cpu).toEqual({ usage: 10, periods: 100, throttledPeriods: 100, throttled: 20 });
    expect(slice.cpu).toEqual({ usage: 15, periods: 100, throttledPeriods: 0, throttled: 0 });
  });
});
