/**
 * Right-sizing: the sizes that the measured usage of one Gitaly pod calls for, with their calculation. A proposal, never
 * a verdict. Pure.
 *
 * The rules and their origin:
 * - Git's memory holds the peak of its anonymous memory with headroom, and some page cache: a bucket's page cache is
 *   charged to it, and without it every clone reads the disk again. Anonymous memory cannot be reclaimed, so it alone
 *   causes OOM kills (kernel, cgroup-v2 "memory.stat").
 * - A bucket may use what the busiest one used, with headroom, and at least half of Git's memory, as in the example on
 *   GitLab's page; buckets share the rest, since they do not peak at the same time ("oversubscription", GitLab: Cgroups).
 * - Neither is below the least that one Git process may need (check git_cgroups_configured).
 * - The buffer between the pod's request and Git's memory is at least 1 GiB (GitLab: Gitaly on Kubernetes), and holds
 *   Gitaly's own peak with headroom.
 * - Request = limit, of memory and CPU: QoS class Guaranteed (the same page).
 * - GOMEMLIMIT is 95% of the buffer: Go's guide to its garbage collector leaves 5 to 10% for what Go does not count.
 * - Headroom is 25%, or 50% where a limit capped the usage, because the real peak is then unknown. Both percentages
 *   are this exporter's.
 * - Where usage grows, the peak is the one expected after four weeks of the same growth, at most twice the measured one:
 *   sizes are for the next month, not for the last.
 */

import { bytesText, durationText } from '../../lib/format.ts';
import { isUnknown, type Known, knownAmount } from '../../lib/known.ts';
import { minimumGitMemory } from './definitions/cgroup-verdicts.ts';
import { minimumBufferBytes } from './definitions/memory.ts';

export interface MeasuredUsage {
  /** The time over which the peaks were taken. */
  readonly windowSeconds: number;
  /** Working set of Gitaly's own container. */
  readonly gitalyMemoryPeakBytes: Known<number>;
  /** Anonymous memory of gitaly-<pid>: all Git processes together. */
  readonly gitAnonPeakBytes: Known<number>;
  /** Of the busiest repos-N. */
  readonly bucketAnonPeakBytes: Known<number>;
  /** memory.stat `file` of gitaly-<pid>, at its highest. */
  readonly gitPageCacheBytes: Known<number>;
  /** Of the pod, over minutes: a rate over less is noise. */
  readonly cpuPeakCores: Known<number>;
  /** By a limit of the bucket, Git, the container or the pod, in the window. */
  readonly oomKills: Known<number>;
  /** Of Gitaly itself, by its container's limit, where that is known apart from the others. */
  readonly gitalyOomKills?: number | undefined;
  /** More about the peaks, where a history was read. */
  readonly trends?: Readonly<Partial<Record<TrendId, Trend>>>;
}

export type TrendId = 'gitaly' | 'git' | 'bucket' | 'cpu';

/** About a peak, in its unit. */
export interface Trend {
  /** 99% of the samples were not above it, on the day on which that was highest. */
  readonly p99: number | undefined;
  /** Between the medians of the daily peaks of the last two weeks; undefined with less history. */
  readonly growthPerWeek: number | undefined;
  /** The server that had the peak, where there are several. */
  readonly where: string | undefined;
}

/** Undefined: not set. */
export interface CurrentSizes {
  readonly memoryRequestBytes: number | undefined;
  /** Of Gitaly's container. */
  readonly memoryLimitBytes: number | undefined;
  readonly cpuRequestCores: number | undefined;
  readonly cpuLimitCores: number | undefined;
  readonly gitMemoryBytes: number | undefined;
  readonly repositoryMemoryBytes: number | undefined;
  readonly goMemoryLimitBytes: number | undefined;
}

export const sizeIds = [
  'git_memory_bytes',
  'repository_memory_bytes',
  'buffer_bytes',
  'memory_bytes',
  'go_memory_limit_bytes',
  'cpu_cores',
] as const;
export type SizeId = (typeof sizeIds)[number];

export interface ProposedSize {
  readonly id: SizeId;
  /** In bytes or cores; memory_bytes and cpu_cores are both request and limit. */
  readonly value: number;
  readonly current: number | undefined;
  /** The calculation, with its numbers. */
  readonly calculation: string;
}

