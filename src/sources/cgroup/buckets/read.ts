/** Reads one repository bucket (repos-N): the lean files at each sweep, memory.stat only where it can matter. */
import { type CgroupFolder, type CgroupLimit, type FileReading, knownOf } from '../files/reading.ts';

/** Bytes, microseconds. Undefined: not known, or not asked for. */
export interface BucketReading {
  readonly bucket: number;
  readonly usage: number | undefined;
  readonly limit: CgroupLimit | undefined;
  readonly cpuUsage: number | undefined;
  readonly cpuThrottled: number | undefined;
  readonly populated: boolean | undefined;
  /** Processes in it; 0 without asking where it is not populated. */
  readonly processes: number | undefined;
  /** One of these files failed. What a kernel or a cgroup without the controller does not have is no failure. */
  readonly failed: boolean;
}

/** A bucket is near its limit with anonymous memory over this share of it. */
export const bucketNearLimitRatio = 0.8;

const cpuKeys = ['usage_usec', 'throttled_usec'] as const;
const eventKeys = ['populated'] as const;
const statKeys = ['anon'] as const;

/**
 * Undefined when the bucket was removed. memory.max is read anew each time, because Gitaly writes it only after it made
 * the directory; not of a bucket without memory, which is near no limit.
 */
export function readBucket(folder: CgroupFolder, bucket: number): BucketReading | undefined {
  let failed = false;
  let gone = false;
  const take = <T>(reading: FileReading<T>): T | undefined => {
    if (reading.kind === 'failed') failed = true;
    if (reading.kind === 'gone') gone = true;
    return knownOf(reading);
  };
  const usage = take(folder.number('memory.current'));
  const cpu = take(folder.keyed('cpu.stat', cpuKeys));
  const populated = take(folder.keyed('cgroup.events', eventKeys))?.populated;
  const limit = (usage ?? 0) > 0 ? take(folder.limit('memory.max')) : undefined;
  const processes = populated === 0 ? 0 : take(folder.processes());
  if (gone) return undefined;
  return {
    bucket,
    usage,
    limit,
    cpuUsage: cpu?.usage_usec,
    cpuThrottled: cpu?.throttled_usec,
    populated: populated === undefined ? undefined : populated > 0,
    processes,
    // Every kernel with cgroup v2 has `populated` and `usage_usec`: without them the file was not whole.
    failed: failed || populated === undefined || (cpu !== undefined && cpu.usage_usec === undefined),
  };
}

/** Anonymous memory can only be over a share of the limit where all memory is. */
export const mayBeNearLimit = ({ usage, limit }: BucketReading): boolean =>
  usage !== undefined && limit?.kind === 'limit' && usage > bucketNearLimitRatio * limit.value;

/** Bytes; 'gone' when the bucket was removed, 'failed' when it could not be read. */
export function readAnon(folder: CgroupFolder): number | 'gone' | 'failed' {
  const stat = folder.keyed('memory.stat', statKeys);
  if (stat.kind === 'gone') return 'gone';
  return knownOf(stat)?.anon ?? 'failed';
}
