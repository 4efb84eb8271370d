/** Stores without an API server: filled by the test, or with recorded watch streams at the times of their arrival. */
import type { Failure } from '../../../src/scheduler/outcome.ts';
import type { Parsed } from '../../../src/sources/kubernetes/objects/fields.ts';
import {
  disruptionBudgetOf,
  eventOf,
  nodeOf,
  statefulSetOf,
} from '../../../src/sources/kubernetes/objects/kinds.ts';
import { podOf } from '../../../src/sources/kubernetes/objects/pod.ts';
import type {
  KubeEvent,
  KubeObject,
  Node,
  Pod,
  PodDisruptionBudget,
  StatefulSet,
} from '../../../src/sources/kubernetes/objects/types.ts';
import { type Change, noRestarts, type Store, type Stores } from '../../../src/sources/kubernetes/store.ts';
import { archive } from '../../support/kubernetes-archive.ts';

interface FakeStore<T extends KubeObject> extends Store<T> {
  /** A complete list: the first one, or one after a gap. */
  list(objects: readonly T[], at?: number): void;
  put(object: T, at: number): void;
  remove(object: T, at: number): void;
  /** Changes the objects without notifying listeners, as during a gap of the watch. */
  withoutNotifying(change: () => void): void;
  setCurrent(current: boolean, failure?: Failure): void;
  setMalformed(...names: readonly string[]): void;
  /** Hides the objects of these namespaces, as where their right is missing. */
  setUnread(...namespaces: readonly string[]): void;
}

export function createFakeStore<T extends KubeObject>(): FakeStore<T> {
  const objects = new Map<string, T>();
  const listeners = new Set<(change: Change<T>, at: number) => void>();
  let paused = false;
  let current = false;
  let failure: Failure | undefined;
  let malformed: readonly string[] = [];
  let unread: readonly string[] = [];
  let lastNotified: readonly T[] = [];
  const notify = (change: Change<T>, at: number): void => {
    if (paused) return;
    for (const listener of listeners) listener(change, at);
    lastNotified = [...objects.values()];
  };
  return {
    all: () => [...objects.values()].filter(({ namespace }) => !unread.includes(namespace)),
    get: (uid) => objects.get(uid),
    state: () => ({
      ...{ current, failure, lastEventAt: current ? 1 : undefined, objects: objects.size },
      ...{ malformed, unavailable: undefined, unread },
      restarts: noRestarts(),
    }),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    list(now, at = 0) {
      current = true;
      objects.clear();
      for (const object of now) objects.set(object.uid, object);
      notify({ type: 'relisted', before: lastNotified, now }, at);
    },
    put(object, at) {
      const before = objects.get(object.uid);
      objects.set(object.uid, object);
      notify(before === undefined ? { type: 'added', object } : { type: 'modified', object, before }, at);
    },
    remove(object, at) {
      objects.delete(object.uid);
      notify({ type: 'deleted', object }, at);
    },
    withoutNotifying(change) {
      paused = true;
      change();
      paused = false;
    },
    setUnread(...namespaces) {
      unread = namespaces;
    },
    setMalformed(...names) {
      malformed = names;
    },
    setCurrent(now, why) {
      current = now;
      failure = why;
    },
  };
}

export interface FakeStores extends Stores {
  readonly pods: FakeStore<Pod>;
  readonly statefulSets: FakeStore<StatefulSet>;
  readonly disruptionBudgets: FakeStore<PodDisruptionBudget>;
  readonly nodes: FakeStore<Node>;
  readonly events: FakeStore<KubeEvent>;
}

export const createFakeStores = (): FakeStores => ({
  pods: createFakeStore(),
  statefulSets: createFakeStore(),
  disruptionBudgets: createFakeStore(),
  nodes: createFakeStore(),
  events: createFakeStore(),
});

export function parsedObject<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(parsed.why);
  return parsed.object;
}

/** One line of a recorded watch. */
interface Step {
  readonly at: number;
  readonly resource: 'pods' | 'statefulsets' | 'poddisruptionbudgets' | 'nodes' | 'events';
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject;
  apply(stores: FakeStores): void;
}

const resources = ['pods', 'statefulsets', 'poddisruptionbudgets', 'nodes', 'events'] as const;

/** Parsed once, as objects are immutable. */
const lists = new Map<string, readonly unknown[]>();
const streams = new Map<string, readonly Step[]>();

/** Lists the objects of a recorded moment. */
export function listMoment(stores: FakeStores, name: string, moment: string): void {
  const { items, paths, text } = archive(name);
  const takenAt = `${moment}/taken-at`;
  const at = paths.includes(takenAt) ? Date.parse(text(takenAt).trim()) : undefined;
  const parsed = <T>(resource: string, of: (raw: unknown) => Parsed<T>): readonly T[] => {
    const path = `${moment}/${resource}.json`;
    const known = lists.get(name + path);
    if (known !== undefined) return known as readonly T[];
    const made = paths.includes(path) ? items(path).map((raw) => parsedObject(of(raw))) : [];
    lists.set(name + path, made);
    return made;
  };
  stores.nodes.list(parsed('nodes', nodeOf));
  stores.statefulSets.list(parsed('statefulsets', statefulSetOf));
  stores.disruptionBudgets.list(parsed('poddisruptionbudgets', disruptionBudgetOf));
  stores.events.list(parsed('events', eventOf));
  stores.pods.list(parsed('pods', podOf), at);
}

function stepOf(resource: Step['resource'], type: Step['type'], raw: unknown, at: number): Step {
  const step = <T extends KubeObject>(
    parsed: Parsed<T>,
    store: (stores: FakeStores) => FakeStore<T>,
  ): Step => {
    const object = parsedObject(parsed);
    const apply = (stores: FakeStores): void =>
      type === 'DELETED' ? store(stores).remove(object, at) : store(stores).put(object, at);
    return { at, resource, type, object, apply };
  };
  switch (resource) {
    case 'pods':
      return step(podOf(raw), (stores) => stores.pods);
    case 'statefulsets':
      return step(statefulSetOf(raw), (stores) => stores.statefulSets);
    case 'poddisruptionbudgets':
      return step(disruptionBudgetOf(raw), (stores) => stores.disruptionBudgets);
    case 'nodes':
      return step(nodeOf(raw), (stores) => stores.nodes);
    case 'events':
      return step(eventOf(raw), (stores) => stores.events);
  }
}

/** All watch events of a recorded incident, in the order of their arrival. */
export function stepsOf(name: string): readonly Step[] {
  const known = streams.get(name);
  if (known !== undefined) return known;
  const { watch, watchTimes } = archive(name);
  const steps = resources
    .flatMap((resource) => {
      const times = watchTimes(resource);
      return watch(resource).flatMap((line, index): Step[] => {
        const { type, object: raw } = JSON.parse(line) as { type: string; object: unknown };
        const at = times[index];
        if (at === undefined || type === 'BOOKMARK') return [];
        return [stepOf(resource, type as Step['type'], raw, at)];
      });
    })
    .sort((a, b) => a.at - b.at);
  streams.set(name, steps);
  return steps;
}

export const isGitaly = (pod: Pod): boolean => pod.labels['app'] === 'gitaly';

/** A time on the day of the recordings: `00:26:35.5`. */
export const moment = (time: string): number => Date.parse(`2026-11-23T${time}Z`);
