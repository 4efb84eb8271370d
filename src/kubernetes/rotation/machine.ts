/**
 * Follows each pod's name through its pods: from Ready, by way of deletion, eviction, a lost node or an ended
 * container, to Ready again. It holds no clock and asks nobody: it goes by the changes that it is given, and works
 * just as well from lists alone, only with fewer of the times.
 */
import type { KubeEvent, Node, Pod } from '../objects/types.ts';
import type { Change } from '../store.ts';
import { causeOf, type Evidence, gather, noEvidence, revisionOf, showsLostNode } from './cause.ts';
import { endedContainer, hasContainerEndedBetween, restartWithin } from './container-end.ts';
import { isReady, type Mark, type Marks, markPod, nodeTeller, told, unmarkContainers } from './marks.ts';
import { replacementSpans, restartSpans } from './measure.ts';
import type { OngoingRotation, Rotation, RotationCause, RotationPhase } from './rotation.ts';

/** What else is known of the cluster, by the moment. */
export interface Surroundings {
  node(name: string): Node | undefined;
  eventsAbout(namespace: string, podName: string): readonly KubeEvent[];
  /** False when nothing will come back under the pod's name: its StatefulSet is gone or was scaled down. */
  comesBack(pod: Pod): boolean;
}

export interface RotationListener {
  /** A pod is going, or its container has ended. `why` for people: `its node is lost`. Once for each rotation. */
  gone(pod: Pod, why: string): void;
  rotated(rotation: Rotation): void;
}

export interface RotationMachine {
  /** `at`: when it arrived; of no meaning for `relisted`. */
  take(change: Change<Pod>, at: number): void;
  /** Forgets names that nothing comes back to. */
  sweep(): void;
  ongoing(): readonly OngoingRotation[];
}

/** The pod that went, or is going. */
interface Leaving {
  readonly pod: Pod;
  /** From deletion on, or from the moment in which its node was lost or it failed. */
  readonly begin: Mark | undefined;
  readonly evidence: Evidence;
  readonly gone: Mark | undefined;
}

/** All that is known of one name. */
interface Name {
  pod: Pod | undefined;
  /** Of `pod`. */
  marks: Marks;
  wasReady: boolean;
  /** Since when `pod`, which was Ready, is not. */
  unready: Mark | undefined;
  leaving: Leaving | undefined;
  /** The first of several that went one after the other, with none Ready between them. */
  first: Leaving | undefined;
  /** A container of `pod` has ended, and it has not been Ready since. */
  restarting: boolean;
  /** Its node was lost in that time. */
  lost: boolean;
  /** `pod` was there, not Ready, when we came or after a gap. */
  foundOnTheWay: boolean;
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
    if (name.pod !== undefined && name.pod.uid !== pod.uid) end(name, name.pod, undefined);
    const before = name.pod;
    if (before === undefined) Object.assign(name, newcomer(), { foundOnTheWay: at === undefined });
    // Its object could not be read for a while: it never went.
    if (name.leaving?.pod.uid === pod.uid && !isGoing(pod)) name.leaving = undefined;
    name.pod = pod;
    if (!isReady(pod)) delete name.marks.ready;
    if (before !== undefined && hasContainerEndedBetween(before, pod)) unmarkContainers(name.marks);
    markPod(name.marks, pod, at);

