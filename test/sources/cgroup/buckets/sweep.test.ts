import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createYielder } from '../../../../src/lib/yielder.ts';
import {
  type BucketChoice,
  createGitSweeper,
  type GitSweep,
} from '../../../../src/sources/cgroup/buckets/sweep.ts';
import { createCgroupFiles } from '../../../../src/sources/cgroup/files/files.ts';
import type { CgroupFiles } from '../../../../src/sources/cgroup/files/reading.ts';
import type { GitParent } from '../../../../src/sources/cgroup/tree.ts';
import {
  bytes,
  type CgroupText,
  cpuStat,
  createWrittenTree,
  memoryStat,
  populated,
  type WrittenTree,
} from '../written-tree.ts';

let tree: WrittenTree;
let files: CgroupFiles;
beforeEach(() => {
  tree = createWrittenTree();
  files = createCgroupFiles({ root: tree.root });
});
afterEach(() => {
  files.close();
  tree.remove();
});

const parent = 'gitaly/gitaly-1';
const second = 1000;

function makeBuckets(...buckets: readonly CgroupText[]): GitParent {
  tree.make(parent);
  for (const [bucket, text] of buckets.entries())
    tree.make(`${parent}/repos-${bucket}`, { 'memory.max': bytes(100), ...text });
  return { path: parent, pid: '1', buckets: [...buckets.keys()] };
}

const setBucket = (bucket: number, text: CgroupText): void => tree.write(`${parent}/repos-${bucket}`, text);

const noKills: ReadonlySet<number> = new Set();
const run = (signal = new AbortController().signal) => ({ yielder: createYielder(), signal });

/** A sweeper and its monotonic clock. */
function sweeping(git: GitParent, choice: BucketChoice = 'top', top = 20) {
  const sweeper = createGitSweeper(files, choice, top);
  let at = 0;
  return async (
    afterMs = 15 * second,
    killed = noKills,
    of: GitParent | undefined = git,
  ): Promise<GitSweep> => {
    at += afterMs;
    const sweep = await sweeper.sweep(of, killed, at, run());
    if (sweep === undefined) throw new Error('the sweep returned nothing');
    return sweep;
  };
}

describe('buckets near their limit', () => {
  test('are those with much anonymous memory, not with page cache', async () => {
    const sweep = sweeping(
      makeBuckets(
        { 'memory.current': bytes(100), 'memory.stat': memoryStat(2, 98) },
        { 'memory.current': bytes(81), 'memory.stat': memoryStat(81) },
        { 'memory.current': bytes(80), 'memory.stat': memoryStat(80) },
        { 'memory.current': bytes(100), 'memory.stat': memoryStat(79, 21) },
        { 'memory.current': bytes(99), 'memory.stat': memoryStat(95, 4) },
      ),
    );
    const { nearLimitCount, nearLimit } = await sweep();
    expect(nearLimitCount).toBe(2);
    expect(nearLimit.map(({ bucket }) => bucket)).toEqual([4, 1]);
  });

  test('never include a bucket without a limit', async () => {
    const sweep = sweeping(
      makeBuckets({ 'memory.max': 'max\n', 'memory.current': bytes(5000), 'memory.stat': memoryStat(5000) }),
    );
    expect(await sweep()).toMatchObject({ nearLimitCount: 0, readErrors: 0 });
  });

  test('include a bucket in the next sweep after its limit was lowered', async () => {
    const sweep = sweeping(makeBuckets({ 'memory.current': bytes(50), 'memory.stat': memoryStat(50) }));
    expect((await sweep()).nearLimitCount).toBe(0);
    setBucket(0, { 'memory.max': bytes(60) });
    expect((await sweep()).nearLimitCount).toBe(1);
  });

  test('are found without reading memory.stat of a bucket with little memory', async () => {
    const sweep = sweeping(
      makeBuckets({
        'memory.current': bytes(10),
        'memory.stat': 'garbage',
        'cgroup.events': populated(true),
      }),
    );
    expect(await sweep()).toMatchObject({ nearLimitCount: 0, active: 1, readErrors: 0 });
  });

  test.each([
    ['memory.stat', 'garbage'],
    ['memory.current', ''],
    ['memory.max', '-1\n'],
  ])('have no count when %s of one is unreadable, and the others are still listed', async (file, text) => {
    const full = {
      'memory.max': bytes(100),
      'memory.current': bytes(90),
      'memory.stat': memoryStat(90),
      'cgroup.events': populated(true),
    };
    const sweep = sweeping(makeBuckets(full, { ...full, [file]: text }));
    const { nearLimitCount, nearLimit, readErrors, active } = await sweep();
    expect({ nearLimitCount, readErrors, active }).toEqual({
      nearLimitCount: undefined,
      readErrors: 1,
      active: 2,
    });
    expect(nearLimit.map(({ bucket }) => bucket)).toEqual([0]);
    setBucket(1, full);
    expect(await sweep()).toMatchObject({ nearLimitCount: 2, readErrors: 0 });
  });

  test('are unknown without memory files, which is not a failure', async () => {
    const none = { 'memory.current': undefined, 'memory.max': undefined, 'memory.stat': undefined };
    const sweep = sweeping(makeBuckets({ ...none, 'cgroup.events': populated(true) }, none));
    expect(await sweep()).toMatchObject({ nearLimitCount: undefined, active: 1, readErrors: 0, found: 2 });
  });
});

