/** Gitaly's pods on this node for the cgroup source, from the watch of the Kubernetes API. */
import type { Clock } from '../../../lib/clock.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { ComponentOf } from '../gitaly-objects.ts';
import type { Node, Pod } from '../objects/types.ts';
import { type Change, incompleteness, notCurrent, objectName, type Stores } from '../store.ts';
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
  let nodesByName = new Map<string, Node>();

  const isOwn = (pod: Pod): boolean =>
    pod.node !== '' && (node === undefined || pod.node === node) && componentOf(pod) === 'gitaly';
  /** Keeps the versions of a node that was removed before the pod. */
  const summaryOf = (pod: Pod) => summarizePod(pod, nodesByName.get(pod.node) ?? list.get(pod.uid));

  /** Returns whether the list changed. */
  const update = (changed: readonly Pod[]): boolean =>
    changed.map((pod) => (isOwn(pod) ? list.put(summaryOf(pod)) : list.remove(pod.uid))).includes(true);

  function updateAll(): boolean {
    const own = pods.all().filter(isOwn).map(summaryOf);
    const uids = new Set(own.map(({ uid }) => uid));
    // The store hides a pod that has been malformed for too long, which was not deleted.
    const { malformed, unread = [] } = pods.state();
    const hidden = list
      .present()
      .filter(
        (pod) =>
          !uids.has(pod.uid) && (malformed.includes(objectName(pod)) || unread.includes(pod.namespace)),
      );
    return list.replace([...own, ...hidden]);
  }

  function onPod(change: Change<Pod>): void {
    const isChanged =
      change.type === 'relisted'
        ? updateAll()
        : change.type === 'deleted'
          ? list.remove(change.object.uid)
          : update([change.object]);
    if (isChanged) list.notify();
  }

  function rememberNodes(): void {
    nodesByName = new Map(nodes.all().map((each) => [each.name, each]));
  }

  /** All nodes of the cluster report their state all the time: only the pods of this one are summarized again. */
  function onNode(change: Change<Node>): void {
    if (change.type === 'relisted') rememberNodes();
    else if (change.type === 'deleted') nodesByName.delete(change.object.name);
    else nodesByName.set(change.object.name, change.object);
    const isChanged =
      change.type === 'relisted'
        ? updateAll()
        : update(pods.all().filter((pod) => pod.node === change.object.name));
    if (isChanged) list.notify();
  }

  const unsubscribe = [nodes.subscribe(onNode), pods.subscribe(onPod)];
  rememberNodes();
  updateAll();

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
