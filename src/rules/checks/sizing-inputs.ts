/** What sizes are proposed from, and what a proposal is. */
import type { Known } from '../../lib/known.ts';

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
  /** `low`: less than a day was measured; `medium`: less than a week, or something is uncertain. */
  readonly confidence: 'low' | 'medium' | 'high';
  /** What lowers the confidence, and what is unknown. */
  readonly caveats: readonly string[];
  /** False: less than a day was measured, and nothing should be changed because of it. */
  readonly isAdvice: boolean;
  /** Without those whose measurements are missing. */
  readonly sizes: readonly ProposedSize[];
}

/** The value of a size; undefined where it could not be proposed. */
export const sizeOf = (sizes: readonly ProposedSize[], id: SizeId): number | undefined =>
  sizes.find((size) => size.id === id)?.value;
