/** Restarts of containers, by why they ended; counted from when the pod was first seen. */
import type { Container, Pod, Termination } from './objects/types.ts';
import type { Store } from './store.ts';
import { createPodTally, type PodTally } from './tally.ts';

/** As kubelets write it; `other` is what containers' runtimes add, `unknown` what nobody saw. */
export const restartReasons = [
  'OOMKilled',
  'Error',
  'Completed',
  'StartError',
  'ContainerCannotRun',
  'other',
  'unknown',
] as const;
export type RestartReason = (typeof restartReasons)[number];

export const restartReasonOf = (ended: Termination | undefined): RestartReason =>
  ended === undefined || ended.reason === ''
    ? 'unknown'
    : (restartReasons.find((known) => known === ended.reason) ?? 'other');

/** The name under which the tally counts. */
export const restartKey = (container: string, reason: RestartReason): string => `${container} ${reason}`;

/**
 * Counts from restartCount, which says how many there were, and lastState, which says why of the last one only: when
 * two come between two looks, the earlier one is `unknown`. What pods that are older than `since` (Clock.now()) went
 * through before they were first seen has its own gauge; counted here, each restart of the exporter would look like
 * restarts of Gitaly.
 */
export function countRestarts(store: Store<Pod>, isCounted: (pod: Pod) => boolean, since: number): PodTally {
  const tally = createPodTally();

  function look(before: Pod | undefined, pod: Pod): void {
    if (!isCounted(pod) || (before === undefined && pod.createdAt < since)) return;
    const earlier = new Map(allContainers(before).map(({ name, restartCount }) => [name, restartCount]));
    for (const { name, restartCount, lastTermination } of allContainers(pod)) {
      const added = restartCount - (earlier.get(name) ?? 0);
      if (added <= 0) continue;
      const identity = { namespace: pod.namespace, pod: pod.name, node: pod.node };
      tally.add(identity, restartKey(name, restartReasonOf(lastTermination)));
      if (added > 1) tally.add(identity, restartKey(name, 'unknown'), added - 1);
    }
  }

  store.subscribe((change) => {
    if (change.type === 'added') look(undefined, change.object);
    if (change.type === 'modified') look(change.before, change.object);
    if (change.type !== 'relisted') return;
    const before = new Map(change.before.map((pod) => [pod.uid, pod]));
    for (const pod of change.now) look(before.get(pod.uid), pod);
  });
  return tally;
}

/** Init containers too: one that fails again and again keeps the pod from starting. */
export const allContainers = (pod: Pod | undefined): readonly Container[] =>
  pod === undefined ? [] : [...pod.initContainers, ...pod.containers];
