/** What the page shows of each Gitaly's cgroups: plain data, as last read. */

import type { Failure } from '../../scheduler/outcome.ts';
import { type Identity, identityKey } from '../identity.ts';
import type { GitSweep, NearLimit } from './buckets/sweep.ts';
import type { CgroupLimit } from './files/reading.ts';
import type { Level } from './level-metrics.ts';
import type { GitalyLook, LevelLook } from './levels/look.ts';
import type { OomKill, OomTotals } from './oom/record.ts';
import type { GitalyTree, Layout } from './tree.ts';
import type { TreeState } from './tree-watch.ts';

export interface CgroupView {
  /** Why this host's cgroups cannot be looked through; undefined when they can. */
  readonly failure: Failure | undefined;
  /** What could not be read of a tree that can. */
  readonly failures: readonly Failure[];
  /** What is not known of all of them and why, a line each, with the mend. */
  readonly missing: readonly string[];
  /** By namespace, pod and node. */
  readonly gitalys: readonly CgroupGitalyView[];
  /** Gitalys that were there and are gone, within the last hour. */
  readonly vanished: readonly VanishedGitaly[];
  /** OOM kills of the last hour, newest first. */
  readonly kills: readonly OomKill[];
}

export interface CgroupGitalyView {
  readonly identity: Identity;
  /** Empty on a virtual machine. */
  readonly uid: string;
  readonly layout: Layout;
  readonly levels: readonly LevelView[];
  /** Undefined where there are none, or they were not read yet. */
  readonly buckets: BucketsView | undefined;
  /** Undefined while its OOM kills cannot be followed. */
  readonly oom: Omit<OomTotals, 'tree' | 'identity'> | undefined;
}

export interface LevelView {
  readonly level: Level;
  readonly container: string | undefined;
  /** Bytes. */
  readonly usage: number | undefined;
  readonly anon: number | undefined;
  readonly limit: CgroupLimit | undefined;
  readonly cores: CgroupLimit | undefined;
  /** Periods in which the CPU limit held something back, by all, over the last half minute; 0 to 1. */
  readonly throttled: number | undefined;
  /** Files that could not be read, as `memory.stat (permission)`. */
  readonly unread: readonly string[];
}

export interface BucketsView {
  readonly found: number;
  /** Undefined when a bucket could not be read. */
  readonly active: number | undefined;
  readonly unread: number;
  /** Fullest first. */
  readonly near: readonly NearLimit[];
}

export interface VanishedGitaly {
  readonly identity: Identity;
  readonly uid: string;
  /** Clock.now() of the look that no longer found it. */
  readonly at: number;
}

export interface Known {
  readonly state: TreeState;
  /** What is missing because watches are. */
  readonly unwatched: string | undefined;
  readonly looks: readonly GitalyLook[];
  readonly sweeps: ReadonlyMap<string, GitSweep>;
  readonly totals: ReadonlyMap<string, OomTotals>;
  readonly throttled: (path: string) => number | undefined;
  readonly vanished: readonly VanishedGitaly[];
  readonly kills: readonly OomKill[];
}

export const cgroupView = ({
  state,
  unwatched,
  looks,
  sweeps,
  totals,
  throttled,
  vanished,
  kills,
}: Known): CgroupView => ({
  failure: state.failure,
  failures: state.failures,
  missing: unwatched === undefined ? state.missing : [...state.missing, unwatched],
  gitalys: looks
    .map(({ levels, tree }) => ({
      identity: tree.identity,
      uid: tree.uid,
      layout: tree.layout,
      levels: levels.map((look) => levelView(look, throttled(look.path))),
      buckets: sweeps.get(tree.key),
      oom: totals.get(identityKey(tree.identity)),
    }))
    .toSorted((a, b) => (identityKey(a.identity) < identityKey(b.identity) ? -1 : 1)),
  vanished,
  kills,
});

const levelView = (
  { container, failures, level, reading }: LevelLook,
  throttled: number | undefined,
): LevelView => ({
  level,
  container,
  usage: reading.usage,
  anon: reading.stat.anon,
  limit: reading.limit,
  cores: reading.cores,
  throttled,
  unread: failures,
});

export interface VanishedWatch {
  /** `now`: Clock.now(). `unlisted`: uids of those that are there, but turned out not to be meant. */
  look(trees: readonly GitalyTree[], now: number, unlisted?: readonly string[]): void;
  /** Newest first. */
  current(now: number): readonly VanishedGitaly[];
}

const rememberMs = 3_600_000;
const rememberAtMost = 100;

/** One that is there under another name, or another under its name, has not vanished. */
export function createVanishedWatch(): VanishedWatch {
  let there: readonly GitalyTree[] = [];
  let gone: readonly VanishedGitaly[] = [];
  return {
    look(trees, now, unlisted = []) {
      const keys = new Set([...trees.map(({ key }) => key), ...unlisted]);
      const names = new Set(trees.map(({ identity }) => identityKey(identity)));
      const went = there.filter(({ key }) => !keys.has(key));
      there = trees;
      gone = [...gone, ...went.map(({ identity, uid }) => ({ identity, uid, at: now }))]
        .filter(({ identity, at }) => !names.has(identityKey(identity)) && now - at < rememberMs)
        .slice(-rememberAtMost);
    },
    current: (now) => gone.filter(({ at }) => now - at < rememberMs).toReversed(),
  };
}
