/** OOM kills that nodes report as events: the kubelet's SystemOOM, and OOMKilling of node-problem-detector. */
import type { KubeEvent } from './objects/types.ts';
import type { Store } from './store.ts';

export const nodeOomReasons = ['SystemOOM', 'OOMKilling'] as const;
export type NodeOomReason = (typeof nodeOomReasons)[number];

export interface NodeOoms {
  /** Since the exporter started. */
  count(node: string, reason: NodeOomReason): number;
  /** Forgets nodes that are not there any more. */
  keep(isKept: (node: string) => boolean): void;
}

/**
 * An event that is repeated is the same object with a higher count. Of events that are not known yet, only what
 * happened after `since` (Clock.now()) is new: the API keeps them for an hour, and an exporter may start anew.
 */
export function countNodeOoms(store: Store<KubeEvent>, since: number): NodeOoms {
  const counts = new Map<string, number>();
  const key = (node: string, reason: NodeOomReason): string => `${node} ${reason}`;

  function look(before: KubeEvent | undefined, event: KubeEvent): void {
    const reason = nodeOomReasons.find((known) => known === event.reason);
    if (reason === undefined || event.about.kind !== 'Node') return;
    const added = before === undefined ? fresh(event, since) : event.count - before.count;
    if (added <= 0) return;
    const place = key(event.about.name, reason);
    counts.set(place, (counts.get(place) ?? 0) + added);
  }

  store.subscribe((change) => {
    if (change.type === 'added') look(undefined, change.object);
    if (change.type === 'modified') look(change.before, change.object);
    if (change.type !== 'relisted') return;
    const before = new Map(change.before.map((event) => [event.uid, event]));
    for (const event of change.now) look(before.get(event.uid), event);
  });
  return {
    count: (node, reason) => counts.get(key(node, reason)) ?? 0,
    keep(isKept) {
      for (const place of counts.keys())
        if (!isKept(place.slice(0, place.lastIndexOf(' ')))) counts.delete(place);
    },
  };
}

function fresh({ count, firstAt, lastAt, createdAt }: KubeEvent, since: number): number {
  if ((lastAt ?? firstAt ?? createdAt) < since) return 0;
  return (firstAt ?? createdAt) < since ? 1 : Math.max(1, count);
}
