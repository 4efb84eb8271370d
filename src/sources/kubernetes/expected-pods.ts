/**
 * The pods that StatefulSets want, compared with those that exist. Pods alone cannot show that one is missing: a set
 * whose pods cannot be created has none, and an exporter that starts while a pod is missing has never seen it.
 */
import type { Clock } from '../../lib/clock.ts';
import { lastEventTime, localTimes } from './api-time.ts';
import { newestOfEachName, statefulSetsOf } from './gitaly-objects.ts';
import type { KubeEvent, StatefulSet, Workload } from './objects/types.ts';
import { apiClockSkewMs, mayBeUnread, type Stores } from './store.ts';

export interface MissingPod {
  readonly namespace: string;
  readonly pod: string;
  readonly statefulSet: string;
  /** When the exporter first found it missing, or the API first reported why; milliseconds since 1970. */
  readonly since: number;
  /** `FailedCreate: create Pod gl-gitaly-0 in StatefulSet gl-gitaly failed ...`; undefined where the API reports none. */
  readonly reason: string | undefined;
}

/** A StatefulSet that was watched and was deleted while it wanted pods. */
export interface DeletedStatefulSet {
  readonly namespace: string;
  readonly name: string;
  readonly replicas: number;
  /** When the exporter found it deleted; milliseconds since 1970. */
  readonly deletedAt: number;
}

export interface ExpectedPods {
  /** Pods of present and of remembered sets. Empty while pods or StatefulSets are not current. */
  missing(): readonly MissingPod[];
  /** Newest last, until the set is created again, or for six hours. */
  deletedSets(): readonly DeletedStatefulSet[];
}

interface ExpectedPodsOptions {
  readonly stores: Pick<Stores, 'pods' | 'statefulSets' | 'events' | 'clockSkewMs'>;
  readonly isIncluded: (workload: Workload) => boolean;
  readonly clock: Clock;
}

/** A StatefulSet that is deleted on purpose is one that no longer wants its pods; nothing in the API shows which. */
const rememberMs = 6 * 3_600_000;
const maxRemembered = 64;
/** Bounds on what a set may want: far more than any Gitaly. */
const maxReplicas = 1000;
const maxMissing = 5000;
/** Events are as old as whole seconds and another clock make them. */
const eventToleranceMs = 60_000;

type WantedSet = Pick<StatefulSet, 'namespace' | 'name' | 'replicas' | 'ordinalsStart'>;

interface FirstMissing {
  readonly namespace: string;
  readonly pod: string;
  readonly set: WantedSet;
  /** When it was first found missing. */
  readonly at: number;
  /** The pod existed before, so that an earlier event is not about its absence now. */
  readonly wasSeen: boolean;
}

