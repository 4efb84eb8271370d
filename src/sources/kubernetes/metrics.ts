/**
 * What this room says of Gitaly's pods and of what surrounds them. docs/kubernetes-rotation.md says what a rotation
 * is. Labels of StatefulSets and budgets are named as kube-state-metrics names them, for joins.
 */
import { anyValue, counter, gauge, histogram, type Metric } from '../../metrics/metric.ts';
import { nodeOomReasons } from './node-oom.ts';
import { restartReasons } from './restarts.ts';
import { rotationCauses, rotationSpans } from './rotation/rotation.ts';

const identity = { namespace: anyValue, pod: anyValue, node: anyValue } as const;
const perSet = { namespace: anyValue, statefulset: anyValue } as const;
const perBudget = { namespace: anyValue, poddisruptionbudget: anyValue } as const;

/** Phases of a pod's life as the API names them; not those of a rotation. */
export const podPhases = ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'] as const;

/** Why a container waits; the kubelet has no list of them that is closed. */
export const waitingReasons = [
  'CrashLoopBackOff',
  'ImagePullBackOff',
  'ErrImagePull',
  'InvalidImageName',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
  'ContainerCreating',
  'PodInitializing',
  'other',
] as const;
export type WaitingReason = (typeof waitingReasons)[number];

export const nodePressures = ['memory', 'disk', 'pid'] as const;

const stale = 'Absent while the API is not heard (gitaly_exporter_kubernetes_watch_current 0)';

export const podReady = gauge('gitaly_server_pod_ready', {
  help: `1 while the pod is Ready. 0 while it is not, also on a lost node, and, with an empty node, while its StatefulSet has not made it anew. ${stale}.`,
  origin: 'Kubernetes API: condition Ready of pods',
  labels: identity,
});

export const podPhase = gauge('gitaly_server_pod_phase', {
  help: `1 for the phase that the pod is in. A pod on a lost node stays Running: see gitaly_server_pod_ready. ${stale}.`,
  origin: 'Kubernetes API: status.phase of pods',
  labels: { ...identity, phase: podPhases },
});

export const podWaitingContainers = gauge('gitaly_server_pod_waiting_containers', {
  help: `How many of the pod's containers, init containers included, wait to be started, by reason. ${stale}.`,
  origin: 'Kubernetes API: state.waiting.reason of containers',
  labels: { ...identity, reason: waitingReasons },
});

export const podRestarts = counter('gitaly_server_pod_restarts_total', {
  help: 'Restarts of the container since the exporter first saw the pod, counted on when the pod is replaced; by why the container had ended. Of several between two looks only the last has its reason, the others are unknown. What a pod went through on one node stays under that node. OOMKilled is a container that died, not a Git process killed in its bucket, which the API does not tell of.',
  origin: 'Kubernetes API: restartCount and lastState of containers',
  labels: { ...identity, container: anyValue, reason: restartReasons },
});

export const podLastRestart = gauge('gitaly_server_pod_last_restart_timestamp_seconds', {
  help: "When the container's last run ended, and why, by the node's clock. Absent for a container that has never been restarted in this pod; unlike the counter it does not start anew with the exporter.",
  origin: 'Kubernetes API: lastState.terminated of containers',
  unit: 'seconds',
  labels: { ...identity, container: anyValue, reason: restartReasons },
});

export const podMemoryRequest = gauge('gitaly_server_pod_memory_request_bytes', {
  help: "Memory that the pod asks of its node, as the scheduler counts: containers and sidecars together or the largest init container, the pod's own resources before those, and overhead. 0 when it asks for none.",
  origin: 'Kubernetes API: resources.requests of pods',
  unit: 'bytes',
  labels: identity,
});

export const podCpuRequest = gauge('gitaly_server_pod_cpu_request_cores', {
  help: 'CPU that the pod asks of its node, counted like its memory. 0 when it asks for none.',
  origin: 'Kubernetes API: resources.requests of pods',
  unit: 'cores',
  labels: identity,
});

export const podRotation = gauge('gitaly_server_pod_rotation_seconds', {
  help: "How long the pod's last rotation took, from the request to delete it (or its eviction, the loss of its node, the end of its container) to Ready, in all and by phase. Absent before the first one that the exporter sees, and for what cannot be told of it: after a gap in the watch, or where clocks differ.",
  origin: 'Kubernetes API: the watch of pods',
  unit: 'seconds',
  labels: { ...identity, phase: rotationSpans },
});

export const podRotationDuration = histogram('gitaly_server_pod_rotation_duration_seconds', {
  help: 'How long rotations of the pods of a StatefulSet took, in all and by phase. What could not be told of a rotation is not in it, so phases may have fewer of them than gitaly_server_pod_rotations_total.',
  origin: 'Kubernetes API: the watch of pods',
  unit: 'seconds',
  labels: { ...perSet, phase: rotationSpans },
});

export const podRotations = counter('gitaly_server_pod_rotations_total', {
  help: 'Rotations of the pod that ended with Ready, by cause; node is the one that it left. rollout: the template changed. eviction_api: evicted by somebody through the API. eviction_pressure: by its kubelet. preemption: for a pod of higher priority. node_drained: through the API from a cordoned node, or the node shut down. node_lost: the node was not Ready. deleted: somebody deleted it. container_restart: the same pod, a container of it ended. unknown: not seen.',
  origin: 'Kubernetes API: the watch of pods',
  labels: { ...identity, cause: rotationCauses },
});

