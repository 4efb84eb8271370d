/** Ongoing rotations, the last rotation of each pod, and counts and durations of all since the exporter started. */
import type { HistogramSample } from '../../../metrics/samples.ts';
import type { EventLog } from '../../../scheduler/event-log.ts';
import { type Identity, identityText } from '../../identity.ts';
import { createPodCounters, type PodCounters } from '../counters.ts';
import type { Pod, StatefulSet } from '../objects/types.ts';
import { type Change, mayBeUnread, objectName, type Stores } from '../store.ts';
import { causeText, revisionOf } from './cause.ts';
import type { ReportedTime } from './milestones.ts';
import {
  type OngoingRotation,
  type Rotation,
  type RotationSpan,
  rotationPhases,
  rotationSpans,
} from './rotation.ts';
import { createRotationTracker } from './tracker.ts';

export interface RotationRecord {
  ongoing(): readonly OngoingRotation[];
  /** The last one of each pod's name. */
  last(): readonly Rotation[];
  /** Total of the slowest of a pod's last ten rotations with a new pod and a known total. */
  slowestReplacementSeconds(namespace: string, pod: string): number | undefined;
  /** By cause; the identity has the node that the pod left. */
  readonly counts: PodCounters;
  durations(namespace: string, statefulSet: string, span: RotationSpan): Durations;
  /** Drops all other names (`namespace/pod`), except from `counts`. */
  retain(isRetained: (name: string) => boolean): void;
}

type Durations = Pick<HistogramSample, 'buckets' | 'sum' | 'count'>;

/**
 * Seconds: a well-configured pod takes 10 to 30 s and its phases less, rotationSlow is 2 minutes, volumes take minutes,
 * and a stuck pod longer.
 */
const durationBuckets = [5, 10, 30, 60, 120, 300, 1800] as const;

const keptReplacements = 10;

interface RotationRecordOptions {
  readonly stores: Pick<Stores, 'pods' | 'statefulSets' | 'nodes' | 'events'>;
  readonly isIncluded: (pod: Pod) => boolean;
  readonly events: Pick<EventLog, 'add'>;
  /** By the exporter's clock; undefined for a time in the future. Default: as reported. */
  readonly localTime?: (time: ReportedTime) => number | undefined;
}

