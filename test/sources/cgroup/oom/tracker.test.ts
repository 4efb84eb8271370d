import { describe, expect, test } from '@jest/globals';
import type { OomKill, OomLevel } from '../../../../src/sources/cgroup/oom/record.ts';
import { createOomTracker } from '../../../../src/sources/cgroup/oom/tracker.ts';
import type { GitalyTree } from '../../../../src/sources/cgroup/tree.ts';
import { createManualClock } from '../../../support/manual-clock.ts';
import { createKernelModel } from './kernel-model.ts';
import { burstable, hostTree, pathsOf, podPath, podTree, scopePath } from './trees.ts';

const uid = '0a1b2c3d';
const tree = podTree({ uid });
const pod = podPath({ uid });
const git = `${pod}/gitaly/gitaly-1`;
const gitaly = scopePath(pod, 'gitaly');

async function begin(trees: readonly GitalyTree[] = [tree], options?: { hasGroupKills?: boolean }) {
  const kernel = createKernelModel(options);
  const clock = createManualClock();
  for (const each of trees) for (const { path, isGroup } of pathsOf(each)) kernel.make(path, { isGroup });
  const tracker = createOomTracker({ files: kernel.files, root: '/', listChildren: kernel.children, clock });
  tracker.follow(trees);
  await tracker.settle();
  return { kernel, clock, tracker };
}

const line = ({ bucket, container, fromAncestor, level, processes }: OomKill): string =>
  [
    `${processes} by ${level}`,
    bucket === undefined ? '' : `in ${bucket}`,
    container ?? '',
    fromAncestor ? 'removed' : '',
  ]
    .filter((part) => part !== '')
    .join(' ');

const levels = (kills: Partial<Record<OomLevel, number>>) => ({
  bucket: 0,
  git: 0,
  container: 0,
  pod: 0,
  node: 0,
  ...kills,
});

describe('a kill is counted at the level of', () => {
  const cases: readonly [string, string, string | undefined, string][] = [
    ["a bucket's own limit", `${git}/repos-3`, `${git}/repos-3`, '1 by bucket in 3'],
    ["the Git parent's limit", `${git}/repos-2`, git, '1 by git in 2'],
    ['a limit of the folder around it', `${git}/repos-2`, `${pod}/gitaly`, '1 by git in 2'],
    ["the container's own limit, as a group", gitaly, gitaly, '3 by container gitaly'],
    ["the pod's limit, victim in the container", gitaly, pod, '3 by pod gitaly'],
    ["the pod's limit, victim in a bucket", `${git}/repos-1`, pod, '1 by pod in 1'],
    ["the node's memory, victim in a bucket", `${git}/repos-0`, undefined, '1 by node in 0'],
    ["the node's memory, victim in the container", gitaly, undefined, '3 by node gitaly'],
    ["a limit around all pods, which is the node's", `${git}/repos-0`, 'kubepods.slice', '1 by node in 0'],
    [
      'another container of the pod',
      scopePath(pod, 'pause'),
      scopePath(pod, 'pause'),
      '1 by container pause',
    ],
  ];
  test.each(cases)('%s', async (_, victim, limit, expected) => {
    const { kernel, tracker } = await begin();
    kernel.populate(gitaly, 3);
    kernel.kill(victim, limit, { ooms: 3 });
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual([expected]);
    const [processes = '', , level = ''] = expected.split(' ');
    expect(tracker.totals()).toMatchObject([
      { kills: levels({ [level]: Number(processes) }), events: levels({ [level]: 1 }) },
    ]);
    expect(await tracker.settle()).toEqual([]);
  });

  test("the container's limit around nested Git cgroups, as one incident", async () => {
    const inside = podTree({ uid, layout: 'nested' });
    const { kernel, tracker } = await begin([inside]);
    const repos = `${gitaly}/gitaly/gitaly-1/repos-`;
    for (const { path } of pathsOf(inside)) kernel.populate(path, 0);
    kernel.make(`${gitaly}/init`);
    kernel.populate(`${gitaly}/gitaly`, 0);
    kernel.populate(`${repos}2`, 2);
    kernel.populate(`${repos}3`, 1);
    kernel.kill(`${repos}2`, gitaly);
    kernel.run();
    expect((await tracker.settle()).map(line).sort()).toEqual([
      '1 by container gitaly',
      '1 by container in 3',
      '2 by container in 2',
    ]);
    expect(tracker.totals()).toMatchObject([
      { kills: levels({ container: 4 }), events: levels({ container: 1 }) },
    ]);
    expect(tracker.totals()[0]?.bucketKills).toEqual(
      new Map([
        [2, 2],
        [3, 1],
      ]),
    );
  });

  test('no level without a kill, even if oom increases often', async () => {
    const { kernel, tracker } = await begin();
    kernel.reachLimit(`${git}/repos-1`, 381);
    kernel.run();
    expect(await tracker.settle()).toEqual([]);
    expect(tracker.totals()).toMatchObject([{ kills: levels({}), events: levels({}), last: {} }]);
  });

  test('an oom that was read up to five seconds earlier', async () => {
    const { clock, kernel, tracker } = await begin();
    kernel.reachLimit(`${git}/repos-1`, 2);
    kernel.run();
    await tracker.settle();
    await clock.advance(1000);
    kernel.kill(`${git}/repos-1`, undefined);
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by bucket in 1']);
    await clock.advance(6000);
    kernel.kill(`${git}/repos-1`, undefined);
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by node in 1']);
  });

  test('several limits between two passes: each with at most as many kills as its oom', async () => {
    const { kernel, tracker } = await begin();
    kernel.kill(`${git}/repos-1`, `${git}/repos-1`);
    kernel.kill(`${git}/repos-1`, git);
    kernel.kill(`${git}/repos-2`, pod);
    kernel.kill(`${git}/repos-3`, undefined);
    kernel.run();
    expect((await tracker.settle()).map(line).sort()).toEqual([
      '1 by bucket in 1',
      '1 by git in 1',
      '1 by node in 3',
      '1 by pod in 2',
    ]);
  });
});

