/**
 * Says when a look for trees is due at once: something came or went in a folder in which trees do. A watch of the
 * kernel's may be lost, refused or late, so it only hastens the next look; whoever polls misses nothing for long.
 */
import { type FSWatcher, lstatSync, statSync, watch } from 'node:fs';
import { type Clock, systemClock } from '../../../lib/clock.ts';
import { codeOf } from '../../../lib/errors.ts';
import { createSlices } from '../buckets/slices.ts';
import { isFreeOfLinks, placeOf } from './directories.ts';

export interface WatchOptions {
  readonly root: string;
  /** Called once for all that happened within a twentieth of a second. */
  readonly onChange: () => void;
  /** Ends all watches. */
  readonly signal: AbortSignal;
  readonly clock?: Pick<Clock, 'sleep'>;
}

export interface TreeWatch {
  /**
   * The folders to watch from now on, relative to the root: those of the newest look. Ends the watches of others, and
   * renews those of folders that were made again meanwhile. Where a watch begins, another look becomes due: something
   * may have come between the last one and the watch. Never rejects; a newer call puts an end to an older one.
   */
  follow(folders: readonly string[]): Promise<void>;
  /** How many folders are watched; fewer than followed where the kernel refuses. */
  watched(): number;
  /** Why the newest refusal was: ENOSPC where the host's limit of watches is reached. Undefined after none. */
  refusal(): string | undefined;
}

/** A pod's start makes and removes a handful of cgroups within milliseconds. */
const gatherMs = 50;

interface Watched {
  readonly watcher: FSWatcher;
  /** Which folder the path stood for. */
  readonly folder: string;
}

export function watchTrees({ root, onChange, signal, clock = systemClock }: WatchOptions): TreeWatch {
  const watches = new Map<string, Watched>();
  let refusal: string | undefined;
  let isGathering = false;
  let newest = 0;

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

  /** Where numbers are used again at once, the time when it was made tells them apart; cgroups have none. */
  const folderOf = (path: string): string | undefined => {
    try {
      const { ino, birthtimeMs } = (path === '' ? statSync : lstatSync)(placeOf(root, path));
      return `${ino} ${birthtimeMs}`;
    } catch {
      return undefined;
    }
  };

  /** Watches follow links, so none may be on the way. */
  function begin(path: string): boolean {
    if (!isFreeOfLinks(root, path)) return false;
    try {
      const watcher = watch(placeOf(root, path), { persistent: false }, (event) => {
        // Children that come and go are `rename`; `change` is the kernel writing memory.events and cgroup.events.
        if (event === 'rename') gather();
      });
      watcher.on('error', (error) => {
        refusal = codeOf(error) ?? 'unknown error';
        end(path);
      });
      watches.set(path, { watcher, folder: folderOf(path) ?? '' });
      return true;
    } catch (error) {
      const code = codeOf(error) ?? 'unknown error';
      if (code !== 'ENOENT') refusal = code;
      return false;
    }
  }

  signal.addEventListener('abort', () => [...watches.keys()].forEach(end), { once: true });

  return {
    async follow(folders) {
      const mine = ++newest;
      const slices = createSlices(signal);
      refusal = undefined;
      const wanted = new Set(folders);
      for (const path of [...watches.keys()]) {
        if (!(await slices.next()) || mine !== newest) return;
        if (!wanted.has(path) || folderOf(path) !== watches.get(path)?.folder) end(path);
      }
      for (const path of wanted) {
        if (!(await slices.next()) || mine !== newest) return;
        if (!watches.has(path) && begin(path)) gather();
      }
    },
    watched: () => watches.size,
    refusal: () => refusal,
  };
}
