/** Counters that the exporter keeps itself: by pod and node, restarts of containers, and OOM kills of nodes. */
import { type Component, type Identity, identityKey } from '../identity.ts';
import { lastEventTime } from './api-time.ts';
import { containerLabel } from './gitaly-objects.ts';
import type { Container, KubeEvent, Pod, Termination } from './objects/types.ts';
import type { Store } from './store.ts';

/**
 * Counters of a pod's name on one node, which continue when the pod is replaced. If a counter moved with the pod,
 * its new `node` label would make a new series that starts at its full value, and Prometheus would miss the
 * increase. So counts stay under the node where they occurred. A name or a node may be removed before the next scrape,
 * as an autoscaler removes a drained node: then its counts stay for a day.
 */
export interface PodCounters {
  add(identity: Identity, key: string, by?: number): void;
  /** The count of each key. */
  of(identity: Identity): (key: string) => number;
  entries(): readonly { readonly identity: Identity; readonly counts: ReadonlyMap<string, number> }[];
  /** Drops others that have not been retained for a day. @param now Clock.monotonic() */
  retain(isRetained: (identity: Identity) => boolean, now: number): void;
}

/** For how long, and for how many, counts of objects that no longer exist are kept. */
const keepUnusedMs = 86_400_000;
const maxUnused = 500;

export function createPodCounters(): PodCounters {
  const counters = new Map<
    string,
    { identity: Identity; counts: Map<string, number>; unusedSince: number | undefined }
  >();
  return {
    add(identity, key, by = 1) {
      const mapKey = identityKey(identity);
      const known = counters.get(mapKey) ?? {
        identity,
        counts: new Map<string, number>(),
        unusedSince: undefined,
      };
      counters.set(mapKey, known);
      known.counts.set(key, (known.counts.get(key) ?? 0) + by);
    },
    of(identity) {
      const counts = counters.get(identityKey(identity))?.counts;
      return (key) => counts?.get(key) ?? 0;
    },
    entries: () => [...counters.values()],
    retain(isRetained, now) {
      const unused: { readonly key: string; readonly since: number }[] = [];
      for (const [key, each] of counters) {
        each.unusedSince = isRetained(each.identity) ? undefined : (each.unusedSince ?? now);
        if (each.unusedSince !== undefined) unused.push({ key, since: each.unusedSince });
      }
      unused.sort((a, b) => b.since - a.since);
      for (const [index, { key, since }] of unused.entries())
        if (index >= maxUnused || now - since > keepUnusedMs) counters.delete(key);
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
 * (by the API server's clock) before the exporter first saw them do not count; otherwise a restart of the exporter would look
 * like restarts of Gitaly.
 */
export function countRestarts(
  store: Store<Pod>,
  isCounted: (pod: Pod) => boolean,
  since: () => number,
  component: Component,
): PodCounters {
  const counters = createPodCounters();

  function compare(before: Pod | undefined, pod: Pod): void {
    if (!isCounted(pod) || (before === undefined && pod.createdAt < since())) return;
    const earlier = new Map(allContainers(before).map(({ name, restartCount }) => [name, restartCount]));
    for (const container of allContainers(pod)) {
      const { lastTermination, name, restartCount } = container;
      const added = restartCount - (earlier.get(name) ?? 0);
      if (added <= 0) continue;
      const identity = { namespace: pod.namespace, pod: pod.name, node: pod.node };
      const label = containerLabel(pod, container, component);
      counters.add(identity, restartKey(label, restartReasonOf(lastTermination)));
      if (added > 1) counters.add(identity, restartKey(label, 'unknown'), added - 1);
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

/** By node: its counts are those of an identity without a pod. */
export const nodeIdentity = (node: string): Identity => ({ namespace: '', pod: '', node });

/**
 * A repeated event is the same object with a higher count. Of unknown events in a list, only those after `since` (by the
 * API server's clock) count: the API keeps events for an hour, and the exporter may have been restarted. firstTimestamp
 * and lastTimestamp are of the node's clock, so that only the time between them counts.
 */
export function countNodeOoms(store: Store<KubeEvent>, since: () => number): PodCounters {
  const counters = createPodCounters();

  function add(event: KubeEvent, times: number): void {
    const reason = nodeOomReasons.find((known) => known === event.reason);
    if (reason === undefined || event.about.kind !== 'Node' || times <= 0) return;
    counters.add(nodeIdentity(event.about.name), reason, times);
  }
  const areAllNew = ({ createdAt }: KubeEvent): boolean => createdAt >= wholeSecond(since());
  const isLastNew = (event: KubeEvent): boolean => lastEventTime(event) >= wholeSecond(since());

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
  return counters;
}

/** Events have times in whole seconds, rounded down. */
const wholeSecond = (time: number): number => Math.floor(time / 1000) * 1000;
