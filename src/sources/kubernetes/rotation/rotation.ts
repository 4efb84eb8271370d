/** What a rotation is: a pod of Gitaly goes and is Ready again under its name. For its data that is an outage. */

/** Its parts, in their order. What each is from and to: docs/kubernetes-rotation.md. */
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

/** One that is over. */
export interface Rotation {
  readonly namespace: string;
  readonly pod: string;
  /** Of the StatefulSet; empty for a pod that no StatefulSet owns. */
  readonly statefulSet: string;
  /** The node that it left, and the one that it is on now; the same when it came back there. */
  readonly fromNode: string;
  readonly node: string;
  readonly cause: RotationCause;
  /** Seconds. What cannot be told is absent, never 0. */
  readonly seconds: Readonly<Partial<Record<RotationSpan, number>>>;
  /** When it was Ready, as the kubelet wrote it; milliseconds since 1970. */
  readonly endedAt: number | undefined;
}

/** One that is going on. */
export interface OngoingRotation {
  readonly namespace: string;
  readonly pod: string;
  readonly statefulSet: string;
  /** Of the pod that has the name now; empty while there is none, or none with a node. */
  readonly node: string;
  /** Milliseconds since 1970; undefined when the beginning was not seen and nothing tells of it. */
  readonly startedAt: number | undefined;
  /** What it is at now. */
  readonly phase: RotationPhase;
  /** As far as is known by now: a roll-out is known as one only by the new pod. */
  readonly cause: RotationCause;
  /** There is no pod of that name at all. */
  readonly missing: boolean;
  /** The pod was never Ready as far as is known: it may be a new one, that replaces nothing. */
  readonly isNew: boolean;
}
