/** From Gitaly's pods, their restarts and rotations to samples: pure. */

import { type Family, type HistogramSample, samplesOf } from '../../metrics/samples.ts';
import { type Identity, identityKey } from '../identity.ts';
import * as metrics from './metrics.ts';
import type { Pod } from './objects/types.ts';
import { requestsOf } from './requests.ts';
import { allContainers, restartKey, restartReasonOf, restartReasons } from './restarts.ts';
import { isReady } from './rotation/marks.ts';
import type { RotationRecord } from './rotation/record.ts';
import { rotationCauses, rotationSpans } from './rotation/rotation.ts';
import type { PodTally } from './tally.ts';

export interface PodLook {
  /** Gitaly's. */
  readonly pods: readonly Pod[];
  /** `namespace/name` of Gitaly's StatefulSets. */
  readonly sets: readonly { readonly namespace: string; readonly name: string }[];
  readonly restarts: PodTally;
  readonly rotations: RotationRecord;
}

export const podIdentity = ({ namespace, name, node }: Pod): Identity => ({ namespace, pod: name, node });

export const podFamilies = (look: PodLook): readonly Family[] => [
  ...stateFamilies(look),
  ...restartFamilies(look),
  ...rotationFamilies(look),
];

function stateFamilies({ pods, rotations }: PodLook): readonly Family[] {
  const ready = samplesOf(metrics.podReady);
  const phase = samplesOf(metrics.podPhase);
  const waiting = samplesOf(metrics.podWaitingContainers);
  const memory = samplesOf(metrics.podMemoryRequest);
  const cpu = samplesOf(metrics.podCpuRequest);
  for (const pod of pods) {
    const identity = podIdentity(pod);
    ready.set(identity, isReady(pod) ? 1 : 0);
    for (const each of metrics.podPhases)
      phase.set({ ...identity, phase: each }, phaseOf(pod) === each ? 1 : 0);
    const reasons = waitingReasonsOf(pod);
    for (const reason of metrics.waitingReasons)
      waiting.set({ ...identity, reason }, reasons.filter((each) => each === reason).length);
    const requests = requestsOf(pod);
    memory.set(identity, requests.memory);
    cpu.set(identity, requests.cores);
  }
  const there = new Set(pods.map(({ namespace, name }) => `${namespace}/${name}`));
  for (const { namespace, pod } of rotations.ongoing())
    if (!there.has(`${namespace}/${pod}`)) ready.set({ namespace, pod, node: '' }, 0);
  return [ready.family(), phase.family(), waiting.family(), memory.family(), cpu.family()];
}

const phaseOf = ({ phase }: Pod): (typeof metrics.podPhases)[number] =>
  metrics.podPhases.find((each) => each === phase) ?? 'Unknown';

export const waitingReasonsOf = (pod: Pod): readonly metrics.WaitingReason[] =>
  allContainers(pod).flatMap(({ state }) =>
    state.kind === 'waiting' ? [metrics.waitingReasons.find((each) => each === state.reason) ?? 'other'] : [],
  );

/** Every reason of every container that is there, and what pods went through on other nodes before. */
function restartFamilies({ pods, restarts }: PodLook): readonly Family[] {
  const total = samplesOf(metrics.podRestarts);
  const last = samplesOf(metrics.podLastRestart);
  const containers = new Map<string, { identity: Identity; names: Set<string> }>();
  for (const pod of pods) {
    const identity = podIdentity(pod);
    for (const { name, lastTermination: ended } of allContainers(pod))
      if (ended?.finishedAt !== undefined)
        last.set({ ...identity, container: name, reason: restartReasonOf(ended) }, ended.finishedAt / 1000);
    // Before it is on a node nothing can restart, and a series without node would only come and go.
    if (pod.node === '') continue;
    const names = new Set(allContainers(pod).map(({ name }) => name));
    containers.set(identityKey(identity), { identity, names });
  }
  for (const { identity, counts } of restarts.entries()) {
    const key = identityKey(identity);
    const known = containers.get(key) ?? { identity, names: new Set<string>() };
    for (const what of counts.keys()) known.names.add(what.slice(0, what.lastIndexOf(' ')));
    containers.set(key, known);
  }
  for (const { identity, names } of containers.values())
    for (const container of names)
      for (const reason of restartReasons)
        total.set({ ...identity, container, reason }, restarts.get(identity, restartKey(container, reason)));
  return [total.family(), last.family()];
}

function rotationFamilies({ pods, sets, rotations }: PodLook): readonly Family[] {
  const seconds = samplesOf(metrics.podRotation);
  const counts = samplesOf(metrics.podRotations);
  const start = samplesOf(metrics.podRotationStart);
  const last = samplesOf(metrics.podLastRotation);
  for (const { namespace, pod, node, startedAt } of rotations.ongoing())
    if (startedAt !== undefined) start.set({ namespace, pod, node }, startedAt / 1000);
  for (const { namespace, pod, node, cause, seconds: spans, endedAt } of rotations.last()) {
    for (const phase of rotationSpans) {
      const value = spans[phase];
      if (value !== undefined) seconds.set({ namespace, pod, node, phase }, value);
    }
    if (endedAt !== undefined) last.set({ namespace, pod, node, cause }, endedAt / 1000);
  }
  const counted = [
    ...pods.filter(({ node }) => node !== '').map(podIdentity),
    ...rotations.counts.entries().map(({ identity }) => identity),
  ];
  for (const identity of new Map(counted.map((each) => [identityKey(each), each])).values())
    for (const cause of rotationCauses)
      counts.set({ ...identity, cause }, rotations.counts.get(identity, cause));

  const histograms: HistogramSample[] = sets.flatMap(({ namespace, name }) =>
    rotationSpans.map((phase) => ({
      labelValues: [namespace, name, phase],
      ...rotations.durations(namespace, name, phase),
    })),
  );
  return [
    ...[seconds.family(), counts.family(), start.family(), last.family()],
    { metric: metrics.podRotationDuration, histograms },
  ];
}