export interface SizingProposal {
  /**
   * `low`: less than a day was measured, and nothing should be changed because of it; `medium`: less than a week, or
   * something is uncertain.
   */
  readonly confidence: 'low' | 'medium' | 'high';
  /** What lowers the confidence, and what is unknown. */
  readonly caveats: readonly string[];
  /** Without those whose measurements are missing. */
  readonly sizes: readonly ProposedSize[];
}

/** The value of a size; undefined where it could not be proposed. */
export const sizeOf = (sizes: readonly ProposedSize[], id: SizeId): number | undefined =>
  sizes.find((size) => size.id === id)?.value;

const headroom = 1.25;
const headroomWhenCapped = 1.5;
/** At this ratio of a limit, the limit may have capped the usage. */
const cappedRatio = 0.95;
const pageCacheRatio = 0.25;
const goRatio = 0.95;
/** Sizes hold until then. */
const planWeeks = 4;
const memoryStep = 128 * 2 ** 20;
const cpuStep = 0.25;

const day = 86_400;
const week = 7 * day;

export function proposeSizes(usage: MeasuredUsage, now: CurrentSizes): SizingProposal {
  const kills = knownAmount(usage.oomKills) ?? 0;
  const isKilled = kills > 0;
  const trends = usage.trends ?? {};
  const gitaly = need(
    'Gitaly',
    usage.gitalyMemoryPeakBytes,
    now.memoryLimitBytes,
    isGitalyKilled(usage),
    trends.gitaly,
  );
  const bucket = need(
    'the busiest bucket',
    usage.bucketAnonPeakBytes,
    now.repositoryMemoryBytes,
    isKilled,
    trends.bucket,
  );
  const git = gitNeed(usage, now, isKilled, bucket);
  const cpu = need('the pod', usage.cpuPeakCores, now.cpuLimitCores, false, trends.cpu, coresText);

  // An idle Gitaly proposes no size that the checks call too small.
  const gitBytes = git && Math.max(minimumGitMemory, roundUp(git.amount, memoryStep));
  const bufferBytes = gitaly && Math.max(minimumBufferBytes, roundUp(gitaly.amount, memoryStep));
  const memoryBytes =
    gitBytes === undefined || bufferBytes === undefined ? undefined : gitBytes + bufferBytes;
  const repositoryBytes =
    gitBytes && Math.max(minimumGitMemory, gitBytes / 2, roundUp(bucket?.amount ?? 0, memoryStep));
  const goBytes = bufferBytes && Math.floor(bufferBytes * goRatio);
  const cpuCores = cpu && Math.max(cpuStep, roundUp(cpu.amount, cpuStep));

  const caveats = [
    ...windowCaveats(usage.windowSeconds),
    ...[gitaly, git, bucket, cpu].flatMap((one) => one?.caveats ?? []),
    ...missingMeasurements(usage),
    ...(isGitalyKilled(usage) ? ['Gitaly itself was OOM-killed: its real peak is unknown'] : []),
    ...(isKilled ? [`${kills} OOM kills in that time: the real peak is unknown`] : []),
  ];
  const size = (
    id: SizeId,
    value: number | undefined,
    current: number | undefined,
    calculation: string,
  ): readonly ProposedSize[] => (value === undefined ? [] : [{ id, value, current, calculation }]);
  return {
    confidence: usage.windowSeconds >= day ? (caveats.length === 0 ? 'high' : 'medium') : 'low',
    caveats,
    sizes: [
      ...size('git_memory_bytes', gitBytes, now.gitMemoryBytes, git?.calculation ?? ''),
      ...size(
        'repository_memory_bytes',
        repositoryBytes,
        now.repositoryMemoryBytes,
        `at least half of Git's memory: ${bucket?.calculation ?? 'the busiest bucket was not measured'}`,
      ),
      ...size(
        'buffer_bytes',
        bufferBytes,
        currentBuffer(now),
        `at least 1 GiB: ${gitaly?.calculation ?? ''}`,
      ),
      ...size('memory_bytes', memoryBytes, now.memoryRequestBytes, "Git's memory plus the buffer"),
      ...size('go_memory_limit_bytes', goBytes, now.goMemoryLimitBytes, `${goRatio * 100}% of the buffer`),
      ...size('cpu_cores', cpuCores, now.cpuRequestCores, cpu?.calculation ?? ''),
    ],
  };
}

const isGitalyKilled = ({ gitalyOomKills = 0 }: MeasuredUsage): boolean => gitalyOomKills > 0;

