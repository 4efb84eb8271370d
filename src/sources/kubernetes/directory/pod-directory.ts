/** Gitaly's pods on this node for the cgroup source, from the watch of the Kubernetes API. */
import type { Clock } from '../../../lib/clock.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { KnownPod } from '../../server-info.ts';
import type { ComponentOf } from '../gitaly-objects.ts';
import { incompleteness, notCurrent, objectName, type Stores } from '../store.ts';
import { createPodList, type GitalyPodDirectory, summarizePod } from './pod-list.ts';

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
  const list = createPodList(clock);
  /** By UID. A summary keeps the versions of a node that was removed before the pod. */
  let summaries: ReadonlyMap<string, KnownPod> = new Map();

  function update(): void {
    const own = pods
      .all()
      .filter(
        (pod) =>
          pod.node !== '' && (node === undefined || pod.node === node) && componentOf(pod) === 'gitaly',
      );
    const names = new Set(own.map((pod) => pod.node));
    const used = new Map(
      nodes.all().flatMap((each) => (names.has(each.name) ? [[each.name, each] as const] : [])),
    );
    const present = new Map(
      own.map((pod) => [pod.uid, summarizePod(pod, used.get(pod.node) ?? summaries.get(pod.uid))]),
    );
    // The store hides a pod that has been malformed for too long, which was not deleted.
    const malformed = new Set(pods.state().malformed);
    for (const [uid, pod] of summaries)
      if (!present.has(uid) && malformed.has(objectName(pod))) present.set(uid, pod);
    summaries = present;
    if (list.replace([...summaries.values()])) list.notify();
  }

  const unsubscribe = [nodes.subscribe(update), pods.subscribe(update)];
  update();

  function failure(): Failure | undefined {
    const incomplete = notCurrent(pods, 'pods') ?? incompleteness(pods.state());
    if (incomplete !== undefined) return incomplete;
    const { failure: disconnected, lastEventAt } = pods.state();
    return lastEventAt !== undefined && clock.now() - lastEventAt > maxGapMs ? disconnected : undefined;
  }

  return {
    pods: () => ({ pods: list.all(), failure: failure() }),
    subscribe: list.subscribe,
    close() {
      for (const each of unsubscribe) each();
    },
  };
}
