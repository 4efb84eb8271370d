/** One store from one or more watches: an object that several of them see is there once. */
import type { Clock } from '../../../lib/clock.ts';
import type { Log } from '../../../lib/log.ts';
import { describeThrown, stackOf } from '../../../lib/thrown.ts';
import type { KubeObject } from '../objects/types.ts';
import { type Change, type Store, type WatchEnd, type WatchState, watchEnds } from '../store.ts';
import type { Held } from './list.ts';
import type { LoopState, Sink } from './loop.ts';

export interface MergedStore<T> extends Store<T> {
  /**
   * The side of one watch: where it tells what it hears, and what the store asks of it. One that is `optional` and
   * forbidden is told as the failure, but takes nothing from the others: the store is current without it.
   */
  join(state: () => LoopState, optional?: boolean): Sink<T>;
}

export interface MergedStoreOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly staleMs: number;
  /** Older ones go first, by when they were last told. Default: no bound but the selectors'. */
  readonly bounds?: { readonly most: number; readonly maxAgeMs: number };
}

interface Joined {
  readonly state: () => LoopState;
  readonly optional: boolean;
}

interface Entry<T> {
  held: Held<T>;
  /** Which of the watches have it. */
  readonly by: Set<number>;
  toldAt: number;
}

export function createMergedStore<T extends KubeObject>({
  name,
  clock,
  log,
  staleMs,
  bounds,
}: MergedStoreOptions): MergedStore<T> {
  const entries = new Map<string, Entry<T>>();
  const states: Joined[] = [];
  const listeners = new Set<(change: Change<T>, at: number) => void>();
  const faults = new Set<string>();
  let list: readonly T[] | undefined;

  function tell(change: Change<T>): void {
    const at = clock.now();
    for (const listener of [...listeners]) {
      try {
        listener(change, at);
      } catch (thrown) {
        const fault = `a bug: what listens to ${name} of Kubernetes failed: ${describeThrown(thrown)}`;
        if (!faults.has(fault)) log.error({ stack: stackOf(thrown) }, fault);
        if (faults.size < 100) faults.add(fault);
      }
    }
  }

  function all(): readonly T[] {
    list ??= [...entries.values()].map(({ held }) => held.object);
    return list;
  }

  /** Returns what was there before, or the entry itself when it is news from another watch that is known already. */
  function put(uid: string, held: Held<T>, watch: number): { readonly before: T | undefined } | undefined {
    const known = entries.get(uid);
    list = undefined;
    if (known === undefined) {
      entries.set(uid, { held, by: new Set([watch]), toldAt: clock.monotonic() });
      return { before: undefined };
    }
    const others = known.by.size > (known.by.has(watch) ? 1 : 0);
    known.by.add(watch);
    if (others && !isNewer(held.version, known.held.version)) return undefined;
    const before = known.held.object;
    known.held = held;
    known.toldAt = clock.monotonic();
    if (bounds !== undefined) {
      // The order of the map is that of telling, so that the oldest are found first.
      entries.delete(uid);
      entries.set(uid, known);
    }
    return { before };
  }

  /** Returns whether it was the last of the watches that had it. */
  function take(uid: string, watch: number): boolean {
    const known = entries.get(uid);
    if (known === undefined || !known.by.delete(watch) || known.by.size > 0) return false;
    entries.delete(uid);
    list = undefined;
    return true;
  }

  function prune(): void {
    if (bounds === undefined) return;
    for (const [uid, { held, toldAt }] of entries) {
      if (entries.size <= bounds.most && clock.monotonic() - toldAt <= bounds.maxAgeMs) return;
      entries.delete(uid);
      list = undefined;
      tell({ type: 'deleted', object: held.object });
    }
  }

  return {
    all() {
      prune();
      return all();
    },
    get: (uid) => entries.get(uid)?.held.object,
    state: () => stateOf(states, entries.size, clock, staleMs),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    join(state, optional = false) {
      const watch = states.push({ state, optional }) - 1;
      return {
        listed(objects) {
          const before = all();
          for (const [uid, { by }] of [...entries]) if (by.has(watch) && !objects.has(uid)) take(uid, watch);
          for (const [uid, held] of objects) put(uid, held, watch);
          tell({ type: 'relisted', before, now: all() });
          prune();
        },
        held(uid, held) {
          const news = put(uid, held, watch);
          if (news === undefined) return;
          const { object } = held;
          tell(
            news.before === undefined
              ? { type: 'added', object }
              : { type: 'modified', object, before: news.before },
          );
          prune();
        },
        deleted(uid, last) {
          if (take(uid, watch)) tell({ type: 'deleted', object: last });
        },
        unreadable(uid) {
          const before = all();
          if (take(uid, watch)) tell({ type: 'relisted', before, now: all() });
        },
      };
    },
  };
}

/** The state of all watches together: the worst of each. */
function stateOf(joined: readonly Joined[], objects: number, clock: Clock, staleMs: number): WatchState {
  const states = joined.map(({ state, optional }) => ({ ...state(), optional }));
  const now = states.filter(({ optional, failure }) => !(optional && failure?.reason === 'permission'));
  const heard = now.map(({ heardAt }) => heardAt);
  return {
    current:
      now.length > 0 &&
      now.every(
        ({ listed, heardMonotonic }) =>
          listed && heardMonotonic !== undefined && clock.monotonic() - heardMonotonic <= staleMs,
      ),
    heardAt:
      heard.length === 0 || heard.includes(undefined)
        ? undefined
        : Math.min(...heard.filter((at) => at !== undefined)),
    failure: states.find(({ failure }) => failure !== undefined)?.failure,
    objects,
    restarts: Object.fromEntries(
      watchEnds.map((end) => [end, states.reduce((sum, { restarts }) => sum + restarts[end], 0)]),
    ) as Record<WatchEnd, number>,
  };
}

/** resourceVersions of one cluster are decimal numbers that rise (comparable since Kubernetes 1.35, and before in fact). */
function isNewer(version: string, than: string): boolean {
  if (!/^\d+$/.test(version) || !/^\d+$/.test(than)) return version !== than;
  return version.length === than.length ? version > than : version.length > than.length;
}
