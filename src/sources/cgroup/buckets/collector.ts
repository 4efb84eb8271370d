/** The collector `cgroup_buckets`: sweeps all buckets of each Gitaly on its own schedule. */
import type { Clock } from '../../../lib/clock.ts';
import { createYielder } from '../../../lib/yielder.ts';
import { createSamples, type Family } from '../../../metrics/samples.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { type Failure, failed, type Outcome } from '../../../scheduler/outcome.ts';
import type { Wake } from '../../../scheduler/wake.ts';
import { type Identity, identityKey, identityText } from '../../identity.ts';
import type { CgroupFiles } from '../files/reading.ts';
import { fromMicroseconds, limitOf, oomByIdentity } from '../levels/samples.ts';
import { cgroupFailureReasons, type FailureCounts, readFailure } from '../messages.ts';
import * as metrics from '../metrics.ts';
import type { OomTracker } from '../oom/record.ts';
import { type GitalyTree, onePerIdentity } from '../tree.ts';
import type { TreeWatch } from '../tree-watch.ts';
import { type BucketChoice, createGitSweeper, type GitSweep, type GitSweeper } from './sweep.ts';

interface BucketCollectorOptions {
  readonly watch: TreeWatch;
  readonly files: CgroupFiles;
  readonly tracker: Pick<OomTracker, 'totals'>;
  readonly clock: Clock;
  readonly choice: BucketChoice;
  readonly top: number;
  readonly configured: (identity: Identity) => number | undefined;
  /** Called after each OOM kill: its bucket is exposed immediately, from what the last sweep read. */
  readonly killed: Wake;
  /** Called with each sweep, by the tree's key, for the view. */
  readonly onSweep: (sweeps: ReadonlyMap<string, GitSweep>) => void;
}

/** The newest complete sweep. */
interface Swept {
  /** Clock.now(). */
  readonly at: number;
  readonly trees: readonly GitalyTree[];
  readonly problem: Failure | undefined;
  /** Why buckets may exist that were not found. */
  readonly unfound: Failure | undefined;
}

const everyMs = 15_000;
const timeoutMs = 10_000;
/** The runner withdraws older sweeps. */
export const bucketMaxAgeMs = 60_000;

export function createBucketCollector(options: BucketCollectorOptions): Collector {
  const { clock, files, tracker, watch } = options;
  /** By the tree's key. */
  const sweepers = new Map<string, GitSweeper>();
  let swept: Swept | undefined;

  const killsOf = (): ReadonlyMap<string, ReadonlyMap<number, number>> =>
    new Map([...oomByIdentity(tracker.totals())].map(([key, { bucketKills }]) => [key, bucketKills]));

  async function sweep(
    trees: readonly GitalyTree[],
    failures: readonly Failure[],
    signal: AbortSignal,
  ): Promise<Outcome> {
    const before = files.failures();
    const at = clock.monotonic();
    const startedAt = clock.now();
    const run = { yielder: createYielder(), signal };
    const kills = killsOf();
    const sweeps = new Map<string, GitSweep>();
    const keys = new Set(trees.map(({ key }) => key));
    for (const [key, sweeper] of sweepers) {
      if (keys.has(key)) continue;
      await sweeper.sweep(undefined, new Set(), at, run);
      sweepers.delete(key);
    }
    for (const tree of trees) {
      const sweeper = sweepers.get(tree.key) ?? createGitSweeper(files, options.choice, options.top);
      sweepers.set(tree.key, sweeper);
      const killed = new Set(kills.get(identityKey(tree.identity))?.keys());
      const result = await sweeper.sweep(tree.git, killed, at, run);
      if (signal.aborted) return failed('timeout', `the sweep of the buckets exceeded ${timeoutMs / 1000} s`);
      if (result !== undefined) sweeps.set(tree.key, result);
    }
    swept = {
      at: startedAt,
      trees,
      problem: sweepFailure(trees, sweeps, before, files.failures()),
      unfound: failures[0],
    };
    options.onSweep(sweeps);
    return outcomeOf(swept, sweeps);
  }

  /** From memory: the last sweep with the current kills. */
  function sweptAgain(last: Swept): Outcome {
    const kills = killsOf();
    const sweeps = new Map<string, GitSweep>();
    for (const { identity, key } of last.trees) {
      const again = sweepers.get(key)?.again(new Set(kills.get(identityKey(identity))?.keys()));
      if (again !== undefined) sweeps.set(key, again);
    }
    const outcome = outcomeOf(last, sweeps);
    return outcome.kind === 'data' ? { ...outcome, readAt: last.at } : outcome;
  }

  function outcomeOf({ problem, trees, unfound }: Swept, sweeps: ReadonlyMap<string, GitSweep>): Outcome {
    const gitalys = sweptGitalys(trees, sweeps);
    if (gitalys.every(({ sweep: own, kills }) => own === undefined && !kills?.size))
      return unfound === undefined
        ? { kind: 'empty', why: 'no Gitaly on this host has repository buckets' }
        : failed(unfound.reason, unfound.message, { families: [] });
    const block = { families: bucketFamilies(gitalys) };
    return problem === undefined ? { kind: 'data', block } : failed(problem.reason, problem.message, block);
  }

  /** Those of the trees, and those that disappeared after kills. */
  function sweptGitalys(
    trees: readonly GitalyTree[],
    sweeps: ReadonlyMap<string, GitSweep>,
  ): readonly SweptGitaly[] {
    const totals = options.choice === 'none' ? undefined : oomByIdentity(tracker.totals());
    const present = new Set(trees.map(({ identity }) => identityKey(identity)));
    const disappeared = [...(totals?.values() ?? [])].filter(
      ({ identity }) => !present.has(identityKey(identity)),
    );
    return [
      ...trees.map(({ identity, key }) => ({
        identity,
        sweep: sweeps.get(key),
        configured: options.configured(identity),
        kills: totals?.get(identityKey(identity))?.bucketKills,
      })),
      ...disappeared.map(({ bucketKills: kills, identity }) => ({
        identity,
        sweep: undefined,
        configured: undefined,
        kills,
      })),
    ];
  }

  return {
    name: 'cgroup_buckets',
    title: "Gitaly's repository buckets: counts of all, and details of the busiest",
    metrics: metrics.bucketMetrics,
    failureReasons: cgroupFailureReasons,
    schedule: { kind: 'interval', everyMs, timeoutMs, maxAgeMs: bucketMaxAgeMs, wake: options.killed },
    async collect({ cause, signal }) {
      if (cause === 'woken' && swept !== undefined) return sweptAgain(swept);
      const { failure, failures, trees } = await watch.refresh(everyMs, signal);
      if (failure === undefined) return sweep(onePerIdentity(trees), failures, signal);
      swept = undefined;
      options.onSweep(new Map());
      return failed(failure.reason, failure.message, { families: [] });
    },
  };
}

