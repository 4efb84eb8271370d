/**
 * Sweeps all buckets of one Gitaly: first the cheap files of each, then memory.stat of the few where it can matter.
 * memory.stat makes the kernel sum up its per-CPU counters, so it is read only of buckets that may be near their limit,
 * and once a minute of those with memory but no process, which is nearly always page cache.
 */
import { type CgroupFiles, knownOf } from '../files/reading.ts';
import type { GitParent } from '../tree.ts';
import { type Busiest, createBusiest } from './busiest.ts';
import {
  type BucketReading,
  bucketNearLimitRatio,
  createBucketFolders,
  isAborted,
  mayBeNearLimit,
  readAnon,
  readBucket,
  type SweepRun,
} from './read.ts';

export type BucketChoice = 'top' | 'all' | 'none';

/** The result of a sweep. Counts are undefined, rather than too low, when a bucket that may add to them was not read. */
export interface GitSweep {
  readonly found: number;
  readonly active: number | undefined;
  readonly nearLimitCount: number | undefined;
  readonly processes: number | undefined;
  /** Buckets that could not be read completely. */
  readonly readErrors: number;
  /** Fullest first; those known even where the count is not. */
  readonly nearLimit: readonly NearLimitBucket[];
  /** Buckets that get series of their own, by number; a removed one has its kills only. */
  readonly shown: readonly ShownBucket[];
}

export interface NearLimitBucket {
  readonly bucket: number;
  /** Bytes. */
  readonly anon: number;
  readonly limit: number;
}

interface ShownBucket {
  readonly bucket: number;
  readonly reading: BucketReading | undefined;
}

export interface GitSweeper {
  /**
   * `at`: monotonic milliseconds. `killed`: buckets that had an OOM kill. Undefined when the run was aborted, and when
   * no bucket is left. Without `git` it closes what is open.
   */
  sweep(
    git: GitParent | undefined,
    killed: ReadonlySet<number>,
    at: number,
    run: SweepRun,
  ): Promise<GitSweep | undefined>;
  /** The last sweep, plus buckets with a kill since then: from memory. */
  again(killed: ReadonlySet<number>): GitSweep | undefined;
}

/** Bytes of anonymous memory by bucket. */
type AnonByBucket = ReadonlyMap<number, number | 'failed'>;

const idleEveryMs = 60_000;
const microsecond = 1e6;
const gibibyte = 2 ** 30;

const none: ReadonlySet<number> = new Set();

