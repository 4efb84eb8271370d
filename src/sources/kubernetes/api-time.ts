/**
 * Times of the API, compared with the exporter's clock. The API server's clock may be hours ahead or behind: the
 * difference is measured, and a time that is in the future all the same (a node's clock) is not used.
 */
import type { Clock } from '../../lib/clock.ts';
import type { KubeEvent } from './objects/types.ts';
import { apiClockSkewMs, type Stores } from './store.ts';

/** By which clock: the control plane's, or that of a pod's node, which is not measured. */
type WrittenBy = 'api' | 'node';

/** By the exporter's clock; undefined for a time in the future, which says nothing about an age. */
export type PastTime = (at: number | undefined, by: WrittenBy) => number | undefined;

/** Clocks that are synchronized differ by less. */
export const clockToleranceMs = 60_000;

export const localTimes =
  (stores: Pick<Stores, 'clockSkewMs'>, clock: Clock): PastTime =>
  (at, by) => {
    if (at === undefined) return undefined;
    const now = clock.now();
    const local = by === 'api' ? at - apiClockSkewMs(stores) : at;
    return local <= now + clockToleranceMs ? Math.min(local, now) : undefined;
  };

/** When an event last happened, by the API server's clock: lastTimestamp and firstTimestamp are its reporter's. */
export const lastEventTime = ({ createdAt, firstAt, lastAt }: KubeEvent): number =>
  createdAt + Math.max(0, (lastAt ?? createdAt) - (firstAt ?? createdAt));