describe('active buckets', () => {
  test('have a process, or anonymous memory without one; page cache does not count', async () => {
    const sweep = sweeping(
      makeBuckets(
        { 'cgroup.events': populated(true), 'cgroup.procs': '12\n0\n0\n' },
        { 'memory.current': bytes(3), 'memory.stat': memoryStat(1, 2) },
        { 'memory.current': bytes(50), 'memory.stat': memoryStat(0, 50) },
        {},
      ),
    );
    expect(await sweep()).toMatchObject({ found: 4, active: 2, processes: 3 });
  });

  test('without a process are found once a minute, and dropped when their memory is freed', async () => {
    const sweep = sweeping(makeBuckets({ 'memory.current': bytes(3) }, {}));
    expect((await sweep()).active).toBe(0);
    setBucket(0, { 'memory.stat': memoryStat(3) });
    expect((await sweep()).active).toBe(0);
    expect((await sweep(60 * second)).active).toBe(1);
    setBucket(0, { 'memory.current': '0\n', 'memory.stat': memoryStat(0) });
    expect((await sweep()).active).toBe(0);
  });

  test.each([
    ['cgroup.events', 'frozen 0\n'],
    ['memory.stat', 'anon -3\n'],
    ['memory.current', 'many\n'],
  ])('have no count when %s of an idle one is unreadable', async (file, text) => {
    const sweep = sweeping(makeBuckets({ 'memory.current': bytes(1), [file]: text }, {}));
    expect(await sweep()).toMatchObject({ active: undefined, readErrors: 1, found: 2 });
  });

  test('have an unknown number of processes when cgroup.procs of one is unreadable', async () => {
    const sweep = sweeping(
      makeBuckets(
        { 'cgroup.events': populated(true), 'cgroup.procs': 'x\n' },
        { 'cgroup.events': populated(true) },
      ),
    );
    expect(await sweep()).toMatchObject({ processes: undefined, active: 2, readErrors: 1 });
  });
});

describe('buckets with their own series', () => {
  const numbers = ({ shown }: GitSweep): number[] => shown.map(({ bucket }) => bucket);
  const works = (usec: number): CgroupText => ({ 'cpu.stat': cpuStat(usec) });

  test('with `top` are those that use CPU now, not those that used it before', async () => {
    const sweep = sweeping(makeBuckets(works(900e6), works(0), works(5e6)), 'top', 1);
    await sweep();
    setBucket(1, works(15e6));
    expect(numbers(await sweep())).toEqual([1]);
  });

  test('with `top` are those with memory and a process; page cache without a process is idle', async () => {
    const sweep = sweeping(
      makeBuckets(
        { 'memory.current': bytes(90) },
        { 'memory.current': bytes(20), 'cgroup.events': populated(true) },
        {},
      ),
      'top',
      1,
    );
    expect(numbers(await sweep())).toEqual([1]);
  });

  test('with `all` are every bucket and removed ones with kills', async () => {
    const sweep = sweeping(makeBuckets({}, {}, {}), 'all');
    expect(numbers(await sweep(0, new Set([9])))).toEqual([0, 1, 2, 9]);
  });

  test('with `none` do not exist, but the counts are known', async () => {
    const sweep = sweeping(makeBuckets({ 'cgroup.events': populated(true) }), 'none');
    const result = await sweep(0, new Set([0]));
    expect(numbers(result)).toEqual([]);
    expect(result.active).toBe(1);
  });

  test('have their limit also while idle', async () => {
    const sweep = sweeping(makeBuckets({}));
    const { shown } = await sweep();
    expect(shown[0]?.reading?.limit).toEqual({ kind: 'limit', value: 100 * 2 ** 20 });
  });

  test("are not selected by CPU time from before Gitaly's restart", async () => {
    const before = makeBuckets(works(1e9), works(1e9));
    const sweep = sweeping(before, 'top', 1);
    await sweep();
    tree.make('gitaly/gitaly-2');
    for (const bucket of [0, 1]) tree.make(`gitaly/gitaly-2/repos-${bucket}`, works(bucket * 1e6));
    const after = { path: 'gitaly/gitaly-2', pid: '2', buckets: [0, 1] };
    await sweep(15 * second, noKills, after);
    tree.write('gitaly/gitaly-2/repos-1', works(9e6));
    const result = await sweep(15 * second, noKills, after);
    expect(numbers(result)).toEqual([1]);
    expect(result.shown[0]?.reading?.cpuUsage).toBe(9e6);
  });
});

