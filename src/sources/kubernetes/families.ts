/** Samples of Gitaly's pods, of the StatefulSets, budgets and nodes around them, and of the watches. Pure. */
import { createSamples, type Family, type SampleSet } from '../../metrics/samples.ts';
import { type Component, type Identity, identityKey } from '../identity.ts';
import { serverInfo } from '../server-info.ts';
import { allContainers, type PodCounters, restartKey, restartReasonOf, restartReasons } from './counters.ts';
import { summarizePod } from './directory/pod-list.ts';
import { containerLabel, podIdentity } from './gitaly-objects.ts';
import * as metrics from './metrics.ts';
import type { Node, Pod, Resources } from './objects/types.ts';
import { isReady } from './rotation/milestones.ts';
import type { RotationRecord } from './rotation/record.ts';
import { type OngoingRotation, rotationCauses, rotationSpans } from './rotation/rotation.ts';
import type { SeenTimes } from './seen-times.ts';
import { waitingReasonsOf } from './waiting.ts';

interface PodState {
  readonly component: Component;
  /** Of the component, one per name. */
  readonly pods: readonly Pod[];
  /** Present ones, and those that were deleted recently: their histograms must not end before they are scraped. */
  readonly statefulSets: readonly { readonly namespace: string; readonly name: string }[];
  readonly restarts: PodCounters;
  readonly rotations: RotationRecord;
  readonly ongoing: readonly OngoingRotation[];
  readonly seenTimes: SeenTimes;
}

export function podFamilies(state: PodState): readonly Family[] {
  const samples = createSamples();
  setReady(samples, metrics.podReady, state);
  setStatus(samples, state);
  setRestarts(samples, metrics.podRestarts, state);
  setLastRestarts(samples, state);
  setRotations(samples, state);
  return samples.families();
}

/** The same for Praefect, by other metrics: alerts on Gitaly's pods must not fire for Praefect's. */
export function praefectPodFamilies(state: PodState): readonly Family[] {
  const samples = createSamples();
  setReady(samples, metrics.praefectPodReady, state);
  setRestarts(samples, metrics.praefectPodRestarts, state);
  setRotationTotals(samples, metrics.praefectPodRotations, state);
  return samples.families();
}

function setReady(samples: SampleSet, metric: typeof metrics.podReady, { pods, ongoing }: PodState): void {
  for (const pod of pods) samples.set(metric, podIdentity(pod), isReady(pod));
  // Several watches are not synchronized: a pod may exist that its rotation does not know yet.
  const names = new Set(pods.map(({ namespace, name }) => `${namespace}/${name}`));
  for (const { namespace, pod, missing } of ongoing)
    if (missing && !names.has(`${namespace}/${pod}`)) samples.set(metric, { namespace, pod, node: '' }, 0);
}

function setStatus(samples: SampleSet, { pods }: PodState): void {
  for (const pod of pods) {
    const identity = podIdentity(pod);
    for (const phase of metrics.podPhases)
      samples.set(metrics.podPhase, { ...identity, phase }, phaseOf(pod) === phase);
    const reasons = waitingReasonsOf(pod);
    for (const reason of metrics.waitingReasons) {
      const waiting = reasons.filter((each) => each === reason).length;
      samples.set(metrics.podWaitingContainers, { ...identity, reason }, waiting);
    }
    const requests = requestsOf(pod);
    samples.set(metrics.podMemoryRequest, identity, requests.memory);
    samples.set(metrics.podCpuRequest, identity, requests.cores);
  }
}

const phaseOf = ({ phase }: Pod): (typeof metrics.podPhases)[number] =>
  metrics.podPhases.find((each) => each === phase) ?? 'Unknown';

/**
 * In bytes and cores, as the scheduler counts (k8s.io/component-helpers resource.PodRequests): the larger of all
 * containers and sidecars together and of any init container with the sidecars before it; the pod's own resources
 * in place of that where set; plus the overhead of its RuntimeClass. 0 without a request.
 */
export const requestsOf = (pod: Pod): { readonly memory: number; readonly cores: number } => ({
  memory: requestOf(pod, 'memoryRequest', pod.overhead?.memory),
  cores: requestOf(pod, 'cpuRequest', pod.overhead?.cpu),
});

