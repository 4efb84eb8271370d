/**
 * Wakes at OOM kills: the kernel notifies a watch on memory.events of every change there and below (cgroup-v2.rst,
 * "memory.events"), so one watch on each Gitaly's top sees all of its buckets. It also notifies of `max`, which page
 * cache raises all day: what is called here must be cheap when there was no kill.
 */
import { type FSWatcher, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { codeOf } from '../../../lib/errors.ts';
import type { GitalyTree } from '../tree.ts';
import { topOf } from './counter-tree.ts';

export interface OomWatchOptions {
  /** Where cgroup v2 is mounted. */
  readonly root: string;
  /** Something changed; at once, then at most ten times a second. Must not throw. */
  readonly onEvent: () => void;
  /** Ends it, as `close` does. */
  readonly signal?: AbortSignal;
}

export interface OomWatch {
  /** Watches these from now on, and tries again where no watch could be had. Cheap when nothing changed. */
  follow(trees: readonly GitalyTree[]): void;
  state(): OomWatchState;
  close(): void;
}

export interface OomWatchState {
  /** Gitalys whose kills are seen at once. */
  readonly armed: number;
  /** Those that only the poll sees, and why: ENOSPC when inotify's limit of watches is reached. */
  readonly failed: readonly { readonly tree: string; readonly code: string }[];
}

const leastMs = 100;
/** A watch that could not be had is tried for again after this. */
const retryMs = 5000;

interface Watched {
  /** Of the file. */
  readonly path: string;
  /** Which file that was: the kernel says nothing to a watch when it is removed, and another may take its name. */
  inode: number | undefined;
  watcher: FSWatcher | undefined;
  code: string | undefined;
}

export function watchOomEvents({ onEvent, root, signal }: OomWatchOptions): OomWatch {
  const watched = new Map<string, Watched>();
  let retry: NodeJS.Timeout | undefined;
  let pause: NodeJS.Timeout | undefined;
  /** Something came during the pause. */
  let isMissed = false;
  let isClosed = false;

  function notify(): void {
    if (isClosed) return;
    if (pause !== undefined) {
      isMissed = true;
      return;
    }
    isMissed = false;
    pause = setTimeout(() => {
      pause = undefined;
      if (isMissed) notify();
    }, leastMs).unref();
    onEvent();
  }

  function arm(one: Watched): void {
    try {
      one.inode = inodeOf(one.path);
      const watcher = watch(one.path, { persistent: false }, notify);
      one.watcher = watcher;
      one.code = undefined;
      watcher.on('error', (error) => {
        disarm(one, codeOf(error) ?? 'unknown error');
        retryLater();
        notify(); // What came while it was broken is not known.
      });
    } catch (error) {
      disarm(one, codeOf(error) ?? 'unknown error');
      retryLater();
    }
  }

  function disarm(one: Watched, code: string | undefined): void {
    one.watcher?.removeAllListeners().close();
    one.watcher = undefined;
    one.code = code;
  }

  function retryLater(): void {
    if (isClosed) return;
    retry ??= setTimeout(() => {
      retry = undefined;
      for (const one of watched.values()) if (one.watcher === undefined) arm(one);
    }, retryMs).unref();
  }

  function close(): void {
    isClosed = true;
    clearTimeout(retry);
    clearTimeout(pause);
    for (const one of watched.values()) disarm(one, undefined);
    watched.clear();
    signal?.removeEventListener('abort', close);
  }

  signal?.addEventListener('abort', close, { once: true });
  if (signal?.aborted) close();

  return {
    follow(trees) {
      if (isClosed) return;
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
        const one: Watched = { path, inode: undefined, watcher: undefined, code: undefined };
        watched.set(tree, one);
        arm(one);
      }
    },
    state: () => ({
      armed: [...watched.values()].filter(({ watcher }) => watcher !== undefined).length,
      failed: [...watched].flatMap(([tree, { code }]) => (code === undefined ? [] : [{ tree, code }])),
    }),
    close,
  };
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined;
  }
}