describe('a removed bucket', () => {
  test('is not a read error', async () => {
    const sweep = sweeping(makeBuckets({}, {}, {}));
    await sweep();
    tree.removeCgroup(`${parent}/repos-1`);
    expect(await sweep()).toMatchObject({ found: 2, readErrors: 0, active: 0, nearLimitCount: 0 });
    expect(files.failures()).toEqual({ permission: 0, too_many_open_files: 0, malformed: 0, io: 0 });
  });

  test('has its descriptors closed, as does a restarted or removed Gitaly', async () => {
    const git = makeBuckets({}, {}, {});
    const sweeper = createGitSweeper(files, 'all', 20);
    await sweeper.sweep(git, noKills, 0, run());
    const all = files.openDescriptors();
    await sweeper.sweep({ ...git, buckets: [0, 2] }, noKills, 1, run());
    expect(files.openDescriptors()).toBeLessThan(all);
    tree.make('gitaly/gitaly-2');
    await sweeper.sweep({ path: 'gitaly/gitaly-2', pid: '2', buckets: [] }, noKills, 2, run());
    expect(files.openDescriptors()).toBe(0);
    await sweeper.sweep(git, noKills, 3, run());
    expect(await sweeper.sweep(undefined, noKills, 4, run())).toBeUndefined();
    expect(files.openDescriptors()).toBe(0);
  });

  test('needs no descriptor: at the limit, everything is read without keeping files open', async () => {
    const git = makeBuckets({ 'cgroup.events': populated(true) }, {});
    const tight = createCgroupFiles({ root: tree.root, maxDescriptors: 0 });
    const sweep = await createGitSweeper(tight, 'all', 20).sweep(git, noKills, 0, run());
    expect(sweep).toMatchObject({ found: 2, active: 1, readErrors: 0 });
    expect(tight.openDescriptors()).toBe(0);
    tight.close();
  });
});

test('a sweep of many buckets yields to the event loop, and ends when aborted', async () => {
  tree.make(parent);
  const buckets = Array.from({ length: 400 }, (_, bucket) => bucket);
  for (const bucket of buckets) tree.make(`${parent}/repos-${bucket}`);
  const git = { path: parent, pid: '1', buckets };
  const sweeper = createGitSweeper(files, 'top', 20);
  let turns = 0;
  const ticking = setInterval(() => turns++, 1);
  expect(await sweeper.sweep(git, noKills, 0, run())).toMatchObject({ found: 400 });
  clearInterval(ticking);
  expect(turns).toBeGreaterThan(2);

  const stop = new AbortController();
  const stopped = sweeper.sweep(git, noKills, 1, run(stop.signal));
  stop.abort();
  expect(await stopped).toBeUndefined();
});

test('malformed content in the files of one bucket leaves the other buckets counted', async () => {
  const git = makeBuckets({ 'cgroup.events': populated(true) }, {});
  const garbage = [
    '',
    '\n',
    '9223372036854775808\n',
    '-1\n',
    'NaN\n',
    'anon anon\n',
    '\0\0',
    '1',
    ' 1\n',
    '0x10\n',
  ];
  for (const file of [
    'memory.current',
    'memory.max',
    'memory.stat',
    'cpu.stat',
    'cgroup.events',
    'cgroup.procs',
  ])
    for (const text of garbage) {
      writeFileSync(join(tree.root, parent, 'repos-1', file), text);
      const sweep = await createGitSweeper(files, 'all', 20).sweep(git, noKills, 0, run());
      expect(sweep?.found).toBe(2);
      expect(sweep?.active === undefined || sweep.active >= 1).toBe(true);
      expect(sweep?.shown.map(({ bucket }) => bucket)).toEqual([0, 1]);
    }
});
