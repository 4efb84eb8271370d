import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, renameSync, rmdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { watchDirectories } from '../../../../src/sources/cgroup/discovery/directory-watch.ts';
import { createManualClock } from '../../../support/manual-clock.ts';
import { createFolderTree, type FolderTree, finderOf, findWith, id, sliceOf, uid } from './support.ts';

let tree: FolderTree;
let stop: AbortController;

beforeEach(() => {
  tree = createFolderTree();
  stop = new AbortController();
});

afterEach(() => {
  stop.abort();
  tree.removeAll();
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
    if (performance.now() > end) throw new Error(`timed out: ${String(holds)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function startWatch(root = tree.root) {
  let changes = 0;
  const watch = watchDirectories({ root, onChange: () => void changes++, signal: stop.signal });
  return { watch, changes: () => changes };
}

describe('a change is reported', () => {
  test('when a folder is created or removed', async () => {
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
    const quiet = watchDirectories({
      root: tree.root,
      onChange: () => undefined,
      signal: stop.signal,
      clock,
    });
    await quiet.follow(['a']);
    await clock.advance(1000);
    const { watch, changes } = startWatch();
    await watch.follow(['b']);
    await until(() => changes() === 1);
    tree.write('a/memory.events', 'oom 1\n');
    tree.make('b/c');
    // inotify reports in the order of events.
    await until(() => changes() === 2);
    expect(clock.sleepers()).toBe(0);
    tree.make('a/c', 'b/d');
    await until(() => changes() === 3);
    expect(clock.sleepers()).toBe(1);
  });

  test('once for many at the same time', async () => {
    tree.make('kubepods.slice');
    const { watch, changes } = startWatch();
    await watch.follow(['kubepods.slice']);
    await until(() => changes() === 1);
    tree.make(...Array.from({ length: 100 }, (_, n) => `kubepods.slice/${n}`));
    await until(() => changes() === 2);
    tree.make('kubepods.slice/last');
    await until(() => changes() === 3);
  });

  test('in a re-created folder, after the next follow', async () => {
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

test('missing folders and symbolic links are not watched; the rest is', async () => {
  tree.make('gitaly');
  symlinkSync('/tmp', join(tree.root, 'link'));
  const { watch } = startWatch();
  await watch.follow(['', 'removed', 'link', 'gitaly', 'link/x']);
  expect([watch.watched(), watch.refusal()]).toEqual([2, undefined]);
});

test('after the signal nothing is watched or reported', async () => {
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

test('scans and watches together find a pod created, its Gitaly started and restarted, and all of it removed', async () => {
  const pod = `kubepods.slice/kubepods-burstable.slice/${sliceOf('kubepods-burstable')}`;
  const scope = `${pod}/cri-containerd-${id}.scope`;
  tree.make('kubepods.slice/kubepods-burstable.slice');
  const finder = finderOf(tree.root);
  let seen = 'nothing';
  let scanning: Promise<void> = Promise.resolve();
  const scan = async (): Promise<void> => {
    const { trees, folders } = await findWith(finder);
    seen = trees
      .map(({ layout, git, deadGit }) => [layout, git?.path, git?.buckets.length, deadGit.length].join(' '))
      .join();
    await watch.follow(folders);
  };
  const onChange = (): void => {
    scanning = scanning.then(scan);
  };
  const watch = watchDirectories({ root: tree.root, onChange, signal: stop.signal });
  await scan();
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
  await scanning;
});

test('no watch is left of pods that were created and removed', async () => {
  const burstable = 'kubepods.slice/kubepods-burstable.slice';
  tree.make(burstable);
  const finder = finderOf(tree.root);
  const { watch } = startWatch();
  await watch.follow((await findWith(finder)).folders);
  const before = inotifyWatches();
  for (let n = 0; n < 100; n++) {
    const slice = `${burstable}/${sliceOf('kubepods-burstable', uid.replace(/^.{8}/, String(10_000_000 + n)))}`;
    tree.make(`${slice}/gitaly/gitaly-1/repos-0`);
    const { trees, folders } = await findWith(finder);
    await watch.follow(folders);
    expect([trees.length, watch.watched(), inotifyWatches()]).toEqual([1, before + 3, before + 3]);
    if (n % 2 === 0) tree.remove(slice);
    else {
      // Re-created between two scans, without Gitaly.
      renameSync(join(tree.root, slice), join(tree.root, 'kubepods.slice/moved'));
      tree.make(slice);
      await watch.follow((await findWith(finder)).folders);
      tree.remove('kubepods.slice/moved');
      tree.remove(slice);
    }
    await watch.follow((await findWith(finder)).folders);
    expect([watch.watched(), inotifyWatches()]).toEqual([before, before]);
  }
});

/** A user namespace has limits of its own, which affect nothing else. */
const canLimit =
  spawnSync('unshare', ['-Ur', 'sh', '-c', 'echo 3 > /proc/sys/user/max_inotify_watches']).status === 0;

(canLimit ? test : test.skip)(
  "at the kernel's limit of watches the others are kept, and the refusal is reported",
  () => {
    tree.make('a', 'b', 'c');
    const script = `
    import { watchDirectories } from ${JSON.stringify(new URL('../../../../src/sources/cgroup/discovery/directory-watch.ts', import.meta.url).href)};
    const stop = new AbortController();
    const watch = watchDirectories({ root: ${JSON.stringify(tree.root)}, onChange: () => {}, signal: stop.signal });
    const results = [];
    for (const folders of [['', 'a', 'b', 'c'], ['', 'a']]) {
      await watch.follow(folders);
      results.push([watch.watched(), watch.refusal() ?? 'none']);
    }
    console.log(JSON.stringify(results));
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
