/** When the removal of a pod started, and whether containers of a pod that stays have terminated. Pure. */
import type { Container, Pod } from '../objects/types.ts';
import { isOnLostNode } from './cause.ts';
import { type Milestone, nodeClock, reportedTime } from './milestones.ts';

export const isBeingRemoved = ({ deletion, phase }: Pod): boolean =>
  deletion !== undefined || phase === 'Failed' || phase === 'Succeeded';

/**
 * @param receivedAt when the first change of the removal arrived; undefined when it was missed
 *
 * A grace period of 0 may be the rest of a longer one, as the kubelet sets it at the end: then the time of the
 * request is unknown unless the change was watched live.
 */
export function removalStartOf(pod: Pod, receivedAt: number | undefined): Milestone {
  const { deletion, conditions } = pod;
  if (deletion === undefined) {
    const since = conditions['DisruptionTarget']?.since ?? conditions['Ready']?.since;
    return { received: receivedAt, reported: reportedTime(since, nodeClock(pod)) };
  }
  const isRequestTime = deletion.graceSeconds > 0 || receivedAt !== undefined;
  return {
    received: receivedAt,
    reported: isRequestTime ? reportedTime(deletion.requestedAt, 'api') : undefined,
  };
}

/**
 * The StatefulSet controller immediately deletes a pod that its kubelet has ended. So the control plane reports
 * the start too, which can be compared with what is reported about the new pod on another node.
 */
export function confirmedStart(start: Milestone, { deletion }: Pod): Milestone {
  if (deletion === undefined || start.reported === undefined || start.reported.clock === 'api') return start;
  const at = deletion.requestedAt;
  return Math.abs(at - start.reported.at) <= 3000 ? { ...start, reported: reportedTime(at, 'api') } : start;
}

/**
 * For a pod that was already being deleted when it was found: the condition has the time until its kubelet is
 * back.
 */
export const nodeLossStart = (pod: Pod): Milestone | undefined =>
  isOnLostNode(pod)
    ? { received: undefined, reported: reportedTime(pod.conditions['Ready']?.since, 'api') }
    : undefined;

/** Containers and sidecars, which run as long as the pod. */
const longRunningContainers = ({ containers, initContainers }: Pod): readonly Container[] => [
  ...initContainers.filter(({ sidecar }) => sidecar),
  ...containers,
];

/** For people: `container gitaly terminated: OOMKilled, exit code 137`; undefined when none has. */
export function terminationText(pod: Pod): string | undefined {
  for (const { name, state, lastTermination } of longRunningContainers(pod)) {
    // In a container that runs again, the termination counts until the pod is Ready.
    const isLastCounted = state.kind !== 'running' || isSinceUnready(pod, lastTermination?.finishedAt);
    const terminated = state.kind === 'terminated' ? state : isLastCounted ? lastTermination : undefined;
    if (terminated !== undefined)
      return `container ${name} terminated: ${terminated.reason === '' ? '' : `${terminated.reason}, `}exit code ${terminated.exitCode}`;
  }
  return undefined;
}

/** Both times are the kubelet's, which writes them within a second or two. */
function isSinceUnready({ conditions }: Pod, finishedAt: number | undefined): boolean {
  const since = conditions['Ready']?.since;
  return finishedAt !== undefined && since !== undefined && finishedAt >= since - 2000;
}

/** A container that was running is not, or was restarted. */
export function hasContainerTerminated(before: Pod, now: Pod): boolean {
  const earlier = new Map(longRunningContainers(before).map((container) => [container.name, container]));
  return longRunningContainers(now).some(({ name, state, restartCount }) => {
    const known = earlier.get(name);
    if (known === undefined) return false;
    return restartCount > known.restartCount || (known.state.kind === 'running' && state.kind !== 'running');
  });
}

/**
 * When a container terminated whose restart, with the pod not Ready because of it, happened entirely between two
 * updates in which the pod was Ready. Undefined otherwise: a sidecar may restart while the pod stays Ready.
 */
export function missedTermination(before: Pod, now: Pod): number | undefined {
  if (before.uid !== now.uid) return undefined;
  const counts = new Map(longRunningContainers(before).map(({ name, restartCount }) => [name, restartCount]));
  const ends = longRunningContainers(now).flatMap(({ name, restartCount, lastTermination }) =>
    restartCount > (counts.get(name) ?? 0) && lastTermination?.finishedAt !== undefined
      ? [lastTermination.finishedAt]
      : [],
  );
  if (ends.length === 0) return undefined;
  const end = Math.max(...ends);
  const since = now.conditions['Ready']?.since;
  return since !== undefined && since > (before.conditions['Ready']?.since ?? since) && since >= end
    ? end
    : undefined;
}
