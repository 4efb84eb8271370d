/** Sums of kills: kept for each Gitaly by its tree, told by its identity, so that a pod made anew continues its own. */

import type { Clock } from '../../../lib/clock.ts';
import { type Identity, identityKey } from '../../identity.ts';
import { type OomLevel, type OomTotals, oomLevels } from './record.ts';

export interface Accounts {
  /** These trees live; what is told of all others is kept for an hour, and as long as their identity lives on. */
  follow(living: ReadonlyMap<string, Identity>): void;
  add(tree: string, kill: CountedKill): void;
  /** Of one that lives or is kept still. */
  identity(tree: string): Identity | undefined;
  /** One for each identity, without those that only trees for which `isKnown` is false stand for. */
  totals(isKnown: (tree: string) => boolean): readonly OomTotals[];
}

export interface CountedKill {
  readonly level: OomLevel;
  readonly processes: number;
  readonly events: number;
  readonly bucket: number | undefined;
}

interface Account {
  identity: Identity;
  readonly kills: Record<OomLevel, number>;
  readonly events: Record<OomLevel, number>;
  readonly last: Partial<Record<OomLevel, number>>;
  readonly bucketKills: Map<number, number>;
  /** Monotonic ms; undefined while the tree lives. */
  goneAt: number | undefined;
}

const keptMs = 3_600_000;
/** A tree that went may still get kills from its ancestors' totals; then it becomes part of the one in its place. */
const foldAfterMs = 60_000;

const noKills = (): Record<OomLevel, number> => ({ bucket: 0, git: 0, container: 0, pod: 0, node: 0 });

const open = (identity: Identity): Account => ({
  identity,
  kills: noKills(),
  events: noKills(),
  last: {},
  bucketKills: new Map(),
  goneAt: undefined,
});

export function createAccounts(clock: Pick<Clock, 'now' | 'monotonic'>): Accounts {
  const accounts = new Map<string, Account>();

  /** At every call, so that nothing grows with the number of pods that came and went. */
  function tidy(): void {
    const now = clock.monotonic();
    const living = new Map<string, Account>();
    for (const account of accounts.values())
      if (account.goneAt === undefined) living.set(identityKey(account.identity), account);
    for (const [tree, account] of accounts) {
      if (account.goneAt === undefined) continue;
      const successor = living.get(identityKey(account.identity));
      const age = now - account.goneAt;
      if (successor !== undefined && age > foldAfterMs) {
        merge(successor, account);
        accounts.delete(tree);
      } else if (successor === undefined && age > keptMs) accounts.delete(tree);
    }
  }

  return {
    follow(living) {
      for (const [tree, account] of accounts) if (!living.has(tree)) account.goneAt ??= clock.monotonic();
      for (const [tree, identity] of living) {
        const account = accounts.get(tree);
        if (account === undefined) accounts.set(tree, open(identity));
        else {
          account.identity = identity;
          account.goneAt = undefined;
        }
      }
      tidy();
    },
    add(tree, { bucket, events, level, processes }) {
      const account = accounts.get(tree);
      if (account === undefined) return;
      account.kills[level] += processes;
      account.events[level] += events;
      account.last[level] = clock.now();
      if (bucket !== undefined)
        account.bucketKills.set(bucket, (account.bucketKills.get(bucket) ?? 0) + processes);
    },
    identity: (tree) => accounts.get(tree)?.identity,
    totals(isKnown) {
      tidy();
      const sums = new Map<string, Account & { tree: string; isKnown: boolean }>();
      // Those that went first, so that a living one lends its key.
      const ordered = [...accounts].sort(([, a], [, b]) => Number(isLiving(a)) - Number(isLiving(b)));
      for (const [tree, account] of ordered) {
        const key = identityKey(account.identity);
        const sum = sums.get(key) ?? { ...open(account.identity), tree, isKnown: true };
        merge(sum, account);
        sum.tree = tree;
        // Without what happens in the living one now, the sum would stand still and look well.
        if (isLiving(account) && !isKnown(tree)) sum.isKnown = false;
        sums.set(key, sum);
      }
      return [...sums.values()]
        .filter((sum) => sum.isKnown)
        .map(({ bucketKills, events, identity, kills, last, tree }) => ({
          tree,
          identity,
          kills,
          events,
          last,
          bucketKills,
        }));
    },
  };
}

const isLiving = ({ goneAt }: Account): boolean => goneAt === undefined;

function merge(into: Account, from: Account): void {
  for (const level of oomLevels) {
    into.kills[level] += from.kills[level];
    into.events[level] += from.events[level];
    const newest = Math.max(into.last[level] ?? 0, from.last[level] ?? 0);
    if (newest > 0) into.last[level] = newest;
  }
  for (const [bucket, kills] of from.bucketKills)
    into.bucketKills.set(bucket, (into.bucketKills.get(bucket) ?? 0) + kills);
}
