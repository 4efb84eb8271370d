/**
 * Right-sizing of the number of repository buckets and of concurrency limits, from measured usage. A proposal, never a
 * verdict. Pure.
 *
 * The rules and their origin:
 * - Buckets: twice the repositories that are active together, so that most have a bucket of their own. They are
 *   estimated from the active buckets: repositories are hashed into buckets at random, so n of them occupy
 *   N x (1 - (1 - 1/N)^n) of N buckets. Fewer buckets are never proposed: an unused bucket costs nothing, and changing
 *   their number moves repositories to other buckets.
 * - A limit that drops requests, or has requests waiting for more than 1% of a day, is raised by half, if Git's memory
 *   has space: GitLab's page on concurrency limits says that limits protect from overload, and to change the sizes of
 *   servers first. With OOM kills or Git near its memory limit, more requests at a time would only cause more kills.
 * - A limit of which all repositories of a server together never used a quarter cannot have any effect. The proposal is
 *   1.5 times that peak: since limits are for each repository and the peak is of all, no request of the measured time
 *   would have waited.
 * The percentages are this exporter's.
 */
import { percentText } from '../../lib/format.ts';
import { isUnknown, type Known, knownAmount } from '../../lib/known.ts';

export interface BucketUsage {
  /** cgroups.repositories.count. */
  readonly count: Known<number>;
  /** The highest number of buckets with a process or anonymous memory at a time. */
  readonly activePeak: Known<number>;
}

export interface ProposedBuckets {
  /** For cgroups.repositories.count. */
  readonly count: number;
  readonly current: number;
  readonly calculation: string;
}

const bucketsPerRepository = 2;
const bucketStep = 50;
/** As many as GitLab's own example of [cgroups.repositories] has; each costs kernel memory. */
const maximumBuckets = 10_000;

/** Undefined where the buckets are not known. */
export function proposeBuckets({ count, activePeak }: BucketUsage): ProposedBuckets | undefined {
  if (isUnknown(count) || isUnknown(activePeak) || !(count.value >= 1)) return undefined;
  const current = count.value;
  const active = Math.min(Math.max(0, activePeak.value), current);
  // With all buckets in use, any higher number of repositories is possible: what just fills them is the least.
  const ratio = Math.min(active / current, (current - 0.5) / current);
  const repositories = current === 1 ? active : Math.ceil(Math.log(1 - ratio) / Math.log(1 - 1 / current));
  const wanted = Math.ceil((repositories * bucketsPerRepository) / bucketStep) * bucketStep;
  const proposed = Math.max(current, Math.min(maximumBuckets, wanted));
  const least = active >= current ? 'at least ' : 'about ';
  return {
    count: proposed,
    current,
    calculation: `${active} of ${current} buckets active at the peak, by ${least}${repositories} repositories; ${bucketsPerRepository} buckets for each`,
  };
}

export interface LimitUsage {
  /** `gitaly.SSHService/SSHUploadPackWithSidechannel`, or `pack-objects`. */
  readonly name: string;
  readonly kind: 'static' | 'adaptive';
  /** Of a static limit; the maximum of an adaptive one. */
  readonly limit: number;
  /** Of all repositories or addresses of the busiest server together. */
  readonly inProgressPeak: Known<number>;
  readonly inProgressP99: number | undefined;
  readonly queuedPeak: Known<number>;
  /** On the busiest day: above 0, requests waited for more than 1% of it. */
  readonly queuedP99: number | undefined;
  /** By a full queue or a long wait, of all servers, in the window. */
  readonly dropped: Known<number>;
}

export interface ProposedLimit {
  readonly name: string;
  readonly kind: LimitUsage['kind'];
  readonly value: number;
  readonly current: number;
  readonly change: 'keep' | 'raise' | 'lower';
  readonly calculation: string;
}

export interface MemoryState {
  /** By any limit, in the window. */
  readonly oomKills: number;
  /** The highest ratio of Git's anonymous memory to its limit; undefined without a limit. */
  readonly gitMemoryRatio: number | undefined;
}

const raiseBy = 1.5;
const crowdedRatio = 0.8;
const unusedRatio = 0.25;
const lowestLimit = 10;
const weekSeconds = 7 * 86_400;

/** @param windowSeconds less than a week lowers no limit: usual peaks show only over a working week */
export function proposeLimit(usage: LimitUsage, memory: MemoryState, windowSeconds: number): ProposedLimit {
  const { name, kind, limit, inProgressPeak, inProgressP99, queuedPeak, queuedP99 = 0 } = usage;
  const dropped = knownAmount(usage.dropped);
  const peak = knownAmount(inProgressPeak);
  const measured = [
    `peak ${amountText(peak)} in progress`,
    ...(inProgressP99 === undefined ? [] : [`p99 ${amountText(inProgressP99)}`]),
    `at most ${amountText(knownAmount(queuedPeak))} waiting`,
    `${dropped === undefined ? 'drops not measured' : `${Math.ceil(dropped)} dropped`}`,
  ].join(', ');
  const propose = (change: ProposedLimit['change'], value: number, why: string): ProposedLimit => ({
    name,
    kind,
    value,
    current: limit,
    change,
    calculation: `${measured}: ${why}`,
  });

  if ((dropped ?? 0) > 0 || queuedP99 > 0) {
    const { oomKills, gitMemoryRatio = 0 } = memory;
    if (oomKills > 0)
      return propose('keep', limit, `${oomKills} OOM kills in that time, so give Git more memory first`);
    if (gitMemoryRatio >= crowdedRatio)
      return propose(
        'keep',
        limit,
        `Git used ${percentText(gitMemoryRatio)} of its memory, so give it more first`,
      );
    return propose(
      'raise',
      Math.ceil(limit * raiseBy),
      `requests wait, and Git's memory has space: x ${raiseBy}`,
    );
  }
  if (peak === undefined || dropped === undefined) return propose('keep', limit, 'too little was measured');
  const sufficient = Math.max(lowestLimit, Math.ceil(peak * raiseBy));
  if (windowSeconds >= weekSeconds && peak < limit * unusedRatio && sufficient < limit)
    return propose(
      'lower',
      sufficient,
      `too high to have an effect: peak x ${raiseBy}, at least ${lowestLimit}`,
    );
  return propose('keep', limit, 'nothing to change');
}

const amountText = (amount: number | undefined): string =>
  amount === undefined ? 'unknown' : String(Math.round(amount * 10) / 10);
