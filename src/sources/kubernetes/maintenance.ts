/** Maintenance windows from Kubernetes: annotated nodes and StatefulSets, and rollouts. */
import { allContainers } from './counters.ts';
import { isRollingOut } from './gitaly-objects.ts';
import { timeOf } from './objects/fields.ts';
import type { Meta, Node, Pod, StatefulSet } from './objects/types.ts';
import { revisionOf } from './rotation/cause.ts';
import { apiClockSkewMs, objectName, type Stores } from './store.ts';
import { startFailureOf, waitingReasonsOf } from './waiting.ts';

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
 * When the rollout's last step was: an old pod was deleted, or a new one created, scheduled, started or Ready. Undefined
 * before the first one. After a restart of its containers a new pod makes no further steps: each would look like one.
 */
function lastStep(set: StatefulSet, pods: readonly Pod[], skewMs: number): number | undefined {
  const steps = pods.flatMap((pod): readonly (number | undefined)[] => {
    if (revisionOf(pod) !== set.updateRevision) return [pod.deletion?.requestedAt];
    if (allContainers(pod).some(({ restartCount }) => restartCount > 0)) return [pod.createdAt];
    return [
      pod.createdAt,
      ...Object.values(pod.conditions).map(({ since, status }) => (status === 'True' ? since : undefined)),
      ...allContainers(pod).map(({ state }) => (state.kind === 'running' ? state.startedAt : undefined)),
    ];
  });
  const known = steps.filter((step) => step !== undefined);
  return known.length === 0 ? undefined : known.reduce((last, step) => Math.max(last, step)) - skewMs;
}

/** A new pod whose containers cannot start. */
const failedPod = (set: StatefulSet, pods: readonly Pod[]): Pod | undefined =>
  pods.find(
    (pod) => revisionOf(pod) === set.updateRevision && startFailureOf(waitingReasonsOf(pod)) !== undefined,
  );

interface Rollout {
  readonly set: StatefulSet;
  /** Milliseconds since 1970: until then it suppresses alerts. */
  readonly endsAt: number;
  /** Its containers cannot start. */
  readonly failed: Pod | undefined;
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
 * @param rolloutStepMs how long the window of a rollout stays open after each of its steps
 */
export function createKubernetesWindows(stores: Stores, rolloutStepMs: number): KubernetesWindows {
  /** uid and generation of a rollout -> when it was first seen. */
  let firstSeen = new Map<string, number>();
  let isFirstRead = true;

  const annotated = (): readonly (Node | StatefulSet)[] => [
    ...(stores.nodes.state().current ? stores.nodes.all() : []),
    ...statefulSets(),
  ];
  const statefulSets = (): readonly StatefulSet[] =>
    stores.statefulSets.state().current ? stores.statefulSets.all() : [];

  function rollouts(now: number): readonly Rollout[] {
    const all = statefulSets();
    if (all.length === 0) return [];
    const seenBefore = firstSeen;
    firstSeen = new Map();
    const found = all.filter(isRollingOut).map((set): Rollout => {
      const key = `${set.uid} ${set.generation}`;
      const pods = stores.pods.all().filter((pod) => pod.owner?.uid === set.uid);
      const step = lastStep(set, pods, apiClockSkewMs(stores));
      // A time in the future would keep the window open until then.
      const steppedAt = step !== undefined && step > now + futureToleranceMs ? undefined : step;
      // The start of a rollout that began before the exporter is unknown: then its last step counts alone.
      const seenAt = seenBefore.get(key) ?? (isFirstRead ? (steppedAt ?? now) : now);
      firstSeen.set(key, seenAt);
      const failed = failedPod(set, pods);
      const endsAt = Math.min(now, Math.max(seenAt, steppedAt ?? seenAt)) + rolloutStepMs;
      return { set, endsAt: failed === undefined ? endsAt : Math.min(now, endsAt), failed };
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
        .filter(({ endsAt }) => rolloutStepMs > 0 && now >= endsAt)
        .map(({ failed, set }) => ({
          key: `rollout ${objectName(set)}`,
          title: `The rollout of StatefulSet ${objectName(set)} makes no progress`,
          detail: `${set.updatedReplicas} of ${set.replicas} pods have the new template, and ${failed === undefined ? `for ${Math.round(rolloutStepMs / 60_000)} minutes no pod was deleted, created, started or Ready` : `${failed.name} cannot start (${waitingReasonsOf(failed).join(', ')})`}: the rollout no longer suppresses alerts.`,
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
