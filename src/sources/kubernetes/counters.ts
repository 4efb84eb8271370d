/** Counters that the exporter keeps itself: by pod and node, restarts of containers, and OOM kills of nodes. */
import { type Identity, identityKey } from '../identity.ts';
import type { Container, KubeEvent, Pod, Termination } from './objects/types.ts';
import type { Store } from './store.ts';

/**
 * Counters of a pod's name on one node, which continue when the pod is replaced. If a counter moved with the pod,
 * its new `node` label would make a new series that starts at its full value, and Prometheus would miss the
 * increase. So counts stay under the node where they occurred, and are dropped with the name or the node.
 */
export interface PodCounters {
  add(identity: Identity, key: string, by?: number): void;
  get(identity: Identity, key: string): number;
  entries(): readonly { readonly identity: Identity; readonly counts: ReadonlyMap<string, number> }[];
  /** Drops all others. */
  retain(isRetained: (identity: Identity) => boolean): void;
}

export function createPodCounters(): PodCounters {
  const counters = new Map<string, { identity: Identity; counts: Map<string, number> }>();
  return {
    add(identity, key, by = 1) {
      const mapKey = identityKey(identity);
      const known = counters.get(mapKey) ?? { identity, counts: new Map<string, number>() };
      counters.set(mapKey, known);
      known.counts.set(key, (known.counts.get(key) ?? 0) + by);
    },
    get: (identity, key) => counters.get(identityKey(identity))?.counts.get(key) ?? 0,
    entries: () => [...counters.values()],
    retain(isRetained) {
      for (const [key, { identity }] of counters) if (!isRetained(identity)) counters.delete(key);
    },
  };
}

/** The kubelet's reasons; `other` is any reason of a container runtime, `unknown` no reason at all. */
export const restartReasons = [
  'OOMKilled',
  'Error',
  'Completed',
  'StartError',
  'ContainerCannotRun',
  'other',
  'unknown',
] as const;
export type RestartReason = (typeof restartReasons)[number];

export const restartReasonOf = (termination: Termination | undefined): RestartReason =>
  termination === undefined || termination.reason === ''
    ? 'unknown'
    : (restartReasons.find((known) => known === termination.reason) ?? 'other');

/** The key in PodCounters. */
export const restartKey = (container: string, reason: RestartReason): string => `${container} ${reason}`;

/** Init containers too: one that keeps failing prevents the pod from starting. */
export const allContainers = (pod: Pod | undefined): readonly Container[] =>
  pod === undefined ? [] : [...pod.initContainers, ...pod.containers];

/**
 * Counts restarts by restartCount and the reason in lastState, which the API keeps for the last termination only:
 * of two restarts between two updates, the earlier one is `unknown`. Restarts of pods older than `since`
 * (Clock.now()) before the exporter first saw them do not count; otherwise a restart of the exporter would look
 * like restarts of Gitaly.
 */
export function countRestarts(
  store: Store<Pod>,
  isCounted: (pod: Pod) => boolean,
  since: number,
): PodCounters {
  const counters = createPodCounters();

  function compare(before: Pod | undefined, pod: Pod): void {
    if (!isCounted(pod) || (before === undefined && pod.createdAt < since)) return;
    const earlier = new Map(allContainers(before).map(({ name, restartCount }) => [name, restartCount]));
    for (const { name, restartCount, lastTermination } of allContainers(pod)) {
      const added = restartCount - (earlier.get(name) ?? 0);
      if (added <= 0) continue;
      const identity = { namespace: pod.namespace, pod: pod.name, node: pod.node };
      counters.add(identity, restartKey(name, restartReasonOf(lastTermination)));
      if (added > 1) counters.add(identity, restartKey(name, 'unknown'), added - 1);
    }
  }

  store.subscribe((change) => {
    if (change.type === 'added') compare(undefined, change.object);
    if (change.type === 'modified') compare(change.before, change.object);
    if (change.type !== 'relisted') return;
    const before = new Map(change.before.map((pod) => [pod.uid, pod]));
    for (const pod of change.now) compare(before.get(pod.uid), pod);
  });
  return counters;
}

/** Events of nodes: SystemOOM is the kubelet's, OOMKilling is node-problem-detector's. */
export const nodeOomReasons = ['SystemOOM', 'OOMKilling'] as const;
type NodeOomReason = (typeof nodeOomReasons)[number];

export interface NodeOomCounters {
  /** Since the exporter started. */
  get(node: string, reason: NodeOomReason): number;
  /** Drops all other nodes. */
  retain(isRetained: (node: string) => boolean): void;
}

/**
 * A repeated event is the same object with a higher count. Of unknown events in a list, only those after `since`
 * (Clock.now()) count: the API keeps events for an hour, and the exporter may have been restarted.
 */
export function countNodeOoms(store: Store<KubeEvent>, since: number): NodeOomCounters {
  const counts = new Map<string, number>();
  const keyOf = (node: string, reason: NodeOomReason): string => `${node} ${reason}`;

  function add(event: KubeEvent, times: number): void {
    const reason = nodeOomReasons.find((known) => known === event.reason);
    if (reason === undefined || event.about.kind !== 'Node' || times <= 0) return;
    const key = keyOf(event.about.name, reason);
    counts.set(key, (counts.get(key) ?? 0) + times);
  }
  const areAllNew = ({ firstAt, createdAt }: KubeEvent): boolean =>
    (firstAt ?? createdAt) >= wholeSecond(since);
  const isLastNew = ({ lastAt, firstAt, createdAt }: KubeEvent): boolean =>
    (lastAt ?? firstAt ?? createdAt) >= wholeSecond(since);

  store.subscribe((change) => {
    if (change.type === 'added') add(change.object, areAllNew(change.object) ? change.object.count : 1);
    if (change.type === 'modified') add(change.object, change.object.count - change.before.count);
    if (change.type !== 'relisted') return;
    const before = new Map(change.before.map((event) => [event.uid, event.count]));
    for (const event of change.now) {
      const known = before.get(event.uid);
      if (known !== undefined) add(event, event.count - known);
      else if (isLastNew(event)) add(event, areAllNew(event) ? event.count : 1);
    }
  });
  return {
    get: (node, reason) => counts.get(keyOf(node, reason)) ?? 0,
    retain(isRetained) {
      for (const key of counts.keys())
        if (!isRetained(key.slice(0, key.lastIndexOf(' ')))) counts.delete(key);
    },
  };
}

/** Events have times in whole seconds, rounded down. */
const wholeSecond = (time: number): number => Math.floor(time / 1000) * 1000;
