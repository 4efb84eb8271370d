/**
 * Times of the API, compared with the exporter's clock. The API server's clock may be hours ahead or behind: the
 * difference is measured, and a time that is in the future all the same (a node's clock) is not used.
 */
import type { Clock } from '../../lib/clock.ts';
import type { KubeEvent, Pod } from './objects/types.ts';
import { apiClockSkewMs, type Store, type Stores } from './store.ts';

/** By which clock: the control plane's, or that of a pod's node, which is not measured. */
type WrittenBy = 'api' | 'node';

/** By the exporter's clock; undefined for a time in the future, which says nothing about an age. */
export type PastTime = (at: number | undefined, by: WrittenBy) => number | undefined;

/** Clocks that are synchronized differ by less. */
const toleranceMs = 60_000;

export const localTimes =
  (stores: Pick<Stores, 'clockSkewMs'>, clock: Clock): PastTime =>
  (at, by) => {
    if (at === undefined) return undefined;
    const now = clock.now();
    const local = by === 'api' ? at - apiClockSkewMs(stores) : at;
    return local <= now + toleranceMs ? Math.min(local, now) : undefined;
  };

/** When an event last happened, by the API server's clock: lastTimestamp and firstTimestamp are its reporter's. */
export const lastEventTime = ({ createdAt, firstAt, lastAt }: KubeEvent): number =>
  createdAt + Math.max(0, (lastAt ?? createdAt) - (firstAt ?? createdAt));

/** When the condition Ready of a pod was first seen in its present state (Clock.now()). */
export type FirstSeenReady = (pod: Pod) => number | undefined;

/** For a pod whose own time of its condition Ready cannot be used. */
export function watchReadyTimes(store: Store<Pod>): FirstSeenReady {
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
  return ({ uid }) => seen.get(uid)?.at;
}
