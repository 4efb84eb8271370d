/**
 * Sweeps all buckets of one Gitaly: first the lean files of each, then memory.stat of the few where it can matter.
 * memory.stat makes the kernel add up its per-CPU counts, so it is read of buckets that may be near their limit, and
 * once a minute of those that hold memory without a process, nearly always page cache.
 */
import { type CgroupFiles, knownOf } from '../files/reading.ts';
import type { GitParent } from '../tree.ts';
import { type Busiest, createBusiest } from './busiest.ts';
import { createBucketFolders } from './folders.ts';
import { type BucketReading, bucketNearLimitRatio, mayBeNearLimit, readAnon, readBucket } from './read.ts';
import type { Slices } from './slices.ts';

export type BucketChoice = 'top' | 'all' | 'none';

/** What one sweep found. Counts are undefined, not too low, when a bucket that could raise them was not read. */
export interface GitSweep {
  readonly found: number;
  readonly active: number | undefined;
  readonly nearLimitCount: number | undefined;
  readonly processes: number | undefined;
  /** Buckets of which something could not be read. */
  readonly readErrors: number;
  /** Fullest first. Known even where the count is not. */
  readonly nearLimit: readonly NearLimitBucket[];
  /** Those that get series of their own, by number; one that is gone has only its kills. */
  readonly shown: readonly ShownBucket[];
}

export interface NearLimitBucket {
  readonly bucket: number;
  /** Bytes. */
  readonly anon: number;
  readonly limit: number;
}

export interface ShownBucket {
  readonly bucket: number;
  readonly reading: BucketReading | undefined;
}

export interface GitSweeper {
  /**
   * `at`: monotonic milliseconds. `killed`: buckets that had an OOM kill. Undefined when there was not time enough, and
   * when there are none any more. Without `git` it closes what is open.
   */
  sweep(
    git: GitParent | undefined,
    killed: ReadonlySet<number>,
    at: number,
    slices: Slices,
  ): Promise<GitSweep | undefined>;
  /** The last sweep, with buckets that had a kill since: from memory. */
  again(killed: ReadonlySet<number>): GitSweep | undefined;
}

const idleLookMs = 60_000;
const microsecond = 1e6;
const gibibyte = 2 ** 30;

const nobody: ReadonlySet<number> = new Set();

export function createGitSweeper(files: CgroupFiles, choice: BucketChoice, top: number): GitSweeper {
  const folders = createBucketFolders(files);
  const busiest: Busiest | undefined = choice === 'top' ? createBusiest({ top }) : undefined;
  let shown: ReadonlySet<number> = nobody;
  let last: { readonly readings: readonly BucketReading[]; readonly counts: Counts } | undefined;
  let path = '';
  let before: { readonly at: number; readonly usage: ReadonlyMap<number, number | undefined> } | undefined;
  let idleLookAt: number | undefined;
  /** Unpopulated buckets whose anonymous memory is not 0, as last looked at: bytes, or not readable. */
  let idleAnon = new Map<number, number | 'failed'>();

  /** Cores in use, plus a core for each GiB while a process is there: page cache that nobody uses is idle. */
  function activityOf(reading: BucketReading, at: number): number | undefined {
    const { bucket, cpuUsage, populated, usage } = reading;
    if (cpuUsage === undefined || populated === undefined) return undefined;
    const memory = populated ? (usage ?? 0) / gibibyte : 0;
    if (before === undefined || at <= before.at) return memory;
    const earlier = before.usage.get(bucket);
    if (earlier === undefined && before.usage.has(bucket)) return undefined;
    // A bucket that was made since started at 0; so did one that was made anew, whose count is lower now.
    const used = earlier === undefined || cpuUsage < earlier ? cpuUsage : cpuUsage - earlier;
    return used / microsecond / ((at - before.at) / 1000) + memory;
  }

  async function readAll(git: GitParent, slices: Slices): Promise<BucketReading[] | undefined> {
    const readings: BucketReading[] = [];
    for (const bucket of git.buckets) {
      const reading = readBucket(folders.of(bucket), bucket);
      if (reading === undefined) folders.drop(bucket);
      else readings.push(reading);
      if (!(await slices.next())) return undefined;
    }
    return readings;
  }

  /** Undefined when there was no time for it. Buckets removed meanwhile have no entry. */
  async function readAnons(
    readings: readonly BucketReading[],
    slices: Slices,
  ): Promise<ReadonlyMap<number, number | 'failed'> | undefined> {
    const anons = new Map<number, number | 'failed'>();
    for (const { bucket } of readings) {
      const anon = readAnon(folders.of(bucket));
      if (anon !== 'gone') anons.set(bucket, anon);
      if (!(await slices.next())) return undefined;
    }
    return anons;
  }

  /** Whether each idle bucket holds anonymous memory, looked up once a minute. */
  async function lookAtIdle(
    readings: readonly BucketReading[],
    at: number,
    slices: Slices,
  ): Promise<boolean> {
    if (idleLookAt !== undefined && at - idleLookAt < idleLookMs) return true;
    const idle = readings.filter(({ populated, usage }) => populated === false && usage !== 0);
    const withMemoryFiles = idle.filter(({ usage }) => usage !== undefined);
    const anons = await readAnons(withMemoryFiles, slices);
    if (anons === undefined) return false;
    idleAnon = new Map([...anons].filter(([, anon]) => anon !== 0));
    idleLookAt = at;
    return true;
  }

  /** The sweep itself does not ask an idle one for its limit. */
  const withLimits = (readings: readonly BucketReading[]): readonly BucketReading[] =>
    readings.map((reading) =>
      reading.limit === undefined && shown.has(reading.bucket)
        ? { ...reading, limit: knownOf(folders.of(reading.bucket).limit('memory.max')) }
        : reading,
    );

  return {
    async sweep(git, killed, at, slices) {
      if (git?.path !== path) {
        path = git?.path ?? '';
        before = undefined;
        idleLookAt = undefined;
        idleAnon = new Map();
        last = undefined;
      }
      if (!(await folders.follow(git, slices)) || git === undefined) return undefined;
      const readings = await readAll(git, slices);
      // That all are gone says that gitaly-<pid> is.
      if (readings === undefined || (readings.length === 0 && git.buckets.length > 0)) return undefined;
      const nearAnons = await readAnons(readings.filter(mayBeNearLimit), slices);
      if (nearAnons === undefined || !(await lookAtIdle(readings, at, slices))) return undefined;

      if (!(await slices.next())) return undefined;
      const activity = new Map(readings.map((reading) => [reading.bucket, activityOf(reading, at)]));
      before = { at, usage: new Map(readings.map(({ bucket, cpuUsage }) => [bucket, cpuUsage])) };
      shown =
        busiest?.update(at, activity, killed) ??
        (choice === 'all' ? new Set([...activity.keys(), ...killed]) : nobody);
      last = { readings: withLimits(readings), counts: countsOf(readings, nearAnons, idleAnon) };
      return sweepOf(last, shown);
    },

    again(killed) {
      if (choice !== 'none') shown = new Set([...shown, ...killed]);
      return last && sweepOf(last, shown);
    },
  };
}