export const podRotationStart = gauge('gitaly_server_pod_rotation_start_timestamp_seconds', {
  help: 'Since when the pod is being rotated: time() less this is how long it has been away by now. Of a pod that has never been Ready as far as is known, when it was created. Absent while it is Ready and nothing goes on.',
  origin: 'Kubernetes API: the watch of pods',
  unit: 'seconds',
  labels: identity,
});

export const podLastRotation = gauge('gitaly_server_pod_last_rotation_timestamp_seconds', {
  help: "When the pod's last rotation ended, and its cause. Absent before the first one that the exporter sees.",
  origin: 'Kubernetes API: the watch of pods',
  unit: 'seconds',
  labels: { ...identity, cause: rotationCauses },
});

export const disruptionsAllowed = gauge('gitaly_server_disruptions_allowed', {
  help: "How many pods the PodDisruptionBudget lets be evicted now. 0 for as long as one of them is away is as it should be; 0 with all of them healthy means that no drain will ever get through. For each budget that covers Gitaly's pods.",
  origin: 'Kubernetes API: status.disruptionsAllowed of PodDisruptionBudgets',
  labels: perBudget,
});

export const disruptionHealthy = gauge('gitaly_server_disruption_budget_current_healthy', {
  help: "Pods that are healthy by the PodDisruptionBudget's count.",
  origin: 'Kubernetes API: status.currentHealthy of PodDisruptionBudgets',
  labels: perBudget,
});

export const disruptionDesired = gauge('gitaly_server_disruption_budget_desired_healthy', {
  help: 'Pods that the PodDisruptionBudget wants to stay healthy.',
  origin: 'Kubernetes API: status.desiredHealthy of PodDisruptionBudgets',
  labels: perBudget,
});

export const disruptionExpected = gauge('gitaly_server_disruption_budget_expected_pods', {
  help: 'Pods that the PodDisruptionBudget covers.',
  origin: 'Kubernetes API: status.expectedPods of PodDisruptionBudgets',
  labels: perBudget,
});

export const setReplicas = gauge('gitaly_server_statefulset_replicas', {
  help: 'Pods that the StatefulSet of Gitaly should have.',
  origin: 'Kubernetes API: spec.replicas of StatefulSets',
  labels: perSet,
});

export const setReadyReplicas = gauge('gitaly_server_statefulset_ready_replicas', {
  help: 'Pods of the StatefulSet that are Ready, by its controller.',
  origin: 'Kubernetes API: status.readyReplicas of StatefulSets',
  labels: perSet,
});

export const setUpdatedReplicas = gauge('gitaly_server_statefulset_updated_replicas', {
  help: 'Pods of the StatefulSet that are of its newest template: fewer than its replicas during a roll-out, and while one of them is being replaced for whatever reason.',
  origin: 'Kubernetes API: status.updatedReplicas of StatefulSets',
  labels: perSet,
});

export const nodeReady = gauge('gitaly_server_node_ready', {
  help: "1 while the node is Ready, 0 while it is not, is not heard from, or is gone; of nodes with Gitaly's pods. Absent without the right to list nodes.",
  origin: 'Kubernetes API: condition Ready of nodes',
  labels: { node: anyValue },
});

export const nodePressure = gauge('gitaly_server_node_pressure', {
  help: "1 while the node is short of the resource and evicts pods; of nodes with Gitaly's pods. Absent while the node is not heard from.",
  origin: 'Kubernetes API: conditions MemoryPressure, DiskPressure and PIDPressure of nodes',
  labels: { node: anyValue, resource: nodePressures },
});

export const nodeUnschedulable = gauge('gitaly_server_node_unschedulable', {
  help: "1 while the node is cordoned: a pod that leaves it does not come back to it. Of nodes with Gitaly's pods.",
  origin: 'Kubernetes API: spec.unschedulable of nodes',
  labels: { node: anyValue },
});

export const nodeOomEvents = counter('gitaly_server_node_oom_events_total', {
  help: "OOM kills that the node reported since the exporter started. SystemOOM is the kubelet's: the node itself was out of memory. OOMKilling is node-problem-detector's, if it runs, for any kill that the kernel logs, a cgroup's own limit included. The API server may drop events: this counts at least, not at most.",
  origin: 'Kubernetes API: events of nodes',
  labels: { node: anyValue, reason: nodeOomReasons },
});

/** Of what rests on the watch of pods. */
export const podMetrics: readonly Metric[] = Object.freeze([
  podReady,
  podPhase,
  podWaitingContainers,
  podRestarts,
  podLastRestart,
  podMemoryRequest,
  podCpuRequest,
  podRotation,
  podRotationDuration,
  podRotations,
  podRotationStart,
  podLastRotation,
]);

/** All metrics of this room; none of them is told by an agent. */
export const kubernetesMetrics: readonly Metric[] = Object.freeze([
  ...podMetrics,
  disruptionsAllowed,
  disruptionHealthy,
  disruptionDesired,
  disruptionExpected,
  setReplicas,
  setReadyReplicas,
  setUpdatedReplicas,
  nodeReady,
  nodePressure,
  nodeUnschedulable,
  nodeOomEvents,
]);
