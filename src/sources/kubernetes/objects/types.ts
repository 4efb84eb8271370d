/**
 * Kubernetes objects, trimmed to the fields that are used, so that memory stays bounded whatever annotations hold.
 * Absent fields are undefined, '', 0 or false. Times are milliseconds since 1970 by the API server's clock; quantities are bytes and
 * cores.
 */

export interface Meta {
  /** Empty for nodes. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly createdAt: number;
  /** requestedAt: deletionTimestamp less deletionGracePeriodSeconds. */
  readonly deletion: { readonly requestedAt: number; readonly graceSeconds: number } | undefined;
  /** Bounded: the chart's and well-known labels (app, release, storage, controller-revision-hash, ...). */
  readonly labels: Readonly<Record<string, string>>;
  /** Only those in use (gitaly-exporter/maintenance-until, safe-to-evict, prometheus.io/*). */
  readonly annotations: Readonly<Record<string, string>>;
  /** Names; while there is one, a deleted object stays. */
  readonly finalizers?: readonly string[] | undefined;
  /** The controlling owner. */
  readonly owner: { readonly kind: string; readonly name: string; readonly uid: string } | undefined;
}

/** Matches what has all of `labels` and meets all of `expressions`; see `selects` in selector.ts. */
export interface LabelSelector {
  readonly labels: Readonly<Record<string, string>>;
  readonly expressions: readonly Requirement[];
}

export interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}

export interface Condition {
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  /** lastTransitionTime */
  readonly since: number | undefined;
}

export interface Resources {
  readonly memoryRequest?: number | undefined;
  readonly memoryLimit?: number | undefined;
  readonly cpuRequest?: number | undefined;
  readonly cpuLimit?: number | undefined;
}

export interface ContainerProbe {
  readonly initialDelaySeconds: number;
  readonly periodSeconds: number;
  readonly successThreshold: number;
}

export interface Termination {
  readonly reason: string;
  readonly exitCode: number;
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
}

type ContainerState =
  | { readonly kind: 'waiting'; readonly reason: string }
  | { readonly kind: 'running'; readonly startedAt: number | undefined }
  | ({ readonly kind: 'terminated' } & Termination)
  | { readonly kind: 'unknown' };

/** Spec and status of one container, merged. */
export interface Container {
  readonly name: string;
  readonly image: string;
  /** As applied by its kubelet; of the spec where the status has none. */
  readonly resources: Resources;
  /** Plain values of the variables in use: GOMEMLIMIT. */
  readonly env: Readonly<Record<string, string>>;
  /** Name -> containerPort. */
  readonly ports: Readonly<Record<string, number>>;
  /** All of them, with or without a name. */
  readonly portNumbers?: readonly number[] | undefined;
  readonly startupProbe: ContainerProbe | undefined;
  readonly readinessProbe: ContainerProbe | undefined;
  /** Of its own securityContext, which takes precedence over the pod's. */
  readonly runAsUser?: number | undefined;
  /** An init container with restartPolicy Always. */
  readonly sidecar: boolean;
  /** From here on: status. Before there is one: '', false, 0, unknown. */
  readonly id: string;
  readonly started: boolean;
  readonly restartCount: number;
  readonly state: ContainerState;
  readonly lastTermination: Termination | undefined;
}

