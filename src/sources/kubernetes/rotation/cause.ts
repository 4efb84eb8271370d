/** Why a pod went, as far as the API tells. Pure. */
import type { KubeEvent, Node, Pod } from '../objects/types.ts';
import type { RotationCause } from './rotation.ts';

/** What was seen of the pod that went, while it went. */
export interface Evidence {
  /** Reason of its condition DisruptionTarget (Kubernetes >= 1.26); empty without. */
  readonly disruption: string;
  /** status.reason: Evicted, Preempting, NodeShutdown, ... */
  readonly statusReason: string;
  /** Its node was cordoned, or marked for removal by an autoscaler. */
  readonly drained: boolean;
  /** Its node was not Ready, or gone. */
  readonly lost: boolean;
  /** A deletion without any disruption was seen: somebody asked for it, or its StatefulSet. */
  readonly deleted: boolean;
  /** controller-revision-hash */
  readonly revision: string;
}

export const noEvidence = (revision: string): Evidence => ({
  disruption: '',
  statusReason: '',
  drained: false,
  lost: false,
  deleted: false,
  revision,
});

export const revisionOf = ({ labels }: Pod): string => labels['controller-revision-hash'] ?? '';

/** Adds what `pod`, on its way out, and its node say now. What was once seen stays. */
export function gather(before: Evidence, pod: Pod, node: Node | undefined): Evidence {
  const target = pod.conditions['DisruptionTarget'];
  const disruption = target?.status === 'True' ? target.reason : before.disruption;
  return {
    disruption,
    statusReason: pod.reason === '' ? before.statusReason : pod.reason,
    drained: before.drained || (node !== undefined && isDrained(node)),
    lost: before.lost || showsLostNode(pod) || (node !== undefined && isLost(node)),
    deleted: before.deleted || pod.deletion !== undefined,
    revision: before.revision,
  };
}

/**
 * The node's controller sets Ready to False on the pods of a lost node and leaves everything else as the kubelet
 * wrote it last: containers that are all ready, in a pod that is not.
 */
export const showsLostNode = ({ conditions }: Pod): boolean =>
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

/** Reasons of DisruptionTarget: Kubernetes' documentation of pod disruption conditions. */
export function causeOf(
  evidence: Evidence,
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
      // A taint that somebody set by hand drains as well.
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

/** status.reason of a pod that its kubelet ended, in the words of the kubelets since 1.20. */
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

/** Where the watch had a gap, events are what is left of it. */
function causeOfEvents(events: readonly KubeEvent[]): RotationCause | undefined {
  const reasons = new Set(events.map(({ reason }) => reason));
  if (reasons.has('Evicted')) return 'eviction_pressure';
  if (reasons.has('Preempted')) return 'preemption';
  return undefined;
}

/** Why it goes, for people, as far as that is known while it goes. */
export function goingText(evidence: Evidence): string {
  switch (causeOf(evidence, undefined, [])) {
    case 'eviction_api':
      return 'evicted through the API';
    case 'eviction_pressure':
      return 'evicted by its kubelet, which is short of a resource';
    case 'preemption':
      return 'preempted by a pod of higher priority';
    case 'node_drained':
      return 'its node is drained or shuts down';
    case 'node_lost':
      return 'its node is lost';
    case 'deleted':
      return 'its deletion was asked for';
    default:
      return 'it has ended';
  }
}
