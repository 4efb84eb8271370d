/** Whether a roll-out of a StatefulSet is under way. Pure. */
import type { Pod, StatefulSet } from '../objects/types.ts';
import { revisionOf } from '../rotation/cause.ts';

/**
 * A new template that is not yet on all pods it is meant for, or a change that the controller has not seen. Fewer
 * updated replicas alone do not say so: a pod that is deleted, evicted or lost is not counted either. With OnDelete
 * pods are renewed when somebody deletes them, which may be never.
 */
export function isRollingOut(set: StatefulSet): boolean {
  if (set.updateStrategy === 'OnDelete' || set.replicas === 0) return false;
  if (set.observedGeneration < set.generation) return true;
  if (set.currentRevision === set.updateRevision) return false;
  const meant = Math.max(0, set.replicas - set.partition);
  return (
    meant > 0 && (set.updatedReplicas < meant || (set.partition === 0 && set.readyReplicas < set.replicas))
  );
}

/** When a pod was last renewed in it; undefined when none was yet. */
export function lastRenewal(set: StatefulSet, pods: readonly Pod[]): number | undefined {
  const renewed = pods.filter((pod) => pod.owner?.uid === set.uid && revisionOf(pod) === set.updateRevision);
  return renewed.length === 0 ? undefined : Math.max(...renewed.map(({ createdAt }) => createdAt));
}
