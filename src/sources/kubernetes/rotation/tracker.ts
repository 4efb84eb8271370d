/**
 * Follows each pod's name through its successive pods: from Ready, by way of deletion, eviction, a lost node or a
 * terminated container, to Ready again. It has no clock and makes no requests: it depends on the changes it is
 * given alone. From lists alone it finds the same rotations, with fewer of the times.
 */
import type { Pod } from '../objects/types.ts';
import type { Change } from '../store.ts';
import { addEvidence, causeOf, isOnLostNode, noEvidence, removalText, revisionOf } from './cause.ts';
import {
  addMilestones,
  createArrivalCheck,
  isReady,
  nodeClock,
  replacementSeconds,
  reportedTime,
  resetContainerMilestones,
  restartSeconds,
} from './milestones.ts';
import {
  type ClusterState,
  isPredecessor,
  keyOf,
  liveStartOf,
  type NameState,
  newPodState,
  ongoingOf,
  type Removal,
  statefulSetNameOf,
  subjectOf,
} from './name-state.ts';
import type { OngoingRotation, Rotation } from './rotation.ts';
import {
  confirmedStart,
  hasContainerTerminated,
  isBeingRemoved,
  missedTermination,
  nodeLossStart,
  removalStartOf,
  terminationText,
} from './termination.ts';

interface RotationListener {
  /**
   * A rotation began; called once for each. `deleted`: the pod is being deleted or was evicted; `not_ready`: the pod
   * stays, but its node is lost or a container of it terminated. `why` is for people: `its node is lost`.
   */
  started(pod: Pod, kind: 'deleted' | 'not_ready', why: string): void;
  completed(rotation: Rotation): void;
}

interface RotationTracker {
  /** @param at when the change arrived */
  apply(change: Change<Pod>, at: number): void;
  /** Drops names whose pods are not replaced. */
  dropEnded(): void;
  ongoing(): readonly OngoingRotation[];
}