interface Need {
  readonly amount: number;
  readonly calculation: string;
  readonly caveats: readonly string[];
}

/** A peak with headroom. Near a limit, the measured peak is the limit, not what was needed. */
function need(
  what: string,
  peak: Known<number>,
  limit: number | undefined,
  isKilled: boolean,
  trend: Trend | undefined,
  text: (amount: number) => string = bytesText,
): Need | undefined {
  const measured = knownAmount(peak);
  if (measured === undefined) return undefined;
  const isCapped = limit !== undefined && (isKilled || measured >= limit * cappedRatio);
  if (!isCapped) {
    const growth = Math.min(measured, Math.max(0, (trend?.growthPerWeek ?? 0) * planWeeks));
    const grown = growth === 0 ? text(measured) : `(${text(measured)} + ${text(growth)} of growth)`;
    return {
      amount: (measured + growth) * headroom,
      calculation: `peak of ${what} ${grown} x ${headroom}${trendText(trend, text)}`,
      caveats: [],
    };
  }
  const least = Math.max(measured, limit);
  return {
    amount: least * headroomWhenCapped,
    calculation: `limit of ${what} ${text(least)} x ${headroomWhenCapped}${trendText(trend, text)}`,
    caveats: isKilled ? [] : [`${what} reached its limit of ${text(limit)}: it may have needed more`],
  };
}

/** ` (p99 3.1 GiB, +200 MiB a week, on gitlab/gl-gitaly-1)` */
function trendText(trend: Trend | undefined, text: (amount: number) => string): string {
  if (trend === undefined) return '';
  const { p99, growthPerWeek, where } = trend;
  const parts = [
    ...(p99 === undefined ? [] : [`p99 ${text(p99)}`]),
    ...(growthPerWeek === undefined || growthPerWeek === 0
      ? []
      : [`${growthPerWeek < 0 ? '-' : '+'}${text(Math.abs(growthPerWeek))} a week`]),
    ...(where === undefined ? [] : [`on ${where}`]),
  ];
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

function gitNeed(
  usage: MeasuredUsage,
  now: CurrentSizes,
  isKilled: boolean,
  bucket: Need | undefined,
): Need | undefined {
  const all = need('Git', usage.gitAnonPeakBytes, now.gitMemoryBytes, isKilled, usage.trends?.git);
  if (all === undefined) return undefined;
  // The peaks are of different moments, so a bucket's may exceed that of all Git processes.
  const anon = Math.max(all.amount, bucket?.amount ?? 0);
  const cache = Math.min(knownAmount(usage.gitPageCacheBytes) ?? 0, anon * pageCacheRatio);
  const from = anon === all.amount ? all.calculation : (bucket?.calculation ?? '');
  return { ...all, amount: anon + cache, calculation: `${from} + ${bytesText(cache)} of page cache` };
}

const windowCaveats = (seconds: number): readonly string[] =>
  seconds >= week
    ? []
    : [
        `measured over ${durationText(seconds * 1000)}: usual peaks show only over a working week, so reduce nothing yet`,
      ];

function missingMeasurements(usage: MeasuredUsage): readonly string[] {
  const facts: readonly (readonly [string, Known<number>])[] = [
    ["Gitaly's own memory", usage.gitalyMemoryPeakBytes],
    ["Git's memory", usage.gitAnonPeakBytes],
    ["the busiest bucket's memory", usage.bucketAnonPeakBytes],
    ["Git's page cache", usage.gitPageCacheBytes],
    ['CPU', usage.cpuPeakCores],
    ['OOM kills', usage.oomKills],
  ];
  return facts.flatMap(([what, fact]) =>
    knownAmount(fact) !== undefined || (isUnknown(fact) && fact.notApplicable === true)
      ? []
      : [`${what} not measured: ${isUnknown(fact) ? fact.unknown : 'the value that was read is invalid'}`],
  );
}

const currentBuffer = ({ memoryRequestBytes, gitMemoryBytes }: CurrentSizes): number | undefined =>
  memoryRequestBytes === undefined || gitMemoryBytes === undefined
    ? undefined
    : memoryRequestBytes - gitMemoryBytes;

const roundUp = (amount: number, step: number): number => Math.ceil(amount / step) * step;

const coresText = (cores: number): string => `${Number(cores.toFixed(2))} cores`;
