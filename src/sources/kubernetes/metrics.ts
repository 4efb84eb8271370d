/**
 * Metrics of Gitaly's pods, of what surrounds them, and of the watches. docs/kubernetes-rotation.md defines a
 * rotation. Labels of StatefulSets and PodDisruptionBudgets are named as in kube-state-metrics, for joins.
 */
import { anyValue, metricGroup } from '../../metrics/metric.ts';
import { identityLabels } from '../identity.ts';
import { nodeOomReasons, restartReasons } from './counters.ts';
import { rotationCauses, rotationSpans } from './rotation/rotation.ts';
import { watchEndReasons, watchedResources } from './store.ts';

const { counter, gauge, histogram, metrics } = metricGroup();

const perStatefulSet = { namespace: anyValue, statefulset: anyValue } as const;
const perBudget = { namespace: anyValue, poddisruptionbudget: anyValue } as const;

/** status.phase of a pod; not the phases of a rotation. */
export const podPhases = ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'] as const;

/** The kubelet's reasons have no closed list: `other` is any that is not here. */
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

const absentWhileStale =
  'Absent while the watch of pods is not current (gitaly_exporter_kubernetes_watch_current 0).';

export const podReady = gauge('gitaly_server_pod_ready', {
  help: '1 while the pod is Ready, else 0.',
  details: `0 on a lost node, and, with an empty node, for each pod that its StatefulSet wants and that does not exist. For six hours that also holds for the pods of a StatefulSet that was deleted. ${absentWhileStale}`,
  origin: 'Kubernetes API: condition Ready of pods',
  labels: identityLabels,
});

export const podPhase = gauge('gitaly_server_pod_phase', {
  help: "1 for the pod's phase, 0 for the others.",
  details: `A pod on a lost node stays Running: see gitaly_server_pod_ready. ${absentWhileStale}`,
  origin: 'Kubernetes API: status.phase of pods',
  labels: { ...identityLabels, phase: podPhases },
});

export const podWaitingContainers = gauge('gitaly_server_pod_waiting_containers', {
  help: 'Containers of the pod that are waiting to start, by reason; init containers included.',
  details: absentWhileStale,
  origin: 'Kubernetes API: state.waiting.reason of containers',
  labels: { ...identityLabels, reason: waitingReasons },
});

export const podRestarts = counter('gitaly_server_pod_restarts_total', {
  help: 'Restarts of the container since the exporter first saw the pod, by termination reason.',
  details:
    'Continues when the pod is replaced; restarts stay under the node where they happened. The API keeps the reason of the last termination only: of several restarts between two updates, the earlier ones are unknown. container: gitaly for the one that runs Gitaly, whatever its name. OOMKilled is a container that terminated, not a Git process that was OOM-killed in its cgroup, which the API does not report.',
  origin: 'Kubernetes API: restartCount and lastState of containers',
  labels: { ...identityLabels, container: anyValue, reason: restartReasons },
});

export const podLastRestart = gauge('gitaly_server_pod_last_restart_timestamp_seconds', {
  help: "End of the container's previous run, by termination reason.",
  details:
    'The time that the node reports, or, where its clock is wrong, when the exporter saw the restart. Absent for a container that was never restarted in this pod. Unlike the counter of restarts, it does not depend on when the exporter started.',
  origin: 'Kubernetes API: lastState.terminated of containers',
  labels: { ...identityLabels, container: anyValue, reason: restartReasons },
});

export const podMemoryRequest = gauge('gitaly_server_pod_memory_request_bytes', {
  help: 'Memory that the pod requests, as the scheduler counts it.',
  details:
    "Containers and sidecars together, or the largest init container; the pod's own resources in place of those; plus overhead. 0 without a request. Of a resize in place that the kubelet has not applied, the values before it.",
  origin: 'Kubernetes API: resources.requests of pods',
  labels: identityLabels,
});

export const podCpuRequest = gauge('gitaly_server_pod_cpu_request_cores', {
  help: 'CPU that the pod requests, as the scheduler counts it.',
  details: 'Counted as gitaly_server_pod_memory_request_bytes. 0 without a request.',
  origin: 'Kubernetes API: resources.requests of pods',
  labels: identityLabels,
});

export const podRotation = gauge('gitaly_server_pod_rotation_seconds', {
  help: "Duration of the pod's last rotation, in total and by phase.",
  details:
    'From the deletion request (or the eviction, the loss of the node, the termination of a container) to Ready. Absent before the first rotation that the exporter sees, and for spans that are unknown after a gap in the watch, or where the clocks of node and API server differ.',
  origin: 'Kubernetes API: the watch of pods',
  labels: { ...identityLabels, phase: rotationSpans },
});

