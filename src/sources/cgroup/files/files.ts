/** Opens the files of cgroups below one root: one limit on descriptors, one buffer, one count of failures. */
import { readFileSync, statfsSync } from 'node:fs';
import { type Clock, systemClock } from '../../../lib/clock.ts';
import { createCgroupFolder, isPlain, type Shared } from './folder.ts';
import type { CgroupFiles, CgroupFolder, ReadFailure } from './reading.ts';

interface CgroupFilesOptions {
  /** Where cgroup v2 is mounted, or a directory with the same files (captured, simulated). */
  readonly root: string;
  /** Beyond this many, files are opened and closed with each read. Default: half of what the process may open. */
  readonly maxDescriptors?: number;
  readonly clock?: Pick<Clock, 'monotonic'>;
  /**
   * Whether the root is a kernel's cgroup file system, in which a removed file reads as ENODEV. Elsewhere a removed
   * file can still be read through its descriptor, which costs one more system call per read. Default: detected.
   */
  readonly isKernel?: boolean;
}

/** Longer than any file that a kernel writes and that is read in one call: memory.stat has some 2 KiB. */
const maxFileBytes = 64 * 1024;

/** CGROUP2_SUPER_MAGIC of linux/magic.h. */
const cgroup2Magic = 0x63677270;

/** Opens no file yet. */
export function createCgroupFiles({
  root,
  maxDescriptors = defaultMaxDescriptors(),
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
  /** Names of files come from the exporter's own code: there are some twenty. */
  const slots = new Map<string, number>();
  let isOfKernel = isKernel;
  let isClosed = false;

  const shared: Shared = {
    root,
    buffer: Buffer.allocUnsafeSlow(maxFileBytes + 1),
    maxFileBytes,
    maxDescriptors,
    descriptors: 0,
    monotonic: () => clock.monotonic(),
    slotOf(file) {
      const slot = slots.get(file);
      if (slot !== undefined || !isPlain(file)) return slot;
      slots.set(file, slots.size);
      return slots.size - 1;
    },
    isKernel() {
      isOfKernel ??= isCgroup2(root);
      return isOfKernel ?? false;
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

/** Undefined while the root does not exist. */
function isCgroup2(root: string): boolean | undefined {
  try {
    return statfsSync(root).type === cgroup2Magic;
  } catch {
    return undefined;
  }
}

/** 10,000 buckets with four files each. */
const most = 40_000;
/** Linux's own default for the soft limit. */
const usualLimit = 1024;

/**
 * Keeping a descriptor saves opening and closing its file, which costs ten times as much as the read. Half of what this
 * process may open leaves enough for connections and other files. Node raises its soft limit to the hard one when it
 * starts, and this reads the result.
 */
function defaultMaxDescriptors(): number {
  try {
    const [, soft = ''] =
      /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    if (soft === 'unlimited') return most;
    return Math.min(most, Math.floor(Number(soft || usualLimit) / 2));
  } catch {
    return usualLimit / 2;
  }
}