    if (isGoing(pod)) go(name, pod, before, at);
    else if (!isReady(pod)) wait(name, pod, at);
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
    if (!name.lost) listener.gone(pod, goingText(evidence));
  }

  function leave(name: Name, leaving: Leaving): void {
    if (name.leaving !== undefined) name.first ??= name.leaving;
    name.leaving = leaving;
  }

  /** There, to stay, and not Ready. */
  function wait(name: Name, pod: Pod, at: number | undefined): void {
    const since = pod.conditions['Ready']?.since;
    // One that never was Ready has had its condition since the kubelet took it on.
    if (since !== undefined && pod.startTime !== undefined && since > pod.startTime + 1000)
      name.wasReady = true;
    if (!name.wasReady || name.leaving !== undefined) return;
    const isLost = showsLostNode(pod);
    name.unready ??= { seen: at, told: told(since, isLost ? 'api' : nodeTeller(pod)) };
    if (isLost && !name.lost) {
      name.lost = true;
      listener.gone(pod, goingText({ ...noEvidence(''), lost: true }));
    }
    const ended = endedContainer(pod);
    if (name.restarting || ended === undefined) return;
    name.restarting = true;
    if (!name.lost) listener.gone(pod, ended);
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
      finish(pod, leaving.pod.node, {
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

  /** It is not there any more; `at` is undefined when that was found by a list. */
  function end(name: Name, pod: Pod, at: number | undefined): void {
    // Removed at once, by force; or in a gap, at a time that nobody knows.
    if (name.leaving?.pod.uid !== pod.uid)
      leave(name, {
        pod,
        begin: name.lost ? name.unready : at === undefined ? undefined : { seen: at, told: undefined },
        evidence: { ...noEvidence(revisionOf(pod)), lost: name.lost, deleted: at !== undefined },
        gone: undefined,
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

  function relist(now: readonly Pod[]): void {
    const keys = new Set(now.map(keyOf));
    for (const [key, name] of names)
      if (name.pod !== undefined && !keys.has(key)) end(name, name.pod, undefined);
    sweep();
    for (const pod of now) see(pod, undefined);
  }

  function ongoingOf(name: Name): OngoingRotation | undefined {
    const { pod, leaving } = name;
    const subject = pod ?? leaving?.pod;
    if (subject === undefined || !surroundings.comesBack(subject)) return undefined;
    const isNew = leaving === undefined && pod !== undefined && !name.wasReady && !isReady(pod);
    if (leaving === undefined && !name.restarting && !name.lost && !isNew) return undefined;
    const begin = leaving === undefined ? name.unready : (name.first ?? leaving).begin;
    return {
      ...{ namespace: subject.namespace, pod: subject.name, statefulSet: statefulSetOf(subject) },
      node: pod?.node ?? '',
      startedAt: begin?.told?.at ?? begin?.seen ?? pod?.createdAt,
      phase: phaseNow(name),
      cause: causeNow(name),
      missing: pod === undefined,
      isNew,
    };
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
          if (name?.pod !== undefined) end(name, name.pod, at);
          return sweep();
        }
        case 'relisted':
          return relist(change.now);
      }
    },
    sweep,
    ongoing: () => [...names.values()].flatMap((name) => ongoingOf(name) ?? []),
  };
}

const keyOf = ({ namespace, name }: Pod): string => `${namespace}/${name}`;

export const statefulSetOf = ({ owner }: Pod): string => (owner?.kind === 'StatefulSet' ? owner.name : '');

const isGoing = ({ deletion, phase }: Pod): boolean =>
  deletion !== undefined || phase === 'Failed' || phase === 'Succeeded';

/**
 * A grace of 0 may be what is left of a longer one (the kubelet sets it at the very end): then the request's time
 * is not known, unless it was seen as it came.
 */
function beginOf(pod: Pod, live: number | undefined): Mark {
  const { deletion, conditions } = pod;
  if (deletion === undefined) {
    const since = conditions['DisruptionTarget']?.since ?? conditions['Ready']?.since;
    return { seen: live, told: told(since, nodeTeller(pod)) };
  }
  const isRequest = deletion.graceSeconds > 0 || live !== undefined;
  return { seen: live, told: isRequest ? told(deletion.requestedAt, 'api') : undefined };
}

/**
 * What a kubelet ended is deleted by the StatefulSet's controller at once. So the control plane's clock tells its
 * beginning as well as the kubelet's, and can be held against what is told of the new pod on another node.
 */
function confirmed(begin: Mark, { deletion }: Pod): Mark {
  if (deletion === undefined || begin.told === undefined || begin.told.by === 'api') return begin;
  const at = deletion.requestedAt;
  return Math.abs(at - begin.told.at) <= 3000 ? { ...begin, told: told(at, 'api') } : begin;
}

/** Found when it was being deleted already: its condition tells the time, until its kubelet is back. */
const lossOf = (pod: Pod): Mark | undefined =>
  showsLostNode(pod) ? { seen: undefined, told: told(pod.conditions['Ready']?.since, 'api') } : undefined;

function phaseNow({ pod, marks, leaving, lost, restarting }: Name): RotationPhase {
  if (pod === undefined) return 'scheduling';
  if (leaving?.pod.uid === pod.uid || (lost && !restarting)) return 'terminating';
  if (marks.scheduled === undefined) return 'scheduling';
  if (marks.sandbox === undefined) return 'volume';
  if (marks.initialized === undefined) return 'init';
  return marks.started === undefined ? 'startup' : 'readiness';
}

function causeNow({ pod, leaving, first, lost, restarting }: Name): RotationCause {
  if (leaving !== undefined) {
    const replacement = pod?.uid === leaving.pod.uid ? undefined : pod;
    return causeOf((first ?? leaving).evidence, replacement, []);
  }
  if (lost) return 'node_lost';
  return restarting ? 'container_restart' : 'unknown';
}

/** What is known of a pod that has only just come. */
const newcomer = () => ({
  ...{ marks: {} as Marks, wasReady: false, unready: undefined },
  ...{ restarting: false, lost: false, foundOnTheWay: false },
});

function goingText(evidence: Evidence): string {
  switch (causeOf(evidence, undefined, [])) {
    case 'eviction_api':
      return 'evicted through the API';
    case 'eviction_pressure':
      return 'evicted by its kubelet, which is short of a resource';
    case 'preemption':
      return 'preempted by a pod of higher priority';
    case 'node_drained':
      return 'its node is drained or shuts down';
    case 'node_lost':
      return 'its node is lost';
    case 'deleted':
      return 'its deletion was asked for';
    default:
      return 'it has ended';
  }
}
