import { renameSync, symlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createManualClock, type ManualClock } from '../../../support/manual-clock.ts';
import {
  createFolderTree,
  directoryOf,
  type FolderTree,
  finderOf,
  findWith,
  id,
  knownPod,
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

afterEach(() => tree.removeAll());

const burstable = 'kubepods.slice/kubepods-burstable.slice';
const pod = `${burstable}/${sliceOf('kubepods-burstable')}`;
const otherPod = `${burstable}/${sliceOf('kubepods-burstable', otherUid)}`;
const git = `${pod}/gitaly/gitaly-1`;

describe('the next scan finds', () => {
  test('created and removed pods, containers, gitaly-<pid> and buckets', async () => {
    tree.make(`${git}/repos-0`, `${pod}/cri-containerd-${pauseId}.scope`);
    const finder = finderOf(tree.root, { clock });
    const scan = async () =>
      (await findWith(finder)).trees.map(({ key, containers, git: current, deadGit }) => [
        key,
        containers.map((container) => container.id),
        current?.buckets,
        deadGit.map(({ pid }) => pid),
      ]);
    expect(await scan()).toEqual([[uid, [pauseId], [0], []]]);
    tree.make(`${git}/repos-17`, `${git}/repos-3`, `${pod}/cri-containerd-${id}.scope`);
    expect(await scan()).toEqual([[uid, [pauseId, id], [0, 3, 17], []]]);
    tree.make(`${pod}/gitaly/gitaly-22/repos-0`, `${otherPod}/gitaly/gitaly-1/repos-0`);
    expect(await scan()).toEqual([
      [uid, [pauseId, id], [0, 3, 17], ['22']],
      [otherUid, [], [0], []],
    ]);
    tree.remove(git);
    tree.remove(`${pod}/cri-containerd-${pauseId}.scope`);
    tree.remove(otherPod);
    expect(await scan()).toEqual([[uid, [id], [0], []]]);
    tree.remove(pod);
    expect(await scan()).toEqual([]);
  });

  test('a pod replaced by another one with the same link count and times, as the kernel keeps them', async () => {
    const keepTimes = (): void => utimesSync(join(tree.root, burstable), 1_000, 1_000);
    tree.make(`${git}/repos-0`);
    keepTimes();
    const finder = finderOf(tree.root, { clock });
    expect((await findWith(finder)).trees.map(({ key }) => key)).toEqual([uid]);
    renameSync(join(tree.root, pod), join(tree.root, otherPod));
    keepTimes();
    expect((await findWith(finder)).trees.map(({ key }) => key)).toEqual([otherUid]);
  });

  test("the first kubepods and the first virtual machine's tree", async () => {
    const finder = finderOf(tree.root, { clock });
    expect((await findWith(finder)).trees).toEqual([]);
    tree.make(`${git}/repos-0`);
    expect((await findWith(finder)).trees.map(({ key }) => key)).toEqual([uid]);
    tree.make('gitaly/gitaly-300/repos-0');
    expect((await findWith(finder)).trees.map(({ key }) => key)).toEqual([uid, 'host']);
    tree.remove('kubepods.slice');
    expect((await findWith(finder)).trees.map(({ key }) => key)).toEqual(['host']);
  });

  test('changes of the list of pods', async () => {
    tree.make(`${git}/repos-0`, otherPod);
    const directory = directoryOf([]);
    const finder = finderOf(tree.root, { clock, directory });
    const names = async () => (await findWith(finder)).trees.map(({ identity }) => identity.pod);
    expect(await names()).toEqual([]);
    directory.set([knownPod()]);
    expect(await names()).toEqual(['gitlab-gitaly-0']);
    directory.set([knownPod(), knownPod({ uid: otherUid, name: 'gitlab-gitaly-1' })]);
    expect(await names()).toEqual(['gitlab-gitaly-0', 'gitlab-gitaly-1']);
    directory.set([], { reason: 'timeout', message: 'the list is old' });
    expect(await names()).toEqual([uid]);
  });
});

test('a pod named by its UID is omitted when a now complete list does not have it, and a note explains why', async () => {
  tree.make(`${git}/repos-0`);
  const directory = directoryOf([], { reason: 'timeout', message: 'not listed yet' });
  const finder = finderOf(tree.root, { clock, directory });
  expect((await findWith(finder)).trees.map(({ key }) => key)).toEqual([uid]);
  directory.set([]);
  const { missing, trees, unlisted } = await findWith(finder);
  expect(trees).toEqual([]);
  expect(unlisted).toEqual([uid]);
  // And no note states that there are none.
  expect(missing).toEqual([expect.stringMatching(new RegExp(`^${uid}: Gitaly's cgroups exist, but`))]);
  expect(missing[0]).toContain('kubernetes.node');
});

test('the whole tree is searched once a minute', async () => {
  tree.make(`${git}/repos-0`, 'system.slice/a.service');
  const finder = finderOf(tree.root, { clock });
  const keys = async () => (await findWith(finder)).trees.map(({ key }) => key);
  expect(await keys()).toEqual([uid]);
  tree.make('system.slice/a.service/gitaly-1/repos-0');
  expect(await keys()).toEqual([uid]);
  clock.stall(59_999);
  expect(await keys()).toEqual([uid]);
  clock.stall(1);
  expect(await keys()).toEqual([uid, 'host']);
});

test('the whole tree is searched every five seconds while no place is known', async () => {
  tree.make('kubelet.slice');
  const finder = finderOf(tree.root, { clock });
  const keys = async () => (await findWith(finder)).trees.map(({ key }) => key);
  expect(await keys()).toEqual([]);
  tree.make(`kubelet.slice/kubelet-kubepods.slice/${sliceOf('kubelet-kubepods')}/gitaly/gitaly-1/repos-0`);
  expect(await keys()).toEqual([]);
  clock.stall(5_000);
  expect(await keys()).toEqual([uid]);
});

test('unchanged buckets are the same array, so that callers can compare them', async () => {
  tree.make(`${git}/repos-0`, `${git}/repos-1`);
  const finder = finderOf(tree.root, { clock });
  const buckets = async () => (await findWith(finder)).trees[0]?.git?.buckets;
  const first = await buckets();
  expect(await buckets()).toBe(first);
  clock.stall(60_000);
  expect(await buckets()).toBe(first);
});

test('a scan that is requested during another one waits for it and then runs itself', async () => {
  const finder = finderOf(tree.root, { clock });
  const first = findWith(finder);
  tree.make(`${git}/repos-0`);
  const second = findWith(finder);
  expect((await first).trees.length).toBeLessThanOrEqual(1);
  expect((await second).trees).toHaveLength(1);
});

test('an aborted scan fails with a timeout, and the next one is complete', async () => {
  tree.make(`${git}/repos-0`);
  const finder = finderOf(tree.root, { clock });
  expect(await finder.find(AbortSignal.abort())).toEqual({
    kind: 'failed',
    reason: 'timeout',
    message: expect.stringContaining('timed out'),
  });
  expect((await findWith(finder)).trees).toHaveLength(1);
});

test('a symbolic link in place of a known folder is not followed', async () => {
  tree.make(`${git}/repos-0`, 'gitaly/gitaly-1/repos-0');
  const finder = finderOf(tree.root, { clock });
  expect((await findWith(finder)).trees).toHaveLength(2);
  renameSync(join(tree.root, 'kubepods.slice'), join(tree.root, '../elsewhere'));
  symlinkSync('../elsewhere', join(tree.root, 'kubepods.slice'));
  renameSync(join(tree.root, 'gitaly/gitaly-1'), join(tree.root, '../gitaly-1'));
  symlinkSync('../../gitaly-1', join(tree.root, 'gitaly/gitaly-1'));
  expect((await findWith(finder)).trees).toEqual([]);
  clock.stall(60_000);
  expect((await findWith(finder)).trees).toEqual([]);
});
