/** How long it was from one mark to another, in seconds; undefined where nothing tells it. */
import type { Pod } from '../objects/types.ts';
import { type Mark, nodeTeller, type Teller } from './marks.ts';

export interface Span {
  readonly seconds: number;
  readonly basis: 'seen' | 'told';
}

/** Told times are whole seconds, cut off; and what is told takes a moment to come in. */
const toleranceMs = 1250;
/** Clocks that count as the same may still be that far apart. */
const skewMs = 3000;

/**
 * Arrival times are finer, but say when we heard of it: after a connection stood still, everything comes at once. So
 * they hold only where the told times, if they can be compared, say about the same; else the told ones do.
 *
 * @param comparable two tellers whose clocks are known to agree
 */
export function spanOf(
  from: Mark | undefined,
  to: Mark | undefined,
  comparable: (a: Teller, b: Teller) => boolean,
): Span | undefined {
  if (from === undefined || to === undefined) return undefined;
  const seen = from.seen === undefined || to.seen === undefined ? undefined : to.seen - from.seen;
  const told =
    from.told === undefined || to.told === undefined || !comparable(from.told.by, to.told.by)
      ? undefined
      : to.told.at - from.told.at;
  // Of two points that came in one change, arrival says nothing.
  const tolerance = seen === 0 ? 0 : toleranceMs + (from.told?.by === to.told?.by ? 0 : skewMs);
  if (seen !== undefined && (told === undefined || Math.abs(seen - told) <= tolerance))
    return span(seen, 'seen');
  return told === undefined ? undefined : span(told, 'told');
}

/** Under a second the wrong way round is what cutting off does; more is two clocks that differ. */
const span = (ms: number, basis: Span['basis']): Span | undefined =>
  ms < -1000 ? undefined : { seconds: Math.max(0, ms) / 1000, basis };

/** A kubelet takes a pod on within a second or two of its binding. */
const slowestStartMs = 2000;

/**
 * Which clocks may be held against each other. The control plane's and the node's only when the pod itself shows that
 * they agree: status.startTime (the kubelet's) follows PodScheduled (the scheduler's) at once.
 */
export function comparableFor(pod: Pod): (a: Teller, b: Teller) => boolean {
  const scheduled = pod.conditions['PodScheduled']?.since;
  const delay =
    scheduled === undefined || pod.startTime === undefined ? undefined : pod.startTime - scheduled;
  const agree = delay !== undefined && delay >= -1000 && delay <= slowestStartMs;
  const own = nodeTeller(pod);
  return (a, b) => a === b || (agree && [a, b].includes('api') && [a, b].includes(own));
}