describe('group kills', () => {
  test('in which the first victim exits before the rest of the group is killed are counted at most one too low', async () => {
    const { kernel, tracker } = await begin();
    kernel.populate(gitaly, 4);
    kernel.kill(gitaly, gitaly, { hasVictimExited: true });
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['3 by container gitaly']);
  });

  test('of a bucket that is a group, read at any moment of the kill, are one incident', async () => {
    for (let moment = 1; moment < 40; moment++) {
      const { kernel, tracker } = await begin();
      const bucket = `${git}/repos-9`;
      kernel.make(bucket, { isGroup: true });
      kernel.populate(bucket, 3);
      kernel.kill(bucket, bucket);
      kernel.run(moment);
      await tracker.settle();
      kernel.run();
      await tracker.settle();
      expect(tracker.totals()).toMatchObject([
        { kills: levels({ bucket: 3 }), events: levels({ bucket: 1 }) },
      ]);
    }
  });

  test('of one process in one incident count once, whether the process was killed once or twice', async () => {
    const { kernel, tracker } = await begin();
    kernel.kill(gitaly, gitaly, { hasVictimExited: true });
    kernel.kill(scopePath(pod, 'pause'), scopePath(pod, 'pause'));
    kernel.run();
    expect((await tracker.settle()).map(line).sort()).toEqual([
      '1 by container gitaly',
      '1 by container pause',
    ]);
  });

  test('drop a correction that did not arrive within some seconds, so that the next kill counts as one', async () => {
    const { clock, kernel, tracker } = await begin();
    kernel.kill(gitaly, gitaly, { hasVictimExited: true });
    kernel.run();
    await tracker.settle();
    await clock.advance(6000);
    kernel.kill(gitaly, gitaly, { hasVictimExited: true });
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by container gitaly']);
  });

  test('without oom_group_kill are recognized by memory.oom.group', async () => {
    const { kernel, tracker } = await begin([tree], { hasGroupKills: false });
    kernel.populate(gitaly, 3);
    kernel.kill(gitaly, pod);
    kernel.kill(`${git}/repos-1`, `${git}/repos-1`);
    kernel.run();
    expect((await tracker.settle()).map(line).sort()).toEqual(['1 by bucket in 1', '3 by pod gitaly']);
    expect(tracker.totals()).toMatchObject([{ events: levels({ pod: 1, bucket: 1 }) }]);
  });
});