export function createGitSweeper(files: CgroupFiles, choice: BucketChoice, top: number): GitSweeper {
  const folders = createBucketFolders(files);
  const busiest: Busiest | undefined = choice === 'top' ? createBusiest(top) : undefined;
  let shown: ReadonlySet<number> = none;
  let last: { readonly readings: readonly BucketReading[]; readonly counts: Counts } | undefined;
  let path = '';
  let before: { readonly at: number; readonly usage: ReadonlyMap<number, number | undefined> } | undefined;
  let idleReadAt: number | undefined;
  /** Of buckets without a process: those whose anonymous memory is not 0, as last read. */
  let idleAnon: AnonByBucket = new Map();

  /** Cores used, plus one per GiB while a process runs there: page cache without a process is idle. */
  function activityOf(reading: BucketReading, at: number): number | undefined {
    const { bucket, cpuUsage, populated, usage } = reading;
    if (cpuUsage === undefined || populated === undefined) return undefined;
    const memory = populated ? (usage ?? 0) / gibibyte : 0;
    if (before === undefined || at <= before.at) return memory;
    const earlier = before.usage.get(bucket);
    if (earlier === undefined && before.usage.has(bucket)) return undefined;
    // A new bucket started at 0; so did one that was created again, whose counter is lower now.
    const used = earlier === undefined || cpuUsage < earlier ? cpuUsage : cpuUsage - earlier;
    return used / microsecond / ((at - before.at) / 1000) + memory;
  }

  async function readAll(git: GitParent, run: SweepRun): Promise<BucketReading[] | undefined> {
    const readings: BucketReading[] = [];
    for (const bucket of git.buckets) {
      const reading = readBucket(folders.of(bucket), bucket);
      if (reading === undefined) folders.drop(bucket);
      else readings.push(reading);
      if (await isAborted(run)) return undefined;
    }
    return readings;
  }

  /** Undefined when the run was aborted. Buckets removed since then have no entry. */
  async function readAnons(
    readings: readonly BucketReading[],
    run: SweepRun,
  ): Promise<AnonByBucket | undefined> {
    const anons = new Map<number, number | 'failed'>();
    for (const { bucket } of readings) {
      const anon = readAnon(folders.of(bucket));
      if (anon !== 'removed') anons.set(bucket, anon);
      if (await isAborted(run)) return undefined;
    }
    return anons;
  }

  /** Reads once a minute whether idle buckets hold anonymous memory. False when the run was aborted. */
  async function readIdle(readings: readonly BucketReading[], at: number, run: SweepRun): Promise<boolean> {
    if (idleReadAt !== undefined && at - idleReadAt < idleEveryMs) return true;
    const idle = readings.filter(
      ({ populated, usage }) => populated === false && usage !== 0 && usage !== undefined,
    );
    const anons = await readAnons(idle, run);
    if (anons === undefined) return false;
    idleAnon = new Map([...anons].filter(([, anon]) => anon !== 0));
    idleReadAt = at;
    return true;
  }

  /** The sweep itself does not read the limit of a bucket without memory. */
  const withLimits = (readings: readonly BucketReading[]): readonly BucketReading[] =>
    readings.map((reading) =>
      reading.limit === undefined && shown.has(reading.bucket)
        ? { ...reading, limit: knownOf(folders.of(reading.bucket).limit('memory.max')) }
        : reading,
    );

  return {
    async sweep(git, killed, at, run) {
      if (git?.path !== path) {
        path = git?.path ?? '';
        before = undefined;
        idleReadAt = undefined;
        idleAnon = new Map();
        last = undefined;
      }
      if (!(await folders.follow(git, run)) || git === undefined) return undefined;
      const readings = await readAll(git, run);
      // When all buckets were removed, so was gitaly-<pid>.
      if (readings === undefined || (readings.length === 0 && git.buckets.length > 0)) return undefined;
      const nearAnons = await readAnons(readings.filter(mayBeNearLimit), run);
      if (nearAnons === undefined || !(await readIdle(readings, at, run))) return undefined;

      if (await isAborted(run)) return undefined;
      const activity = new Map(readings.map((reading) => [reading.bucket, activityOf(reading, at)]));
      before = { at, usage: new Map(readings.map(({ bucket, cpuUsage }) => [bucket, cpuUsage])) };
      shown =
        busiest?.update(at, activity, killed) ??
        (choice === 'all' ? new Set([...activity.keys(), ...killed]) : none);
      last = { readings: withLimits(readings), counts: countsOf(readings, nearAnons, idleAnon) };
      return sweepOf(last.readings, last.counts, shown);
    },

    again(killed) {
      if (choice !== 'none') shown = new Set([...shown, ...killed]);
      return last && sweepOf(last.readings, last.counts, shown);
    },
  };
}

type Counts = Omit<GitSweep, 'found' | 'shown'>;

function sweepOf(readings: readonly BucketReading[], counts: Counts, shown: ReadonlySet<number>): GitSweep {
  const byBucket = new Map(readings.map((reading) => [reading.bucket, reading]));
  return {
    found: readings.length,
    ...counts,
    shown: [...shown].sort((a, b) => a - b).map((bucket) => ({ bucket, reading: byBucket.get(bucket) })),
  };
}

function countsOf(
  readings: readonly BucketReading[],
  nearAnons: AnonByBucket,
  idleAnon: AnonByBucket,
): Counts {
  const withErrors = new Set<number>();
  const nearLimit: NearLimitBucket[] = [];
  let active = 0;
  let processes = 0;
  let areActiveKnown = true;
  let areNearKnown = readings.length === 0 || readings.some(({ usage }) => usage !== undefined);
  let areProcessesKnown = true;
  for (const reading of readings) {
    const { bucket, failed, usage, limit, populated } = reading;
    const anon = nearAnons.get(bucket);
    const idle = populated === false && usage !== 0 ? idleAnon.get(bucket) : undefined;
    if (failed || anon === 'failed' || idle === 'failed') withErrors.add(bucket);

    if (populated === true || typeof idle === 'number') active++;
    else if (populated === undefined || idle === 'failed' || (failed && usage === undefined))
      areActiveKnown = false;

    processes += reading.processes ?? 0;
    if (reading.processes === undefined) areProcessesKnown = false;

    if (limit?.kind === 'limit' && typeof anon === 'number' && anon > bucketNearLimitRatio * limit.value)
      nearLimit.push({ bucket, anon, limit: limit.value });
    const isLimitUnknown = (usage ?? 0) > 0 && limit === undefined;
    if (anon === 'failed' || isLimitUnknown || (failed && usage === undefined)) areNearKnown = false;
  }
  return {
    active: areActiveKnown ? active : undefined,
    nearLimitCount: areNearKnown ? nearLimit.length : undefined,
    processes: areProcessesKnown ? processes : undefined,
    readErrors: withErrors.size,
    nearLimit: nearLimit.sort((a, b) => b.anon / b.limit - a.anon / a.limit),
  };
}
