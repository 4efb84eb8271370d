import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, renameSync, rmdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { watchPaths } from '../../../src/sources/cgroup/path-watch.ts';
import {
  createFolderTree,
  type FolderTree,
  finderOf,
  findWith,
  id,
  sliceOf,
  uid,
} from './discovery/support.ts';

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
      // The descriptor of this listing itself.
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

function startWatch(on: 'rename' | 'change' = 'rename') {
  let events = 0;
  const watch = watchPaths({ root: tree.root, on, onEvent: () => void events++, signal: stop.signal });
  return { watch, events: () => events };
}

describe('a change of a path', () => {
  test('is reported when a watch begins, and when a folder is created or removed', async () => {
    tree.make('kubepods.slice/a', 'kubepods.slice/b');
    const { watch, events } = startWatch();
    await watch.follow(['', 'kubepods.slice']);
    expect(events()).toBe(2);
    tree.make('kubepods.slice/c');
    await until(() => events() === 3);
    rmdirSync(join(tree.root, 'kubepods.slice/c'));
    await until(() => events() === 4);
  });

  test('is not reported when a file in a folder changes', async () => {
    tree.make('a', 'b');
    tree.write('a/memory.events', 'oom 0\n');
    const { watch, events } = startWatch();
    await watch.follow(['a', 'b']);
    tree.write('a/memory.events', 'oom 1\n');
    tree.make('b/c');
    // inotify reports in the order of events.
    await until(() => events() === 3);
    tree.make('a/c');
    await until(() => events() === 4);
  });

  test('is reported for a watched file, not for another one', async () => {
    tree.make('a', 'b');
    tree.write('a/memory.events', 'oom 0\n');
    tree.write('b/memory.events', 'oom 0\n');
    const { watch, events } = startWatch('change');
    await watch.follow(['a/memory.events']);
    tree.write('b/memory.events', 'oom 1\n');
    expect(events()).toBe(1);
    tree.write('a/memory.events', 'oom 1\n');
    await until(() => events() > 1);
  });

  test('is reported in a re-created folder after the next follow', async () => {
    tree.make('gitaly/gitaly-1');
    const { watch, events } = startWatch();
    await watch.follow(['gitaly']);
    tree.remove('gitaly');
    tree.make('gitaly');
    await until(() => events() > 1);
    await watch.follow(['gitaly']);
    const before = events();
    tree.make('gitaly/gitaly-2');
    await until(() => events() > before);
    expect(watch.watched()).toBe(1);
  });

  test('is reported in a re-created file after the next follow', async () => {
    tree.make('a', 'b');
    tree.write('a/memory.events', 'oom 0\n');
    // Both exist for a moment, so that their inodes differ.
    tree.write('b/memory.events', 'oom 0\n');
    const { watch, events } = startWatch('change');
    await watch.follow(['a/memory.events']);
    tree.remove('a');
    renameSync(join(tree.root, 'b'), join(tree.root, 'a'));
    await watch.follow(['a/memory.events']);
    expect(watch.watched()).toBe(1);
    // The removal itself may be reported too.
    const before = events();
    let moves = 0;
    await until(() => {
      tree.write('a/memory.events', `oom ${moves++}\n`);
      return events() >= before + 5;
    });
  });
});

test('a missing file is watched when it is followed again', async () => {
  const { watch } = startWatch('change');
  await watch.follow(['a/memory.events']);
  expect([watch.watched(), watch.refusal()]).toEqual([0, undefined]);
  tree.make('a');
  tree.write('a/memory.events', 'oom 0\n');
  await watch.follow(['a/memory.events']);
  expect(watch.watched()).toBe(1);
});

test('after thousands of switches between two paths one watch remains', async () => {
  tree.make('a', 'b');
  const before = inotifyWatches();
  const { watch } = startWatch();
  for (let each = 0; each < 2000; each++) await watch.follow([each % 2 === 0 ? 'a' : 'b']);
  expect([watch.watched(), inotifyWatches()]).toEqual([1, before + 1]);
});

test('missing folders and symbolic links are not watched; the others are', async () => {
  tree.make('gitaly');
  symlinkSync('/tmp', join(tree.root, 'link'));
  const { watch } = startWatch();
  await watch.follow(['', 'removed', 'link', 'gitaly', 'link/x']);
  expect([watch.watched(), watch.refusal()]).toEqual([2, undefined]);
});

test('after the signal aborts, nothing is watched or reported', async () => {
  tree.make('gitaly');
  const before = inotifyWatches();
  const { watch, events } = startWatch();
  await watch.follow(['', 'gitaly']);
  expect(inotifyWatches()).toBe(before + 2);
  const reported = events();
  stop.abort();
  expect([watch.watched(), inotifyWatches()]).toEqual([0, before]);
  await watch.follow(['gitaly']);
  tree.make('gitaly/gitaly-1');
  expect([watch.watched(), events()]).toEqual([0, reported]);
});

test('scans and watches together find a created pod, its started and restarted Gitaly, and the removal of all of it', async () => {
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
  const onEvent = (): void => {
    scanning = scanning.then(scan);
  };
  const watch = watchPaths({ root: tree.root, on: 'rename', onEvent, signal: stop.signal });
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

test('no watch remains for pods that were created and removed', async () => {
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

/** A user namespace has its own limits, which affect nothing else. */
const canLimit =
  spawnSync('unshare', ['-Ur', 'sh', '-c', 'echo 3 > /proc/sys/user/max_inotify_watches']).status === 0;

(canLimit ? test : test.skip)(
  "at the kernel's limit of watches the others are kept, and the refusal is reported",
  () => {
    tree.make('a', 'b', 'c');
    const script = `
    import { watchPaths } from ${JSON.stringify(new URL('../../../src/sources/cgroup/path-watch.ts', import.meta.url).href)};
    const stop = new AbortController();
    const watch = watchPaths({ root: ${JSON.stringify(tree.root)}, on: 'rename', onEvent: () => {}, signal: stop.signal });
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
