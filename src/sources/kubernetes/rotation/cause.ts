/** Why a pod was removed, as far as the API reports it. Pure. */
import type { KubeEvent, Node, Pod } from '../objects/types.ts';
import type { RotationCause } from './rotation.ts';

/** Observations about a pod that is being removed. */
export interface RemovalEvidence {
  /** Reason of the condition DisruptionTarget (Kubernetes >= 1.26); empty without it. */
  readonly disruption: string;
  /** status.reason: Evicted, Preempting, NodeShutdown, ... */
  readonly statusReason: string;
  /** The node was cordoned, or marked for removal by an autoscaler. */
  readonly drained: boolean;
  /** The node was not Ready, or removed. */
  readonly lost: boolean;
  /** The pod was deleted, by its StatefulSet or by a client. */
  readonly deleted: boolean;
  /** controller-revision-hash */
  readonly revision: string;
}

export const noEvidence = (revision: string): RemovalEvidence => ({
  disruption: '',
  statusReason: '',
  drained: false,
  lost: false,
  deleted: false,
  revision,
});

export const revisionOf = ({ labels }: Pod): string => labels['controller-revision-hash'] ?? '';

/** Adds what the pod, while it is being removed, and its node report now. Earlier evidence is kept. */
export function addEvidence(before: RemovalEvidence, pod: Pod, node: Node | undefined): RemovalEvidence {
  const target = pod.conditions['DisruptionTarget'];
  const disruption = target?.status === 'True' ? target.reason : before.disruption;
  return {
    disruption,
    statusReason: pod.reason === '' ? before.statusReason : pod.reason,
    drained: before.drained || (node !== undefined && isDrained(node)),
    lost: before.lost || isOnLostNode(pod) || (node !== undefined && isLost(node)),
    deleted: before.deleted || pod.deletion !== undefined,
    revision: before.revision,
  };
}

/**
 * The node controller sets Ready to False on the pods of a lost node and leaves everything else as the kubelet
 * last reported it: all containers are ready, and the pod is not.
 */
export const isOnLostNode = ({ conditions }: Pod): boolean =>
  conditions['Ready'] !== undefined &&
  conditions['Ready'].status !== 'True' &&
  conditions['Ready'].reason !== 'ReadinessGatesNotReady' &&
  conditions['ContainersReady']?.status === 'True';

const drainTaints = new Set([
  'node.kubernetes.io/unschedulable',
  'ToBeDeletedByClusterAutoscaler',
  'karpenter.sh/disrupted',
  'karpenter.sh/disruption',
]);
const lostTaints = new Set(['node.kubernetes.io/unreachable', 'node.kubernetes.io/not-ready']);

const isDrained = ({ unschedulable, taints }: Node): boolean =>
  unschedulable || taints.some(({ key }) => drainTaints.has(key));

const isLost = ({ conditions, taints }: Node): boolean =>
  (conditions['Ready'] !== undefined && conditions['Ready'].status !== 'True') ||
  taints.some(({ key }) => lostTaints.has(key));

/** For the reasons of DisruptionTarget see "Pod disruption conditions" in Kubernetes' documentation. */
export function causeOf(
  evidence: RemovalEvidence,
  replacement: Pod | undefined,
  events: readonly KubeEvent[],
): RotationCause {
  const { disruption, statusReason, drained, lost, deleted, revision } = evidence;
  switch (disruption) {
    case 'EvictionByEvictionAPI':
      return drained ? 'node_drained' : 'eviction_api';
    case 'PreemptionByScheduler':
      return 'preemption';
    case 'DeletionByPodGC':
      return 'node_lost';
    case 'DeletionByTaintManager':
      // A NoExecute taint that was set manually drains the node too.
      return lost ? 'node_lost' : drained ? 'node_drained' : 'unknown';
    case 'TerminationByKubelet':
      return causeOfStatus(statusReason) ?? 'eviction_pressure';
  }
  const byStatus = causeOfStatus(statusReason);
  if (byStatus !== undefined) return byStatus;
  if (lost) return 'node_lost';
  if (replacement !== undefined && revision !== '' && revisionOf(replacement) !== revision) return 'rollout';
  if (deleted) return 'deleted';
  return causeOfEvents(events) ?? 'unknown';
}

/** By status.reason of a pod that its kubelet ended, as kubelets since 1.20 write it. */
function causeOfStatus(reason: string): RotationCause | undefined {
  switch (reason) {
    case 'Evicted':
      return 'eviction_pressure';
    case 'Preempting':
      return 'preemption';
    case 'Terminated':
    case 'NodeShutdown':
    case 'Shutdown':
      return 'node_drained';
    case 'NodeLost':
      return 'node_lost';
    default:
      return undefined;
  }
}

/** After a gap in the watch, events are the only evidence left. */
function causeOfEvents(events: readonly KubeEvent[]): RotationCause | undefined {
  const reasons = new Set(events.map(({ reason }) => reason));
  if (reasons.has('Evicted')) return 'eviction_pressure';
  if (reasons.has('Preempted')) return 'preemption';
  return undefined;
}

/** For people: why the pod is being removed, as far as it is known now. */
export function removalText(evidence: RemovalEvidence): string {
  switch (causeOf(evidence, undefined, [])) {
    case 'eviction_api':
      return 'evicted through the API';
    case 'eviction_pressure':
      return 'evicted by its kubelet because of node pressure';
    case 'preemption':
      return 'preempted by a pod of higher priority';
    case 'node_drained':
      return 'its node is being drained or shut down';
    case 'node_lost':
      return 'its node is lost';
    case 'deleted':
      return 'its deletion was requested';
    default:
      return 'it has terminated';
  }
}
