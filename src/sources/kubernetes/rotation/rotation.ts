/**
 * A rotation: a Gitaly pod is deleted, evicted or loses its node, or one of its containers terminates, until a pod
 * of that name is Ready again. Its repositories are unavailable in between.
 */

/** In chronological order. docs/kubernetes-rotation.md defines the start and end of each. */
export const rotationPhases = [
  'terminating',
  'scheduling',
  'volume',
  'init',
  'startup',
  'readiness',
] as const;
export type RotationPhase = (typeof rotationPhases)[number];

export const rotationSpans = [...rotationPhases, 'total'] as const;
export type RotationSpan = (typeof rotationSpans)[number];

export const rotationCauses = [
  'rollout',
  'eviction_api',
  'eviction_pressure',
  'preemption',
  'node_drained',
  'node_lost',
  'deleted',
  'container_restart',
  'unknown',
] as const;
export type RotationCause = (typeof rotationCauses)[number];

/** A completed rotation. */
export interface Rotation {
  readonly namespace: string;
  readonly pod: string;
  /** Empty for a pod without a StatefulSet. */
  readonly statefulSet: string;
  /** The node that the pod left, and the present one; equal when it is scheduled there again. */
  readonly fromNode: string;
  readonly node: string;
  readonly cause: RotationCause;
  /** Unknown spans are absent, never 0. */
  readonly seconds: Readonly<Partial<Record<RotationSpan, number>>>;
  /** When the pod became Ready, as the kubelet reports it; milliseconds since 1970. */
  readonly endedAt: number | undefined;
}

export interface OngoingRotation {
  readonly namespace: string;
  readonly pod: string;
  readonly statefulSet: string;
  /** Of the pod that has the name now; empty without a pod, or before it is scheduled. */
  readonly node: string;
  /** Milliseconds since 1970; undefined when the start was missed and no object reports it. */
  readonly startedAt: number | undefined;
  readonly phase: RotationPhase;
  /** As far as it is known now: a rollout shows only in the new pod. */
  readonly cause: RotationCause;
  /** There is no pod of that name. */
  readonly missing: boolean;
  /** As far as is known the pod was never Ready: it may be new, and replace no other pod. */
  readonly isNew: boolean;
}
