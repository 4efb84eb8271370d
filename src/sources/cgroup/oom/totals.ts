/** Sums of kills by the name of a Gitaly, so that a re-created pod continues the counts of the one before it. */
import type { Clock } from '../../../lib/clock.ts';
import { type Identity, identityKey } from '../../identity.ts';
import { currentMoment, type Moment, msSince, wallTimeOf } from '../moment.ts';
import { type OomKill, type OomLevel, type OomTotals, oomLevels } from './record.ts';

interface OomTotalsRecord {
  /** The trees that exist now, by key. What a tree had moves with it to another name. */
  follow(current: ReadonlyMap<string, Identity>): void;
  add(identity: Identity, kill: CountedKill): void;
  /** Of each present Gitaly all of whose trees are known, and of each with kills that was removed within an hour. */
  list(isKnown: (tree: string) => boolean): readonly OomTotals[];
}

type CountedKill = Pick<OomKill, 'level' | 'processes' | 'events' | 'bucket'>;

interface Sums {
  readonly identity: Identity;
  readonly kills: Record<OomLevel, number>;
  readonly events: Record<OomLevel, number>;
  readonly last: Partial<Record<OomLevel, Moment>>;
  readonly bucketKills: Map<number, number>;
  /** Undefined while a tree has the name. */
  removed: Moment | undefined;
}

const keptMs = 3_600_000;
/** A pod that fails to start may be created again under another name every few seconds. */
const keptAtMost = 1000;

const noKills = (): Record<OomLevel, number> => ({ bucket: 0, git: 0, container: 0, pod: 0, node: 0 });

const emptySums = (identity: Identity): Sums => ({
  identity,
  kills: noKills(),
  events: noKills(),
  last: {},
  bucketKills: new Map(),
  removed: undefined,
});

export function createOomTotals(clock: Pick<Clock, 'now' | 'monotonic'>): OomTotalsRecord {
  let trees: ReadonlyMap<string, Identity> = new Map();
  /** Of every name with a kill; those that were removed first come first. */
  const sumsByName = new Map<string, Sums>();

  function sumsOf(identity: Identity): Sums {
    const key = identityKey(identity);
    const sums = sumsByName.get(key) ?? emptySums(identity);
    sumsByName.set(key, sums);
    return sums;
  }

  function removeExpired(): void {
    const removed = [...sumsByName].flatMap(([key, sums]) =>
      sums.removed === undefined ? [] : [{ key, age: msSince(sums.removed, clock) }],
    );
    for (const [index, { age, key }] of removed.entries())
      if (age > keptMs || removed.length - index > keptAtMost) sumsByName.delete(key);
  }

  return {
    follow(current) {
      for (const [tree, identity] of current) {
        const before = trees.get(tree);
        const key = before && identityKey(before);
        const renamed = key === identityKey(identity) ? undefined : sumsByName.get(key ?? '');
        if (renamed === undefined || key === undefined) continue;
        sumsByName.delete(key);
        addSums(sumsOf(identity), renamed);
      }
      trees = current;
      const present = new Set([...current.values()].map(identityKey));
      for (const [key, sums] of [...sumsByName]) {
        if (present.has(key)) sums.removed = undefined;
        else if (sums.removed === undefined) {
          sums.removed = currentMoment(clock);
          sumsByName.delete(key);
          sumsByName.set(key, sums);
        }
      }
      removeExpired();
    },
    add(identity, { bucket, events, level, processes }) {
      const sums = sumsOf(identity);
      sums.kills[level] += processes;
      sums.events[level] += events;
      sums.last[level] = currentMoment(clock);
      if (bucket !== undefined) sums.bucketKills.set(bucket, (sums.bucketKills.get(bucket) ?? 0) + processes);
    },
    list(isKnown) {
      removeExpired();
      // Without the kills of one of its trees the sum would stand still and look healthy.
      const unknown = new Set(
        [...trees].flatMap(([tree, each]) => (isKnown(tree) ? [] : [identityKey(each)])),
      );
      const all = new Map([...trees.values()].map((each) => [identityKey(each), emptySums(each)]));
      for (const [key, sums] of sumsByName) all.set(key, sums);
      return [...all].flatMap(([key, { removed: _, last, ...sums }]) =>
        unknown.has(key) ? [] : [{ ...sums, last: lastTimes(last, clock) }],
      );
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
