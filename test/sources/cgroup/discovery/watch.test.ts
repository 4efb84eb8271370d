import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, renameSync, rmdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { watchTrees } from '../../../../src/sources/cgroup/discovery/watch.ts';
import { createManualClock } from '../../../support/manual-clock.ts';
import { createFolderTree, type FolderTree, finderOf, id, lookWith, sliceOf, uid } from './support.ts';

let tree: FolderTree;
let stop: AbortController;

beforeEach(() => {
  tree = createFolderTree();
  stop = new AbortController();
});

afterEach(() => {
  stop.abort();
  tree.end();
});

/** Inotify watches of this process, as the kernel counts them. */
function inotifyWatches(): number {
  let count = 0;
  for (const descriptor of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${descriptor}`) === 'anon_inode:inotify')
        count += readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8').split('inotify wd:').length - 1;
    } catch {
      // The descriptor of this very listing.
    }
  }
  return count;
}

/** Resolves when the condition holds. */
async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${String(holds)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function startWatch(root = tree.root) {
  let changes = 0;
  const watch = watchTrees({ root, onChange: () => void changes++, signal: stop.signal });
  return { watch, changes: () => changes };
}

describe('a change is told', () => {
  test('when a folder comes or goes', async () => {
    tree.make('kubepods.slice/a', 'kubepods.slice/b');
    const { watch, changes } = startWatch();
    await watch.follow(['', 'kubepods.slice']);
    await until(() => changes() === 1);
    tree.make('kubepods.slice/c');
    await until(() => changes() === 2);
    rmdirSync(join(tree.root, 'kubepods.slice/c'));
    await until(() => changes() === 3);
  });

  test('not when a file changes', async () => {
    tree.make('a', 'b');
    tree.write('a/memory.events', 'oom 0\n');
    const clock = createManualClock();
    const quiet = watchTrees({ root: tree.root, onChange: () => undefined, signal: stop.signal, clock });
    await quiet.follow(['a']);
    await clock.advance(1000);
    const { watch, changes } = startWatch();
    await watch.follow(['b']);
    await until(() => changes() === 1);
    tree.write('a/memory.events', 'oom 1\n');
    tree.make('b/c');
    // The kernel tells in the order in which things happened.
    await until(() => changes() === 2);
    expect(clock.sleepers()).toBe(0);
    tree.make('a/c', 'b/d');
    await until(() => changes() === 3);
    expect(clock.sleepers()).toBe(1);
  });

  test('once for many at a time', async () => {
    tree.make('kubepods.slice');
    const { watch, changes } = startWatch();
    await watch.follow(['kubepods.slice']);
    await until(() => changes() === 1);
    tree.make(...Array.from({ length: 100 }, (_, n) => `kubepods.slice/${n}`));
    await until(() => changes() === 2);
    tree.make('kubepods.slice/last');
    await until(() => changes() === 3);
  });

  test('in a folder that was removed and made again, after the next follow', async () => {
    tree.make('gitaly/gitaly-1');
    const { watch, changes } = startWatch();
    await watch.follow(['gitaly']);
    await until(() => changes() === 1);
    tree.remove('gitaly');
    tree.make('gitaly');
    await until(() => changes() === 2);
    await watch.follow(['gitaly']);
    await until(() => changes() === 3);
    tree.make('gitaly/gitaly-2');
    await until(() => changes() === 4);
    expect(watch.watched()).toBe(1);
  });
});

test('what is not there, and what is a link, is not watched; the rest is', async () => {
  tree.make('gitaly');
  symlinkSync('/tmp', join(tree.root, 'link'));
  const { watch } = startWatch();
  await watch.follow(['', 'gone', 'link', 'gitaly', 'link/x']);
  expect([watch.watched(), watch.refusal()]).toEqual([2, undefined]);
});

test('after the end nothing is watched or told', async () => {
  tree.make('gitaly');
  const before = inotifyWatches();
  const { watch, changes } = startWatch();
  await watch.follow(['', 'gitaly']);
  expect(inotifyWatches()).toBe(before + 2);
  stop.abort();
  expect([watch.watched(), inotifyWatches()]).toEqual([0, before]);
  await watch.follow(['gitaly']);
  expect([watch.watched(), changes()]).toEqual([0, 0]);
});

test('looks and watches together see a pod come, its Gitaly start and restart, and all of it go', async () => {
  const pod = `kubepods.slice/kubepods-burstable.slice/${sliceOf('kubepods-burstable')}`;
  const scope = `${pod}/cri-containerd-${id}.scope`;
  tree.make('kubepods.slice/kubepods-burstable.slice');
  const finder = finderOf(tree.root);
  let seen = 'nothing';
  let looking: Promise<void> = Promise.resolve();
  const look = async (): Promise<void> => {
    const { trees, folders } = await lookWith(finder);
    seen = trees
      .map(({ layout, git, deadGit }) => [layout, git?.path, git?.buckets.length, deadGit.length].join(' '))
      .join();
    await watch.follow(folders);
  };
  const onChange = (): void => {
    looking = looking.then(look);
  };
  const watch = watchTrees({ root: tree.root, onChange, signal: stop.signal });
  await look();
  tree.make(scope);
  tree.make(`${scope}/gitaly/gitaly-1/repos-0`);
  await until(() => seen === `nested ${scope}/gitaly/gitaly-1 1 0`);
  tree.make(`${scope}/gitaly/gitaly-1/repos-7`);
  await until(() => seen === `nested ${scope}/gitaly/gitaly-1 2 0`);
  tree.make(`${scope}/gitaly/gitaly-9/repos-0`);
  await until(() => seen === `nested ${scope}/gitaly/gitaly-1 2 1`);
  tree.remove(`${scope}/gitaly/gitaly-1`);
  await until(() => seen === `nested ${scope}/gitaly/gitaly-9 1 0`);
  tree.remove(scope);
  await until(() => seen === '');
  tree.make(`${pod}/gitaly/gitaly-1/repos-0`);
  await until(() => seen === `sibling ${pod}/gitaly/gitaly-1 1 0`);
  tree.remove('kubepods.slice');
  await until(() => seen === '');
  await looking;
});

test('no watch is left of pods that came and went', async () => {
  const burstable = 'kubepods.slice/kubepods-burstable.slice';
  tree.make(burstable);
  const finder = finderOf(tree.root);
  const { watch } = startWatch();
  await watch.follow((await lookWith(finder)).folders);
  const before = inotifyWatches();
  for (let n = 0; n < 100; n++) {
    const slice = `${burstable}/${sliceOf('kubepods-burstable', uid.replace(/^.{8}/, String(10_000_000 + n)))}`;
    tree.make(`${slice}/gitaly/gitaly-1/repos-0`);
    const { trees, folders } = await lookWith(finder);
    await watch.follow(folders);
    expect([trees.length, watch.watched(), inotifyWatches()]).toEqual([1, before + 3, before + 3]);
    if (n % 2 === 0) tree.remove(slice);
    else {
      // Gone and made again between two looks, without Gitaly.
      renameSync(join(tree.root, slice), join(tree.root, 'kubepods.slice/moved'));
      tree.make(slice);
      await watch.follow((await lookWith(finder)).folders);
      tree.remove('kubepods.slice/moved');
      tree.remove(slice);
    }
    await watch.follow((await lookWith(finder)).folders);
    expect([watch.watched(), inotifyWatches()]).toEqual([before, before]);
  }
});

/** A user namespace has limits of its own, which may be set without harm to others. */
const canLimit =
  spawnSync('unshare', ['-Ur', 'sh', '-c', 'echo 3 > /proc/sys/user/max_inotify_watches']).status === 0;

(canLimit ? test : test.skip)(
  "at the kernel's limit of watches the others are kept, and the refusal is told",
  () => {
    tree.make('a', 'b', 'c');
    const script = `
    import { watchTrees } from ${JSON.stringify(new URL('../../../../src/sources/cgroup/discovery/watch.ts', import.meta.url).href)};
    const stop = new AbortController();
    const watch = watchTrees({ root: ${JSON.stringify(tree.root)}, onChange: () => {}, signal: stop.signal });
    const told = [];
    for (const folders of [['', 'a', 'b', 'c'], ['', 'a']]) {
      await watch.follow(folders);
      told.push([watch.watched(), watch.refusal() ?? 'none']);
    }
    console.log(JSON.stringify(told));
    stop.abort();`;
    const { stdout } = spawnSync(
      'unshare',
      [
        '-Ur',
        'sh',
        '-c',
        'echo 3 > /proc/sys/user/max_inotify_watches; exec "$0" --input-type=module -e "$1"',
        process.execPath,
        script,
      ],
      { encoding: 'utf8' },
    );
    expect(JSON.parse(stdout)).toEqual([
      [3, 'ENOSPC'],
      [2, 'none'],
    ]);
  },
);
