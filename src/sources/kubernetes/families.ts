/** Samples of Gitaly's pods, of the StatefulSets, budgets and nodes around them, and of the watches. Pure. */
import { type Family, type HistogramSample, samplesOf } from '../../metrics/samples.ts';
import { type Identity, identityKey } from '../identity.ts';
import { serverInfo } from '../server-info.ts';
import type { LocalTimes } from './api-time.ts';
import { allContainers, type PodCounters, restartKey, restartReasonOf, restartReasons } from './counters.ts';
import { summarizePod } from './directory/pod-list.ts';
import { podIdentity } from './gitaly-objects.ts';
import * as metrics from './metrics.ts';
import type { Node, Pod, Resources } from './objects/types.ts';
import { isReady } from './rotation/milestones.ts';
import type { RotationRecord } from './rotation/record.ts';
import { type OngoingRotation, rotationCauses, rotationSpans } from './rotation/rotation.ts';
import { waitingReasonsOf } from './waiting.ts';

interface PodState {
  /** Gitaly's, one per name. */
  readonly pods: readonly Pod[];
  /** Present ones, and those that were deleted recently: their histograms must not end before they are scraped. */
  readonly statefulSets: readonly { readonly namespace: string; readonly name: string }[];
  readonly restarts: PodCounters;
  readonly rotations: RotationRecord;
  readonly ongoing: readonly OngoingRotation[];
  readonly times: LocalTimes;
}

export const podFamilies = (state: PodState): readonly Family[] => [
  ...statusFamilies(state),
  ...restartFamilies(state),
  ...rotationFamilies(state),
];

/** The same for Praefect, by other metrics: alerts on Gitaly's pods must not fire for Praefect's. */
export function praefectPodFamilies({ pods, restarts, rotations, ongoing }: PodState): readonly Family[] {
  return [
    readyFamily(metrics.praefectPodReady, pods, ongoing),
    restartTotals(metrics.praefectPodRestarts, pods, restarts),
    rotationTotals(metrics.praefectPodRotations, pods, rotations),
  ];
}

function readyFamily(
  metric: typeof metrics.podReady,
  pods: readonly Pod[],
  ongoing: readonly OngoingRotation[],
): Family {
  const ready = samplesOf(metric);
  for (const pod of pods) ready.set(podIdentity(pod), isReady(pod) ? 1 : 0);
  // Several watches are not synchronized: a pod may exist that its rotation does not know yet.
  const names = new Set(pods.map(({ namespace, name }) => `${namespace}/${name}`));
  for (const { namespace, pod, missing } of ongoing)
    if (missing && !names.has(`${namespace}/${pod}`)) ready.set({ namespace, pod, node: '' }, 0);
  return ready.family();
}

function statusFamilies({ pods, ongoing }: PodState): readonly Family[] {
  const phase = samplesOf(metrics.podPhase);
  const waiting = samplesOf(metrics.podWaitingContainers);
  const memory = samplesOf(metrics.podMemoryRequest);
  const cpu = samplesOf(metrics.podCpuRequest);
  for (const pod of pods) {
    const identity = podIdentity(pod);
    for (const each of metrics.podPhases)
      phase.set({ ...identity, phase: each }, phaseOf(pod) === each ? 1 : 0);
    const reasons = waitingReasonsOf(pod);
    for (const reason of metrics.waitingReasons)
      waiting.set({ ...identity, reason }, reasons.filter((each) => each === reason).length);
    const requests = requestsOf(pod);
    memory.set(identity, requests.memory);
    cpu.set(identity, requests.cores);
  }
  return [
    readyFamily(metrics.podReady, pods, ongoing),
    phase.family(),
    waiting.family(),
    memory.family(),
    cpu.family(),
  ];
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

/** All reasons of every container of a present pod, and counts of earlier pods on other nodes. */
function restartFamilies({ pods, restarts, times }: PodState): readonly Family[] {
  const last = samplesOf(metrics.podLastRestart);
  for (const pod of pods) {
    const identity = podIdentity(pod);
    for (const { name, lastTermination } of allContainers(pod))
      if (lastTermination !== undefined && times.past(lastTermination.finishedAt, 'node') !== undefined)
        last.set(
          { ...identity, container: name, reason: restartReasonOf(lastTermination) },
          (lastTermination.finishedAt ?? 0) / 1000,
        );
  }
  return [restartTotals(metrics.podRestarts, pods, restarts), last.family()];
}

function restartTotals(
  metric: typeof metrics.podRestarts,
  pods: readonly Pod[],
  restarts: PodCounters,
): Family {
  const total = samplesOf(metric);
  const containers = new Map<string, { identity: Identity; names: Set<string> }>();
  for (const pod of pods) {
    const identity = podIdentity(pod);
    // Before it is scheduled nothing can restart, and the series without a node would soon end.
    if (pod.node === '') continue;
    const names = new Set(allContainers(pod).map(({ name }) => name));
    containers.set(identityKey(identity), { identity, names });
  }
  for (const { identity, counts } of restarts.entries()) {
    const key = identityKey(identity);
    const known = containers.get(key) ?? { identity, names: new Set<string>() };
    for (const countKey of counts.keys()) known.names.add(countKey.slice(0, countKey.lastIndexOf(' ')));
    containers.set(key, known);
  }
  for (const { identity, names } of containers.values())
    for (const container of names)
      for (const reason of restartReasons)
        total.set({ ...identity, container, reason }, restarts.get(identity, restartKey(container, reason)));
  return total.family();
}

function rotationFamilies({ pods, statefulSets, rotations, ongoing }: PodState): readonly Family[] {
  const seconds = samplesOf(metrics.podRotation);
  const start = samplesOf(metrics.podRotationStart);
  const last = samplesOf(metrics.podLastRotation);
  for (const { namespace, pod, node, startedAt } of ongoing)
    if (startedAt !== undefined) start.set({ namespace, pod, node }, startedAt / 1000);
  for (const { namespace, pod, node, cause, seconds: spans, endedAt } of rotations.last()) {
    for (const phase of rotationSpans) {
      const value = spans[phase];
      if (value !== undefined) seconds.set({ namespace, pod, node, phase }, value);
    }
    if (endedAt !== undefined) last.set({ namespace, pod, node, cause }, endedAt / 1000);
  }
  const histograms: HistogramSample[] = statefulSets.flatMap(({ namespace, name }) =>
    rotationSpans.map((phase) => ({
      labelValues: [namespace, name, phase],
      ...rotations.durations(namespace, name, phase),
    })),
  );
  return [
    ...[seconds.family(), rotationTotals(metrics.podRotations, pods, rotations)],
    ...[start.family(), last.family()],
    { metric: metrics.podRotationDuration, histograms },
  ];
}

function rotationTotals(
  metric: typeof metrics.podRotations,
  pods: readonly Pod[],
  rotations: RotationRecord,
): Family {
  const counts = samplesOf(metric);
  const counted = [
    ...pods.filter(({ node }) => node !== '').map(podIdentity),
    ...rotations.counts.entries().map(({ identity }) => identity),
  ];
  for (const identity of new Map(counted.map((each) => [identityKey(each), each])).values())
    for (const cause of rotationCauses)
      counts.set({ ...identity, cause }, rotations.counts.get(identity, cause));
  return counts.family();
}

/** gitaly_server_info with what the API reports; the labels about cgroups are empty. */
export function infoFamily(pods: readonly Pod[], nodes: readonly Node[]): Family {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const info = samplesOf(serverInfo);
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
    info.set(labels, 1);
  }
  return info.family();
}