export const podRotationDuration = histogram('gitaly_server_pod_rotation_duration_seconds', {
  help: "Duration of rotations of the StatefulSet's pods, in total and by phase.",
  details:
    'Unknown spans of a rotation are not observed, so that phases may have fewer observations than gitaly_server_pod_rotations_total.',
  origin: 'Kubernetes API: the watch of pods',
  labels: { ...perStatefulSet, phase: rotationSpans },
});

export const podRotations = counter('gitaly_server_pod_rotations_total', {
  help: 'Completed rotations of the pod, by cause; node is the one that the pod left.',
  details:
    'rollout: the pod template changed. eviction_api: evicted through the API. eviction_pressure: evicted by the kubelet. preemption: evicted for a pod of higher priority. node_drained: evicted through the API from a cordoned node, or the node shut down. node_lost: the node was not Ready. deleted: the pod was deleted otherwise. container_restart: a container of the pod terminated and was restarted. unknown: the exporter did not see the cause.',
  origin: 'Kubernetes API: the watch of pods',
  labels: { ...identityLabels, cause: rotationCauses },
});

export const podRotationStart = gauge('gitaly_server_pod_rotation_start_timestamp_seconds', {
  help: "Start of the pod's ongoing rotation.",
  details:
    'time() minus this is how long the pod has been unavailable. For a pod that was never Ready as far as the exporter knows: its creation. For a missing pod whose removal the exporter did not see: when it was first found missing. Absent without an ongoing rotation.',
  origin: 'Kubernetes API: the watch of pods',
  labels: identityLabels,
});

export const podLastRotation = gauge('gitaly_server_pod_last_rotation_timestamp_seconds', {
  help: "End of the pod's last rotation, by cause.",
  details: 'Absent before the first rotation that the exporter sees.',
  origin: 'Kubernetes API: the watch of pods',
  labels: { ...identityLabels, cause: rotationCauses },
});

export const disruptionsAllowed = gauge('gitaly_server_disruptions_allowed', {
  help: 'Pods that the PodDisruptionBudget allows to be evicted now.',
  details:
    "One series for each budget that covers Gitaly's pods. 0 while one of the pods is unavailable is expected; 0 with all of them healthy means that no drain can succeed.",
  origin: 'Kubernetes API: status.disruptionsAllowed of PodDisruptionBudgets',
  labels: perBudget,
});

export const disruptionHealthy = gauge('gitaly_server_disruption_budget_current_healthy', {
  help: 'Healthy pods that the PodDisruptionBudget covers.',
  origin: 'Kubernetes API: status.currentHealthy of PodDisruptionBudgets',
  labels: perBudget,
});

export const disruptionDesired = gauge('gitaly_server_disruption_budget_desired_healthy', {
  help: 'Pods that the PodDisruptionBudget requires to stay healthy.',
  origin: 'Kubernetes API: status.desiredHealthy of PodDisruptionBudgets',
  labels: perBudget,
});

export const disruptionExpected = gauge('gitaly_server_disruption_budget_expected_pods', {
  help: 'Pods that the PodDisruptionBudget covers.',
  origin: 'Kubernetes API: status.expectedPods of PodDisruptionBudgets',
  labels: perBudget,
});

export const statefulSetReplicas = gauge('gitaly_server_statefulset_replicas', {
  help: 'Desired pods of the StatefulSet.',
  origin: 'Kubernetes API: spec.replicas of StatefulSets',
  labels: perStatefulSet,
});

export const statefulSetReadyReplicas = gauge('gitaly_server_statefulset_ready_replicas', {
  help: 'Ready pods of the StatefulSet.',
  origin: 'Kubernetes API: status.readyReplicas of StatefulSets',
  labels: perStatefulSet,
});

export const statefulSetUpdatedReplicas = gauge('gitaly_server_statefulset_updated_replicas', {
  help: 'Pods of the StatefulSet that have its current template.',
  details: 'Fewer than its replicas during a rollout, and while a pod is being replaced for any reason.',
  origin: 'Kubernetes API: status.updatedReplicas of StatefulSets',
  labels: perStatefulSet,
});

export const statefulSetRollingOut = gauge('gitaly_server_statefulset_rolling_out', {
  help: '1 while the current template of the StatefulSet is not on all pods that its rollout replaces, else 0.',
  details:
    'A pod that is missing or terminating is no rollout. Pods below the partition are not replaced; with OnDelete none are.',
  origin: 'Kubernetes API: revisions, partition and status of StatefulSets',
  labels: perStatefulSet,
});

export const nodeReady = gauge('gitaly_server_node_ready', {
  help: "1 while a node with Gitaly's pods is Ready, 0 while it is not Ready, unreachable or removed.",
  details: 'Absent without the right to list nodes.',
  origin: 'Kubernetes API: condition Ready of nodes',
  labels: { node: anyValue },
});

