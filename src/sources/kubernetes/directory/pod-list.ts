/** Gitaly's pods as a directory reports them, from whichever source: the present ones, and recently deleted ones. */
import type { Clock } from '../../../lib/clock.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { KnownPod } from '../../server-info.ts';
import { containerLabel, mainContainer } from '../gitaly-objects.ts';
import type { Container, Node, Pod } from '../objects/types.ts';

/** @param node of the pod; without it the versions of runtime and kernel are empty */
export const summarizePod = (
  pod: Pod,
  node: Pick<Node, 'runtimeVersion' | 'kernelVersion'> | undefined,
): KnownPod =>
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
const summarizeContainer = (container: Container, pod: Pod) => {
  const { id, state } = container;
  const isRunning = id !== '' && state.kind === 'running' && pod.phase === 'Running';
  return {
    name: containerLabel(pod, container, 'gitaly'),
    id: id.replace(/^[^/]*:\/\//, ''),
    ...(isRunning && pod.deletion === undefined && { running: true }),
  };
};

/** `v18.10.0` of `host:5000/gitaly:v18.10.0@sha256:...`; empty for an image that only has a digest. */
export function imageTag(image: string): string {
  const [named = ''] = image.split('@');
  return /:([^/:]+)$/.exec(named)?.[1] ?? '';
}

export interface GitalyPodDirectory {
  /** From memory. Deleted pods are included for a minute. `failure`: why the pods may be incomplete. */
  pods(): { readonly pods: readonly KnownPod[]; readonly failure: Failure | undefined };
  /** Calls the listener when the pods may have changed. Returns how to unsubscribe. */
  subscribe(listener: () => void): () => void;
  /** Ends the subscriptions to its sources. */
  close(): void;
}

/** The last values of a pod's cgroups are read shortly after the API has reported its deletion. */
const keepDeletedMs = 60_000;

interface PodList extends Pick<GitalyPodDirectory, 'subscribe'> {
  /** The present pods, then those that were deleted within the last minute. */
  all(): readonly KnownPod[];
  present(): readonly KnownPod[];
  /** A present pod. */
  get(uid: string): KnownPod | undefined;
  /** The pod exists. Returns whether that is a change, as the others do. */
  put(pod: KnownPod): boolean;
  remove(uid: string): boolean;
  /** The pods that exist from now on. */
  replace(present: readonly KnownPod[]): boolean;
  notify(): void;
}

export function createPodList(clock: Clock): PodList {
  const listed = new Map<string, KnownPod>();
  const deleted = new Map<string, { readonly pod: KnownPod; readonly until: number }>();
  const listeners = new Set<() => void>();

  function put(pod: KnownPod): boolean {
    const before = listed.get(pod.uid);
    listed.set(pod.uid, pod);
    deleted.delete(pod.uid);
    return before === undefined || JSON.stringify(before) !== JSON.stringify(pod);
  }

  function remove(uid: string): boolean {
    const pod = listed.get(uid);
    if (pod === undefined) return false;
    listed.delete(uid);
    deleted.set(uid, keptPod(pod, clock));
    return true;
  }

  return {
    all() {
      const now = clock.monotonic();
      for (const [uid, { until }] of deleted) if (until <= now) deleted.delete(uid);
      return [...listed.values(), ...[...deleted.values()].map(({ pod }) => pod)];
    },
    present: () => [...listed.values()],
    get: (uid) => listed.get(uid),
    put,
    remove,
    replace(present) {
      const uids = new Set(present.map(({ uid }) => uid));
      const removed = [...listed.keys()].filter((uid) => !uids.has(uid)).map(remove);
      return [...removed, ...present.map(put)].includes(true);
    },
    notify() {
      for (const listener of [...listeners]) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Its containers no longer run: their cgroups are removed about now. */
const keptPod = (pod: KnownPod, clock: Clock) => ({
  pod: Object.freeze({ ...pod, containers: pod.containers.map(({ id, name }) => ({ name, id })) }),
  until: clock.monotonic() + keepDeletedMs,
});