const sweepOf = (
  { readings, counts }: { readonly readings: readonly BucketReading[]; readonly counts: Counts },
  shown: ReadonlySet<number>,
): GitSweep => ({ found: readings.length, ...counts, shown: shownOf(readings, shown) });

function shownOf(readings: readonly BucketReading[], shown: ReadonlySet<number>): readonly ShownBucket[] {
  const byBucket = new Map(readings.map((reading) => [reading.bucket, reading]));
  return [...shown].sort((a, b) => a - b).map((bucket) => ({ bucket, reading: byBucket.get(bucket) }));
}

type Counts = Pick<GitSweep, 'active' | 'nearLimitCount' | 'processes' | 'readErrors' | 'nearLimit'>;

function countsOf(
  readings: readonly BucketReading[],
  nearAnons: ReadonlyMap<number, number | 'failed'>,
  idleAnon: ReadonlyMap<number, number | 'failed'>,
): Counts {
  const unread = new Set<number>();
  const near: NearLimitBucket[] = [];
  let active = 0;
  let processes = 0;
  let areActiveKnown = true;
  let areNearKnown = readings.length === 0 || readings.some(({ usage }) => usage !== undefined);
  let areProcessesKnown = true;
  for (const reading of readings) {
    const { bucket, failed, usage, limit, populated } = reading;
    const anon = nearAnons.get(bucket);
    const idle = populated === false && usage !== 0 ? idleAnon.get(bucket) : undefined;
    if (failed || anon === 'failed' || idle === 'failed') unread.add(bucket);

    if (populated === true || typeof idle === 'number') active++;
    else if (populated === undefined || idle === 'failed' || (failed && usage === undefined))
      areActiveKnown = false;

    processes += reading.processes ?? 0;
    if (reading.processes === undefined) areProcessesKnown = false;

    if (limit?.kind === 'limit' && typeof anon === 'number' && anon > bucketNearLimitRatio * limit.value)
      near.push({ bucket, anon, limit: limit.value });
    const isLimitUnknown = (usage ?? 0) > 0 && limit === undefined;
    if (anon === 'failed' || isLimitUnknown || (failed && usage === undefined)) areNearKnown = false;
  }
  return {
    active: areActiveKnown ? active : undefined,
    nearLimitCount: areNearKnown ? near.length : undefined,
    processes: areProcessesKnown ? processes : undefined,
    readErrors: unread.size,
    nearLimit: near.sort((a, b) => b.anon / b.limit - a.anon / a.limit),
  };
}
