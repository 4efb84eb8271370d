/**
 * Follows each pod's name through its pods: from Ready, by way of deletion, eviction, a lost node or an ended
 * container, to Ready again. It holds no clock and asks nobody: it goes by the changes that it is given, and works
 * just as well from lists alone, only with fewer of the times.
 */
import type { KubeEvent, Node, Pod } from '../objects/types.ts';
import type { Change } from '../store.ts';
import { beginOf, confirmed, isGoing, lossOf } from './begin.ts';
import { causeOf, gather, goingText, noEvidence, revisionOf, showsLostNode } from './cause.ts';
import { endedContainer, hasContainerEndedBetween, restartWithin } from './container-end.ts';
import { isReady, markPod, nodeTeller, told, unmarkContainers } from './marks.ts';
import { replacementSpans, restartSpans } from './measure.ts';
import { type Leaving, type Name, newcomer, ongoingOf, statefulSetOf, subjectOf } from './name.ts';
import type { OngoingRotation, Rotation } from './rotation.ts';

/** What else is known of the cluster, by the moment. */
export interface Surroundings {
  node(name: string): Node | undefined;
  eventsAbout(namespace: string, podName: string): readonly KubeEvent[];
  /** False when nothing will come back under the pod's name: its StatefulSet is gone or was scaled down. */
  comesBack(pod: Pod): boolean;
}

export interface RotationListener {
  /**
   * A rotation began; called once for each. `deleted`: the pod is being deleted or was evicted; `not_ready`: the pod
   * stays, but its node is lost or a container of it terminated. `why` is for people: `its node is lost`.
   */
  disrupted(pod: Pod, kind: 'deleted' | 'not_ready', why: string): void;
  rotated(rotation: Rotation): void;
}

export interface RotationMachine {
  /** `at`: when it arrived. */
  take(change: Change<Pod>, at: number): void;
  /** Forgets names that nothing comes back to. */
  sweep(): void;
  ongoing(): readonly OngoingRotation[];
}

