/** When a pod began to go. */
import type { Pod } from '../objects/types.ts';
import { showsLostNode } from './cause.ts';
import { type Mark, nodeTeller, told } from './marks.ts';

export const isGoing = ({ deletion, phase }: Pod): boolean =>
  deletion !== undefined || phase === 'Failed' || phase === 'Succeeded';

/**
 * A grace of 0 may be what is left of a longer one (the kubelet sets it at the very end): then the request's time
 * is not known, unless it was seen as it came.
 */
export function beginOf(pod: Pod, live: number | undefined): Mark {
  const { deletion, conditions } = pod;
  if (deletion === undefined) {
    const since = conditions['DisruptionTarget']?.since ?? conditions['Ready']?.since;
    return { seen: live, told: told(since, nodeTeller(pod)) };
  }
  const isRequest = deletion.graceSeconds > 0 || live !== undefined;
  return { seen: live, told: isRequest ? told(deletion.requestedAt, 'api') : undefined };
}

/**
 * What a kubelet ended is deleted by the StatefulSet's controller at once. So the control plane's clock tells its
 * beginning as well as the kubelet's, and can be held against what is told of the new pod on another node.
 */
export function confirmed(begin: Mark, { deletion }: Pod): Mark {
  if (deletion === undefined || begin.told === undefined || begin.told.by === 'api') return begin;
  const at = deletion.requestedAt;
  return Math.abs(at - begin.told.at) <= 3000 ? { ...begin, told: told(at, 'api') } : begin;
}

/** Found when it was being deleted already: its condition tells the time, until its kubelet is back. */
export const lossOf = (pod: Pod): Mark | undefined =>
  showsLostNode(pod) ? { seen: undefined, told: told(pod.conditions['Ready']?.since, 'api') } : undefined;
