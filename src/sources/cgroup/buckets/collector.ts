/** The collector `cgroup_buckets`: sweeps all buckets of each Gitaly in its own time. */

import type { Clock } from '../../../lib/clock.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { type Failure, failed, type Outcome } from '../../../scheduler/outcome.ts';
import type { Wake } from '../../../scheduler/wake.ts';
import { type Identity, identityKey, identityText } from '../../identity.ts';
import type { CgroupFiles } from '../files/reading.ts';
import { oomByIdentity } from '../levels/oom-families.ts';
import { type FailureCounts, readFailure } from '../messages.ts';
import { bucketMetrics } from '../metrics.ts';
import type { OomTracker } from '../oom/record.ts';
import type { GitalyTree } from '../tree.ts';
import { onePerIdentity } from '../tree.ts';
import type { TreeWatch } from '../tree-watch.ts';
import { bucketFamilies, type SweptGitaly } from './families.ts';
import { createSlices } from './slices.ts';
import { type BucketChoice, createGitSweeper, type GitSweep, type GitSweeper } from './sweep.ts';

export interface BucketCollectorOptions {
  readonly watch: TreeWatch;
  readonly files: CgroupFiles;
  readonly tracker: Pick<OomTracker, 'totals'>;
  readonly clock: Clock;
  readonly choice: BucketChoice;
  readonly top: number;
  readonly configured: (identity: Identity) => number | undefined;
  /** Called after each OOM kill: its bucket is shown at once, from what the last sweep read. */
  readonly killed: Wake;
  /** Told of each sweep, by tree, for the page. */
  readonly onSweep: (sweeps: ReadonlyMap<string, GitSweep>) => void;
}

/** The newest whole sweep. */
interface Swept {
  /** Clock.now(). */
  readonly at: number;
  readonly trees: readonly GitalyTree[];
  readonly problem: Failure | undefined;
}

const everyMs = 15_000;
const timeoutMs = 10_000;
/** The runner withdraws older sweeps. */
export const bucketMaxAgeMs = 60_000;

export function createBucketCollector(options: BucketCollectorOptions): Collector {
  const { clock, files, tracker, watch } = options;
  /** By tree. */
  const sweepers = new Map<string, GitSweeper>();
  let swept: Swept | undefined;

  const killsOf = (): ReadonlyMap<string, ReadonlyMap<number, number>> =>
    new Map([...oomByIdentity(tracker.totals())].map(([key, { bucketKills }]) => [key, bucketKills]));

  async function sweep(trees: readonly GitalyTree[], signal: AbortSignal): Promise<Outcome> {
    const before = files.failures();
    const at = clock.monotonic();
    const startedAt = clock.now();
    const slices = createSlices(signal);
    const kills = killsOf();
    const sweeps = new Map<string, GitSweep>();
    const living = new Set(trees.map(({ key }) => key));
    for (const [key, sweeper] of sweepers) {
      if (living.has(key)) continue;
      await sweeper.sweep(undefined, new Set(), at, slices);
      sweepers.delete(key);
    }
    for (const tree of trees) {
      const sweeper = sweepers.get(tree.key) ?? createGitSweeper(files, options.choice, options.top);
      sweepers.set(tree.key, sweeper);
      const killed = new Set(kills.get(identityKey(tree.identity))?.keys());
      const result = await sweeper.sweep(tree.git, killed, at, slices);
      if (signal.aborted)
        return failed('timeout', `the buckets could not be read within ${timeoutMs / 1000} s`);
      if (result !== undefined) sweeps.set(tree.key, result);
    }
    swept = { at: startedAt, trees, problem: unreadProblem(trees, sweeps, before, files.failures()) };
    options.onSweep(sweeps);
    return outcomeOf(swept, sweeps);
  }

  /** From memory: the last sweep, with the kills of now. */
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

  function outcomeOf({ problem, trees }: Swept, sweeps: ReadonlyMap<string, GitSweep>): Outcome {
    const gitalys = sweptGitalys(trees, sweeps);
    if (gitalys.every(({ sweep: own, kills }) => own === undefined && !kills?.size))
      return { kind: 'empty', why: 'no Gitaly on this host has repository buckets' };
    const block = { families: bucketFamilies(gitalys) };
    return problem === undefined ? { kind: 'data', block } : failed(problem.reason, problem.message, block);
  }

  /** Those of the trees, and those that are gone but had kills. */
  function sweptGitalys(
    trees: readonly GitalyTree[],
    sweeps: ReadonlyMap<string, GitSweep>,
  ): readonly SweptGitaly[] {
    const sums = options.choice === 'none' ? undefined : oomByIdentity(tracker.totals());
    const there = new Set(trees.map(({ identity }) => identityKey(identity)));
    const gone = [...(sums?.values() ?? [])].filter(({ identity }) => !there.has(identityKey(identity)));
    return [
      ...trees.map(({ identity, key }) => ({
        identity,
        sweep: sweeps.get(key),
        configured: options.configured(identity),
        kills: sums?.get(identityKey(identity))?.bucketKills,
      })),
      ...gone.map(({ bucketKills: kills, identity }) => ({
        identity,
        sweep: undefined,
        configured: undefined,
        kills,
      })),
    ];
  }

  return {
    name: 'cgroup_buckets',
    title: "Gitaly's repository buckets: how many are in use, and the busiest of them",
    metrics: bucketMetrics,
    schedule: { kind: 'interval', everyMs, timeoutMs, maxAgeMs: bucketMaxAgeMs, wake: options.killed },
    async collect({ cause, signal }) {
      if (cause === 'woken' && swept !== undefined) return sweptAgain(swept);
      const { failure, trees } = await watch.refresh(everyMs, signal);
      if (failure === undefined) return sweep(onePerIdentity(trees), signal);
      swept = undefined;
      options.onSweep(new Map());
      return failed(failure.reason, failure.message, { families: [] });
    },
  };
}

/** Undefined when all buckets were read. */
function unreadProblem(
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
      message: `${unread.join(', ')} could not be read; what they would have said is absent`,
    }
  );
}
