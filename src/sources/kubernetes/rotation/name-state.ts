/** What is known of the pods of one name during a rotation, and the ongoing rotation that it shows: pure. */
import type { KubeEvent, Node, Pod } from '../objects/types.ts';
import { causeOf, type RemovalEvidence } from './cause.ts';
import { isReady, type Milestone, type Milestones, type ReportedTime } from './milestones.ts';
import type { OngoingRotation, RotationCause, RotationPhase } from './rotation.ts';
import { removalStartOf } from './termination.ts';

/** The present state of the rest of the cluster. */
export interface ClusterState {
  node(name: string): Node | undefined;
  eventsAbout(namespace: string, podName: string): readonly KubeEvent[];
  /** False when there will be no pod of this name again: its StatefulSet was deleted or scaled down. */
  isReplaced(pod: Pod): boolean;
  /** Its StatefulSet has another revision for it. */
  isOutdated(pod: Pod): boolean;
  /** False while nodes are unknown. */
  isNodeRemoved(name: string): boolean;
  /** By the exporter's clock; undefined for a time in the future. */
  localTime(time: ReportedTime): number | undefined;
}

/** The pod that is being removed, or was. */
export interface Removal {
  readonly pod: Pod;
  /** When it was deleted, its node was lost, or it failed. */
  readonly start: Milestone | undefined;
  readonly evidence: RemovalEvidence;
  readonly removed: Milestone | undefined;
  /** Where the start is unknown: when a list first showed that the pod was removed. */
  readonly missedAt?: number;
}

export interface NameState {
  pod: Pod | undefined;
  /** Of `pod`. */
  milestones: Milestones;
  wasReady: boolean;
  /** Since when `pod` is not Ready, after it was. */
  unready: Milestone | undefined;
  removal: Removal | undefined;
  /** The first of several removals in a row, without a Ready pod between them. */
  firstRemoval: Removal | undefined;
  /** A container of `pod` has terminated, and the pod has not been Ready since. */
  isRestarting: boolean;
  /** In that time its node was lost. */
  isNodeLost: boolean;
  /** `pod` was already there and not Ready, at the start of the exporter or after a gap in the watch. */
  wasFoundStarting: boolean;
}

/** The fields that are about the pod alone, for a new pod. */
export const newPodState = () => ({
  ...{ milestones: {} as Milestones, wasReady: false, unready: undefined },
  ...{ isRestarting: false, isNodeLost: false, wasFoundStarting: false },
});

/** Without a sign of a lost node before: the pod was Ready until it was deleted, as when its node object is deleted. */
export const liveStartOf = (
  pod: Pod,
  before: Pod | undefined,
  receivedAt: number | undefined,
): Milestone | undefined =>
  before !== undefined && isReady(before) && receivedAt !== undefined
    ? removalStartOf(pod, receivedAt)
    : undefined;

/** A late change of a pod whose successor is known already: several watches are not synchronized with each other. */
export const isPredecessor = ({ pod: known }: NameState, pod: Pod): boolean =>
  known !== undefined && known.uid !== pod.uid && pod.createdAt < known.createdAt;

export const keyOf = ({ namespace, name }: Pod): string => `${namespace}/${name}`;

export const statefulSetNameOf = ({ owner }: Pod): string =>
  owner?.kind === 'StatefulSet' ? owner.name : '';

/** The pod, or its predecessor while there is none. */
export const subjectOf = ({ pod, removal }: NameState): Pod | undefined => pod ?? removal?.pod;

/** Undefined without an ongoing rotation. */
export function ongoingOf(state: NameState, cluster: ClusterState): OngoingRotation | undefined {
  const { pod, removal } = state;
  const subject = subjectOf(state);
  if (subject === undefined) return undefined;
  const isNew = removal === undefined && pod !== undefined && !state.wasReady && !isReady(pod);
  if (removal === undefined && !state.isRestarting && !state.isNodeLost && !isNew) return undefined;
  const start = removal === undefined ? state.unready : (state.firstRemoval ?? removal).start;
  return {
    ...{ namespace: subject.namespace, pod: subject.name, statefulSet: statefulSetNameOf(subject) },
    node: pod?.node ?? '',
    startedAt:
      startTime(start, cluster) ?? removal?.missedAt ?? (isNew ? creationTime(pod, cluster) : undefined),
    phase: presentPhase(state),
    cause: presentCause(state, cluster),
    missing: pod === undefined,
    isNew,
  };
}

/** A change arrives soon after it happened, except on a connection that stalls, which is replaced within minutes. */
const maxArrivalMs = 600_000;

/** By the exporter's clock. */
export function startTime(start: Milestone | undefined, cluster: ClusterState): number | undefined {
  const reported = start?.reported && cluster.localTime(start.reported);
  const received = start?.received;
  if (received === undefined || reported === undefined) return reported ?? received;
  return reported > received || received - reported > maxArrivalMs ? received : reported;
}

const creationTime = (pod: Pod, cluster: ClusterState): number | undefined =>
  cluster.localTime({ at: pod.createdAt, clock: 'api' });

function presentPhase({ pod, milestones, removal, isNodeLost, isRestarting }: NameState): RotationPhase {
  if (pod === undefined) return 'scheduling';
  if (removal?.pod.uid === pod.uid || (isNodeLost && !isRestarting)) return 'terminating';
  if (milestones.scheduled === undefined) return 'scheduling';
  if (milestones.sandbox === undefined) return 'volume';
  if (milestones.initialized === undefined) return 'init';
  return milestones.started === undefined ? 'startup' : 'readiness';
}

function presentCause(
  { pod, removal, firstRemoval, isNodeLost, isRestarting }: NameState,
  cluster: ClusterState,
): RotationCause {
  if (removal !== undefined) {
    const replacement = pod?.uid === removal.pod.uid ? undefined : pod;
    const first = firstRemoval ?? removal;
    const events = cluster
      .eventsAbout(first.pod.namespace, first.pod.name)
      .filter(({ about }) => about.uid === first.pod.uid);
    return causeOf(first.evidence, replacement, events);
  }
  if (isNodeLost) return 'node_lost';
  return isRestarting ? 'container_restart' : 'unknown';
}
