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
 * An event that is repeated is the same object with a higher count. Of events that a list brings and that are not
 * known yet, only what happened after `since` (Clock.now()) is new: the API keeps them for an hour, and an exporter
 * may start anew.
 */
export function countNodeOoms(store: Store<KubeEvent>, since: number): NodeOoms {
  const counts = new Map<string, number>();
  const key = (node: string, reason: NodeOomReason): string => `${node} ${reason}`;

  function add(event: KubeEvent, times: number): void {
    const reason = nodeOomReasons.find((known) => known === event.reason);
    if (reason === undefined || event.about.kind !== 'Node' || times <= 0) return;
    const place = key(event.about.name, reason);
    counts.set(place, (counts.get(place) ?? 0) + times);
  }
  const isAllNew = ({ firstAt, createdAt }: KubeEvent): boolean =>
    (firstAt ?? createdAt) >= wholeSecond(since);
  const isNew = ({ lastAt, firstAt, createdAt }: KubeEvent): boolean =>
    (lastAt ?? firstAt ?? createdAt) >= wholeSecond(since);

  store.subscribe((change) => {
    if (change.type === 'added') add(change.object, isAllNew(change.object) ? change.object.count : 1);
    if (change.type === 'modified') add(change.object, change.object.count - change.before.count);
    if (change.type !== 'relisted') return;
    const before = new Map(change.before.map((event) => [event.uid, event.count]));
    for (const event of change.now) {
      const known = before.get(event.uid);
      if (known !== undefined) add(event, event.count - known);
      else if (isNew(event)) add(event, isAllNew(event) ? event.count : 1);
    }
  });
  return {
    count: (node, reason) => counts.get(key(node, reason)) ?? 0,
    keep(isKept) {
      for (const place of counts.keys())
        if (!isKept(place.slice(0, place.lastIndexOf(' ')))) counts.delete(place);
    },
  };
}

/** Events' times are whole seconds, cut off. */
const wholeSecond = (time: number): number => Math.floor(time / 1000) * 1000;
