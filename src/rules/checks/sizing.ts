/**
 * Right-sizing: what the measured use of one Gitaly pod would ask for, with the numbers that it comes from. Advice,
 * never a verdict. Pure.
 *
 * The rules and where they are from:
 * - Git's memory holds the peak of its anonymous memory with headroom, and some page cache: a bucket's page cache is
 *   charged to it, and without room every clone reads the disk anew. Anonymous memory is what cannot be given back,
 *   so it alone decides about OOM kills (kernel, cgroup-v2 "memory.stat").
 * - A repository may take what its busiest took, with headroom, and at least half of Git's memory, as in the example
 *   of GitLab's page; many repositories share the rest, since they do not peak at once ("oversubscription", GitLab:
 *   Cgroups).
 * - The buffer between the pod's request and Git's memory is 1 GiB at least (GitLab: Gitaly on Kubernetes), and holds
 *   Gitaly's own peak with headroom.
 * - Request = limit, of memory and CPU: QoS Guaranteed (the same page).
 * - GOMEMLIMIT is 95 % of the buffer: Go's guide to its garbage collector leaves 5 to 10 % for what Go does not count.
 * - Headroom is a quarter; a half and more where a limit held the use down, because then nobody saw the real peak.
 *   Both are ours, not GitLab's.
 */

import { isUnknown, type Known } from '../../lib/known.ts';
import { leastBuffer } from './definitions/memory.ts';
import { bytesText } from './text.ts';

export interface MeasuredUse {
  /** Over which the peaks were taken. */
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
}

/** As they are now; undefined: not set. */
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

export const amountIds = [
  'git_memory_bytes',
  'repository_memory_bytes',
  'buffer_bytes',
  'memory_bytes',
  'go_memory_limit_bytes',
  'cpu_cores',
] as const;
export type AmountId = (typeof amountIds)[number];

export interface Amount {
  readonly id: AmountId;
  /** What is advised, in bytes or cores; memory_bytes and cpu_cores are request and limit alike. */
  readonly value: number;
  readonly current: number | undefined;
  /** The sum, in words with its numbers. */
  readonly how: string;
}

export interface Advice {
  /** `guess`: less than a day was seen; `rough`: less than a week, or something is in doubt. */
  readonly certainty: 'guess' | 'rough' | 'sound';
  /** Why it is not sure, and what is not known. */
  readonly doubts: readonly string[];
  /** Without those that rest on what was not measured. */
  readonly amounts: readonly Amount[];
  /** Values of the GitLab chart; undefined unless all of them are known. */
  readonly helm: string | undefined;
}

const headroom = 1.25;
const headroomWhenHeld = 1.5;
/** From this share of a limit on, the limit may have held the use down. */
const heldFrom = 0.95;
const cacheShare = 0.25;
const goShare = 0.95;
const memoryStep = 128 * 2 ** 20;
const cpuStep = 0.25;

const day = 86_400;
const week = 7 * day;

/** @param nodeMemoryBytes what the largest node in question can give to pods */
export function sizing(use: MeasuredUse, now: CurrentSizes, nodeMemoryBytes?: number): Advice {
  const killed = (amountOf(use.oomKills) ?? 0) > 0;
  const gitaly = need('Gitaly', use.gitalyMemoryPeakBytes, now.memoryLimitBytes, false);
  const bucket = need('the busiest bucket', use.bucketAnonPeakBytes, now.repositoryMemoryBytes, killed);
  const git = gitNeed(use, now, killed, bucket);
  const cpu = need('the pod', use.cpuPeakCores, now.cpuLimitCores, false, coresText);

  // A memory_bytes of 0 would be no limit at all.
  const gitBytes = git && Math.max(memoryStep, roundUp(git.amount, memoryStep));
  const bufferBytes = gitaly && Math.max(leastBuffer, roundUp(gitaly.amount, memoryStep));
  const memoryBytes =
    gitBytes === undefined || bufferBytes === undefined ? undefined : gitBytes + bufferBytes;
  const repositoryBytes = gitBytes && Math.max(gitBytes / 2, roundUp(bucket?.amount ?? 0, memoryStep));
  const goBytes = bufferBytes && Math.floor(bufferBytes * goShare);
  const cpuCores = cpu && Math.max(cpuStep, roundUp(cpu.amount, cpuStep));

  const doubts = [
    ...windowDoubts(use.windowSeconds),
    ...[gitaly, git, bucket, cpu].flatMap((one) => one?.doubts ?? []),
    ...unmeasured(use),
    ...(killed ? [`${amountOf(use.oomKills)} OOM kills in that time: the real peak is not known`] : []),
    ...(memoryBytes !== undefined && nodeMemoryBytes !== undefined && memoryBytes > nodeMemoryBytes
      ? [`no node can give ${bytesText(memoryBytes)}: the largest has ${bytesText(nodeMemoryBytes)} for pods`]
      : []),
  ];
  const amount = (
    id: AmountId,
    value: number | undefined,
    current: number | undefined,
    how: string,
  ): readonly Amount[] => (value === undefined ? [] : [{ id, value, current, how }]);
  return {
    certainty: use.windowSeconds >= day ? (doubts.length === 0 ? 'sound' : 'rough') : 'guess',
    doubts,
    amounts: [
      ...amount('git_memory_bytes', gitBytes, now.gitMemoryBytes, git?.how ?? ''),
      ...amount(
        'repository_memory_bytes',
        repositoryBytes,
        now.repositoryMemoryBytes,
        `half of Git's memory, or more: ${bucket?.how ?? 'the busiest bucket was not measured'}`,
      ),
      ...amount('buffer_bytes', bufferBytes, bufferNow(now), `1 GiB, or more: ${gitaly?.how ?? ''}`),
      ...amount('memory_bytes', memoryBytes, now.memoryRequestBytes, "Git's memory and the buffer"),
      ...amount('go_memory_limit_bytes', goBytes, now.goMemoryLimitBytes, `${goShare * 100} % of the buffer`),
      ...amount('cpu_cores', cpuCores, now.cpuRequestCores, cpu?.how ?? ''),
    ],
    helm: helmOf(gitBytes, repositoryBytes, memoryBytes, goBytes, cpuCores),
  };
}

