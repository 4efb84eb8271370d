/** Reads repository buckets (repos-N): the cheap files with each sweep, memory.stat only where it can matter. */
import type { Yielder } from '../../../lib/yielder.ts';
import {
  type CgroupFiles,
  type CgroupFolder,
  type CgroupLimit,
  type FileReading,
  knownOf,
} from '../files/reading.ts';
import type { GitParent } from '../tree.ts';

/** Bytes, microseconds. Undefined: unknown, or not read. */
export interface BucketReading {
  readonly bucket: number;
  readonly usage: number | undefined;
  readonly limit: CgroupLimit | undefined;
  readonly cpuUsage: number | undefined;
  readonly cpuThrottled: number | undefined;
  readonly populated: boolean | undefined;
  /** Number of processes; 0, without reading it, where the bucket is not populated. */
  readonly processes: number | undefined;
  /** One of these files failed. Files that the kernel or a cgroup without the controller lacks do not count. */
  readonly failed: boolean;
}

/** A bucket is near its limit when its anonymous memory exceeds this ratio of it. */
export const bucketNearLimitRatio = 0.8;

const cpuKeys = ['usage_usec', 'throttled_usec'] as const;
const eventKeys = ['populated'] as const;
const statKeys = ['anon'] as const;

/**
 * Undefined when the bucket was removed. memory.max is read every time, because Gitaly writes it only after creating the
 * directory; but not of a bucket without memory, which is near no limit.
 */
export function readBucket(folder: CgroupFolder, bucket: number): BucketReading | undefined {
  let failed = false;
  let isRemoved = false;
  const take = <T>(reading: FileReading<T>): T | undefined => {
    if (reading.kind === 'failed') failed = true;
    if (reading.kind === 'removed') isRemoved = true;
    return knownOf(reading);
  };
  const usage = take(folder.number('memory.current'));
  const cpu = take(folder.keyed('cpu.stat', cpuKeys));
  const populated = take(folder.keyed('cgroup.events', eventKeys))?.populated;
  const limit = (usage ?? 0) > 0 ? take(folder.limit('memory.max')) : undefined;
  const processes = populated === 0 ? 0 : take(folder.processes());
  if (isRemoved) return undefined;
  return {
    bucket,
    usage,
    limit,
    cpuUsage: cpu?.usage_usec,
    cpuThrottled: cpu?.throttled_usec,
    populated: populated === undefined ? undefined : populated > 0,
    processes,
    // Every kernel with cgroup v2 has `populated` and `usage_usec`: without them the file was incomplete.
    failed: failed || populated === undefined || (cpu !== undefined && cpu.usage_usec === undefined),
  };
}

/** Anonymous memory can exceed the ratio only where all memory does. */
export const mayBeNearLimit = ({ usage, limit }: BucketReading): boolean =>
  usage !== undefined && limit?.kind === 'limit' && usage > bucketNearLimitRatio * limit.value;

/** Bytes; 'removed' when the bucket was removed, 'failed' when it could not be read. */
export function readAnon(folder: CgroupFolder): number | 'removed' | 'failed' {
  const stat = folder.keyed('memory.stat', statKeys);
  if (stat.kind === 'removed') return 'removed';
  return knownOf(stat)?.anon ?? 'failed';
}

/** What a sweep of thousands of buckets runs with: it yields to the event loop, and ends early with the signal. */
export interface SweepRun {
  readonly yielder: Yielder;
  readonly signal: AbortSignal;
}

/** Yields if that is due. True when the sweep must end early. */
export async function isAborted({ yielder, signal }: SweepRun): Promise<boolean> {
  if (yielder.isDue()) await yielder.yield();
  return signal.aborted;
}

/** The open cgroups of one Gitaly's buckets, kept from sweep to sweep. */
interface BucketFolders {
  /**
   * Closes those of removed buckets; all of them when another gitaly-<pid> is the running one. False when the run was
   * aborted before that was done.
   */
  follow(git: GitParent | undefined, run: SweepRun): Promise<boolean>;
  of(bucket: number): CgroupFolder;
  /** Closes a bucket that was found to be removed. */
  drop(bucket: number): void;
}

export function createBucketFolders(files: CgroupFiles): BucketFolders {
  let parent = '';
  /** By bucket, of `parent`. */
  let open = new Map<number, CgroupFolder>();
  /** Of earlier parents: closing thousands takes more than one turn of the event loop. */
  const leftovers: CgroupFolder[] = [];
  const drop = (bucket: number): void => {
    open.get(bucket)?.close();
    open.delete(bucket);
  };
  return {
    drop,
    async follow(git, run) {
      if (git?.path !== parent) {
        for (const folder of open.values()) leftovers.push(folder);
        open = new Map();
        parent = git?.path ?? '';
      }
      const living = new Set(git?.buckets);
      for (const bucket of [...open.keys()]) {
        if (!living.has(bucket)) drop(bucket);
        if (await isAborted(run)) return false;
      }
      for (let folder = leftovers.pop(); folder !== undefined; folder = leftovers.pop()) {
        folder.close();
        if (await isAborted(run)) return false;
      }
      return true;
    },
    of(bucket) {
      let folder = open.get(bucket);
      if (folder === undefined) {
        folder = files.folder(`${parent}/repos-${bucket}`);
        open.set(bucket, folder);
      }
      return folder;
    },
  };
}
