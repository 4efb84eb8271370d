/**
 * Watches of cgroups by inotify. The kernel reports the creation and removal of a directory's children, and for
 * memory.events every change there and below (cgroup-v2.rst, "memory.events"), so that one watch on each Gitaly's
 * topmost cgroup covers all of its buckets. Watches may be lost, refused or late: each only hastens what polling finds.
 */
import { type FSWatcher, lstatSync, statSync, watch } from 'node:fs';
import { onAbort } from '../../lib/abort.ts';
import { codeOf } from '../../lib/errors.ts';
import { absolutePath, createPause, isFreeOfLinks } from './discovery/directory-cache.ts';

interface PathWatchOptions {
  readonly root: string;
  /**
   * `rename`: only created and removed children of directories, not the memory.events and cgroup.events that the kernel
   * writes in them. `change`: every event.
   */
  readonly on: 'rename' | 'change';
  /** Called for each event, of which there may be hundreds per second: page cache raises `max` all day. */
  readonly onEvent: () => void;
  /** Ends all watches. */
  readonly signal: AbortSignal;
}

interface PathWatch {
  /**
   * What to watch from now on, relative to the root: as of the newest scan. Ends the watches of others, renews those of
   * re-created paths, and tries again what was refused or missing. Where a watch begins, an event is reported, since
   * something may have happened between the scan and the watch. Never rejects; a newer call ends an older one.
   */
  follow(paths: readonly string[]): Promise<void>;
  /** How many paths are watched; fewer than followed where the kernel refuses. */
  watched(): number;
  /** The error code of the newest refusal: ENOSPC at the host's limit of watches. Undefined after none. */
  refusal(): string | undefined;
}

interface WatchedPath {
  readonly watcher: FSWatcher;
  /** Identity of what the path led to: the kernel does not report its removal, and another one may get its name. */
  readonly identity: string;
}

export function watchPaths({ root, on, onEvent, signal }: PathWatchOptions): PathWatch {
  const watches = new Map<string, WatchedPath>();
  let refusal: string | undefined;
  let calls = 0;

  function end(path: string): void {
    watches.get(path)?.watcher.close();
    watches.delete(path);
  }

  /** Where inode numbers are reused immediately, the creation time distinguishes two paths; cgroups have none. */
  const identityOf = (path: string): string | undefined => {
    try {
      const { ino, birthtimeMs } = (path === '' ? statSync : lstatSync)(absolutePath(root, path));
      return `${ino} ${birthtimeMs}`;
    } catch {
      return undefined;
    }
  };

  /** inotify follows symbolic links, so there may be none on the path. */
  function begin(path: string): void {
    if (!isFreeOfLinks(root, path)) return;
    try {
      const watcher = watch(absolutePath(root, path), { persistent: false }, (event) => {
        if (!signal.aborted && (on === 'change' || event === 'rename')) onEvent();
      });
      watcher.on('error', (error) => {
        refusal = codeOf(error) ?? 'unknown error';
        end(path);
      });
      watches.set(path, { watcher, identity: identityOf(path) ?? '' });
      onEvent();
    } catch (error) {
      const code = codeOf(error) ?? 'unknown error';
      if (code !== 'ENOENT') refusal = code;
    }
  }

  onAbort(signal, () => [...watches.keys()].forEach(end));

  return {
    async follow(paths) {
      const call = ++calls;
      const pause = createPause();
      const isOver = async (): Promise<boolean> => {
        await pause();
        return signal.aborted || call !== calls;
      };
      refusal = undefined;
      const wanted = new Set(paths);
      for (const path of [...watches.keys()]) {
        if (await isOver()) return;
        if (!wanted.has(path) || identityOf(path) !== watches.get(path)?.identity) end(path);
      }
      for (const path of wanted) {
        if (await isOver()) return;
        if (!watches.has(path)) begin(path);
      }
    },
    watched: () => watches.size,
    refusal: () => refusal,
  };
}