export function createRotationMachine(
  surroundings: Surroundings,
  listener: RotationListener,
): RotationMachine {
  const names = new Map<string, Name>();

  const nameOf = (pod: Pod): Name => {
    const key = keyOf(pod);
    const known = names.get(key);
    if (known !== undefined) return known;
    const made: Name = { pod: undefined, leaving: undefined, first: undefined, ...newcomer() };
    names.set(key, made);
    return made;
  };

  /** The pod as it is now. `at` is undefined when it was listed. */
  function see(pod: Pod, at: number | undefined): void {
    const name = nameOf(pod);
    if (isSucceeded(name, pod)) return;
    if (name.pod !== undefined && name.pod.uid !== pod.uid) end(name, name.pod, undefined, undefined);
    const before = name.pod;
    if (before === undefined) Object.assign(name, newcomer(), { foundOnTheWay: at === undefined });
    // Its object could not be read for a while: it never went.
    if (name.leaving?.pod.uid === pod.uid && !isGoing(pod)) name.leaving = undefined;
    name.pod = pod;
    if (!isReady(pod)) delete name.marks.ready;
    if (before !== undefined && hasContainerEndedBetween(before, pod)) unmarkContainers(name.marks);
    markPod(name.marks, pod, at);

    if (isGoing(pod)) go(name, pod, before, at);
    else if (!isReady(pod)) wait(name, pod, before, at);
    else settle(name, pod, before);
  }

  /** On its way out: deleted, or ended by the kubelet for good. */
  function go(name: Name, pod: Pod, before: Pod | undefined, at: number | undefined): void {
    const node = surroundings.node(pod.node);
    if (name.leaving?.pod.uid === pod.uid) {
      const { evidence, begin } = name.leaving;
      name.leaving = {
        ...name.leaving,
        pod,
        evidence: gather(evidence, pod, node),
        begin: begin && confirmed(begin, pod),
      };
      return;
    }
    const live = before !== undefined && !isGoing(before) ? at : undefined;
    const evidence = gather({ ...noEvidence(revisionOf(pod)), lost: name.lost }, pod, node);
    const begin = name.lost
      ? name.unready
      : causeOf(evidence, undefined, []) === 'node_lost'
        ? lossOf(pod)
        : beginOf(pod, live);
    leave(name, { pod, begin, evidence, gone: undefined });
    name.restarting = false;
    if (!name.lost) listener.disrupted(pod, 'deleted', goingText(evidence));
  }

  function leave(name: Name, leaving: Leaving): void {
    if (name.leaving !== undefined) name.first ??= name.leaving;
    name.leaving = leaving;
  }

  /** There, to stay, and not Ready. */
  function wait(name: Name, pod: Pod, before: Pod | undefined, at: number | undefined): void {
    const since = pod.conditions['Ready']?.since;
    // One that never was Ready has had its condition since the kubelet took it on.
    if (since !== undefined && pod.startTime !== undefined && since > pod.startTime + 1000)
      name.wasReady = true;
    if (!name.wasReady || name.leaving !== undefined) return;
    const isLost = showsLostNode(pod);
    name.unready ??= { seen: at, told: told(since, isLost ? 'api' : nodeTeller(pod)) };
    if (isLost && !name.lost) {
      name.lost = true;
      listener.disrupted(pod, 'not_ready', goingText({ ...noEvidence(''), lost: true }));
    }
    const ended = endedContainer(pod);
    const endedNow = before !== undefined && hasContainerEndedBetween(before, pod);
    if (name.restarting || (ended === undefined && !endedNow)) return;
    name.restarting = true;
    if (!name.lost) listener.disrupted(pod, 'not_ready', ended ?? 'a container terminated');
  }

  /** There, to stay, and Ready: whatever went on is over. */
  function settle(name: Name, pod: Pod, before: Pod | undefined): void {
    const { leaving, first, marks, unready } = name;
    const missedEnd = before === undefined ? undefined : restartWithin(before, pod);
    if (leaving !== undefined && leaving.pod.uid !== pod.uid) {
      const events = surroundings
        .eventsAbout(pod.namespace, pod.name)
        .filter(({ about }) => about.uid === leaving.pod.uid);
      const { begin, gone } = leaving;
      finish(pod, (first ?? leaving).pod.node, {
        cause: causeOf((first ?? leaving).evidence, pod, events),
        seconds: replacementSpans({ pod, marks, begin, gone, first: (first ?? leaving).begin }),
      });
    } else if (name.restarting || missedEnd !== undefined) {
      const begin = unready ?? { seen: undefined, told: told(missedEnd, nodeTeller(pod)) };
      finish(pod, pod.node, {
        cause: name.lost ? 'node_lost' : 'container_restart',
        seconds: restartSpans(pod, marks, begin),
      });
    } else if (name.foundOnTheWay && before !== undefined && !name.wasReady && replacesAnother(pod)) {
      const unknown = { begin: undefined, gone: undefined, first: undefined };
      finish(pod, '', { cause: 'unknown', seconds: replacementSpans({ pod, marks, ...unknown }) });
    }
    Object.assign(name, { leaving: undefined, first: undefined });
    Object.assign(name, { wasReady: true, unready: undefined, restarting: false, lost: false });
  }

  const replacesAnother = (pod: Pod): boolean =>
    surroundings
      .eventsAbout(pod.namespace, pod.name)
      .some(({ about }) => about.uid !== '' && about.uid !== pod.uid);

  function finish(pod: Pod, fromNode: string, found: Pick<Rotation, 'cause' | 'seconds'>): void {
    listener.rotated(
      Object.freeze({
        ...{ namespace: pod.namespace, pod: pod.name, statefulSet: statefulSetOf(pod) },
        ...{ fromNode: fromNode === '' ? pod.node : fromNode, node: pod.node, ...found },
        endedAt: pod.conditions['Ready']?.since,
      }),
    );
  }

  /** It is not there any more; `at` is undefined when that was found by a list, at `missedAt`. */
  function end(name: Name, pod: Pod, at: number | undefined, missedAt: number | undefined): void {
    // Removed at once, by force; or in a gap, at a time that nobody knows.
    if (name.leaving?.pod.uid !== pod.uid)
      leave(name, {
        pod,
        begin: name.lost ? name.unready : at === undefined ? undefined : { seen: at, told: undefined },
        evidence: { ...noEvidence(revisionOf(pod)), lost: name.lost, deleted: at !== undefined },
        gone: undefined,
        ...(missedAt === undefined ? {} : { missedAt }),
      });
    if (name.leaving === undefined) return;
    const finalStamp = pod.deletion?.graceSeconds === 0 ? pod.deletion.requestedAt : undefined;
    name.leaving = { ...name.leaving, gone: { seen: at, told: told(finalStamp, 'api') } };
    Object.assign(name, newcomer(), { pod: undefined });
  }

  function sweep(): void {
    for (const [key, { pod, leaving }] of names)
      if (pod === undefined && (leaving === undefined || !surroundings.comesBack(leaving.pod)))
        names.delete(key);
  }

  function relist(now: readonly Pod[], at: number): void {
    const keys = new Set(now.map(keyOf));
    for (const [key, name] of names)
      if (name.pod !== undefined && !keys.has(key)) end(name, name.pod, undefined, at);
    sweep();
    for (const pod of now) see(pod, undefined);
  }

  return {
    take(change, at) {
      switch (change.type) {
        case 'added':
        case 'modified':
          return see(change.object, at);
        case 'deleted': {
          see(change.object, at);
          const name = names.get(keyOf(change.object));
          if (name?.pod?.uid === change.object.uid) end(name, name.pod, at, undefined);
          return sweep();
        }
        case 'relisted':
          return relist(change.now, at);
      }
    },
    sweep,
    ongoing: () =>
      [...names.values()].flatMap((name) => {
        const subject = subjectOf(name);
        return subject !== undefined && surroundings.comesBack(subject) ? (ongoingOf(name) ?? []) : [];
      }),
  };
}

/** Told late of a pod whose successor is known already: where several watches see it, they need not agree in time. */
const isSucceeded = ({ pod: known }: Name, pod: Pod): boolean =>
  known !== undefined && known.uid !== pod.uid && pod.createdAt < known.createdAt;

const keyOf = ({ namespace, name }: Pod): string => `${namespace}/${name}`;
