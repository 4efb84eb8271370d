/** Rotations as they are told: what goes on now, the last of each pod, counts by cause, and their durations. */

import type { HistogramSample } from '../../../metrics/samples.ts';
import type { EventLog } from '../../../scheduler/event-log.ts';
import { type Identity, identityText } from '../../identity.ts';
import type { Pod, StatefulSet } from '../objects/types.ts';
import type { Change, Stores } from '../store.ts';
import { createPodTally, type PodTally } from '../tally.ts';
import { createRotationMachine } from './machine.ts';
import {
  type OngoingRotation,
  type Rotation,
  type RotationCause,
  type RotationSpan,
  rotationPhases,
  rotationSpans,
} from './rotation.ts';

export interface RotationRecord {
  ongoing(): readonly OngoingRotation[];
  /** The last of each pod's name. */
  last(): readonly Rotation[];
  /** In all, of the last one that put a new pod in place and whose total is known. */
  lastReplacementSeconds(namespace: string, pod: string): number | undefined;
  /** By cause; `node` is the one that was left. */
  readonly counts: PodTally;
  durations(namespace: string, statefulSet: string, span: RotationSpan): Durations;
  /** Forgets names, `namespace/pod`, that are not kept; counts have their own. */
  keep(isKept: (name: string) => boolean): void;
}

export type Durations = Pick<HistogramSample, 'buckets' | 'sum' | 'count'>;

/** Seconds: a graceful stop of 1 s, the chart's 30 s, volumes that take minutes, and what is stuck. */
export const durationBuckets = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800] as const;

export interface RotationRecordOptions {
  readonly stores: Pick<Stores, 'pods' | 'statefulSets' | 'nodes' | 'events'>;
  readonly isGitaly: (pod: Pod) => boolean;
  readonly events: EventLog;
}

export function createRotationRecord(options: RotationRecordOptions): RotationRecord {
  const { stores, isGitaly, events } = options;
  const last = new Map<string, Rotation>();
  const replaced = new Map<string, number>();
  const counts = createPodTally();
  const durations = new Map<string, number[]>();
  const durationKey = (namespace: string, set: string, span: RotationSpan): string =>
    `${namespace}/${set}/${span}`;

  const machine = createRotationMachine(
    {
      node: (name) => stores.nodes.all().find((node) => node.name === name),
      eventsAbout: (namespace, pod) =>
        stores.events
          .all()
          .filter(({ about }) => about.kind === 'Pod' && about.namespace === namespace && about.name === pod),
      comesBack: (pod) => comesBack(pod, stores.statefulSets),
    },
    {
      disrupted(pod, kind, why) {
        const identity = { namespace: pod.namespace, pod: pod.name, node: pod.node };
        const place = pod.node === '' ? '' : ` on ${pod.node}`;
        events.add(`pod_${kind}`, `${identityText(identity)}${place}: ${why}`, identity);
      },
      rotated(rotation) {
        const { namespace, pod, node, fromNode, statefulSet, cause, seconds } = rotation;
        last.set(`${namespace}/${pod}`, rotation);
        if (cause !== 'container_restart' && seconds.total !== undefined)
          replaced.set(`${namespace}/${pod}`, seconds.total);
        counts.add({ namespace, pod, node: fromNode }, cause);
        for (const span of rotationSpans) {
          const key = durationKey(namespace, statefulSet, span);
          const value = seconds[span];
          if (value !== undefined) observe(durations, key, value);
        }
        events.add('pod_rotated', rotationText(rotation), { namespace, pod, node, cause });
      },
    },
  );

  const ofGitaly = (change: Change<Pod>): Change<Pod> | undefined => {
    if (change.type !== 'relisted') return isGitaly(change.object) ? change : undefined;
    return { ...change, before: change.before.filter(isGitaly), now: change.now.filter(isGitaly) };
  };
  stores.pods.subscribe((change, at) => {
    const own = ofGitaly(change);
    if (own !== undefined) machine.take(own, at);
  });
  stores.statefulSets.subscribe(() => machine.sweep());
  const known = stores.pods.all().filter(isGitaly);
  if (known.length > 0) machine.take({ type: 'relisted', before: [], now: known }, 0);

  return {
    ongoing: () => machine.ongoing(),
    last: () => [...last.values()],
    keep(isKept) {
      for (const kept of [last, replaced]) for (const key of kept.keys()) if (!isKept(key)) kept.delete(key);
    },
    lastReplacementSeconds: (namespace, pod) => replaced.get(`${namespace}/${pod}`),
    counts,
    durations(namespace, statefulSet, span) {
      const [sum = 0, ...perBucket] = durations.get(durationKey(namespace, statefulSet, span)) ?? [];
      const bounds = [...durationBuckets, Number.POSITIVE_INFINITY];
      let count = 0;
      const buckets = bounds.map((le, index) => {
        count += perBucket[index] ?? 0;
        return { le, count };
      });
      return { buckets, sum, count };
    },
  };
}