export function createExpectedPods({ stores, isIncluded, clock }: ExpectedPodsOptions): ExpectedPods {
  const pastTime = localTimes(stores, clock);
  let known = new Map<string, WantedSet>();
  const deleted = new Map<
    string,
    { readonly set: WantedSet; readonly at: number; readonly monotonic: number }
  >();
  const seenPods = new Set<string>();
  let firstMissing = new Map<string, FirstMissing>();

  const isCurrent = (): boolean => stores.pods.state().current && stores.statefulSets.state().current;

  function refresh(): void {
    if (!isCurrent()) return;
    const now = clock.now();
    const pods = newestOfEachName(stores.pods.all().filter(isIncluded));
    const present = new Set(pods.map(({ namespace, name }) => `${namespace}/${name}`));
    const sets = statefulSetsOf(stores.statefulSets.all(), pods, isIncluded);
    rememberDeleted(sets, now);
    const missing = new Map<string, FirstMissing>();
    for (const { key, ...wanted } of wantedPods(sets)) {
      // It may exist, though not in a form or in a namespace that can be read.
      if (present.has(key) || mayBeUnread(stores.pods, key)) continue;
      const { at = now, wasSeen = seenPods.has(key) } = firstMissing.get(key) ?? {};
      missing.set(key, { ...wanted, at, wasSeen });
      if (missing.size >= maxMissing) break;
    }
    firstMissing = missing;
    for (const key of present) seenPods.add(key);
    for (const key of seenPods) if (!present.has(key) && !missing.has(key)) seenPods.delete(key);
  }

  /** Sets that are gone. One that is being deleted no longer wants its pods, and is gone soon. */
  function rememberDeleted(sets: readonly StatefulSet[], now: number): void {
    const monotonic = clock.monotonic();
    const keys = new Set(sets.map(({ namespace, name }) => `${namespace}/${name}`));
    for (const key of keys) deleted.delete(key);
    // A set whose state was rejected for too long, or whose namespace cannot be read, is hidden, not deleted.
    const hidden = [...known].filter(([key]) => !keys.has(key) && mayBeUnread(stores.statefulSets, key));
    for (const [key, set] of known)
      if (!keys.has(key) && set.replicas > 0 && !mayBeUnread(stores.statefulSets, key))
        deleted.set(key, { set, at: now, monotonic });
    known = new Map([...hidden, ...sets.map((set) => [`${set.namespace}/${set.name}`, set] as const)]);
    for (const [key, { monotonic: since }] of deleted)
      if (monotonic - since > rememberMs || deleted.size > maxRemembered) deleted.delete(key);
  }

  function* wantedPods(
    sets: readonly StatefulSet[],
  ): Generator<Pick<FirstMissing, 'namespace' | 'pod' | 'set'> & { readonly key: string }> {
    const wanted = [
      ...sets.filter(({ deletion }) => deletion === undefined),
      ...[...deleted.values()].map(({ set }) => set),
    ];
    for (const set of wanted) {
      const { namespace, name, replicas, ordinalsStart = 0 } = set;
      for (let index = 0; index < Math.min(replicas, maxReplicas); index++) {
        const pod = `${name}-${ordinalsStart + index}`;
        yield { key: `${namespace}/${pod}`, namespace, pod, set };
      }
    }
  }

  /** Why the pod cannot be created, by the newest event of its set that is about its present absence. */
  function createFailure({ set, pod, at, wasSeen }: FirstMissing): KubeEvent | undefined {
    if (!stores.events.state().current) return undefined;
    const failures = stores.events
      .all()
      .filter(
        (event) =>
          event.reason === 'FailedCreate' &&
          event.about.kind === 'StatefulSet' &&
          event.about.namespace === set.namespace &&
          event.about.name === set.name &&
          (!wasSeen || lastEventTime(event) - apiClockSkewMs(stores) >= at - eventToleranceMs),
      )
      .toSorted((a, b) => lastEventTime(b) - lastEventTime(a));
    return failures.find(({ message }) => namesPod(message, pod)) ?? failures[0];
  }

  // A pod that only changes is neither missing nor found: each event would cost a comparison of all pods.
  stores.pods.subscribe(({ type }) => {
    if (type !== 'modified') refresh();
  });
  stores.statefulSets.subscribe(refresh);

  return {
    missing() {
      refresh();
      if (!isCurrent()) return [];
      return [...firstMissing.values()].map((first) => {
        const { namespace, pod, set, at, wasSeen } = first;
        const failure = createFailure(first);
        const isSetDeleted = deleted.has(`${namespace}/${set.name}`);
        return {
          ...{ namespace, pod, statefulSet: set.name },
          since: wasSeen ? at : Math.min(at, pastTime(failure?.createdAt, 'api') ?? at),
          reason:
            failure !== undefined
              ? `${failure.reason}: ${failure.message}`
              : isSetDeleted
                ? `its StatefulSet ${set.name} was deleted`
                : undefined,
        };
      });
    },
    deletedSets() {
      refresh();
      return [...deleted.values()].map(({ set: { namespace, name, replicas }, at }) => ({
        ...{ namespace, name, replicas, deletedAt: at },
      }));
    },
  };
}

/** `gl-gitaly-1` in a message, but not in `gl-gitaly-10`. */
function namesPod(message: string, pod: string): boolean {
  for (let at = message.indexOf(pod); at >= 0; at = message.indexOf(pod, at + 1)) {
    const before = message[at - 1] ?? ' ';
    const after = message[at + pod.length] ?? ' ';
    if (!/[a-z0-9.-]/.test(before) && !/[a-z0-9-]/.test(after)) return true;
  }
  return false;
}
