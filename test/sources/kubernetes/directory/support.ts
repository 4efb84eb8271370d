/** Stores that a test fills, and objects of recorded lists. */
import { nodeOf } from '../../../../src/sources/kubernetes/objects/kinds.ts';
import { podOf } from '../../../../src/sources/kubernetes/objects/pod.ts';
import type { Meta, Node, Pod } from '../../../../src/sources/kubernetes/objects/types.ts';
import {
  type Change,
  noRestarts,
  type Store,
  type WatchState,
} from '../../../../src/sources/kubernetes/store.ts';
import { archive } from '../../../support/kubernetes-archive.ts';

export interface TestStore<T> extends Store<T> {
  add(object: T): void;
  remove(uid: string): void;
  relist(now: readonly T[]): void;
  set(state: Partial<WatchState>): void;
  listeners(): number;
}

export function testStore<T extends Meta>(objects: readonly T[] = []): TestStore<T> {
  const stored = new Map(objects.map((object) => [object.uid, object]));
  const listeners = new Set<(change: Change<T>, at: number) => void>();
  let state: WatchState = {
    current: true,
    lastEventAt: Date.UTC(2026, 0, 1),
    failure: undefined,
    ...{ malformed: [], unavailable: undefined },
    objects: 0,
    restarts: noRestarts(),
  };
  const notify = (change: Change<T>): void => {
    for (const listener of [...listeners]) listener(change, 0);
  };
  return {
    all: () => [...stored.values()],
    get: (uid) => stored.get(uid),
    state: () => ({ ...state, objects: stored.size }),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    add(object) {
      const before = stored.get(object.uid);
      stored.set(object.uid, object);
      notify(before === undefined ? { type: 'added', object } : { type: 'modified', object, before });
    },
    remove(uid) {
      const object = stored.get(uid);
      stored.delete(uid);
      if (object !== undefined) notify({ type: 'deleted', object });
    },
    relist(now) {
      const before = [...stored.values()];
      stored.clear();
      for (const object of now) stored.set(object.uid, object);
      notify({ type: 'relisted', before, now });
    },
    set(change) {
      state = { ...state, ...change };
    },
    listeners: () => listeners.size,
  };
}

export function recordedPods(name: string, moment: string): readonly Pod[] {
  return archive(name)
    .items(`${moment}/pods.json`)
    .map((raw) => {
      const pod = podOf(raw);
      if (!pod.ok) throw new Error(pod.why);
      return pod.object;
    });
}

export function recordedNodes(name: string, moment: string): readonly Node[] {
  return archive(name)
    .items(`${moment}/nodes.json`)
    .map((raw) => {
      const node = nodeOf(raw);
      if (!node.ok) throw new Error(node.why);
      return node.object;
    });
}

/** By name; throws without such an object. */
export function named<T extends Meta>(objects: readonly T[], name: string): T {
  const found = objects.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no ${name} among ${objects.map((each) => each.name).join(', ')}`);
  return found;
}