describe('removed and re-created cgroups', () => {
  test('a kill in a bucket that is removed right after it is counted', async () => {
    const { kernel, tracker } = await begin();
    kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    kernel.remove(`${git}/repos-3`);
    expect((await tracker.settle()).map(line)).toEqual(['1 by bucket in 3 removed']);
    tracker.follow([podTree({ uid, buckets: [0, 1, 2] })]);
    expect(await tracker.settle()).toEqual([]);
  });

  test('kills in a bucket before its removal and after its re-creation are counted', async () => {
    const { kernel, tracker } = await begin();
    const bucket = `${git}/repos-3`;
    kernel.kill(bucket, bucket);
    kernel.run();
    kernel.remove(bucket);
    kernel.make(bucket);
    kernel.kill(bucket, bucket);
    kernel.kill(bucket, git);
    kernel.run();
    expect((await tracker.settle()).map(line).sort()).toEqual([
      '1 by bucket in 3',
      '1 by bucket in 3 removed',
      '1 by git in 3',
    ]);
  });

  test('a bucket with counted kills that is re-created counts from 0', async () => {
    const { kernel, tracker } = await begin();
    const bucket = `${git}/repos-3`;
    for (let each = 0; each < 2; each++) kernel.kill(bucket, bucket);
    kernel.run();
    await tracker.settle();
    kernel.remove(bucket);
    kernel.make(bucket);
    kernel.kill(bucket, bucket);
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by bucket in 3']);
    expect(tracker.totals()[0]?.bucketKills).toEqual(new Map([[3, 3]]));
  });

  test("the pods' parent, and a Gitaly without a pod, that were absent for a while count from 0", async () => {
    const host = hostTree();
    const { kernel, tracker } = await begin([tree, host]);
    for (const bucket of [`${git}/repos-3`, 'gitaly/gitaly-1/repos-1'])
      for (let each = 0; each < 3; each++) kernel.kill(bucket, bucket);
    kernel.run();
    await tracker.settle();
    kernel.remove(burstable);
    kernel.remove('gitaly');
    await tracker.settle();
    for (const { path, isGroup } of [...pathsOf(tree), ...pathsOf(host)]) kernel.make(path, { isGroup });
    kernel.kill(`${git}/repos-3`, git);
    kernel.kill('gitaly/gitaly-1/repos-1', 'gitaly/gitaly-1');
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by git in 3', '1 by git in 1']);
  });

  test('a kill right after the return of all cgroups, read at any moment, is counted once at its level', async () => {
    for (let moment = 0; moment < 16; moment++) {
      const { kernel, tracker } = await begin();
      for (let each = 0; each < 3; each++) kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
      kernel.run();
      await tracker.settle();
      kernel.remove('kubepods.slice');
      await tracker.settle();
      for (const { path, isGroup } of pathsOf(tree)) kernel.make(path, { isGroup });
      if (moment % 2 === 0) await tracker.settle();
      kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
      // Its `oom` is visible when the reading begins; its `oom_kill` arrives during the reading.
      kernel.run(7);
      let reads = 0;
      kernel.onRead = () => {
        if (reads++ === moment) kernel.run();
      };
      const kills = await tracker.settle();
      kernel.run();
      expect([...kills, ...(await tracker.settle())].map(line)).toEqual(['1 by bucket in 3']);
    }
  });

  test('a kill in a bucket that discovery has not found yet is counted', async () => {
    const { kernel, tracker } = await begin();
    const bucket = `${git}/repos-9`;
    kernel.make(bucket);
    kernel.kill(bucket, bucket);
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by bucket in 9']);
    tracker.follow([podTree({ uid, buckets: [0, 1, 2, 3, 9] })]);
    expect(await tracker.settle()).toEqual([]);
    kernel.kill(bucket, git);
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by git in 9']);
  });

  test('kills in the old and the new gitaly-<pid> of a restarted Gitaly are counted', async () => {
    const { kernel, tracker } = await begin();
    kernel.kill(`${git}/repos-0`, `${git}/repos-0`);
    kernel.run();
    const later = podTree({ uid, pid: '7' });
    for (const { path } of pathsOf(later)) kernel.make(path);
    kernel.kill(`${pod}/gitaly/gitaly-7/repos-1`, `${pod}/gitaly/gitaly-7/repos-1`);
    kernel.run();
    kernel.remove(git);
    tracker.follow([later]);
    expect((await tracker.settle()).map(line).sort()).toEqual(['1 by bucket in 1', '1 by git removed']);
  });

  test('a group kill in a container that is removed right after it is counted', async () => {
    const { kernel, tracker } = await begin();
    kernel.populate(gitaly, 3);
    kernel.kill(gitaly, gitaly);
    kernel.run();
    kernel.remove(gitaly);
    expect((await tracker.settle()).map(line)).toEqual(['3 by container gitaly removed']);
  });

  test('a kill in a pod that is deleted right after it, followed or not, is counted as unattributed', async () => {
    for (const isUnfollowed of [true, false]) {
      const { clock, kernel, tracker } = await begin();
      kernel.make(`${burstable}/kubepods-burstable-podffff0000.slice`);
      kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
      kernel.run();
      kernel.remove(pod);
      if (isUnfollowed) tracker.follow([]);
      expect(await tracker.settle()).toEqual([]);
      expect(tracker.totals()).toMatchObject(isUnfollowed ? [] : [{ kills: levels({}) }]);
      expect(tracker.health().unattributed).toBe(1);
      tracker.follow([]);
      await clock.advance(3000);
      expect(await tracker.settle()).toEqual([]);
      expect(tracker.health().unattributed).toBe(1);
    }
  });

  test("another pod's kill is not counted for Gitaly; it is unattributed if both were removed", async () => {
    const { kernel, tracker } = await begin();
    const other = `${burstable}/kubepods-burstable-podffff0000.slice`;
    kernel.make(other);
    kernel.kill(other, other);
    kernel.run();
    expect(await tracker.settle()).toEqual([]);
    kernel.kill(other, other);
    kernel.run();
    kernel.remove(other);
    kernel.remove(pod);
    expect(await tracker.settle()).toEqual([]);
    expect(tracker.health().unattributed).toBe(1);
  });

  test('the removal of a pod without a kill makes no later kill unattributed', async () => {
    const { clock, kernel, tracker } = await begin();
    const other = `${burstable}/kubepods-burstable-podffff0000.slice`;
    kernel.make(other);
    kernel.remove(pod);
    tracker.follow([]);
    await tracker.settle();
    await clock.advance(3000);
    kernel.kill(other, other);
    kernel.run();
    kernel.remove(other);
    expect(await tracker.settle()).toEqual([]);
    expect(tracker.health().unattributed).toBe(0);
  });

  test('a re-created pod continues the counts of its name, which are kept for an hour after its removal', async () => {
    const { clock, kernel, tracker } = await begin();
    kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    await tracker.settle();
    kernel.remove(pod);
    const next = podTree({ uid: '11112222' });
    for (const { path, isGroup } of pathsOf(next)) kernel.make(path, { isGroup });
    tracker.follow([next]);
    kernel.kill(`${podPath({ uid: '11112222' })}/gitaly/gitaly-1/repos-3`, undefined);
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by node in 3']);
    const sum = {
      identity: next.identity,
      kills: levels({ bucket: 1, node: 1 }),
      bucketKills: new Map([[3, 2]]),
    };
    expect(tracker.totals()).toMatchObject([sum]);
    await clock.advance(7_200_000);
    expect(tracker.totals()).toMatchObject([sum]);
    tracker.follow([]);
    await tracker.settle();
    expect(tracker.totals()).toHaveLength(1);
    await clock.advance(3_600_001);
    expect(tracker.totals()).toEqual([]);
  });

  test('a pod that was not followed for a moment keeps its counts', async () => {
    const { clock, kernel, tracker } = await begin();
    kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    await tracker.settle();
    tracker.follow([]);
    await tracker.settle();
    tracker.follow([tree]);
    await tracker.settle();
    await clock.advance(7_200_000);
    kernel.kill(`${git}/repos-2`, `${git}/repos-2`);
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by bucket in 2']);
    expect(tracker.totals()).toMatchObject([{ kills: levels({ bucket: 2 }) }]);
  });

  test('a pod whose name becomes known later keeps its counts', async () => {
    const { kernel, tracker } = await begin([{ ...tree, identity: { ...tree.identity, pod: uid } }]);
    kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    await tracker.settle();
    tracker.follow([tree]);
    expect(tracker.totals()).toMatchObject([{ identity: tree.identity, kills: levels({ bucket: 1 }) }]);
  });
});

