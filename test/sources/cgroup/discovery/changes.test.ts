import { renameSync, symlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createManualClock, type ManualClock } from '../../../support/manual-clock.ts';
import {
  createFolderTree,
  directoryOf,
  type FolderTree,
  finderOf,
  id,
  knownPod,
  lookWith,
  otherUid,
  pauseId,
  sliceOf,
  uid,
} from './support.ts';

let tree: FolderTree;
let clock: ManualClock;

beforeEach(() => {
  tree = createFolderTree();
  clock = createManualClock();
});

afterEach(() => tree.end());

const burstable = 'kubepods.slice/kubepods-burstable.slice';
const pod = `${burstable}/${sliceOf('kubepods-burstable')}`;
const otherPod = `${burstable}/${sliceOf('kubepods-burstable', otherUid)}`;
const git = `${pod}/gitaly/gitaly-1`;

describe('what changes between two looks is seen at the next one', () => {
  test('pods, containers, gitaly-<pid> and buckets that come and go', async () => {
    tree.make(`${git}/repos-0`, `${pod}/cri-containerd-${pauseId}.scope`);
    const finder = finderOf(tree.root, { clock });
    const look = async () =>
      (await lookWith(finder)).trees.map(({ key, containers, git: living, deadGit }) => [
        key,
        containers.map((container) => container.id),
        living?.buckets,
        deadGit.map(({ pid }) => pid),
      ]);
    expect(await look()).toEqual([[uid, [pauseId], [0], []]]);
    tree.make(`${git}/repos-17`, `${git}/repos-3`, `${pod}/cri-containerd-${id}.scope`);
    expect(await look()).toEqual([[uid, [pauseId, id], [0, 3, 17], []]]);
    tree.make(`${pod}/gitaly/gitaly-22/repos-0`, `${otherPod}/gitaly/gitaly-1/repos-0`);
    expect(await look()).toEqual([
      [uid, [pauseId, id], [0, 3, 17], ['22']],
      [otherUid, [], [0], []],
    ]);
    tree.remove(git);
    tree.remove(`${pod}/cri-containerd-${pauseId}.scope`);
    tree.remove(otherPod);
    expect(await look()).toEqual([[uid, [id], [0], []]]);
    tree.remove(pod);
    expect(await look()).toEqual([]);
  });

  test('a pod exchanged for another behind the same count and the same times, as the kernel leaves them', async () => {
    const keepTimes = (): void => utimesSync(join(tree.root, burstable), 1_000, 1_000);
    tree.make(`${git}/repos-0`);
    keepTimes();
    const finder = finderOf(tree.root, { clock });
    expect((await lookWith(finder)).trees.map(({ key }) => key)).toEqual([uid]);
    renameSync(join(tree.root, pod), join(tree.root, otherPod));
    keepTimes();
    expect((await lookWith(finder)).trees.map(({ key }) => key)).toEqual([otherUid]);
  });

  test('the first kubepods, and the first tree of a virtual machine', async () => {
    const finder = finderOf(tree.root, { clock });
    expect((await lookWith(finder)).trees).toEqual([]);
    tree.make(`${git}/repos-0`);
    expect((await lookWith(finder)).trees.map(({ key }) => key)).toEqual([uid]);
    tree.make('gitaly/gitaly-300/repos-0');
    expect((await lookWith(finder)).trees.map(({ key }) => key)).toEqual([uid, 'host']);
    tree.remove('kubepods.slice');
    expect((await lookWith(finder)).trees.map(({ key }) => key)).toEqual(['host']);
  });

  test('what the list of pods says', async () => {
    tree.make(`${git}/repos-0`, otherPod);
    const directory = directoryOf([]);
    const finder = finderOf(tree.root, { clock, directory });
    const names = async () => (await lookWith(finder)).trees.map(({ identity }) => identity.pod);
    expect(await names()).toEqual([]);
    directory.tell([knownPod()]);
    expect(await names()).toEqual(['gitlab-gitaly-0']);
    directory.tell([knownPod(), knownPod({ uid: otherUid, name: 'gitlab-gitaly-1' })]);
    expect(await names()).toEqual(['gitlab-gitaly-0', 'gitlab-gitaly-1']);
    directory.tell([], { reason: 'timeout', message: 'the list is old' });
    expect(await names()).toEqual([uid]);
  });
});

