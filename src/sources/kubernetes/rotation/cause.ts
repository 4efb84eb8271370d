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
  /** Its StatefulSet had another revision for it, or a pod of another revision was created in its place before. */
  readonly outdated: boolean;
  /** The cluster sets DisruptionTarget, so that its absence means something: Kubernetes >= 1.26. */
  readonly hasConditions: boolean;
  /** controller-revision-hash */
  readonly revision: string;
}

export const noEvidence = (revision: string): RemovalEvidence => ({
  disruption: '',
  statusReason: '',
  drained: false,
  lost: false,
  deleted: false,
  outdated: false,
  hasConditions: true,
  revision,
});

export const revisionOf = ({ labels }: Pod): string => labels['controller-revision-hash'] ?? '';

/** Adds what the pod, while it is being removed, and its node report now. Earlier evidence is kept. */
export function addEvidence(
  before: RemovalEvidence,
  pod: Pod,
  node: Node | undefined,
  cluster: { readonly isOutdated: boolean; readonly isNodeRemoved: boolean },
): RemovalEvidence {
  const target = pod.conditions['DisruptionTarget'];
  const disruption = target?.status === 'True' ? target.reason : before.disruption;
  const drained = before.drained || (node !== undefined && isDrained(node));
  // An autoscaler removes a node after it was drained.
  const isRemoved = cluster.isNodeRemoved && !drained;
  return {
    disruption,
    statusReason: pod.reason === '' ? before.statusReason : pod.reason,
    drained,
    lost: before.lost || isOnLostNode(pod) || isRemoved || (node !== undefined && isLost(node)),
    outdated: before.outdated || cluster.isOutdated,
    hasConditions: before.hasConditions && (node === undefined || setsConditions(node)),
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
const lostTaints = new Set([
  'node.kubernetes.io/unreachable',
  'node.kubernetes.io/not-ready',
  'node.kubernetes.io/out-of-service',
]);

/** Someone's NoExecute taint evicts pods, too. */
const isDrained = ({ unschedulable, taints }: Node): boolean =>
  unschedulable ||
  taints.some(({ key, effect }) => drainTaints.has(key) || (effect === 'NoExecute' && !lostTaints.has(key)));

/** By the kubelet's version, which is at most that of the control plane. */
function setsConditions({ kubeletVersion }: Node): boolean {
  const [, major = '', minor = ''] = /^v(\d+)\.(\d+)/.exec(kubeletVersion) ?? [];
  return major !== '1' || Number(minor) >= 26;
}

const isLost = ({ conditions, taints }: Node): boolean =>
  (conditions['Ready'] !== undefined && conditions['Ready'].status !== 'True') ||
  taints.some(({ key }) => lostTaints.has(key));

/** For the reasons of DisruptionTarget see "Pod disruption conditions" in Kubernetes' documentation. */
export function causeOf(
  evidence: RemovalEvidence,
  replacement: Pod | undefined,
  events: readonly KubeEvent[],
): RotationCause {
  const { disruption, statusReason, drained, lost, deleted, outdated, hasConditions, revision } = evidence;
  switch (disruption) {
    case 'EvictionByEvictionAPI':
      return drained ? 'node_drained' : 'eviction_api';
    case 'PreemptionByScheduler':
      return 'preemption';
    case 'DeletionByPodGC':
      return 'node_lost';
    case 'DeletionByTaintManager':
      // A NoExecute taint that was set manually drains the node too.
      return lost ? 'node_lost' : 'node_drained';
    case 'TerminationByKubelet':
      return causeOfStatus(statusReason) ?? 'eviction_pressure';
  }
  const byStatus = causeOfStatus(statusReason);
  if (byStatus !== undefined) return byStatus;
  if (lost) return 'node_lost';
  const byEvents = causeOfEvents(events);
  if (byEvents !== undefined) return byEvents;
  if (replacement !== undefined && revision !== '' && revisionOf(replacement) !== revision) return 'rollout';
  // The rollout was undone in the meantime.
  if (outdated) return 'rollout';
  if (deleted) return drained && !hasConditions ? 'node_drained' : 'deleted';
  return 'unknown';
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

/** The only evidence after a gap in the watch, and of some evictions in Kubernetes before 1.26. */
function causeOfEvents(events: readonly KubeEvent[]): RotationCause | undefined {
  const reasons = new Set(events.map(({ reason }) => reason));
  if (reasons.has('Evicted')) return 'eviction_pressure';
  if (reasons.has('Preempted')) return 'preemption';
  if (reasons.has('NodeControllerEviction')) return 'node_lost';
  // The same reason is used when the deletion is canceled.
  if (events.some(({ reason, message }) => reason === 'TaintManagerEviction' && !/^cancel/i.test(message)))
    return 'node_drained';
  return undefined;
}

/** For people, as a clause. */
export const causeText: Readonly<Record<RotationCause, string>> = {
  rollout: 'rollout',
  eviction_api: 'evicted through the API',
  eviction_pressure: 'evicted by its kubelet because of node pressure',
  preemption: 'preempted by a pod of higher priority',
  node_drained: 'its node was drained or shut down',
  node_lost: 'its node was lost',
  deleted: 'deleted',
  container_restart: 'a container terminated and was restarted',
  unknown: 'unknown cause',
};

/** Why the pod is being removed, as far as it is known now. */
export function removalText(evidence: RemovalEvidence): string {
  const cause = causeOf(evidence, undefined, []);
  return cause === 'unknown' ? 'it has terminated' : causeText[cause];
}
