/** What the view needs beyond the newest read: CPU throttling over a window, and Gitalys that disappeared. */
import type { Clock } from '../../lib/clock.ts';
import { type Identity, identityKey } from '../identity.ts';
import type { LevelReading } from './levels/read.ts';
import { currentMoment, type Moment, msSince, wallTimeOf } from './moment.ts';
import type { GitalyTree } from './tree.ts';

/** Of one cgroup's CPU limit, over the window. */
export interface Throttling {
  /** Throttled periods divided by all periods in which a task ran: 0 to 1. */
  readonly ratio: number;
  /** Periods in which a task ran; 10 per second while one does. */
  readonly periods: number;
}

interface ThrottlingHistory {
  /** `at`: monotonic milliseconds. Call it with every read; paths that are missing from it are forgotten. */
  record(at: number, readings: ReadonlyMap<string, LevelReading>): void;
  /** Undefined for the first half minute, while no task ran, and where cpu.stat could not be read. */
  of(path: string): Throttling | undefined;
}

/** Some hundred periods of 100 ms: fewer say little. */
const minimumSpanMs = 30_000;
/** A scrape interval: keeps 20 entries per cgroup in a window of five minutes, however many servers scrape. */
const entryEveryMs = 15_000;

interface Counted {
  readonly at: number;
  readonly periods: number;
  readonly throttled: number;
}

export function createThrottlingHistory(windowMs: number): ThrottlingHistory {
  /** By path: the oldest first, none older than the window. */
  let entries = new Map<string, readonly Counted[]>();
  let current = new Map<string, Throttling>();
  return {
    record(at, readings) {
      const before = entries;
      entries = new Map();
      current = new Map();
      for (const [path, { cpu }] of readings) {
        if (cpu.nr_periods === undefined || cpu.nr_throttled === undefined) continue;
        const now: Counted = { at, periods: cpu.nr_periods, throttled: cpu.nr_throttled };
        const known = (before.get(path) ?? []).filter((entry) => at - entry.at <= windowMs);
        const last = known.at(-1);
        // Lower counters are those of a cgroup that was created again.
        if (last === undefined || now.periods < last.periods || now.throttled < last.throttled) {
          entries.set(path, [now]);
          continue;
        }
        entries.set(path, at - last.at >= entryEveryMs ? [...known, now] : known);
        const throttling = throttlingBetween(known[0] ?? now, now);
        if (throttling !== undefined) current.set(path, throttling);
      }
    },
    of: (path) => current.get(path),
  };
}

function throttlingBetween(from: Counted, to: Counted): Throttling | undefined {
  const periods = to.periods - from.periods;
  if (to.at - from.at < minimumSpanMs || periods === 0) return undefined;
  return { ratio: Math.min(1, (to.throttled - from.throttled) / periods), periods };
}

export interface DisappearedGitaly {
  readonly identity: Identity;
  readonly uid: string;
  /** Clock.now() of the scan that no longer found it. */
  readonly at: number;
}

interface DisappearedHistory {
  /** `unlisted`: UIDs of pods that still exist but are not Gitalys by the list of pods. */
  record(
    trees: readonly GitalyTree[],
    clock: Pick<Clock, 'now' | 'monotonic'>,
    unlisted?: readonly string[],
  ): void;
  /** The newest first. */
  lastHour(clock: Pick<Clock, 'now' | 'monotonic'>): readonly DisappearedGitaly[];
}

const keptMs = 3_600_000;
const keptAtMost = 100;

/** A Gitaly that is found under another name, or one that took over its name, has not disappeared. */
export function createDisappearedHistory(): DisappearedHistory {
  let last: readonly GitalyTree[] = [];
  let disappeared: readonly { readonly gitaly: Omit<DisappearedGitaly, 'at'>; readonly since: Moment }[] = [];
  return {
    record(trees, clock, unlisted = []) {
      const since = currentMoment(clock);
      const keys = new Set([...trees.map(({ key }) => key), ...unlisted]);
      const names = new Set(trees.map(({ identity }) => identityKey(identity)));
      const missing = last.filter(({ key }) => !keys.has(key));
      last = trees;
      disappeared = [
        ...disappeared,
        ...missing.map(({ identity, uid }) => ({ gitaly: { identity, uid }, since })),
      ]
        .filter(
          (each) => !names.has(identityKey(each.gitaly.identity)) && msSince(each.since, clock) < keptMs,
        )
        .slice(-keptAtMost);
    },
    lastHour: (clock) =>
      disappeared
        .filter(({ since }) => msSince(since, clock) < keptMs)
        .map(({ gitaly, since }) => ({ ...gitaly, at: wallTimeOf(since, clock) }))
        .toReversed(),
  };
}