export function createRotationTracker(cluster: ClusterState, listener: RotationListener): RotationTracker {
  const names = new Map<string, NameState>();
  const checked = createArrivalCheck();

  const stateOf = (pod: Pod): NameState => {
    const key = keyOf(pod);
    const known = names.get(key);
    if (known !== undefined) return known;
    const created = { pod: undefined, removal: undefined, firstRemoval: undefined, ...newPodState() };
    names.set(key, created);
    return created;
  };

  /** @param at undefined when the pod was listed */
  function update(pod: Pod, at: number | undefined): void {
    const state = stateOf(pod);
    if (isPredecessor(state, pod)) return;
    if (state.pod !== undefined && state.pod.uid !== pod.uid) remove(state, state.pod, undefined, undefined);
    const before = state.pod;
    if (before === undefined) Object.assign(state, newPodState(), { wasFoundStarting: at === undefined });
    // Its object was malformed for a while, so that it seemed to be removed.
    if (state.removal?.pod.uid === pod.uid && !isBeingRemoved(pod)) state.removal = undefined;
    state.pod = pod;
    if (!isReady(pod)) delete state.milestones.ready;
    if (before !== undefined && hasContainerTerminated(before, pod))
      resetContainerMilestones(state.milestones);
    addMilestones(state.milestones, pod, at, checked);

    if (isBeingRemoved(pod)) onBeingRemoved(state, pod, before, at);
    else if (!isReady(pod)) onUnready(state, pod, before, at);
    else onReady(state, pod, before);
  }

  /** Deleted, or ended by its kubelet for good. */
  function onBeingRemoved(state: NameState, pod: Pod, before: Pod | undefined, at: number | undefined): void {
    const node = cluster.node(pod.node);
    if (state.removal?.pod.uid === pod.uid) {
      const { evidence, start } = state.removal;
      state.removal = {
        ...state.removal,
        pod,
        evidence: addEvidence(evidence, pod, node, factsAbout(pod)),
        start: start && confirmedStart(start, pod),
      };
      return;
    }
    const receivedAt = before !== undefined && !isBeingRemoved(before) ? at : undefined;
    const first = { ...noEvidence(revisionOf(pod)), lost: state.isNodeLost };
    const evidence = addEvidence(first, pod, node, factsAbout(pod));
    const start = state.isNodeLost
      ? state.unready
      : causeOf(evidence, undefined, []) === 'node_lost'
        ? (nodeLossStart(pod) ?? liveStartOf(pod, before, receivedAt))
        : removalStartOf(pod, receivedAt);
    setRemoval(state, { pod, start: start && checked(start), evidence, removed: undefined });
    state.isRestarting = false;
    if (!state.isNodeLost) listener.started(pod, 'deleted', removalText(evidence));
  }

  const factsAbout = (pod: Pod) => ({
    isOutdated: cluster.isOutdated(pod),
    isNodeRemoved: cluster.isNodeRemoved(pod.node),
  });

  function setRemoval(state: NameState, removal: Removal): void {
    if (state.removal !== undefined) state.firstRemoval ??= state.removal;
    const first = state.firstRemoval;
    // A rollout that is undone before its pod is Ready: that pod is replaced by one of the first revision.
    if (first !== undefined && revisionOf(first.pod) !== revisionOf(removal.pod))
      state.firstRemoval = { ...first, evidence: { ...first.evidence, outdated: true } };
    state.removal = removal;
  }

  /** Not being removed, and not Ready. */
  function onUnready(state: NameState, pod: Pod, before: Pod | undefined, at: number | undefined): void {
    const since = pod.conditions['Ready']?.since;
    // The condition of a pod that was never Ready dates from when the kubelet accepted the pod.
    if (since !== undefined && pod.startTime !== undefined && since > pod.startTime + 1000)
      state.wasReady = true;
    if (!state.wasReady || state.removal !== undefined) return;
    const isLost = isOnLostNode(pod);
    state.unready ??= { received: at, reported: reportedTime(since, isLost ? 'api' : nodeClock(pod)) };
    if (isLost && !state.isNodeLost) {
      state.isNodeLost = true;
      listener.started(pod, 'not_ready', removalText({ ...noEvidence(''), lost: true }));
    }
    const termination = terminationText(pod);
    const isTerminatedNow = before !== undefined && hasContainerTerminated(before, pod);
    if (state.isRestarting || (termination === undefined && !isTerminatedNow)) return;
    state.isRestarting = true;
    if (!state.isNodeLost) listener.started(pod, 'not_ready', termination ?? 'a container terminated');
  }

  /** Not being removed, and Ready: completes the rotation under way, if any. */
  function onReady(state: NameState, pod: Pod, before: Pod | undefined): void {
    const { removal, firstRemoval, milestones, unready } = state;
    const missedEnd = before === undefined ? undefined : missedTermination(before, pod);
    if (removal !== undefined && removal.pod.uid !== pod.uid) {
      const first = firstRemoval ?? removal;
      const events = cluster
        .eventsAbout(pod.namespace, pod.name)
        .filter(({ about }) => about.uid === first.pod.uid);
      complete(pod, first.pod.node, {
        cause: causeOf(first.evidence, pod, events),
        seconds: replacementSeconds({
          ...{ pod, milestones, start: first.start },
          ...{ removalStart: removal.start, removed: removal.removed },
        }),
      });
    } else if (state.isRestarting || missedEnd !== undefined) {
      const start = unready ?? { received: undefined, reported: reportedTime(missedEnd, nodeClock(pod)) };
      complete(pod, pod.node, {
        cause: state.isNodeLost ? 'node_lost' : 'container_restart',
        seconds: restartSeconds(pod, milestones, start),
      });
    } else if (state.wasFoundStarting && before !== undefined && !state.wasReady && hasPredecessor(pod)) {
      const unknown = { removalStart: undefined, removed: undefined, start: undefined };
      complete(pod, '', { cause: 'unknown', seconds: replacementSeconds({ pod, milestones, ...unknown }) });
    }
    Object.assign(state, { removal: undefined, firstRemoval: undefined });
    Object.assign(state, { wasReady: true, unready: undefined, isRestarting: false, isNodeLost: false });
  }

  /** Events are about an earlier pod of the name. */
  const hasPredecessor = (pod: Pod): boolean =>
    cluster
      .eventsAbout(pod.namespace, pod.name)
      .some(({ about }) => about.uid !== '' && about.uid !== pod.uid);

  function readyTime(pod: Pod): number | undefined {
    const reported = reportedTime(pod.conditions['Ready']?.since, nodeClock(pod));
    const local = reported && cluster.localTime(reported);
    return local ?? stateOf(pod).milestones.ready?.received;
  }

  function complete(pod: Pod, fromNode: string, found: Pick<Rotation, 'cause' | 'seconds'>): void {
    listener.completed(
      Object.freeze({
        ...{ namespace: pod.namespace, pod: pod.name, statefulSet: statefulSetNameOf(pod) },
        ...{ fromNode: fromNode === '' ? pod.node : fromNode, node: pod.node, ...found },
        endedAt: readyTime(pod),
      }),
    );
  }

  /** The pod no longer exists; `at` is undefined when a list showed that, at `missedAt`. */
  function remove(state: NameState, pod: Pod, at: number | undefined, missedAt: number | undefined): void {
    // Deleted by force without a grace period; or during a gap, at an unknown time.
    if (state.removal?.pod.uid !== pod.uid)
      setRemoval(state, {
        pod,
        start: state.isNodeLost
          ? state.unready
          : at === undefined
            ? undefined
            : { received: at, reported: undefined },
        evidence: { ...noEvidence(revisionOf(pod)), lost: state.isNodeLost, deleted: at !== undefined },
        removed: undefined,
        ...(missedAt === undefined ? {} : { missedAt }),
      });
    if (state.removal === undefined) return;
    // At the end the kubelet sets the grace period to 0, and with it the time.
    const finalTime = pod.deletion?.graceSeconds === 0 ? pod.deletion.requestedAt : undefined;
    const removed = checked({ received: at, reported: reportedTime(finalTime, 'api') });
    state.removal = { ...state.removal, removed };
    Object.assign(state, newPodState(), { pod: undefined });
  }

  function dropEnded(): void {
    for (const [key, { pod, removal }] of names)
      if (pod === undefined && (removal === undefined || !cluster.isReplaced(removal.pod))) names.delete(key);
  }

  function replaceAll(now: readonly Pod[], at: number): void {
    const keys = new Set(now.map(keyOf));
    for (const [key, state] of names)
      if (state.pod !== undefined && !keys.has(key)) remove(state, state.pod, undefined, at);
    dropEnded();
    for (const pod of now) update(pod, undefined);
  }

  return {
    apply(change, at) {
      switch (change.type) {
        case 'added':
        case 'modified':
          return update(change.object, at);
        case 'deleted': {
          update(change.object, at);
          const state = names.get(keyOf(change.object));
          if (state?.pod?.uid === change.object.uid) remove(state, state.pod, at, undefined);
          return dropEnded();
        }
        case 'relisted':
          return replaceAll(change.now, at);
      }
    },
    dropEnded,
    ongoing: () =>
      [...names.values()].flatMap((state) => {
        const subject = subjectOf(state);
        return subject !== undefined && cluster.isReplaced(subject) ? (ongoingOf(state, cluster) ?? []) : [];
      }),
  };
}
