/**
 * Reports when a new scan is due: something was created or removed in a folder in which trees are. inotify watches may
 * be lost, refused or late, so this only hastens the next scan, which polling would also do.
 */
import { type FSWatcher, lstatSync, statSync, watch } from 'node:fs';
import { onAbort } from '../../../lib/abort.ts';
import { type Clock, systemClock } from '../../../lib/clock.ts';
import { codeOf } from '../../../lib/errors.ts';
import { absolutePath, createPause, isFreeOfLinks } from './directory-cache.ts';

interface DirectoryWatchOptions {
  readonly root: string;
  /** Called once for everything that happened within 50 ms. */
  readonly onChange: () => void;
  /** Ends all watches. */
  readonly signal: AbortSignal;
  readonly clock?: Pick<Clock, 'sleep'>;
}

interface DirectoryWatch {
  /**
   * The folders to watch from now on, relative to the root: those of the newest scan. Ends the watches of others, and
   * renews those of re-created folders. Where a watch begins, another scan becomes due, since something may have been
   * created between the last one and the watch. Never rejects; a newer call ends an older one.
   */
  follow(folders: readonly string[]): Promise<void>;
  /** How many folders are watched; fewer than followed where the kernel refuses. */
  watched(): number;
  /** The error code of the newest refusal: ENOSPC at the host's limit of watches. Undefined after none. */
  refusal(): string | undefined;
}

/** The start of a pod creates and removes a handful of cgroups within milliseconds. */
const gatherMs = 50;

interface WatchedFolder {
  readonly watcher: FSWatcher;
  /** Identity of the folder that the path led to. */
  readonly folder: string;
}

export function watchDirectories(options: DirectoryWatchOptions): DirectoryWatch {
  const { root, onChange, signal, clock = systemClock } = options;
  const watches = new Map<string, WatchedFolder>();
  let refusal: string | undefined;
  let isGathering = false;
  let calls = 0;

  function gather(): void {
    if (isGathering || signal.aborted) return;
    isGathering = true;
    void clock.sleep(gatherMs, signal).then(() => {
      isGathering = false;
      if (!signal.aborted) onChange();
    });
  }

  function end(path: string): void {
    watches.get(path)?.watcher.close();
    watches.delete(path);
  }

  /** Where inode numbers are reused immediately, the creation time distinguishes folders; cgroups have none. */
  const identityOf = (path: string): string | undefined => {
    try {
      const { ino, birthtimeMs } = (path === '' ? statSync : lstatSync)(absolutePath(root, path));
      return `${ino} ${birthtimeMs}`;
    } catch {
      return undefined;
    }
  };

  /** inotify follows symbolic links, so there may be none on the path. */
  function begin(path: string): boolean {
    if (!isFreeOfLinks(root, path)) return false;
    try {
      const watcher = watch(absolutePath(root, path), { persistent: false }, (event) => {
        // `rename`: a child was created or removed. `change`: the kernel wrote memory.events or cgroup.events.
        if (event === 'rename') gather();
      });
      watcher.on('error', (error) => {
        refusal = codeOf(error) ?? 'unknown error';
        end(path);
      });
      watches.set(path, { watcher, folder: identityOf(path) ?? '' });
      return true;
    } catch (error) {
      const code = codeOf(error) ?? 'unknown error';
      if (code !== 'ENOENT') refusal = code;
      return false;
    }
  }

  onAbort(signal, () => [...watches.keys()].forEach(end));

  return {
    async follow(folders) {
      const call = ++calls;
      const pause = createPause();
      const isOver = async (): Promise<boolean> => {
        await pause();
        return signal.aborted || call !== calls;
      };
      refusal = undefined;
      const wanted = new Set(folders);
      for (const path of [...watches.keys()]) {
        if (await isOver()) return;
        if (!wanted.has(path) || identityOf(path) !== watches.get(path)?.folder) end(path);
      }
      for (const path of wanted) {
        if (await isOver()) return;
        if (!watches.has(path) && begin(path)) gather();
      }
    },
    watched: () => watches.size,
    refusal: () => refusal,
  };
}
