/** Gitaly's pods for the cgroup room, from the watch of Kubernetes' API. */

import type { Clock } from '../../../lib/clock.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { KnownPod, PodDirectory } from '../../cgroup/tree.ts';
import type { Node, Pod } from '../objects/types.ts';
import type { Change, Stores } from '../store.ts';
import type { ComponentOf } from './component.ts';
import { knownPod } from './known-pod.ts';
import { notCurrent } from './store-failure.ts';

export interface PodDirectoryOptions {
  /** Only the pods of this node; undefined: of all, where the exporter does not know its node's name. */
  readonly node: string | undefined;
  readonly componentOf: ComponentOf;
  readonly clock: Clock;
}

export interface OpenPodDirectory extends PodDirectory {
  /** Ends it: it hears of no change any more. */
  close(): void;
}

/** What happened at a pod's end is read from its cgroups a little later than the API tells that it is gone. */
const lingersMs = 60_000;

/** A watch that ends is opened anew within seconds; only a gap of more may hide a new pod. */
const gapMs = 30_000;

export function podDirectoryOf(
  { pods, nodes }: Pick<Stores, 'pods' | 'nodes'>,
  { node, componentOf, clock }: PodDirectoryOptions,
): OpenPodDirectory {
  const known = new Map<string, KnownPod>();
  const gone = new Map<string, { readonly pod: KnownPod; readonly until: number }>();
  const listeners = new Set<() => void>();
  const machines = new Map<string, Node>();

  const isOurs = (pod: Pod): boolean =>
    pod.node !== '' && (node === undefined || pod.node === node) && componentOf(pod) === 'gitaly';
  const tell = (): void => {
    for (const listener of [...listeners]) listener();
  };

  /** Returns whether anything that is told changed. */
  function put(pod: Pod): boolean {
    if (!isOurs(pod)) return false;
    const before = known.get(pod.uid);
    const now = knownPod(pod, machines.get(pod.node));
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(now)) return false;
    known.set(pod.uid, now);
    gone.delete(pod.uid);
    return true;
  }
  function drop(uid: string): boolean {
    const pod = known.get(uid);
    if (pod === undefined) return false;
    known.delete(uid);
    gone.set(uid, { pod, until: clock.monotonic() + lingersMs });
    return true;
  }
  function replaceAll(now: readonly Pod[]): boolean {
    const uids = new Set(now.map(({ uid }) => uid));
    const dropped = [...known.keys()].filter((uid) => !uids.has(uid)).map(drop);
    return [...dropped, ...now.map(put)].includes(true);
  }

  function onPod(change: Change<Pod>): void {
    const changed =
      change.type === 'relisted'
        ? replaceAll(change.now)
        : change.type === 'deleted'
          ? drop(change.object.uid)
          : put(change.object);
    if (changed) tell();
  }
  function onNode(change: Change<Node>): void {
    const now = change.type === 'relisted' ? change.now : change.type === 'deleted' ? [] : [change.object];
    for (const machine of now) machines.set(machine.name, machine);
    const names = new Set(now.map(({ name }) => name));
    // What was known of a node that is gone stays with its pods; a name that comes back replaces it.
    if (change.type === 'relisted')
      for (const name of machines.keys()) if (!names.has(name)) machines.delete(name);
    if (change.type === 'deleted') machines.delete(change.object.name);
    const changed = pods
      .all()
      .filter((pod) => names.has(pod.node))
      .map(put);
    if (changed.includes(true)) tell();
  }

  const stops = [nodes.subscribe(onNode), pods.subscribe(onPod)];
  for (const machine of nodes.all()) machines.set(machine.name, machine);
  for (const pod of pods.all()) put(pod);

  function failure(): Failure | undefined {
    const { failure: cut, heardAt } = pods.state();
    const late = notCurrent(pods, 'pods');
    if (late !== undefined) return late;
    return cut !== undefined && heardAt !== undefined && clock.now() - heardAt > gapMs ? cut : undefined;
  }

  return {
    pods() {
      const now = clock.monotonic();
      for (const [uid, { until }] of gone) if (until <= now) gone.delete(uid);
      return { pods: [...known.values(), ...[...gone.values()].map(({ pod }) => pod)], failure: failure() };
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      for (const stop of stops) stop();
      listeners.clear();
    },
  };
}