/** Undefined when all buckets were read. */
function sweepFailure(
  trees: readonly GitalyTree[],
  sweeps: ReadonlyMap<string, GitSweep>,
  before: FailureCounts,
  after: FailureCounts,
): Failure | undefined {
  const unread = trees.flatMap(({ identity, key }) => {
    const count = sweeps.get(key)?.readErrors ?? 0;
    return count === 0
      ? []
      : [`${count === 1 ? '1 bucket' : `${count} buckets`} of ${identityText(identity)}`];
  });
  if (unread.length === 0) return undefined;
  return (
    readFailure(before, after, unread) ?? {
      reason: 'parse',
      message: `${unread.join(', ')} could not be read; their values are absent`,
    }
  );
}

interface SweptGitaly {
  readonly identity: Identity;
  /** Undefined where there are no buckets: then only those that had kills have series. */
  readonly sweep: GitSweep | undefined;
  /** From Gitaly's configuration, where that is known. */
  readonly configured: number | undefined;
  /** Processes killed in each bucket since the start; undefined while unknown, and where no bucket is exposed. */
  readonly kills: ReadonlyMap<number, number> | undefined;
}

function bucketFamilies(gitalys: readonly SweptGitaly[]): readonly Family[] {
  const samples = createSamples(metrics.bucketMetrics);
  for (const { identity, sweep, configured, kills } of gitalys) {
    if (sweep === undefined) {
      for (const [bucket, count] of kills ?? [])
        samples.set(metrics.bucketOomKills, { ...identity, bucket: String(bucket) }, count);
      continue;
    }
    samples.set(metrics.gitProcesses, identity, sweep.processes);
    samples.set(metrics.bucketCount, identity, configured ?? sweep.found);
    samples.set(metrics.bucketsActive, identity, sweep.active);
    samples.set(metrics.bucketsNearLimit, identity, sweep.nearLimitCount);
    samples.set(metrics.bucketReadErrors, identity, sweep.readErrors);
    for (const { bucket, reading } of sweep.shown) {
      const labels = { ...identity, bucket: String(bucket) };
      samples.set(metrics.bucketOomKills, labels, kills && (kills.get(bucket) ?? 0));
      samples.set(metrics.bucketMemoryUsage, labels, reading?.usage);
      samples.set(metrics.bucketMemoryLimit, labels, limitOf(reading?.limit));
      samples.set(metrics.bucketCpuUsage, labels, fromMicroseconds(reading?.cpuUsage));
      samples.set(metrics.bucketCpuThrottled, labels, fromMicroseconds(reading?.cpuThrottled));
    }
  }
  return samples.families();
}
