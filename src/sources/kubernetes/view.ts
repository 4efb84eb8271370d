/** Typed state of Gitaly's pods and what surrounds them, for page problems and checks. */

import type { Failure } from '../../scheduler/outcome.ts';
import type { Identity } from '../identity.ts';
import { lastEventTime, type PastTime } from './api-time.ts';
import { pressureConditions } from './cluster-families.ts';
import { allContainers, type RestartReason, restartReasonOf } from './counters.ts';
import type { DeletedStatefulSet, MissingPod } from './expected-pods.ts';
import {
  containerLabel,
  gitalyBudgets,
  mainContainer,
  newestOfEachName,
  nodeNamesOf,
  podIdentity,
  statefulSetsOf,
} from './gitaly-objects.ts';
import { nodePressures, type WaitingReason } from './metrics.ts';
import type { KubeEvent, Node, Pod, PodDisruptionBudget, Workload } from './objects/types.ts';
import { isReady } from './rotation/milestones.ts';
import type { OngoingRotation, Rotation } from './rotation/rotation.ts';
import { terminationText } from './rotation/termination.ts';
import type { SeenTimes } from './seen-times.ts';
import {
  apiClockSkewMs,
  mayBeUnread,
  notCurrentResources,
  type Store,
  type Stores,
  unavailableResources,
  type WatchedResource,
} from './store.ts';
import { waitingReasonsOf } from './waiting.ts';

export interface KubernetesView {
  /**
   * Resources whose watch is not current, and why: everything below that depends on them is empty. Also those with
   * malformed lists or objects, while the state before is kept.
   */
  readonly notCurrent: readonly { readonly resource: WatchedResource; readonly failure: Failure }[];
  /** Resources that the API server does not have, and why. Not a failure. */
  readonly unavailable: readonly { readonly resource: WatchedResource; readonly message: string }[];
  /**
   * How far the API server's clock is ahead of the exporter's; 0 while they differ by less than two seconds, or were not
   * compared yet. All times below are by the exporter's clock.
   */
  readonly clockSkewSeconds: number;
  /** Gitaly's pods, the newest one of each name. */
  readonly pods: readonly PodView[];
  /** Pods that a StatefulSet wants and that do not exist, with the reason if the API reports one. */
  readonly missing: readonly MissingPod[];
  /** Sets that were watched and were deleted within the last hours while they wanted pods. */
  readonly deletedSets: readonly DeletedStatefulSet[];
  /** Watched namespaces without any pod or StatefulSet of Gitaly; '' where no watched namespace has one. */
  readonly emptyNamespaces: readonly string[];
  /** Of `pods` and `missing`: a missing pod whose removal was not seen has the cause `unknown`. */
  readonly ongoing: readonly OngoingRotation[];
  /** The last completed rotation of each pod's name. */
  readonly lastRotations: readonly Rotation[];
  /** Nodes that `pods` run on, removed ones included: they are not Ready. Without those whose state is malformed. */
  readonly nodes: readonly NodeView[];
  /** Those that cover Gitaly pods. */
  readonly disruptionBudgets: readonly PodDisruptionBudget[];
}

export interface PodView {
  readonly identity: Identity;
  readonly isReady: boolean;
  /** When the condition Ready last changed, or else when the pod was created; milliseconds since 1970. */
  readonly since: number;
  /** One for each waiting container, init containers included. */
  readonly waitingReasons: readonly WaitingReason[];
  /**
   * The last termination of each container that has been restarted; `container` as in metrics, `finishedAt` in
   * milliseconds since 1970.
   */
  readonly lastTerminations: readonly {
    readonly container: string;
    readonly reason: RestartReason;
    readonly finishedAt: number;
  }[];
  /** OOM kills of Gitaly's container before its last termination, the newest first; absent: none were seen. */
  readonly earlierOomKills?: readonly number[];
  /** `container gitaly terminated: OOMKilled, exit code 137`; undefined when all run. */
  readonly terminated: string | undefined;
  /** Finalizers of a pod that is being deleted: it stays until they are removed. */
  readonly finalizers?: readonly string[];
  /** The newest Warning event of the pod's present phase, `FailedScheduling: 0/4 nodes are available ...`; undefined without one. */
  readonly warning: string | undefined;
}

export interface NodeView {
  readonly name: string;
  readonly isReady: boolean;
  /** Resources that the node is short of. */
  readonly pressures: readonly (typeof nodePressures)[number][];
}

/** What the pods' watch shows; all of it is unknown while that watch is not current. */
type PodFacts = Pick<
  KubernetesView,
  'ongoing' | 'lastRotations' | 'missing' | 'deletedSets' | 'emptyNamespaces'
>;

interface ViewInputs {
  readonly stores: Stores;
  readonly isGitaly: (workload: Workload) => boolean;
  readonly facts: PodFacts;
  readonly pastTime: PastTime;
  readonly seenTimes: SeenTimes;
  readonly now: number;
}

const unknownPods: Omit<KubernetesView, 'notCurrent' | 'unavailable' | 'clockSkewSeconds'> = Object.freeze({
  ...{ pods: [], missing: [], deletedSets: [], emptyNamespaces: [] },
  ...{ ongoing: [], lastRotations: [], nodes: [], disruptionBudgets: [] },
});