describe('the start of counting', () => {
  test('excludes kills before the first pass, and those of a pod before it is followed', async () => {
    const kernel = createKernelModel();
    const clock = createManualClock();
    for (const { path, isGroup } of pathsOf(tree)) kernel.make(path, { isGroup });
    for (let each = 0; each < 17; each++) kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    const tracker = createOomTracker({
      files: kernel.files,
      root: '/',
      listChildren: kernel.children,
      clock,
    });
    tracker.follow([]);
    await tracker.settle();
    kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    tracker.follow([tree]);
    expect(tracker.totals()).toEqual([]);
    const kills = await tracker.settle();
    expect(kills.map(({ processes }) => processes)).toEqual([1]);
    expect(tracker.totals()).toHaveLength(1);
  });

  test('excludes an oom before a pod is followed as the cause of a later kill', async () => {
    const kernel = createKernelModel();
    const clock = createManualClock();
    for (const { path, isGroup } of pathsOf(tree)) kernel.make(path, { isGroup });
    for (let each = 0; each < 17; each++) kernel.kill(`${git}/repos-3`, `${git}/repos-3`, { ooms: 2 });
    kernel.kill(gitaly, gitaly, { hasVictimExited: true });
    kernel.run();
    const tracker = createOomTracker({
      files: kernel.files,
      root: '/',
      listChildren: kernel.children,
      clock,
    });
    tracker.follow([]);
    await tracker.settle();
    tracker.follow([tree]);
    expect(await tracker.settle()).toEqual([]);
    kernel.kill(`${git}/repos-3`, undefined);
    kernel.kill(gitaly, undefined);
    kernel.run();
    expect((await tracker.settle()).map(line).sort()).toEqual(['1 by node gitaly', '1 by node in 3']);
  });

  test('excludes a kill between the first follow and the first pass', async () => {
    const kernel = createKernelModel();
    for (const { path, isGroup } of pathsOf(tree)) kernel.make(path, { isGroup });
    const clock = createManualClock();
    const tracker = createOomTracker({
      files: kernel.files,
      root: '/',
      listChildren: kernel.children,
      clock,
    });
    tracker.follow([tree]);
    kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    expect(await tracker.settle()).toEqual([]);
    expect(tracker.totals()).toMatchObject([{ kills: levels({}) }]);
  });

  test('is 0 for a Gitaly on a virtual machine that starts after the exporter', async () => {
    const kernel = createKernelModel();
    const clock = createManualClock();
    const host = hostTree();
    kernel.make('system.slice');
    const tracker = createOomTracker({
      files: kernel.files,
      root: '/',
      listChildren: kernel.children,
      clock,
    });
    tracker.follow([]);
    await tracker.settle();
    for (const { path } of pathsOf(host)) kernel.make(path);
    kernel.kill('gitaly/gitaly-1/repos-2', 'gitaly/gitaly-1/repos-2');
    kernel.run();
    tracker.follow([host]);
    expect((await tracker.settle()).map(line)).toEqual(['1 by bucket in 2']);
    kernel.kill('gitaly/gitaly-1/repos-2', undefined);
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by node in 2']);
  });
});

