/**
 * Notices OOM kills immediately: the kernel notifies a watch on memory.events of every change there and below
 * (cgroup-v2.rst, "memory.events"), so one watch on each Gitaly's topmost cgroup covers all of its buckets. It also
 * notifies of `max`, which page cache raises all day: what is called here must be cheap when there was no kill.
 */
import { type FSWatcher, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { onAbort } from '../../../lib/abort.ts';
import { codeOf } from '../../../lib/errors.ts';
import type { GitalyTree } from '../tree.ts';
import { topOf } from './counter-tree.ts';

interface OomWatchOptions {
  /** Where cgroup v2 is mounted. */
  readonly root: string;
  /** Something changed. Called immediately, then at most ten times a second. Must not throw. */
  readonly onEvent: () => void;
  /** Ends all watches. */
  readonly signal: AbortSignal;
}

export interface OomWatch {
  /** The trees to watch from now on; retries where the kernel refused a watch. Cheap when nothing changed. */
  follow(trees: readonly GitalyTree[]): void;
  state(): OomWatchState;
}

interface OomWatchState {
  /** Gitalys whose kills are noticed immediately. */
  readonly armed: number;
  /** Those whose kills only polling finds, and the error code: ENOSPC at inotify's limit of watches. */
  readonly failed: readonly { readonly tree: string; readonly code: string }[];
}

const minIntervalMs = 100;
/** After a refused watch. */
const retryMs = 5000;

interface WatchedFile {
  readonly path: string;
  /** The kernel does not notify of the file's removal, and another one may get its name. */
  inode: number | undefined;
  watcher: FSWatcher | undefined;
  code: string | undefined;
}

export function watchOomEvents({ onEvent, root, signal }: OomWatchOptions): OomWatch {
  const watched = new Map<string, WatchedFile>();
  let retry: NodeJS.Timeout | undefined;
  let pause: NodeJS.Timeout | undefined;
  /** Something changed during the pause. */
  let isMissed = false;

  function notify(): void {
    if (signal.aborted) return;
    if (pause !== undefined) {
      isMissed = true;
      return;
    }
    isMissed = false;
    pause = setTimeout(() => {
      pause = undefined;
      if (isMissed) notify();
    }, minIntervalMs).unref();
    onEvent();
  }

  function arm(one: WatchedFile): void {
    try {
      one.inode = inodeOf(one.path);
      const watcher = watch(one.path, { persistent: false }, notify);
      one.watcher = watcher;
      one.code = undefined;
      watcher.on('error', (error) => {
        disarm(one, codeOf(error) ?? 'unknown error');
        retryLater();
        notify(); // Changes while it was broken are unknown.
      });
    } catch (error) {
      disarm(one, codeOf(error) ?? 'unknown error');
      retryLater();
    }
  }

  function disarm(one: WatchedFile, code: string | undefined): void {
    one.watcher?.removeAllListeners().close();
    one.watcher = undefined;
    one.code = code;
  }

  function retryLater(): void {
    if (signal.aborted) return;
    retry ??= setTimeout(() => {
      retry = undefined;
      for (const one of watched.values()) if (one.watcher === undefined) arm(one);
    }, retryMs).unref();
  }

  onAbort(signal, () => {
    clearTimeout(retry);
    clearTimeout(pause);
    for (const one of watched.values()) disarm(one, undefined);
    watched.clear();
  });

  return {
    follow(trees) {
      if (signal.aborted) return;
      const paths = new Map<string, string>();
      for (const tree of trees) {
        const path = topOf(tree)?.path;
        if (path !== undefined) paths.set(tree.key, join(root, path, 'memory.events'));
      }
      for (const [tree, one] of watched) {
        const isSame = one.watcher === undefined || one.inode === inodeOf(one.path);
        if (paths.get(tree) === one.path && isSame) continue;
        disarm(one, undefined);
        watched.delete(tree);
      }
      for (const [tree, path] of paths) {
        if (watched.has(tree)) continue;
        const one: WatchedFile = { path, inode: undefined, watcher: undefined, code: undefined };
        watched.set(tree, one);
        arm(one);
      }
    },
    state: () => ({
      armed: [...watched.values()].filter(({ watcher }) => watcher !== undefined).length,
      failed: [...watched].flatMap(([tree, { code }]) => (code === undefined ? [] : [{ tree, code }])),
    }),
  };
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined;
  }
}
