/** Maintenance windows from Kubernetes: annotated nodes and StatefulSets, and rollouts. */
import { timeOf } from './objects/fields.ts';
import type { Meta, Node, Pod, StatefulSet } from './objects/types.ts';
import { revisionOf } from './rotation/cause.ts';
import { apiClockSkewMs, objectName, type Stores } from './store.ts';

/** On a node or a StatefulSet: the end of its maintenance. */
const maintenanceUntil = 'gitaly-exporter/maintenance-until';

/** A time further in the future is a mistake, or would be forgotten. */
const maxWindowMs = 7 * 86_400_000;

/** Clocks that are synchronized differ by less. */
const futureToleranceMs = 60_000;

type MaintenanceEnd =
  | { readonly kind: 'until'; readonly at: number }
  | { readonly kind: 'invalid'; readonly found: string; readonly why: string };

/**
 * From the annotation, else from the label of the same name: RFC 3339, or 20261124T060000Z, because labels may not
 * contain colons. Undefined without either.
 */
function maintenanceEndOf({ annotations, labels }: Meta, now: number): MaintenanceEnd | undefined {
  const found = annotations[maintenanceUntil] ?? labels[maintenanceUntil];
  if (found === undefined) return undefined;
  const at = timeOf(found.trim()) ?? timeOf(expandBasicFormat(found.trim()));
  if (at === undefined)
    return {
      kind: 'invalid',
      found,
      why: 'not a time with its zone, such as 2026-11-24T06:00:00Z (or 20261124T060000Z in a label)',
    };
  if (at > now + maxWindowMs) return { kind: 'invalid', found, why: 'more than 7 days in the future' };
  return { kind: 'until', at };
}

/** `20261124T060000Z` as `2026-11-24T06:00:00Z`. */
const expandBasicFormat = (text: string): string =>
  text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/i, '$1-$2-$3T$4:$5:$6Z');

/**
 * Whether the set's template is not yet on all pods that it applies to, or its controller has not seen a change.
 * Fewer updated replicas alone are no sign: a pod that is deleted, evicted or lost does not count as updated
 * either. With OnDelete, pods are replaced only when they are deleted, which may be never.
 */
function isRollingOut(set: StatefulSet): boolean {
  if (set.updateStrategy === 'OnDelete' || set.replicas === 0) return false;
  if (set.observedGeneration < set.generation) return true;
  if (set.currentRevision === set.updateRevision) return false;
  const toUpdate = Math.max(0, set.replicas - set.partition);
  return (
    toUpdate > 0 &&
    (set.updatedReplicas < toUpdate || (set.partition === 0 && set.readyReplicas < set.replicas))
  );
}

/** When the rollout last created a pod; undefined before the first one. */
function lastReplacement(set: StatefulSet, pods: readonly Pod[], skewMs: number): number | undefined {
  const updated = pods.filter((pod) => pod.owner?.uid === set.uid && revisionOf(pod) === set.updateRevision);
  return updated.length === 0
    ? undefined
    : updated.reduce((last, { createdAt }) => Math.max(last, createdAt - skewMs), -Infinity);
}

interface KubernetesWindows {
  windows(now: number): readonly {
    readonly name: string;
    readonly open: boolean;
    readonly endsAt: number | undefined;
  }[];
  mistakes(now: number): readonly {
    readonly key: string;
    readonly title: string;
    readonly detail: string;
    readonly action: string;
  }[];
}

/**
 * Resources that are not current have no windows, so that stale data suppresses no alert.
 *
 * @param rolloutMaxIdleMs how long a rollout's window stays open without a replaced pod
 */
export function createKubernetesWindows(stores: Stores, rolloutMaxIdleMs: number): KubernetesWindows {
  /** uid and generation of a rollout -> when it was first seen. */
  let firstSeen = new Map<string, number>();
  let isFirstRead = true;

  const annotated = (): readonly (Node | StatefulSet)[] => [
    ...(stores.nodes.state().current ? stores.nodes.all() : []),
    ...statefulSets(),
  ];
  const statefulSets = (): readonly StatefulSet[] =>
    stores.statefulSets.state().current ? stores.statefulSets.all() : [];

  function rollouts(now: number): readonly { readonly set: StatefulSet; readonly endsAt: number }[] {
    const all = statefulSets();
    if (all.length === 0) return [];
    const seenBefore = firstSeen;
    firstSeen = new Map();
    const found = all.filter(isRollingOut).map((set) => {
      const key = `${set.uid} ${set.generation}`;
      const found = lastReplacement(set, stores.pods.all(), apiClockSkewMs(stores));
      // A time in the future would keep the window open until then.
      const replacedAt = found !== undefined && found > now + futureToleranceMs ? undefined : found;
      // The start of a rollout that began before the exporter is unknown: then its last replaced pod counts alone.
      const seenAt = seenBefore.get(key) ?? (isFirstRead ? (replacedAt ?? now) : now);
      firstSeen.set(key, seenAt);
      return { set, endsAt: Math.min(now, Math.max(seenAt, replacedAt ?? seenAt)) + rolloutMaxIdleMs };
    });
    isFirstRead = false;
    return found;
  }

  return {
    windows(now) {
      const ongoing = new Map(rollouts(now).map((rollout) => [rollout.set.uid, rollout.endsAt]));
      return [
        ...annotated().flatMap((object) => {
          const end = maintenanceEndOf(object, now);
          if (end?.kind !== 'until') return [];
          return windowUntil(`annotation:${object.kind}/${objectName(object)}`, end.at, now);
        }),
        ...statefulSets().map((set) =>
          windowUntil(`rollout:${objectName(set)}`, ongoing.get(set.uid) ?? 0, now),
        ),
      ];
    },
    mistakes: (now) => [
      ...annotated().flatMap((object) => {
        const end = maintenanceEndOf(object, now);
        if (end?.kind !== 'invalid') return [];
        const name = `${object.kind} ${objectName(object)}`;
        return {
          key: `maintenance ${name}`,
          title: `${maintenanceUntil} of ${name} is invalid, so that it suppresses no alerts`,
          detail: `Its value ${JSON.stringify(end.found)} is ${end.why}.`,
          action: `Correct it, or remove it: kubectl annotate ${kubectlName(object)} ${maintenanceUntil}-`,
        };
      }),
      ...rollouts(now)
        .filter(({ endsAt }) => rolloutMaxIdleMs > 0 && now >= endsAt)
        .map(({ set }) => ({
          key: `rollout ${objectName(set)}`,
          title: `The rollout of StatefulSet ${objectName(set)} makes no progress`,
          detail: `${set.updatedReplicas} of ${set.replicas} pods have the new template, and no pod was replaced for ${Math.round(rolloutMaxIdleMs / 60_000)} minutes: the rollout no longer suppresses alerts.`,
          action: `Find out why the newest pod is not Ready: kubectl rollout status ${kubectlName(set)}. To recover from a broken template, apply a corrected one and delete the pod that is stuck.`,
        })),
    ],
  };
}

const windowUntil = (name: string, until: number, now: number) => {
  const open = now < until;
  return { name, open, endsAt: open ? until : undefined };
};

const kubectlName = ({ kind, namespace, name }: Node | StatefulSet): string =>
  namespace === '' ? `${kind.toLowerCase()}/${name}` : `-n ${namespace} ${kind.toLowerCase()}/${name}`;