export interface Pod extends Meta {
  readonly kind: 'Pod';
  /** Empty until it is scheduled. */
  readonly node: string;
  readonly phase: string;
  /** status.reason: Evicted, NodeLost. */
  readonly reason: string;
  readonly qosClass: string;
  readonly priorityClass: string;
  readonly priority: number | undefined;
  readonly ip: string;
  /** By type: Ready, PodScheduled, Initialized, PodReadyToStartContainers, ContainersReady, DisruptionTarget. */
  readonly conditions: Readonly<Record<string, Condition>>;
  readonly containers: readonly Container[];
  readonly initContainers: readonly Container[];
  readonly startTime: number | undefined;
  readonly terminationGracePeriodSeconds: number | undefined;
  readonly fsGroupChangePolicy: string;
  /** Absent: the kubelet changes the owner of no file. */
  readonly fsGroup?: number | undefined;
  readonly runAsUser: number | undefined;
  /** False: the pod has a user namespace of its own. */
  readonly hostUsers?: boolean | undefined;
  /** `Never`: the pod waits for free capacity, whatever its priority. */
  readonly preemptionPolicy?: string | undefined;
  /** Pod-level (Kubernetes >= 1.34), where given; as of its containers. */
  readonly resources: Resources;
  /** spec.overhead, set by a RuntimeClass (Kata); absent: no overhead. */
  readonly overhead?: { readonly memory: number | undefined; readonly cpu: number | undefined } | undefined;
  /** Topology keys of the anti-affinity terms that match the pod's own labels. */
  readonly antiAffinity: { readonly required: readonly string[]; readonly preferred: readonly string[] };
  /** Names of the PersistentVolumeClaims and ConfigMaps that its volumes use. */
  readonly claims: readonly string[];
  readonly configMaps: readonly string[];
}

export interface StatefulSet extends Meta {
  readonly kind: 'StatefulSet';
  readonly generation: number;
  readonly observedGeneration: number;
  readonly replicas: number;
  /** spec.ordinals.start; absent: 0. */
  readonly ordinalsStart?: number | undefined;
  readonly readyReplicas: number;
  readonly updatedReplicas: number;
  readonly currentRevision: string;
  readonly updateRevision: string;
  /** RollingUpdate or OnDelete. */
  readonly updateStrategy: string;
  /** Pods with a lower ordinal are not updated. */
  readonly partition: number;
  /** matchLabels of its selector. */
  readonly selector: Readonly<Record<string, string>>;
  /** Of the pods that it creates. */
  readonly template: Workload;
}

/** The properties by which Gitaly and Praefect are recognized: of a pod, or of a StatefulSet's template. */
export interface Workload {
  readonly labels: Readonly<Record<string, string>>;
  readonly containers: readonly { readonly name: string }[];
}

export interface PodDisruptionBudget extends Meta {
  readonly kind: 'PodDisruptionBudget';
  /** matchLabels of its selector. */
  readonly selector: Readonly<Record<string, string>>;
  /** The whole selector, with its expressions; absent without one (then the budget covers no pod). */
  readonly labelSelector?: LabelSelector | undefined;
  readonly disruptionsAllowed: number;
  readonly currentHealthy: number;
  readonly desiredHealthy: number;
  readonly expectedPods: number;
  readonly maxUnavailable: string;
  readonly minAvailable: string;
}

export interface Node extends Meta {
  readonly kind: 'Node';
  readonly unschedulable: boolean;
  readonly conditions: Readonly<Record<string, Condition>>;
  readonly taints: readonly { readonly key: string; readonly effect: string }[];
  readonly kubeletVersion: string;
  /** `containerd://2.1.4` */
  readonly runtimeVersion: string;
  readonly kernelVersion: string;
  /** status.nodeInfo.swap.capacity, where the kubelet reports it. */
  readonly swapBytes: number | undefined;
}

/** Of core/v1 or events.k8s.io/v1. */
export interface KubeEvent extends Meta {
  readonly kind: 'Event';
  readonly reason: string;
  readonly type: string;
  /** At most 500 bytes. */
  readonly message: string;
  readonly about: {
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
  };
  readonly count: number;
  readonly firstAt: number | undefined;
  readonly lastAt: number | undefined;
}

/** Never watched: single ones with the configuration of Gitaly or Praefect are read on demand. */
export interface ConfigMap extends Meta {
  readonly kind: 'ConfigMap';
  /** Only config.toml.tpl and config.toml, at most 1 MiB each. */
  readonly data: Readonly<Record<string, string>>;
}

export type KubeObject = Pod | StatefulSet | PodDisruptionBudget | Node | KubeEvent;