export function viewOf(inputs: ViewInputs): KubernetesView {
  const { facts, stores, isGitaly } = inputs;
  const watches = {
    notCurrent: notCurrentResources(stores),
    unavailable: unavailableResources(stores),
    clockSkewSeconds: apiClockSkewMs(stores) / 1000,
  };
  if (!stores.pods.state().current) return { ...watches, ...unknownPods };
  const pods = newestOfEachName(stores.pods.all().filter(isGitaly));
  const warnings = newestWarnings(stores.events.all(), pods);
  const sets = statefulSetsOf(stores.statefulSets.all(), pods, isGitaly);
  return {
    ...watches,
    ...facts,
    pods: pods.map((pod) => podView(pod, warnings.get(pod.uid), inputs)),
    nodes: stores.nodes.state().current ? nodeViews(nodeNamesOf(pods), stores.nodes) : [],
    disruptionBudgets: stores.disruptionBudgets.state().current
      ? gitalyBudgets(stores.disruptionBudgets.all(), pods, sets)
      : [],
  };
}

/** The newest Warning event that is about the pod's present phase, by the pod's uid. */
function newestWarnings(events: readonly KubeEvent[], pods: readonly Pod[]): ReadonlyMap<string, KubeEvent> {
  const byUid = new Map(pods.map((pod) => [pod.uid, pod]));
  const newest = new Map<string, KubeEvent>();
  for (const event of events) {
    const pod = byUid.get(event.about.uid);
    if (event.type !== 'Warning' || pod === undefined || !isAboutPresentPhase(event, pod)) continue;
    const known = newest.get(pod.uid);
    if (known === undefined || lastEventTime(event) >= lastEventTime(known)) newest.set(pod.uid, event);
  }
  return newest;
}

/** Both times are whole seconds of the same component, or of two whose clocks are compared. */
const phaseToleranceMs = 5000;

/** The API keeps events for an hour: why the pod was not scheduled is no reason why it does not start. */
function isAboutPresentPhase({ reason, lastAt, createdAt }: KubeEvent, pod: Pod): boolean {
  if (reason === 'FailedScheduling' && pod.node !== '') return false;
  const { conditions, deletion } = pod;
  const reached = ['PodScheduled', 'PodReadyToStartContainers', 'Initialized'].flatMap((type) =>
    conditions[type]?.status === 'True' ? (conditions[type]?.since ?? []) : [],
  );
  // A pod that was not Ready before its deletion is so for the same reason.
  const deletedAt = conditions['Ready']?.status === 'True' ? deletion?.requestedAt : undefined;
  const starts = [...reached, conditions['Ready']?.since, deletedAt];
  const phaseStart = Math.max(pod.createdAt, ...starts.filter((at) => at !== undefined));
  return (lastAt ?? createdAt) >= phaseStart - phaseToleranceMs;
}

function podView(
  pod: Pod,
  newest: KubeEvent | undefined,
  { pastTime, seenTimes, now }: Pick<ViewInputs, 'pastTime' | 'seenTimes' | 'now'>,
): PodView {
  const createdAt = pastTime(pod.createdAt, 'api');
  const isReadyDated = pod.conditions['Ready']?.since !== undefined;
  return {
    identity: podIdentity(pod),
    isReady: isReady(pod),
    since: (isReadyDated ? undefined : createdAt) ?? seenTimes.readySince(pod) ?? now,
    waitingReasons: waitingReasonsOf(pod),
    lastTerminations: allContainers(pod).flatMap((container) => {
      const finishedAt = seenTimes.endedAt(pod, container);
      const reason = restartReasonOf(container.lastTermination);
      return finishedAt === undefined
        ? []
        : [{ container: containerLabel(pod, container, 'gitaly'), reason, finishedAt }];
    }),
    earlierOomKills: earlierOomKills(pod, seenTimes),
    terminated: terminationText(pod),
    ...(pod.deletion !== undefined && pod.finalizers?.length ? { finalizers: pod.finalizers } : {}),
    warning: newest === undefined ? undefined : `${newest.reason}: ${newest.message}`,
  };
}

function earlierOomKills(pod: Pod, seenTimes: SeenTimes): readonly number[] {
  const container = mainContainer(pod);
  return container === undefined ? [] : seenTimes.earlierOomKills(pod, container);
}

function nodeViews(names: readonly string[], nodes: Store<Node>): readonly NodeView[] {
  const byName = new Map(nodes.all().map((node) => [node.name, node]));
  return names
    .filter((name) => byName.has(name) || !mayBeUnread(nodes, name))
    .map((name) => {
      const conditions = byName.get(name)?.conditions ?? {};
      return {
        name,
        isReady: conditions['Ready']?.status === 'True',
        pressures: nodePressures.filter(
          (resource) => conditions[pressureConditions[resource]]?.status === 'True',
        ),
      };
    });
}

/** Whether both identities are of one pod, regardless of the node. */
export const isSamePod = (a: Omit<Identity, 'node'>, b: Omit<Identity, 'node'>): boolean =>
  a.pod === b.pod && a.namespace === b.namespace;
