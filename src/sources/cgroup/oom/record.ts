/** What is known of OOM kills: the face of the OOM part to the metrics, the log and the page. */
import type { Identity } from '../../identity.ts';
import type { GitalyTree } from '../tree.ts';

/** The level whose limit ran out; `node` when none of the pod's did. */
export const oomLevels = ['bucket', 'git', 'container', 'pod', 'node'] as const;
export type OomLevel = (typeof oomLevels)[number];

/** Kills of one reading, of one level, at one place: what the log gets one line for. */
export interface OomKill {
  /** Clock.now() of the reading that found it. */
  readonly at: number;
  readonly tree: string;
  readonly identity: Identity;
  readonly level: OomLevel;
  /** Processes. */
  readonly processes: number;
  /** Incidents, not processes: a group kill is one. */
  readonly events: number;
  /** Where the victims were: a bucket's number, a container's name; neither when the place is gone. */
  readonly bucket: number | undefined;
  readonly container: string | undefined;
  /** What memory looked like right after: of the level that ran out. Bytes. */
  readonly memory: {
    readonly limit: number | undefined;
    readonly usage: number | undefined;
    readonly anon: number | undefined;
  };
  /** The cgroup was gone when it was read: taken from an ancestor's totals, the level is the nearest that fits. */
  readonly fromAncestor: boolean;
}

/** Since the exporter's start, whatever cgroups came and went meanwhile. Every level is there, at 0. */
export interface OomTotals {
  readonly tree: string;
  readonly identity: Identity;
  readonly kills: Readonly<Record<OomLevel, number>>;
  /** Incidents, not processes. */
  readonly events: Readonly<Record<OomLevel, number>>;
  /** Milliseconds since 1970. */
  readonly last: Readonly<Partial<Record<OomLevel, number>>>;
  /** Processes killed in each bucket, by any level; only buckets with kills. */
  readonly bucketKills: ReadonlyMap<number, number>;
}

export interface OomTracker {
  /**
   * The trees of this moment. One that was there at the first call starts from its counters as they are; one that
   * appears later started at 0 when it was made. One that is gone is settled from its ancestors and kept for its
   * totals (an hour, and as long as its pod's name lives on in another tree).
   */
  follow(trees: readonly GitalyTree[]): void;
  /**
   * Reads what moved since the last reading and counts it, once, whoever asked: a watch, the poll or a scrape.
   * Cheap when nothing moved: one file for each pod. Reads many buckets in slices.
   */
  settle(signal?: AbortSignal): Promise<readonly OomKill[]>;
  totals(): readonly OomTotals[];
  close(): void;
}