describe('a failed reading', () => {
  test('of a pod omits it, and its kills are counted when it is readable again', async () => {
    const { kernel, tracker } = await begin();
    kernel.broken.add(pod);
    kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    expect(await tracker.settle()).toEqual([]);
    expect(tracker.totals()).toEqual([]);
    expect(tracker.health().unread).toEqual([{ tree: uid, why: 'its memory.events cannot be read' }]);
    kernel.broken.clear();
    expect((await tracker.settle()).map(({ processes }) => processes)).toEqual([1]);
    expect(tracker.totals()).toMatchObject([{ kills: levels({ bucket: 1 }) }]);
  });

  test('of a bucket: its kills are counted once, with those of its parent', async () => {
    const { kernel, tracker } = await begin();
    kernel.broken.add(`${git}/repos-3`);
    kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by bucket removed']);
    kernel.broken.clear();
    kernel.kill(`${git}/repos-2`, `${git}/repos-2`);
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by bucket in 2']);
    kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by bucket in 3']);
  });

  test("of the pods' parent: each pod is read on its own", async () => {
    const { kernel, tracker } = await begin();
    kernel.broken.add(burstable);
    kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    expect((await tracker.settle()).map(line)).toEqual(['1 by bucket in 3']);
    kernel.broken.clear();
    expect(await tracker.settle()).toEqual([]);
    expect(tracker.totals()).toMatchObject([{ kills: levels({ bucket: 1 }) }]);
  });
});

describe('callers of the tracker', () => {
  test('that call at the same time: one gets the kill', async () => {
    const { kernel, tracker } = await begin();
    kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    const returned = await Promise.all([tracker.settle(), tracker.settle(), tracker.settle()]);
    expect(returned.flat()).toHaveLength(1);
    expect(tracker.totals()).toMatchObject([{ kills: levels({ bucket: 1 }) }]);
  });

  test('get the kills of an aborted call at the next one', async () => {
    const { kernel, tracker } = await begin();
    kernel.kill(`${git}/repos-3`, `${git}/repos-3`);
    kernel.run();
    expect(await tracker.settle(AbortSignal.abort())).toEqual([]);
    expect(await tracker.settle()).toHaveLength(1);
  });

  test('cause one file to be read when nothing changed', async () => {
    const { kernel, tracker } = await begin();
    await tracker.settle();
    const before = kernel.reads();
    await tracker.settle();
    expect(kernel.reads() - before).toBe(1);
  });

  test('cause no read after close', async () => {
    const { kernel, tracker } = await begin();
    tracker.close();
    const before = kernel.reads();
    expect(await tracker.settle()).toEqual([]);
    expect(kernel.reads()).toBe(before);
  });
});
