/** A store that one or more watches fill; an object that several of them report is in it once. */
import type { Clock } from '../../../lib/clock.ts';
import { describeThrown, stackOf } from '../../../lib/errors.ts';
import type { Log } from '../../../lib/log.ts';
import type { KubeObject } from '../objects/types.ts';
import {
  type Change,
  objectName,
  type Store,
  type WatchEndReason,
  type WatchState,
  watchEndReasons,
} from '../store.ts';
import { isNewerVersion } from './json.ts';
import { maxKeptObjects, type Versioned } from './list.ts';
import type { WatchLoopState, WatchSink } from './loop.ts';
import type { RejectedObject } from './rejected.ts';
import type { Scope } from './resources.ts';

export interface MergedStore<T> extends Store<T> {
  /**
   * Adds a watch; returns the sink for its objects. The store's state reports an `isOptional` watch without
   * permission as the failure, but is current without it.
   */
  addWatch(state: () => WatchLoopState, scope?: Pick<Scope, 'namespace' | 'isOptional'>): WatchSink<T>;
}

interface MergedStoreOptions {
  /** Of the resource, for logs. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly staleMs: number;
  /** Objects with the oldest updates are dropped first. Default: no bounds except those of the watch's selectors. */
  readonly bounds?: { readonly maxObjects: number; readonly maxAgeMs: number };
}

interface AddedWatch {
  readonly state: () => WatchLoopState;
  readonly isOptional: boolean;
  /** Undefined: all namespaces, or a resource without namespaces. */
  readonly namespace: string | undefined;
}

interface Entry<T> {
  versioned: Versioned<T>;
  /** Indexes of the watches that report it. */
  readonly watches: Set<number>;
  updatedAt: number;
  /** Since when its present state is rejected; monotonic. */
  rejectedAt: number | undefined;
}

export function createMergedStore<T extends KubeObject>({
  name,
  clock,
  log,
  staleMs,
  bounds,
}: MergedStoreOptions): MergedStore<T> {
  const entries = new Map<string, Entry<T>>();
  const watches: AddedWatch[] = [];
  const listeners = new Set<(change: Change<T>, at: number) => void>();
  const loggedErrors = new Set<string>();
  let objects: readonly T[] | undefined;

  function notify(change: Change<T>): void {
    const at = clock.now();
    for (const listener of [...listeners]) {
      try {
        listener(change, at);
      } catch (thrown) {
        const error = describeThrown(thrown);
        if (!loggedErrors.has(error))
          log.error(
            { resource: name, error, stack: stackOf(thrown) },
            'internal error in a listener of a kubernetes watch',
          );
        if (loggedErrors.size < 100) loggedErrors.add(error);
      }
    }
  }

  /** Uids of the entries with `rejectedAt`. */
  const rejected = new Set<string>();

  /**
   * An object whose present state was rejected is hidden when its state before is stale. Listeners hear nothing of that:
   * the object was not deleted.
   */
  const isHidden = ({ rejectedAt }: Entry<T>): boolean =>
    rejectedAt !== undefined && clock.monotonic() - rejectedAt > staleMs;

  function all(): readonly T[] {
    const hidden = [...rejected].some((uid) => {
      const entry = entries.get(uid);
      return entry !== undefined && isHidden(entry);
    });
    if (hidden) return visible();
    objects ??= visible();
    return objects;
  }

  const visible = (): readonly T[] =>
    [...entries.values()].filter((entry) => !isHidden(entry)).map(({ versioned }) => versioned.object);

  function reject(uid: string): void {
    const entry = entries.get(uid);
    if (entry === undefined) return;
    entry.rejectedAt ??= clock.monotonic();
    rejected.add(uid);
  }

  /** Returns the object before the update; undefined when another watch has already reported this version. */
  function put(
    uid: string,
    versioned: Versioned<T>,
    watch: number,
  ): { readonly before: T | undefined } | undefined {
    const known = entries.get(uid);
    objects = undefined;
    if (known === undefined) {
      const updatedAt = clock.monotonic();
      entries.set(uid, { versioned, watches: new Set([watch]), updatedAt, rejectedAt: undefined });
      return { before: undefined };
    }
    known.rejectedAt = undefined;
    rejected.delete(uid);
    const isShared = known.watches.size > (known.watches.has(watch) ? 1 : 0);
    known.watches.add(watch);
    if (isShared && !isNewerVersion(versioned.version, known.versioned.version)) return undefined;
    const before = known.versioned.object;
    known.versioned = versioned;
    known.updatedAt = clock.monotonic();
    if (bounds !== undefined) {
      // Keeps the map in the order of updates, so that the oldest come first.
      entries.delete(uid);
      entries.set(uid, known);
    }
    return { before };
  }

  /** Returns whether no watch reports the object any more. */
  function remove(uid: string, watch: number): boolean {
    const known = entries.get(uid);
    if (known === undefined || !known.watches.delete(watch) || known.watches.size > 0) return false;
    entries.delete(uid);
    rejected.delete(uid);
    objects = undefined;
    return true;
  }

  /** A rejected object without a uid may be any object of its name, and without a name any object. */
  function isRejectedIn(list: readonly RejectedObject[]): (uid: string, object: T) => boolean {
    const uids = new Set(list.map(({ uid }) => uid));
    const names = new Set(list.filter(({ uid }) => uid === '').map(({ name }) => name));
    return (uid, object) => uids.has(uid) || names.has('') || names.has(objectName(object));
  }

  function prune(): void {
    if (bounds === undefined) return;
    for (const [uid, { versioned, updatedAt }] of entries) {
      if (entries.size <= bounds.maxObjects && clock.monotonic() - updatedAt <= bounds.maxAgeMs) return;
      entries.delete(uid);
      objects = undefined;
      notify({ type: 'deleted', object: versioned.object });
    }
  }

  return {
    all() {
      prune();
      const unread = unreadNamespaces(watches, clock, staleMs);
      return unread.length === 0 ? all() : all().filter(({ namespace }) => !unread.includes(namespace));
    },
    get(uid) {
      const entry = entries.get(uid);
      return entry === undefined || isHidden(entry) ? undefined : entry.versioned.object;
    },
    state: () => combinedState(watches, entries.size, clock, staleMs),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    addWatch(state, { isOptional = false, namespace } = { namespace: undefined }) {
      const watch = watches.push({ state, isOptional, namespace }) - 1;
      return {
        listed(listed, rejectedObjects) {
          const before = all();
          const isRejected = isRejectedIn(rejectedObjects);
          for (const [uid, entry] of [...entries]) {
            if (!entry.watches.has(watch) || listed.has(uid)) continue;
            if (isRejected(uid, entry.versioned.object)) reject(uid);
            else remove(uid, watch);
          }
          for (const [uid, versioned] of listed) put(uid, versioned, watch);
          notify({ type: 'relisted', before, now: all() });
          prune();
        },
        restored() {
          for (const entry of entries.values())
            entry.versioned = { object: entry.versioned.object, version: '0' };
        },
        put(uid, versioned) {
          if (bounds === undefined && entries.size >= maxKeptObjects && !entries.has(uid)) return false;
          const update = put(uid, versioned, watch);
          if (update === undefined) return true;
          const { object } = versioned;
          const { before } = update;
          notify(before === undefined ? { type: 'added', object } : { type: 'modified', object, before });
          prune();
          return true;
        },
        deleted(uid, last) {
          if (remove(uid, watch)) notify({ type: 'deleted', object: last });
        },
        gone(uid) {
          const object = entries.get(uid)?.versioned.object;
          if (object !== undefined && remove(uid, watch)) notify({ type: 'deleted', object });
        },
        rejected: reject,
      };
    },
  };
}

