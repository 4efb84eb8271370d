/** Opens the files of cgroups below one root: one budget of descriptors, one buffer, one count of failures. */
import { statfsSync } from 'node:fs';
import { type Clock, systemClock } from '../../../lib/clock.ts';
import { descriptorBudget } from './descriptors.ts';
import { createCgroupFolder, type Shared } from './folder.ts';
import type { CgroupFiles, CgroupFolder, ReadFailure } from './reading.ts';

export interface CgroupFilesOptions {
  /** Where cgroup v2 is mounted; another place with the same files will do (captured, simulated). */
  readonly root: string;
  /** Beyond so many, files are opened and closed at each reading. Default: half of what the process may open. */
  readonly maxDescriptors?: number;
  readonly clock?: Pick<Clock, 'monotonic'>;
  /**
   * Whether the root is a kernel's cgroup file system, in which what was removed reads as ENODEV. Elsewhere a removed
   * file can be read on through its descriptor, and so costs one more question at each reading. Default: looked up.
   */
  readonly isKernel?: boolean;
}

/** Longer than any file of one reading that a kernel writes: memory.stat has some 2 KiB. */
const maxFileBytes = 64 * 1024;

/** CGROUP2_SUPER_MAGIC of linux/magic.h. */
const cgroup2Magic = 0x63677270;

/** Opens nothing yet. */
export function createCgroupFiles({
  root,
  maxDescriptors = descriptorBudget(),
  clock = systemClock,
  isKernel,
}: CgroupFilesOptions): CgroupFiles {
  const failures: Record<ReadFailure, number> = {
    permission: 0,
    too_many_open_files: 0,
    malformed: 0,
    io: 0,
  };
  const folders = new Set<CgroupFolder>();
  let known = isKernel;
  let isClosed = false;

  const shared: Shared = {
    root,
    buffer: Buffer.allocUnsafeSlow(maxFileBytes + 1),
    maxFileBytes,
    maxDescriptors,
    descriptors: 0,
    monotonic: () => clock.monotonic(),
    isKernel() {
      known ??= isCgroup2(root);
      return known ?? false;
    },
    fail(reason) {
      failures[reason]++;
      return { kind: 'failed', reason };
    },
    forget: (folder) => folders.delete(folder),
  };

  return {
    folder(path) {
      const folder = createCgroupFolder(shared, path);
      if (isClosed) folder.close();
      else folders.add(folder);
      return folder;
    },
    failures: () => ({ ...failures }),
    openDescriptors: () => shared.descriptors,
    close() {
      isClosed = true;
      for (const folder of [...folders]) folder.close();
    },
  };
}

/** Undefined while there is nothing to ask. */
function isCgroup2(root: string): boolean | undefined {
  try {
    return statfsSync(root).type === cgroup2Magic;
  } catch {
    return undefined;
  }
}