export const nodePressure = gauge('gitaly_server_node_pressure', {
  help: "1 while a node with Gitaly's pods is under pressure on the resource and evicts pods, else 0.",
  details: 'Absent while the condition is Unknown.',
  origin: 'Kubernetes API: conditions MemoryPressure, DiskPressure and PIDPressure of nodes',
  labels: { node: anyValue, resource: nodePressures },
});

export const nodeUnschedulable = gauge('gitaly_server_node_unschedulable', {
  help: "1 while a node with Gitaly's pods is cordoned, else 0.",
  details: 'A pod that leaves a cordoned node is not scheduled there again.',
  origin: 'Kubernetes API: spec.unschedulable of nodes',
  labels: { node: anyValue },
});

export const nodeOomEvents = counter('gitaly_server_node_oom_events_total', {
  help: 'OOM kills that the node has reported as events since the exporter started.',
  details:
    "SystemOOM is the kubelet's: the node itself was out of memory. OOMKilling is node-problem-detector's, where it runs, for every kill in the kernel's log, including kills at a cgroup's own limit. A lower bound: the API server may drop events.",
  origin: 'Kubernetes API: events of nodes',
  labels: { node: anyValue, reason: nodeOomReasons },
});

export const praefectPodReady = gauge('praefect_server_pod_ready', {
  help: "1 while Praefect's pod is Ready, else 0.",
  details: `0, with an empty node, for each pod that its StatefulSet wants and that does not exist. ${absentWhileStale}`,
  origin: 'Kubernetes API: condition Ready of pods',
  labels: identityLabels,
});

export const praefectPodRestarts = counter('praefect_server_pod_restarts_total', {
  help: "Restarts of the container of Praefect's pod since the exporter first saw the pod, by termination reason.",
  details: 'Counted as gitaly_server_pod_restarts_total.',
  origin: 'Kubernetes API: restartCount and lastState of containers',
  labels: { ...identityLabels, container: anyValue, reason: restartReasons },
});

export const praefectPodRotations = counter('praefect_server_pod_rotations_total', {
  help: "Completed rotations of Praefect's pod, by cause; node is the one that the pod left.",
  details: 'Counted as gitaly_server_pod_rotations_total, with the same causes.',
  origin: 'Kubernetes API: the watch of pods',
  labels: { ...identityLabels, cause: rotationCauses },
});

/** Reported by the cluster's exporter, not by agents. */
export const kubernetesMetrics = metrics;

const watches = metricGroup();
const watchOrigin = "the exporter's watches of the Kubernetes API";
const perResource = { resource: watchedResources } as const;

export const watchCurrent = watches.gauge('gitaly_exporter_kubernetes_watch_current', {
  help: "1 while the exporter's copy of the resource is current, else 0.",
  details:
    'Current: listed, and updated (a list, an event or a bookmark) within kubernetes.stale-after. 0 before the first list, while a right is missing, and when updates stop; metrics that depend on the resource are then absent. Also 0 while the API server sends malformed lists or objects: the objects before are then kept for that time. Absent for resources that this exporter does not watch (see kubernetes.role), or that the API server does not have.',
  origin: watchOrigin,
  labels: perResource,
});

export const watchLastEvent = watches.gauge('gitaly_exporter_kubernetes_watch_last_event_timestamp_seconds', {
  help: 'Time of the last list, watch event or bookmark of the resource.',
  details: 'With several namespaces, the oldest of their times. Absent before the first list.',
  origin: watchOrigin,
  labels: perResource,
});

export const watchObjects = watches.gauge('gitaly_exporter_kubernetes_watch_objects', {
  help: 'Objects of the resource that the exporter holds in memory.',
  origin: watchOrigin,
  labels: perResource,
});

export const watchRestarts = watches.counter('gitaly_exporter_kubernetes_watch_restarts_total', {
  help: 'Lists and watches of the resource that ended and were started again, by reason.',
  details:
    'expired: the requested time was over, as expected. closed: closed by the server before that. reset: the connection failed. timeout: no data on an open connection. gone: the server no longer has the resourceVersion (410), and everything is listed again. throttled: HTTP 429. server_error: HTTP 5xx. permission: HTTP 403. authentication: HTTP 401, or no credentials. malformed: an invalid response, or one over a limit of the exporter. not_served: the API server does not have the resource. other: anything else.',
  origin: watchOrigin,
  labels: { ...perResource, reason: watchEndReasons },
});

export const apiClockSkew = watches.gauge('gitaly_exporter_kubernetes_clock_skew_seconds', {
  help: "How far the API server's clock is ahead of the exporter's; negative when it is behind.",
  details:
    'By the header Date of the last response, accurate to about a second. Times of the API are corrected by it. Absent before the first response.',
  origin: watchOrigin,
  labels: {},
});

/** Part of the exporter's own metrics. */
export const watchMetrics = watches.metrics;