type RequiredWatch = WatchLoopState & Pick<AddedWatch, 'namespace'>;

const requiredOf = (watches: readonly AddedWatch[]): readonly RequiredWatch[] =>
  watches.flatMap(({ isOptional, namespace, state }) => {
    const own = state();
    return isOptional && own.failure?.reason === 'permission' ? [] : [{ ...own, namespace }];
  });

/**
 * Namespaces whose watch has failed for so long that it is stale, while that of another one is current: a right that is
 * missing in one of them, as after its removal, must not hide the others. One that has not been listed yet is none.
 */
function unreadNamespaces(watches: readonly AddedWatch[], clock: Clock, staleMs: number): readonly string[] {
  // The usual case, and called for each read of the store.
  if (watches.every(({ namespace }) => namespace === watches[0]?.namespace)) return [];
  const required = requiredOf(watches);
  const stale = required.filter((each) => !isFresh(each, clock, staleMs));
  const unread = new Set(stale.map(({ namespace }) => namespace));
  const isPartial =
    stale.every(({ failure, namespace }) => failure !== undefined && namespace !== undefined) &&
    required.some(({ namespace }) => !unread.has(namespace));
  return isPartial ? [...unread].filter((namespace) => namespace !== undefined) : [];
}

const isFresh = ({ lastEventMonotonic, listed }: WatchLoopState, clock: Clock, staleMs: number): boolean =>
  listed && lastEventMonotonic !== undefined && clock.monotonic() - lastEventMonotonic <= staleMs;

/** The worst state of all watches, without the namespaces that cannot be read. */
function combinedState(
  watches: readonly AddedWatch[],
  objects: number,
  clock: Clock,
  staleMs: number,
): WatchState {
  const states = watches.map(({ namespace, state }) => ({ ...state(), namespace }));
  const unread = unreadNamespaces(watches, clock, staleMs);
  const isUnread = ({ namespace }: { readonly namespace: string | undefined }): boolean =>
    namespace !== undefined && unread.includes(namespace);
  const required = requiredOf(watches).filter((each) => !isUnread(each));
  const unavailable = required.find((each) => each.unavailable !== undefined)?.unavailable;
  const lastEvents = required.map(({ lastEventAt }) => lastEventAt);
  return {
    current:
      required.length > 0 &&
      unavailable === undefined &&
      required.every((each) => isFresh(each, clock, staleMs)),
    lastEventAt:
      lastEvents.length === 0 || lastEvents.includes(undefined)
        ? undefined
        : Math.min(...lastEvents.filter((at) => at !== undefined)),
    failure: (states.find(isUnread) ?? states.find(({ failure }) => failure !== undefined))?.failure,
    malformed: states.flatMap(({ malformed }) => malformed),
    ...{ unavailable, objects, unread },
    restarts: Object.fromEntries(
      watchEndReasons.map((reason) => [reason, states.reduce((sum, each) => sum + each.restarts[reason], 0)]),
    ) as Record<WatchEndReason, number>,
  };
}