test('a list that becomes whole without a pod that was named by its uid: the page says at once why that is not shown', async () => {
  tree.make(`${git}/repos-0`);
  const directory = directoryOf([], { reason: 'timeout', message: 'not listed yet' });
  const finder = finderOf(tree.root, { clock, directory });
  expect((await lookWith(finder)).trees.map(({ key }) => key)).toEqual([uid]);
  directory.tell([]);
  const { missing, trees, unlisted } = await lookWith(finder);
  expect(trees).toEqual([]);
  expect(unlisted).toEqual([uid]);
  // Not as well that there are none.
  expect(missing).toEqual([expect.stringMatching(new RegExp(`^${uid}: hold Gitaly's cgroups, but`))]);
  expect(missing[0]).toContain('kubernetes.node');
});

test('far from what is known, trees are looked for once a minute', async () => {
  tree.make(`${git}/repos-0`, 'system.slice/a.service');
  const finder = finderOf(tree.root, { clock });
  const keys = async () => (await lookWith(finder)).trees.map(({ key }) => key);
  expect(await keys()).toEqual([uid]);
  tree.make('system.slice/a.service/gitaly-1/repos-0');
  expect(await keys()).toEqual([uid]);
  clock.stall(59_999);
  expect(await keys()).toEqual([uid]);
  clock.stall(1);
  expect(await keys()).toEqual([uid, 'host']);
});

test('while nothing is known, every five seconds', async () => {
  tree.make('kubelet.slice');
  const finder = finderOf(tree.root, { clock });
  const keys = async () => (await lookWith(finder)).trees.map(({ key }) => key);
  expect(await keys()).toEqual([]);
  tree.make(`kubelet.slice/kubelet-kubepods.slice/${sliceOf('kubelet-kubepods')}/gitaly/gitaly-1/repos-0`);
  expect(await keys()).toEqual([]);
  clock.stall(5_000);
  expect(await keys()).toEqual([uid]);
});

test('what did not change is the same value again, so that others may compare it', async () => {
  tree.make(`${git}/repos-0`, `${git}/repos-1`);
  const finder = finderOf(tree.root, { clock });
  const buckets = async () => (await lookWith(finder)).trees[0]?.git?.buckets;
  const first = await buckets();
  expect(await buckets()).toBe(first);
  clock.stall(60_000);
  expect(await buckets()).toBe(first);
});

test('calls during a look wait for it and look themselves', async () => {
  const finder = finderOf(tree.root, { clock });
  const first = lookWith(finder);
  tree.make(`${git}/repos-0`);
  const second = lookWith(finder);
  expect((await first).trees.length).toBeLessThanOrEqual(1);
  expect((await second).trees).toHaveLength(1);
});

test('a look that is told to end says so, and the next one is whole', async () => {
  tree.make(`${git}/repos-0`);
  const finder = finderOf(tree.root, { clock });
  expect(await finder.find(AbortSignal.abort())).toEqual({
    kind: 'failed',
    reason: 'timeout',
    message: expect.stringContaining('took too long'),
  });
  expect((await lookWith(finder)).trees).toHaveLength(1);
});

test('a link put in place of what was known is not followed', async () => {
  tree.make(`${git}/repos-0`, 'gitaly/gitaly-1/repos-0');
  const finder = finderOf(tree.root, { clock });
  expect((await lookWith(finder)).trees).toHaveLength(2);
  renameSync(join(tree.root, 'kubepods.slice'), join(tree.root, '../elsewhere'));
  symlinkSync('../elsewhere', join(tree.root, 'kubepods.slice'));
  renameSync(join(tree.root, 'gitaly/gitaly-1'), join(tree.root, '../gitaly-1'));
  symlinkSync('../../gitaly-1', join(tree.root, 'gitaly/gitaly-1'));
  expect((await lookWith(finder)).trees).toEqual([]);
  clock.stall(60_000);
  expect((await lookWith(finder)).trees).toEqual([]);
});
