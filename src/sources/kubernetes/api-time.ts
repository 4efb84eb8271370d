/**
 * Times of the API, compared with the exporter's clock. The API server's clock may be hours ahead or behind: the
 * difference is measured, and a time that is in the future all the same (a node's clock) is not used.
 */
import type { Clock } from '../../lib/clock.ts';
import type { KubeEvent, Pod } from './objects/types.ts';
import { apiClockSkewMs, type Store, type Stores } from './store.ts';

/** By which clock: the control plane's, or that of a pod's node, which is not measured. */
type WrittenBy = 'api' | 'node';

export interface LocalTimes {
  /** By the exporter's clock; undefined for a time in the future, which says nothing about an age. */
  past(at: number | undefined, by: WrittenBy): number | undefined;
}

/** Clocks that are synchronized differ by less. */
const toleranceMs = 60_000;

export function createLocalTimes(stores: Pick<Stores, 'clockSkewMs'>, clock: Clock): LocalTimes {
  return {
    past(at, by) {
      if (at === undefined) return undefined;
      const now = clock.now();
      const local = by === 'api' ? at - apiClockSkewMs(stores) : at;
      return local <= now + toleranceMs ? Math.min(local, now) : undefined;
    },
  };
}

/** When an event last happened, by the API server's clock: lastTimestamp and firstTimestamp are its reporter's. */
export const lastEventTime = ({ createdAt, firstAt, lastAt }: KubeEvent): number =>
  createdAt + Math.max(0, (lastAt ?? createdAt) - (firstAt ?? createdAt));

export interface ReadyTimes {
  /** When the condition Ready of this pod was first seen in its present state (Clock.now()). */
  firstSeen(pod: Pod): number | undefined;
}

/** For a pod whose own time of its condition Ready cannot be used. */
export function watchReadyTimes(store: Store<Pod>): ReadyTimes {
  const seen = new Map<string, { readonly status: string; readonly at: number }>();
  const statusOf = ({ conditions }: Pod): string => conditions['Ready']?.status ?? '';
  const update = (pod: Pod, at: number): void => {
    const status = statusOf(pod);
    if (seen.get(pod.uid)?.status !== status) seen.set(pod.uid, { status, at });
  };
  store.subscribe((change, at) => {
    if (change.type === 'deleted') seen.delete(change.object.uid);
    else if (change.type !== 'relisted') update(change.object, at);
    else {
      const uids = new Set(change.now.map(({ uid }) => uid));
      for (const uid of seen.keys()) if (!uids.has(uid)) seen.delete(uid);
      for (const pod of change.now) update(pod, at);
    }
  });
  return { firstSeen: ({ uid }) => seen.get(uid)?.at };
}
