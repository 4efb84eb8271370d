/** What is known of one pod's name, through all the pods that have it one after the other. */
import type { Pod } from '../objects/types.ts';
import { causeOf, type Evidence } from './cause.ts';
import { isReady, type Mark, type Marks } from './marks.ts';
import type { OngoingRotation, RotationCause, RotationPhase } from './rotation.ts';

/** The pod that went, or is going. */
export interface Leaving {
  readonly pod: Pod;
  /** From deletion on, or from the moment in which its node was lost or it failed. */
  readonly begin: Mark | undefined;
  readonly evidence: Evidence;
  readonly gone: Mark | undefined;
  /** When a list first showed that it was gone, for want of a beginning. */
  readonly missedAt?: number;
}

/** All that is known of one name. */
export interface Name {
  pod: Pod | undefined;
  /** Of `pod`. */
  marks: Marks;
  wasReady: boolean;
  /** Since when `pod`, which was Ready, is not. */
  unready: Mark | undefined;
  leaving: Leaving | undefined;
  /** The first of several that went one after the other, with none Ready between them. */
  first: Leaving | undefined;
  /** A container of `pod` has ended, and it has not been Ready since. */
  restarting: boolean;
  /** Its node was lost in that time. */
  lost: boolean;
  /** `pod` was there, not Ready, when we came or after a gap. */
  foundOnTheWay: boolean;
}

/** What is known of a pod that has only just come. */
export const newcomer = () => ({
  ...{ marks: {} as Marks, wasReady: false, unready: undefined },
  ...{ restarting: false, lost: false, foundOnTheWay: false },
});

export const statefulSetOf = ({ owner }: Pod): string => (owner?.kind === 'StatefulSet' ? owner.name : '');

/** The pod, or the one before it while there is none. */
export const subjectOf = ({ pod, leaving }: Name): Pod | undefined => pod ?? leaving?.pod;

/** Undefined while nothing goes on. */
export function ongoingOf(name: Name): OngoingRotation | undefined {
  const { pod, leaving } = name;
  const subject = subjectOf(name);
  if (subject === undefined) return undefined;
  const isNew = leaving === undefined && pod !== undefined && !name.wasReady && !isReady(pod);
  if (leaving === undefined && !name.restarting && !name.lost && !isNew) return undefined;
  const begin = leaving === undefined ? name.unready : (name.first ?? leaving).begin;
  return {
    ...{ namespace: subject.namespace, pod: subject.name, statefulSet: statefulSetOf(subject) },
    node: pod?.node ?? '',
    startedAt: begin?.told?.at ?? begin?.seen ?? leaving?.missedAt ?? pod?.createdAt,
    phase: phaseNow(name),
    cause: causeNow(name),
    missing: pod === undefined,
    isNew,
  };
}

function phaseNow({ pod, marks, leaving, lost, restarting }: Name): RotationPhase {
  if (pod === undefined) return 'scheduling';
  if (leaving?.pod.uid === pod.uid || (lost && !restarting)) return 'terminating';
  if (marks.scheduled === undefined) return 'scheduling';
  if (marks.sandbox === undefined) return 'volume';
  if (marks.initialized === undefined) return 'init';
  return marks.started === undefined ? 'startup' : 'readiness';
}

function causeNow({ pod, leaving, first, lost, restarting }: Name): RotationCause {
  if (leaving !== undefined) {
    const replacement = pod?.uid === leaving.pod.uid ? undefined : pod;
    return causeOf((first ?? leaving).evidence, replacement, []);
  }
  if (lost) return 'node_lost';
  return restarting ? 'container_restart' : 'unknown';
}