export function createRotationRecord(options: RotationRecordOptions): RotationRecord {
  const { stores, isIncluded, events } = options;
  const last = new Map<string, Rotation>();
  const replaced = new Map<string, readonly number[]>();
  const counts = createPodCounters();
  const durations = new Map<string, number[]>();
  const durationKey = (namespace: string, set: string, span: RotationSpan): string =>
    `${namespace}/${set}/${span}`;

  const tracker = createRotationTracker(
    {
      node: (name) => stores.nodes.all().find((node) => node.name === name),
      eventsAbout: (namespace, pod) =>
        stores.events
          .all()
          .filter(({ about }) => about.kind === 'Pod' && about.namespace === namespace && about.name === pod),
      isReplaced: (pod) => isReplaced(pod, stores.statefulSets),
      isOutdated: (pod) => isOutdated(pod, stores.statefulSets),
      isNodeRemoved: (name) =>
        name !== '' &&
        stores.nodes.state().current &&
        !stores.nodes.all().some((node) => node.name === name) &&
        !mayBeUnread(stores.nodes, name),
      localTime: options.localTime ?? (({ at }) => at),
    },
    {
      started(pod, kind, why) {
        const identity = { namespace: pod.namespace, pod: pod.name, node: pod.node };
        const place = pod.node === '' ? '' : ` on ${pod.node}`;
        events.add(`pod_${kind}`, `${identityText(identity)}${place}: ${why}`, identity);
      },
      completed(rotation) {
        const { namespace, pod, node, fromNode, statefulSet, cause, seconds } = rotation;
        last.set(`${namespace}/${pod}`, rotation);
        if (cause !== 'container_restart' && seconds.total !== undefined)
          replaced.set(
            `${namespace}/${pod}`,
            [...(replaced.get(`${namespace}/${pod}`) ?? []), seconds.total].slice(-keptReplacements),
          );
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

  const includedChange = (change: Change<Pod>): Change<Pod> | undefined => {
    if (change.type !== 'relisted') return isIncluded(change.object) ? change : undefined;
    return { ...change, before: change.before.filter(isIncluded), now: change.now.filter(isIncluded) };
  };
  stores.pods.subscribe((change, at) => {
    const own = includedChange(change);
    if (own !== undefined) tracker.apply(own, at);
  });
  stores.statefulSets.subscribe(() => tracker.dropEnded());
  const known = stores.pods.all().filter(isIncluded);
  if (known.length > 0) tracker.apply({ type: 'relisted', before: [], now: known }, 0);

  return {
    ongoing: () => tracker.ongoing(),
    last: () => [...last.values()],
    retain(isRetained) {
      for (const byName of [last, replaced])
        for (const name of byName.keys()) if (!isRetained(name)) byName.delete(name);
    },
    slowestReplacementSeconds(namespace, pod) {
      const seconds = replaced.get(`${namespace}/${pod}`);
      return seconds === undefined ? undefined : Math.max(...seconds);
    },
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

/** The array has the sum, then the observations of each bucket, +Inf last. */
function observe(durations: Map<string, number[]>, key: string, seconds: number): void {
  const known = durations.get(key) ?? Array.from({ length: durationBuckets.length + 2 }, () => 0);
  const bucket = durationBuckets.findIndex((le) => seconds <= le);
  const index = 1 + (bucket < 0 ? durationBuckets.length : bucket);
  known[0] = (known[0] ?? 0) + seconds;
  known[index] = (known[index] ?? 0) + 1;
  durations.set(key, known);
}

/**
 * A StatefulSet that is scaled down removes the pods with the highest ordinals without replacing them. While
 * StatefulSets are not current, each pod of one is expected to be replaced.
 */
function isReplaced(pod: Pod, sets: Stores['statefulSets']): boolean {
  if (pod.owner?.kind !== 'StatefulSet') return false;
  if (!sets.state().current) return true;
  const set = sets
    .all()
    .find(({ namespace, name }) => namespace === pod.namespace && name === pod.owner?.name);
  if (set === undefined)
    return mayBeUnread(sets, objectName({ namespace: pod.namespace, name: pod.owner.name }));
  const index = indexIn(set, pod);
  return !Number.isInteger(index) || (index >= 0 && index < set.replicas);
}

/** Its StatefulSet replaces it by a pod of another revision. */
function isOutdated(pod: Pod, sets: Stores['statefulSets']): boolean {
  const set = sets
    .all()
    .find(({ namespace, name }) => namespace === pod.namespace && name === pod.owner?.name);
  if (set === undefined || !sets.state().current || set.updateStrategy === 'OnDelete') return false;
  const { updateRevision, partition } = set;
  const revision = revisionOf(pod);
  const isUpdated = !(indexIn(set, pod) < partition);
  return isUpdated && revision !== '' && updateRevision !== '' && updateRevision !== revision;
}

/** From 0 on, by the ordinal at the end of the pod's name; NaN without one. The partition counts from there, too. */
const indexIn = ({ name: set, ordinalsStart = 0 }: StatefulSet, { name }: Pod): number =>
  Number(name.slice(set.length + 1)) - ordinalsStart;

/** `gitlab/gl-gitaly-default-2 is Ready again on lab-node-1 after 10.5 s (rollout): terminating 1.5 s, ...`. */
function rotationText({ cause, seconds, node, fromNode, ...rest }: Rotation): string {
  const identity: Identity = { namespace: rest.namespace, pod: rest.pod, node };
  const place = node === fromNode ? `on ${node}` : `on ${node}, previously on ${fromNode},`;
  const after = seconds.total === undefined ? '' : ` after ${secondsText(seconds.total)}`;
  const parts = rotationPhases.flatMap((phase) => {
    const value = seconds[phase];
    return value === undefined ? [] : [`${phase} ${secondsText(value)}`];
  });
  return `${identityText(identity)} is Ready again ${place}${after} (${causeText[cause]})${parts.length === 0 ? '' : `: ${parts.join(', ')}`}`;
}

const secondsText = (seconds: number): string => `${Number(seconds.toFixed(1))} s`;
