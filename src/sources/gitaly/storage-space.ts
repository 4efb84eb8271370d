/** Free space of the file systems with the storages of a Gitaly on this host, by the paths in its config.toml. */
import { createDeadline, unlessAborted } from '../../lib/abort.ts';
import type { Clock } from '../../lib/clock.ts';
import { codeOf } from '../../lib/errors.ts';
import { isForbidden } from '../../lib/files.ts';
import { type Known, known, notApplicable, unknown } from '../../lib/known.ts';
import { outsideText } from '../../lib/outside-text.ts';
import { fullestOf, type VolumeFacts } from '../volume-facts.ts';

/** What statfs(2) returns, in blocks of `bsize` bytes; `bavail` is without those that are reserved for root. */
interface FileSystem {
  readonly bsize: number;
  readonly blocks: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
}

/** As `statfs` of node:fs/promises: reads no file, and needs permission to search the folders above the path. */
export type StatFs = (path: string) => Promise<FileSystem>;

/** Reads the space of the fullest of the paths' file systems. Unknown while one of them cannot be read. */
export type StorageSpace = (paths: readonly string[], signal: AbortSignal) => Promise<Known<VolumeFacts>>;

/** A Gitaly has a few. */
const maxPaths = 100;
/** Of one call. Those of local file systems return immediately. */
const limitMs = 5000;

export function createStorageSpace(statFs: StatFs, clock: Clock): StorageSpace {
  /**
   * Paths of calls that did not return in time: on an NFS mount whose server is gone one may never, and holds one of the
   * four threads with which Node reads files and resolves names. So no other is started before it returns.
   */
  const unreturned = new Set<string>();

  async function spaceAt(path: string, signal: AbortSignal): Promise<Known<VolumeFacts>> {
    if (!path.startsWith('/'))
      return unknown(`the path ${JSON.stringify(outsideText(path))} of a storage is not absolute`);
    const [hanging] = unreturned;
    if (hanging !== undefined) return unknown(`the file system of ${hanging} does not respond`);
    const call = statFs(path);
    const deadline = createDeadline(clock, limitMs, signal);
    try {
      const read = await unlessAborted(call, deadline.signal);
      if (read !== undefined) return known(factsOf(read));
      unreturned.add(path);
      const returned = (): boolean => unreturned.delete(path);
      void call.then(returned, returned);
      return unknown(`the file system of ${path} did not respond within ${limitMs / 1000} s`);
    } catch (error) {
      return unknown(failureText(path, error));
    } finally {
      deadline.release();
    }
  }

  return async (paths, signal) => {
    if (paths.length === 0) return unknown("Gitaly's config.toml has no [[storage]] with a path");
    if (paths.length > maxPaths) return unknown(`Gitaly's config.toml has more than ${maxPaths} storages`);
    const volumes: VolumeFacts[] = [];
    for (const path of paths) {
      const found = await spaceAt(path, signal);
      if ('unknown' in found) return found;
      volumes.push(found.value);
    }
    return known(fullestOf(volumes));
  };
}

const factsOf = ({ bavail, blocks, bsize, ffree, files }: FileSystem): VolumeFacts => ({
  capacityBytes: blocks * bsize,
  availableBytes: bavail * bsize,
  inodes:
    files === 0
      ? notApplicable('this file system allocates inodes on demand')
      : known({ total: files, free: ffree }),
});

const failureText = (path: string, error: unknown): string =>
  isForbidden(error)
    ? `this user may not search the folders above ${path}: grant it, or CAP_DAC_READ_SEARCH (docs/cgroup-access.md); node_exporter reports it, too (node_filesystem_avail_bytes)`
    : `the file system of ${path}, from Gitaly's config.toml, cannot be read (${codeOf(error) ?? 'unknown error'})`;
