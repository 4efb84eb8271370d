/**
 * Sums of kills: kept for each Gitaly by its tree, reported by its identity, so that a re-created pod continues the
 * counts of the one before it.
 */
import type { Clock } from '../../../lib/clock.ts';
import { type Identity, identityKey } from '../../identity.ts';
import { currentMoment, type Moment, wallTimeOf } from '../moment.ts';
import { type OomLevel, type OomTotals, oomLevels } from './record.ts';

interface OomTotalsByTree {
  /** The trees that exist now. The totals of others are kept for an hour, and as long as their identity lives on. */
  follow(current: ReadonlyMap<string, Identity>): void;
  add(tree: string, kill: CountedKill): void;
  /** Of a tree that exists or is still kept. */
  identity(tree: string): Identity | undefined;
  /** One for each identity, except those whose present tree is not known. */
  list(isKnown: (tree: string) => boolean): readonly OomTotals[];
}

interface CountedKill {
  readonly level: OomLevel;
  readonly processes: number;
  readonly events: number;
  readonly bucket: number | undefined;
}

interface Sums {
  identity: Identity;
  readonly kills: Record<OomLevel, number>;
  readonly events: Record<OomLevel, number>;
  readonly last: Partial<Record<OomLevel, Moment>>;
  readonly bucketKills: Map<number, number>;
  /** Monotonic ms; undefined while the tree exists. */
  removedAt: number | undefined;
}

const keptMs = 3_600_000;
/** Of removed trees: a pod that fails to start may be created again every few seconds. */
const keptAtMost = 1000;
/** Until then a removed tree may still get kills from the last pass; then it is merged into its successor. */
const mergeAfterMs = 60_000;

const noKills = (): Record<OomLevel, number> => ({ bucket: 0, git: 0, container: 0, pod: 0, node: 0 });

const emptySums = (identity: Identity): Sums => ({
  identity,
  kills: noKills(),
  events: noKills(),
  last: {},
  bucketKills: new Map(),
  removedAt: undefined,
});

export function createOomTotals(clock: Pick<Clock, 'now' | 'monotonic'>): OomTotalsByTree {
  const sumsByTree = new Map<string, Sums>();

  /** At every call, so that nothing grows with the number of pods that come and go. */
  function removeExpired(): void {
    const now = clock.monotonic();
    const current = new Map<string, Sums>();
    for (const sums of sumsByTree.values())
      if (sums.removedAt === undefined) current.set(identityKey(sums.identity), sums);
    for (const [tree, sums] of sumsByTree) {
      if (sums.removedAt === undefined) continue;
      const successor = current.get(identityKey(sums.identity));
      const age = now - sums.removedAt;
      if (successor !== undefined && age > mergeAfterMs) addSums(successor, sums);
      if (age > (successor === undefined ? keptMs : mergeAfterMs)) sumsByTree.delete(tree);
    }
    const removed = [...sumsByTree].filter(([, { removedAt }]) => removedAt !== undefined);
    if (removed.length <= keptAtMost) return;
    // Those without a kill have no series; then the oldest.
    const rank = ({ kills, removedAt = 0 }: Sums): number =>
      removedAt + (oomLevels.some((level) => kills[level] > 0) ? Number.MAX_SAFE_INTEGER / 2 : 0);
    removed.sort(([, a], [, b]) => rank(a) - rank(b));
    for (const [tree] of removed.slice(0, removed.length - keptAtMost)) sumsByTree.delete(tree);
  }

  return {
    follow(current) {
      for (const [tree, sums] of sumsByTree) if (!current.has(tree)) sums.removedAt ??= clock.monotonic();
      for (const [tree, identity] of current) {
        const sums = sumsByTree.get(tree) ?? emptySums(identity);
        sums.identity = identity;
        sums.removedAt = undefined;
        sumsByTree.set(tree, sums);
      }
      removeExpired();
    },
    add(tree, { bucket, events, level, processes }) {
      const sums = sumsByTree.get(tree);
      if (sums === undefined) return;
      sums.kills[level] += processes;
      sums.events[level] += events;
      sums.last[level] = currentMoment(clock);
      if (bucket !== undefined) sums.bucketKills.set(bucket, (sums.bucketKills.get(bucket) ?? 0) + processes);
    },
    identity: (tree) => sumsByTree.get(tree)?.identity,
    list(isKnown) {
      removeExpired();
      const merged = new Map<string, Sums & { tree: string; isKnown: boolean }>();
      // Removed ones first, so that the present tree lends its key.
      const ordered = [...sumsByTree].sort(([, a], [, b]) => Number(isPresent(a)) - Number(isPresent(b)));
      for (const [tree, sums] of ordered) {
        const key = identityKey(sums.identity);
        const sum = merged.get(key) ?? { ...emptySums(sums.identity), tree, isKnown: true };
        addSums(sum, sums);
        sum.tree = tree;
        // Without the kills of the present tree the sum would stand still and look healthy.
        if (isPresent(sums) && !isKnown(tree)) sum.isKnown = false;
        merged.set(key, sum);
      }
      return [...merged.values()]
        .filter((sum) => sum.isKnown)
        .map(({ bucketKills, events, identity, kills, last, tree }) => ({
          tree,
          identity,
          kills,
          events,
          last: lastTimes(last, clock),
          bucketKills,
        }));
    },
  };
}

function lastTimes(last: Sums['last'], clock: Pick<Clock, 'now' | 'monotonic'>): OomTotals['last'] {
  const times: Partial<Record<OomLevel, number>> = {};
  for (const level of oomLevels) {
    const moment = last[level];
    if (moment !== undefined) times[level] = wallTimeOf(moment, clock);
  }
  return times;
}

const isPresent = ({ removedAt }: Sums): boolean => removedAt === undefined;

function addSums(into: Sums, from: Sums): void {
  for (const level of oomLevels) {
    into.kills[level] += from.kills[level];
    into.events[level] += from.events[level];
    const last = from.last[level];
    if (last !== undefined && last.monotonic > (into.last[level]?.monotonic ?? 0)) into.last[level] = last;
  }
  for (const [bucket, kills] of from.bucketKills)
    into.bucketKills.set(bucket, (into.bucketKills.get(bucket) ?? 0) + kills);
}