/** The sum, then how many fell into each bucket, +Inf last. */
function observe(durations: Map<string, number[]>, key: string, seconds: number): void {
  const known = durations.get(key) ?? Array.from({ length: durationBuckets.length + 2 }, () => 0);
  const bucket = durationBuckets.findIndex((le) => seconds <= le);
  const place = 1 + (bucket < 0 ? durationBuckets.length : bucket);
  known[0] = (known[0] ?? 0) + seconds;
  known[place] = (known[place] ?? 0) + 1;
  durations.set(key, known);
}

/**
 * A StatefulSet that is scaled down removes the pods with the highest ordinals, and makes no new ones. While nothing
 * is known of StatefulSets, a pod of one is held to come back.
 */
export function comesBack(pod: Pod, sets: Stores['statefulSets']): boolean {
  if (pod.owner?.kind !== 'StatefulSet') return false;
  if (!sets.state().current) return true;
  const set = sets
    .all()
    .find(({ namespace, name }) => namespace === pod.namespace && name === pod.owner?.name);
  return set !== undefined && isWithin(pod, set);
}

/** By the ordinal at the end of its name; spec.ordinals.start, which the GitLab chart never sets, counts as 0. */
function isWithin({ name }: Pod, { name: set, replicas, ordinalsStart = 0 }: StatefulSet): boolean {
  const ordinal = Number(name.slice(set.length + 1));
  return !Number.isInteger(ordinal) || ordinal < ordinalsStart + replicas;
}

const causeText: Readonly<Record<RotationCause, string>> = {
  rollout: 'roll-out',
  eviction_api: 'evicted through the API',
  eviction_pressure: 'evicted by its kubelet, which was short of a resource',
  preemption: 'preempted',
  node_drained: 'its node was drained or shut down',
  node_lost: 'its node was lost',
  deleted: 'deleted',
  container_restart: 'a container ended and was restarted',
  unknown: 'for a reason that was not seen',
};

/** `gitlab/gl-gitaly-default-2 is Ready again on lab-node-1 after 10.5 s (roll-out): terminating 1.5 s, ...`. */
export function rotationText({ cause, seconds, node, fromNode, ...rest }: Rotation): string {
  const identity: Identity = { namespace: rest.namespace, pod: rest.pod, node };
  const place = node === fromNode ? `on ${node}` : `on ${node}, from ${fromNode},`;
  const after = seconds.total === undefined ? '' : ` after ${secondsText(seconds.total)}`;
  const parts = rotationPhases.flatMap((phase) => {
    const value = seconds[phase];
    return value === undefined ? [] : [`${phase} ${secondsText(value)}`];
  });
  return `${identityText(identity)} is Ready again ${place}${after} (${causeText[cause]})${parts.length === 0 ? '' : `: ${parts.join(', ')}`}`;
}

const secondsText = (seconds: number): string => `${Number(seconds.toFixed(1))} s`;
