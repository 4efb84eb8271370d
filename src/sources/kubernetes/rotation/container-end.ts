/** Containers that ended in a pod that stays. */
import type { Container, Pod } from '../objects/types.ts';

/** Those that run as long as the pod: sidecars are init containers by their place only. */
export const lastingContainers = ({ containers, initContainers }: Pod): readonly Container[] => [
  ...initContainers.filter(({ sidecar }) => sidecar),
  ...containers,
];

/** For people, or undefined: `container gitaly ended: OOMKilled, exit code 137`. */
export function endedContainer(pod: Pod): string | undefined {
  for (const { name, state, lastTermination: last } of lastingContainers(pod)) {
    const ended = state.kind === 'terminated' ? state : state.kind === 'running' ? undefined : last;
    // Running again, but the pod not yet Ready since it ended.
    const before = state.kind === 'running' && endedSinceUnready(pod, last?.finishedAt) ? last : ended;
    if (before !== undefined)
      return `container ${name} ended: ${before.reason === '' ? '' : `${before.reason}, `}exit code ${before.exitCode}`;
  }
  return undefined;
}

/** Both times are the kubelet's; it writes them within a second or two of each other. */
function endedSinceUnready({ conditions }: Pod, finishedAt: number | undefined): boolean {
  const since = conditions['Ready']?.since;
  return finishedAt !== undefined && since !== undefined && finishedAt >= since - 2000;
}

/** One that ran does not any more, or runs anew. */
export function hasContainerEndedBetween(before: Pod, now: Pod): boolean {
  const earlier = new Map(lastingContainers(before).map((container) => [container.name, container]));
  return lastingContainers(now).some(({ name, state, restartCount }) => {
    const was = earlier.get(name);
    if (was === undefined) return false;
    return restartCount > was.restartCount || (was.state.kind === 'running' && state.kind !== 'running');
  });
}

/**
 * When a container ended that was restarted, and its pod not Ready for it, all between two looks in which the pod
 * was Ready. Undefined when there was no such thing: a sidecar may restart while the pod stays Ready.
 */
export function restartWithin(before: Pod, now: Pod): number | undefined {
  if (before.uid !== now.uid) return undefined;
  const counts = new Map(lastingContainers(before).map(({ name, restartCount }) => [name, restartCount]));
  const ends = lastingContainers(now).flatMap(({ name, restartCount, lastTermination: last }) =>
    restartCount > (counts.get(name) ?? 0) && last?.finishedAt !== undefined ? [last.finishedAt] : [],
  );
  if (ends.length === 0) return undefined;
  const end = Math.max(...ends);
  const since = now.conditions['Ready']?.since;
  return since !== undefined && since > (before.conditions['Ready']?.since ?? since) && since >= end
    ? end
    : undefined;
}
