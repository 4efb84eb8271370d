/** What is known of OOM kills: the types that the metrics, the log and the page use. */
import type { Identity } from '../../identity.ts';
import type { GitalyTree } from '../tree.ts';

/** Whose memory limit was reached; `node` when it was none of the pod's. */
export const oomLevels = ['bucket', 'git', 'container', 'pod', 'node'] as const;
export type OomLevel = (typeof oomLevels)[number];

/** Kills at one level and place that one pass found: one log line. */
export interface OomKill {
  /** Clock.now() of the pass that found it. */
  readonly at: number;
  readonly identity: Identity;
  readonly level: OomLevel;
  /** How many processes were killed. */
  readonly processes: number;
  /** Incidents: a group kill is one. */
  readonly events: number;
  /** Where the victims were: a bucket's number, a container's name; neither if the cgroup no longer exists. */
  readonly bucket: number | undefined;
  readonly container: string | undefined;
  /** Right after the kill, of the cgroup whose limit was reached. Bytes. */
  readonly memory: {
    readonly limit: number | undefined;
    readonly usage: number | undefined;
    readonly anon: number | undefined;
  };
  /** The victims' cgroup was removed before it was read: the kill is known from an ancestor, its level is a guess. */
  readonly fromAncestor: boolean;
}

/** Since the exporter's start, across removed and re-created cgroups. Every level is present, at 0. */
export interface OomTotals {
  readonly identity: Identity;
  readonly kills: Readonly<Record<OomLevel, number>>;
  /** Incidents: a group kill of ten processes is one. */
  readonly events: Readonly<Record<OomLevel, number>>;
  /** Milliseconds since 1970. */
  readonly last: Readonly<Partial<Record<OomLevel, number>>>;
  /** Processes killed in each bucket, at any level; only buckets with kills. */
  readonly bucketKills: ReadonlyMap<number, number>;
}

interface OomHealth {
  /** Gitalys whose kills are unknown at present, and why; `totals()` omits them. */
  readonly unread: readonly { readonly tree: string; readonly why: string }[];
  /**
   * Processes killed since the start in pods that were removed before they could be read, at least one of them
   * Gitaly's. They are in no Gitaly's totals.
   */
  readonly unattributed: number;
}

export interface OomTracker {
  /**
   * The trees that exist now. Those of the first call start from their present counters; one that appears later
   * started at 0 when it was created. The totals of a removed one are kept for an hour if it had kills, and continue in
   * another tree of its name.
   */
  follow(trees: readonly GitalyTree[]): void;
  /**
   * Counts all kills up to now and returns those that no earlier call has returned. One pass at a time. Cheap when
   * nothing moved: one file per parent of pods. Returns nothing when the signal aborts first; the next call does then.
   */
  settle(signal?: AbortSignal): Promise<readonly OomKill[]>;
  totals(): readonly OomTotals[];
  health(): OomHealth;
  close(): void;
}
