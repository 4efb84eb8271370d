/** Gitaly's pods on this node for the cgroup source, from the watch of the Kubernetes API. */
import type { Clock } from '../../../lib/clock.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { type ComponentOf, mainContainer } from '../gitaly-objects.ts';
import type { Container, Node, Pod } from '../objects/types.ts';
import { type Change, incompleteness, notCurrent, type Stores } from '../store.ts';

/** Empty strings where the API does not report a value. */
export interface PodSummary {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly qosClass: string;
  readonly priorityClass: string;
  /** Gitaly's version, as the tag of its image: `v18.10.0`. */
  readonly version: string;
  /** Of the node: `containerd://2.1.4`, `6.12.0-amd64`. */
  readonly runtimeVersion: string;
  readonly kernelVersion: string;
  /**
   * Containers and sidecars; no init containers that run to completion. `running`: present and true while it runs in a
   * pod that is not terminating, so that its cgroup must exist.
   */
  readonly containers: readonly {
    readonly name: string;
    readonly id: string;
    readonly running?: boolean;
  }[];
}

/** @param node of the pod; without it the versions of runtime and kernel are empty */
export const summarizePod = (pod: Pod, node: Node | undefined): PodSummary =>
  Object.freeze({
    uid: pod.uid,
    namespace: pod.namespace,
    name: pod.name,
    node: pod.node,
    qosClass: pod.qosClass,
    priorityClass: pod.priorityClass,
    version: imageTag(mainContainer(pod)?.image ?? ''),
    runtimeVersion: node?.runtimeVersion ?? '',
    kernelVersion: node?.kernelVersion ?? '',
    containers: [...pod.initContainers.filter(({ sidecar }) => sidecar), ...pod.containers].map((container) =>
      summarizeContainer(container, pod),
    ),
  });

/** The ID without the runtime's prefix: `containerd://<hex>` becomes `<hex>`. */
const summarizeContainer = ({ name, id, state }: Container, { deletion, phase }: Pod) => ({
  name,
  id: id.replace(/^[^/]*:\/\//, ''),
  ...(id !== '' &&
    state.kind === 'running' &&
    phase === 'Running' &&
    deletion === undefined && { running: true }),
});

/** Of a pod that the API no longer has: its cgroup is removed about now. */
export const asDeleted = (pod: PodSummary): PodSummary =>
  Object.freeze({ ...pod, containers: pod.containers.map(({ id, name }) => ({ name, id })) });

/** `v18.10.0` of `host:5000/gitaly:v18.10.0@sha256:...`; empty for an image that only has a digest. */
export function imageTag(image: string): string {
  const [named = ''] = image.split('@');
  return /:([^/:]+)$/.exec(named)?.[1] ?? '';
}

export interface GitalyPodDirectory {
  /** From memory. Deleted pods are included for a minute. `failure`: why the pods may be incomplete. */
  pods(): { readonly pods: readonly PodSummary[]; readonly failure: Failure | undefined };
  /** Calls the listener when the pods may have changed. Returns how to unsubscribe. */
  subscribe(listener: () => void): () => void;
  /** Ends the subscriptions to its sources. */
  close(): void;
}

/** The last values of a pod's cgroups are read shortly after the API has reported its deletion. */
export const keepDeletedMs = 60_000;

/** A watch that ends is started again within seconds; only a longer gap may hide a new pod. */
const maxGapMs = 30_000;

interface PodDirectoryOptions {
  /** Only the pods of this node; undefined: of all nodes, because the exporter's own node is unknown. */
  readonly node: string | undefined;
  readonly componentOf: ComponentOf;
  readonly clock: Clock;
}

export function createPodDirectory(
  { pods, nodes }: Pick<Stores, 'pods' | 'nodes'>,
  { node, componentOf, clock }: PodDirectoryOptions,
): GitalyPodDirectory {
  const known = new Map<string, PodSummary>();
  const deleted = new Map<string, { readonly pod: PodSummary; readonly until: number }>();
  const listeners = new Set<() => void>();
  const nodesByName = new Map<string, Node>();

  const isIncluded = (pod: Pod): boolean =>
    pod.node !== '' && (node === undefined || pod.node === node) && componentOf(pod) === 'gitaly';
  const notify = (): void => {
    for (const listener of [...listeners]) listener();
  };

  /** Returns whether a summary changed. */
  function put(pod: Pod): boolean {
    if (!isIncluded(pod)) return false;
    const before = known.get(pod.uid);
    const now = summarizePod(pod, nodesByName.get(pod.node));
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(now)) return false;
    known.set(pod.uid, now);
    deleted.delete(pod.uid);
    return true;
  }
  function drop(uid: string): boolean {
    const pod = known.get(uid);
    if (pod === undefined) return false;
    known.delete(uid);
    deleted.set(uid, { pod: asDeleted(pod), until: clock.monotonic() + keepDeletedMs });
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
    if (changed) notify();
  }
  function onNode(change: Change<Node>): void {
    const now = change.type === 'relisted' ? change.now : change.type === 'deleted' ? [] : [change.object];
    for (const each of now) nodesByName.set(each.name, each);
    const names = new Set(now.map(({ name }) => name));
    // Summaries of pods keep the versions of a removed node; a new node of that name replaces them.
    if (change.type === 'relisted')
      for (const name of nodesByName.keys()) if (!names.has(name)) nodesByName.delete(name);
    if (change.type === 'deleted') nodesByName.delete(change.object.name);
    const changed = pods
      .all()
      .filter((pod) => names.has(pod.node))
      .map(put);
    if (changed.includes(true)) notify();
  }

  const unsubscribe = [nodes.subscribe(onNode), pods.subscribe(onPod)];
  for (const each of nodes.all()) nodesByName.set(each.name, each);
  for (const pod of pods.all()) put(pod);

  function failure(): Failure | undefined {
    const incomplete = notCurrent(pods, 'pods') ?? incompleteness(pods.state());
    if (incomplete !== undefined) return incomplete;
    const { failure: disconnected, lastEventAt } = pods.state();
    return lastEventAt !== undefined && clock.now() - lastEventAt > maxGapMs ? disconnected : undefined;
  }

  return {
    pods() {
      const now = clock.monotonic();
      for (const [uid, { until }] of deleted) if (until <= now) deleted.delete(uid);
      return {
        pods: [...known.values(), ...[...deleted.values()].map(({ pod }) => pod)],
        failure: failure(),
      };
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      for (const each of unsubscribe) each();
      listeners.clear();
    },
  };
}