interface Need {
  readonly amount: number;
  readonly how: string;
  readonly doubts: readonly string[];
}

/** A peak with its headroom. With a limit close by, what was seen is the limit, and not what was wanted. */
function need(
  what: string,
  peak: Known<number>,
  limit: number | undefined,
  killed: boolean,
  text: (amount: number) => string = bytesText,
): Need | undefined {
  const seen = amountOf(peak);
  if (seen === undefined) return undefined;
  const isHeld = limit !== undefined && (killed || seen >= limit * heldFrom);
  if (!isHeld)
    return { amount: seen * headroom, how: `peak of ${what} ${text(seen)} x ${headroom}`, doubts: [] };
  const least = Math.max(seen, limit);
  return {
    amount: least * headroomWhenHeld,
    how: `limit of ${what} ${text(least)} x ${headroomWhenHeld}`,
    doubts: killed ? [] : [`${what} came up to its limit of ${text(limit)}: it may have wanted more`],
  };
}

function gitNeed(
  use: MeasuredUse,
  now: CurrentSizes,
  killed: boolean,
  bucket: Need | undefined,
): Need | undefined {
  const all = need('Git', use.gitAnonPeakBytes, now.gitMemoryBytes, killed);
  if (all === undefined) return undefined;
  // Peaks that were taken at different times may differ the wrong way round.
  const anon = Math.max(all.amount, bucket?.amount ?? 0);
  const cache = Math.min(amountOf(use.gitPageCacheBytes) ?? 0, anon * cacheShare);
  const from = anon === all.amount ? all.how : (bucket?.how ?? '');
  return { ...all, amount: anon + cache, how: `${from} + ${bytesText(cache)} of page cache` };
}

const windowDoubts = (seconds: number): readonly string[] =>
  seconds >= week
    ? []
    : [
        `measured over ${seconds >= day ? `${Math.floor(seconds / day)} d` : `${Math.floor(Math.max(0, seconds) / 3600)} h`}: a working week is the least that shows the usual peaks`,
      ];

function unmeasured(use: MeasuredUse): readonly string[] {
  const facts: readonly (readonly [string, Known<number>])[] = [
    ["Gitaly's own memory", use.gitalyMemoryPeakBytes],
    ["Git's memory", use.gitAnonPeakBytes],
    ["the busiest bucket's memory", use.bucketAnonPeakBytes],
    ["Git's page cache", use.gitPageCacheBytes],
    ['CPU', use.cpuPeakCores],
    ['OOM kills', use.oomKills],
  ];
  return facts.flatMap(([what, fact]) =>
    amountOf(fact) !== undefined
      ? []
      : [`${what} was not measured: ${isUnknown(fact) ? fact.unknown : 'what was read is no amount'}`],
  );
}

/** An amount that can be reckoned with. */
const amountOf = (fact: Known<number>): number | undefined =>
  isUnknown(fact) || !Number.isFinite(fact.value) || fact.value < 0 ? undefined : fact.value;

const bufferNow = ({ memoryRequestBytes, gitMemoryBytes }: CurrentSizes): number | undefined =>
  memoryRequestBytes === undefined || gitMemoryBytes === undefined
    ? undefined
    : memoryRequestBytes - gitMemoryBytes;

const roundUp = (amount: number, step: number): number => Math.ceil(amount / step) * step;

const coresText = (cores: number): string => `${Number(cores.toFixed(2))} cores`;

function helmOf(
  git: number | undefined,
  repository: number | undefined,
  memory: number | undefined,
  go: number | undefined,
  cpu: number | undefined,
): string | undefined {
  if (git === undefined || repository === undefined || memory === undefined) return undefined;
  if (go === undefined || cpu === undefined) return undefined;
  const sizes = `{cpu: "${cpu}", memory: ${memory / 2 ** 20}Mi}`;
  return `gitlab:
  gitaly:
    resources:
      requests: ${sizes}
      limits: ${sizes}
    cgroups:
      enabled: true
      memoryBytes: ${git} # ${bytesText(git)}
      repositories:
        memoryBytes: ${repository} # ${bytesText(repository)}
    gomemlimit:
      enabled: false
    extraEnv:
      GOMEMLIMIT: "${go}"`;
}
