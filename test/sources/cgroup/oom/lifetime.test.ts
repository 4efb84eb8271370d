/** Weeks of created and removed pods must not leak memory or descriptors. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createCgroupFiles } from '../../../../src/sources/cgroup/files/files.ts';
import type { CgroupFiles } from '../../../../src/sources/cgroup/files/reading.ts';
import type { OomTracker } from '../../../../src/sources/cgroup/oom/record.ts';
import { createOomTotals } from '../../../../src/sources/cgroup/oom/totals.ts';
import { createOomTracker } from '../../../../src/sources/cgroup/oom/tracker.ts';
import type { GitalyTree } from '../../../../src/sources/cgroup/tree.ts';
import { createManualClock } from '../../../support/manual-clock.ts';
import { createWrittenTree, memoryEvents, type WrittenTree } from '../written-tree.ts';
import { burstable, hostTree, pathsOf, podPath, podTree } from './trees.ts';

let tree: WrittenTree;
let files: CgroupFiles;
let tracker: OomTracker;
const clock = createManualClock();

beforeEach(() => {
  tree = createWrittenTree();
  files = createCgroupFiles({ root: tree.root, clock });
  tracker = createOomTracker({ files, root: tree.root, clock });
});
afterEach(() => {
  tracker.close();
  files.close();
  tree.remove();
});

function make(gitaly: GitalyTree): void {
  for (const path of ['kubepods.slice', burstable]) tree.make(path);
  for (const { path } of pathsOf(gitaly)) tree.make(path);
}

const uidOf = (number: number): string => number.toString(16).padStart(8, '0');

describe('descriptors and memory', () => {
  test('of rotating pods are those of one pod, without a line of totals when no kill occurred', async () => {
    let most = 0;
    for (let number = 0; number < 25; number++) {
      const gitaly = podTree({ uid: uidOf(number), buckets: [0, 1, 2] });
      make(gitaly);
      tracker.follow([gitaly]);
      await tracker.settle();
      most = number === 1 ? files.openDescriptors() : Math.max(most, files.openDescriptors());
      tree.removeCgroup(podPath({ uid: uidOf(number) }));
      tracker.follow([]);
      await tracker.settle();
      await clock.advance(61_000);
    }
    const left = files.openDescriptors();
    expect(most).toBeLessThanOrEqual(20);
    expect(left).toBeLessThanOrEqual(2);
    expect(tracker.totals()).toEqual([]);
  });

  test('stay unchanged over thousands of calls with unchanged trees', async () => {
    const gitaly = hostTree([0, 1, 2]);
    make(gitaly);
    for (let each = 0; each < 3000; each++) tracker.follow([hostTree([0, 1, 2])]);
    await tracker.settle();
    const before = files.openDescriptors();
    for (let each = 0; each < 3000; each++) {
      tracker.follow([hostTree(each % 2 === 0 ? [0, 1, 2] : [0, 1, 2, 3])]);
      if (each % 500 === 0) await tracker.settle();
    }
    tracker.follow([hostTree([0, 1, 2])]);
    await tracker.settle();
    expect(files.openDescriptors()).toBeLessThanOrEqual(before + 1);
  });

  test('are released by close', async () => {
    const gitaly = podTree({ uid: uidOf(1) });
    make(gitaly);
    tracker.follow([gitaly]);
    await tracker.settle();
    expect(files.openDescriptors()).toBeGreaterThan(0);
    tracker.close();
    expect(files.openDescriptors()).toBe(0);
  });
});

describe('malformed files', () => {
  test.each(['', 'garbage\n', 'oom_kill -1\noom 0\n', 'oom 0\noom_kill 99999999999999999999\n', 'oom 0\n'])(
    'a pod whose memory.events is %j is omitted until it is valid again',
    async (text) => {
      const gitaly = podTree({ uid: uidOf(1) });
      make(gitaly);
      tracker.follow([gitaly]);
      await tracker.settle();
      const moved = memoryEvents({ oom: 1, oom_kill: 1 });
      const bucket = `${gitaly.git?.path}/repos-1`;
      for (const path of ['kubepods.slice', burstable]) tree.write(path, { 'memory.events': moved });
      tree.write(podPath({ uid: uidOf(1) }), { 'memory.events': text });
      expect(await tracker.settle()).toEqual([]);
      expect(tracker.totals()).toEqual([]);
      for (const path of [bucket, gitaly.git?.path ?? '', podPath({ uid: uidOf(1) })])
        tree.write(path, { 'memory.events': moved });
      expect(await tracker.settle()).toMatchObject([{ processes: 1 }]);
      expect(tracker.totals()).toHaveLength(1);
    },
  );

  test('a kill has the memory of the cgroup whose limit was reached', async () => {
    const gitaly = hostTree([0, 1]);
    make(gitaly);
    tracker.follow([gitaly]);
    await tracker.settle();
    const moved = { 'memory.events': memoryEvents({ oom: 1, oom_kill: 1 }) };
    for (const path of ['gitaly', 'gitaly/gitaly-1']) tree.write(path, moved);
    tree.write('gitaly/gitaly-1/repos-1', {
      ...moved,
      'memory.max': '104857600\n',
      'memory.current': '4096\n',
      'memory.stat': 'anon 1024\nfile 0\n',
    });
    const memory = { limit: 104857600, usage: 4096, anon: 1024 };
    expect(await tracker.settle()).toMatchObject([{ level: 'bucket', bucket: 1, memory }]);
  });
});

test('of more removed Gitalys with kills than the limit, the newest are kept', async () => {
  const totals = createOomTotals(clock);
  const identityOf = (number: number) => ({
    namespace: 'gitlab',
    pod: `gl-gitaly-${number}`,
    node: 'node-1',
  });
  for (let number = 0; number < 1500; number++) {
    totals.follow(new Map([[`uid-${number}`, identityOf(number)]]));
    if (number % 3 < 2)
      totals.add(identityOf(number), { level: 'bucket', processes: 1, events: 1, bucket: 0 });
    await clock.advance(1);
  }
  totals.follow(new Map());
  expect(totals.list(() => true)).toHaveLength(1000);
  totals.follow(new Map([['uid-1500', identityOf(1500)]]));
  totals.add(identityOf(1500), { level: 'bucket', processes: 1, events: 1, bucket: 0 });
  totals.follow(new Map());
  const kept = totals.list(() => true);
  expect(kept).toHaveLength(1000);
  const names = new Set(kept.map(({ identity }) => identity.pod));
  for (const [number, isKept] of [
    [0, false],
    [1, true],
    [1499, false],
    [1500, true],
  ] as const)
    expect([number, names.has(`gl-gitaly-${number}`)]).toEqual([number, isKept]);
});