function requestOf(pod: Pod, resource: keyof Resources, overhead = 0): number {
  let sidecars = 0;
  let largestInit = 0;
  for (const { sidecar, resources } of pod.initContainers) {
    const own = resources[resource] ?? 0;
    if (sidecar) sidecars += own;
    largestInit = Math.max(largestInit, sidecar ? sidecars : sidecars + own);
  }
  const containers = pod.containers.reduce((sum, { resources }) => sum + (resources[resource] ?? 0), 0);
  return (pod.resources[resource] ?? Math.max(containers + sidecars, largestInit)) + overhead;
}

function setLastRestarts(samples: SampleSet, { component, pods, seenTimes }: PodState): void {
  for (const pod of pods)
    for (const container of allContainers(pod)) {
      const endedAt = seenTimes.endedAt(pod, container);
      if (endedAt === undefined) continue;
      const reason = restartReasonOf(container.lastTermination);
      const labels = { ...podIdentity(pod), container: containerLabel(pod, container, component), reason };
      samples.set(metrics.podLastRestart, labels, endedAt / 1000);
    }
}

/** All reasons of every container of a present pod, and counts of earlier pods on other nodes. */
function setRestarts(
  samples: SampleSet,
  metric: typeof metrics.podRestarts,
  { component, pods, restarts }: PodState,
): void {
  const containers = new Map<string, { identity: Identity; names: Set<string> }>();
  for (const pod of pods) {
    const identity = podIdentity(pod);
    // Before it is scheduled nothing can restart, and the series without a node would soon end.
    if (pod.node === '') continue;
    const names = new Set(allContainers(pod).map((container) => containerLabel(pod, container, component)));
    containers.set(identityKey(identity), { identity, names });
  }
  for (const { identity, counts } of restarts.entries()) {
    const key = identityKey(identity);
    const known = containers.get(key) ?? { identity, names: new Set<string>() };
    for (const countKey of counts.keys()) known.names.add(countKey.slice(0, countKey.lastIndexOf(' ')));
    containers.set(key, known);
  }
  for (const { identity, names } of containers.values()) {
    const countOf = restarts.of(identity);
    for (const container of names)
      for (const reason of restartReasons)
        samples.set(metric, { ...identity, container, reason }, countOf(restartKey(container, reason)));
  }
}

function setRotations(samples: SampleSet, state: PodState): void {
  const { statefulSets, rotations, ongoing } = state;
  const last = rotations.last();
  for (const { namespace, pod, node, seconds } of last)
    for (const phase of rotationSpans)
      samples.set(metrics.podRotation, { namespace, pod, node, phase }, seconds[phase]);
  setRotationTotals(samples, metrics.podRotations, state);
  for (const { namespace, pod, node, startedAt } of ongoing)
    samples.set(metrics.podRotationStart, { namespace, pod, node }, startedAt && startedAt / 1000);
  for (const { namespace, pod, node, cause, endedAt } of last)
    samples.set(metrics.podLastRotation, { namespace, pod, node, cause }, endedAt && endedAt / 1000);
  for (const { namespace, name: statefulset } of statefulSets)
    for (const phase of rotationSpans) {
      const durations = rotations.durations(namespace, statefulset, phase);
      samples.setHistogram(metrics.podRotationDuration, { namespace, statefulset, phase }, durations);
    }
}

function setRotationTotals(
  samples: SampleSet,
  metric: typeof metrics.podRotations,
  { pods, rotations: { counts } }: PodState,
): void {
  const counted = [
    ...pods.filter(({ node }) => node !== '').map(podIdentity),
    ...counts.entries().map(({ identity }) => identity),
  ];
  for (const identity of new Map(counted.map((each) => [identityKey(each), each])).values()) {
    const countOf = counts.of(identity);
    for (const cause of rotationCauses) samples.set(metric, { ...identity, cause }, countOf(cause));
  }
}

/** gitaly_server_info with what the API reports; the labels about cgroups are empty. */
export function infoFamilies(pods: readonly Pod[], nodes: readonly Node[]): readonly Family[] {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const samples = createSamples();
  for (const pod of pods) {
    const summary = summarizePod(pod, byName.get(pod.node));
    const labels = {
      ...podIdentity(pod),
      uid: summary.uid,
      version: summary.version,
      qos_class: summary.qosClass,
      priority_class: summary.priorityClass,
      runtime_version: summary.runtimeVersion,
      kernel_version: summary.kernelVersion,
      cgroup_driver: '',
      cgroup_layout: '',
    } as const;
    samples.set(serverInfo, labels, 1);
  }
  return samples.families();
}
