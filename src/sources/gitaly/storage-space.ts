/** Free space of the file systems with the storages of a Gitaly on this host, by the paths in its config.toml. */
import { unlessAborted } from '../../lib/abort.ts';
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

/** A Gitaly has a few. */
const maxPaths = 100;

/** Of the fullest of them. Unknown while one of them cannot be read. */
export async function storageSpace(
  paths: readonly string[],
  statFs: StatFs,
  signal: AbortSignal,
): Promise<Known<VolumeFacts>> {
  if (paths.length === 0) return unknown("Gitaly's config.toml has no [[storage]] with a path");
  if (paths.length > maxPaths) return unknown(`Gitaly's config.toml has more than ${maxPaths} storages`);
  const found = await Promise.all(paths.map((path) => spaceAt(path, statFs, signal)));
  const missing = found.find((each) => 'unknown' in each);
  if (missing !== undefined) return missing;
  return known(fullestOf(found.flatMap((each) => ('value' in each ? each.value : []))));
}

async function spaceAt(path: string, statFs: StatFs, signal: AbortSignal): Promise<Known<VolumeFacts>> {
  if (!path.startsWith('/'))
    return unknown(`the path ${JSON.stringify(outsideText(path))} of a storage is not absolute`);
  try {
    const read = await unlessAborted(statFs(path), signal);
    if (read === undefined) return unknown(`the file system of ${path} did not respond in time`);
    const { bavail, blocks, bsize, ffree, files } = read;
    return known({
      capacityBytes: blocks * bsize,
      availableBytes: bavail * bsize,
      inodes:
        files === 0
          ? notApplicable('this file system allocates inodes on demand')
          : known({ total: files, free: ffree }),
    });
  } catch (error) {
    if (isForbidden(error))
      return unknown(
        `this user may not search the folders above ${path}: grant it, or CAP_DAC_READ_SEARCH (docs/cgroup-access.md); node_exporter reports it, too (node_filesystem_avail_bytes)`,
      );
    return unknown(
      `the file system of ${path}, from Gitaly's config.toml, cannot be read (${codeOf(error) ?? 'unknown error'})`,
    );
  }
}
