/**
 * What is kept of Kubernetes' objects: what this program uses, and nothing else, so that memory stays bounded
 * whatever people write into annotations. Absent stays absent. Times are milliseconds since 1970 by the API
 * server's clock; quantities are bytes and cores.
 */

export interface Meta {
  /** Empty for nodes. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly createdAt: number;
  /** deletionTimestamp less deletionGracePeriodSeconds: when deletion was asked for, and the grace it was given. */
  readonly deletion: { readonly requestedAt: number; readonly graceSeconds: number } | undefined;
  /** Bounded: the chart's, and the well-known ones (app, release, storage, controller-revision-hash, ...). */
  readonly labels: Readonly<Record<string, string>>;
  /** Only those that something here reads (gitaly-exporter/maintenance-until, safe-to-evict, prometheus.io/*). */
  readonly annotations: Readonly<Record<string, string>>;
  /** The controlling owner. */
  readonly owner: { readonly kind: string; readonly name: string; readonly uid: string } | undefined;
}

/** What a label selector asks: all of `labels` and all of `expressions`. `selects` of selector.ts matches it. */
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
  readonly memoryRequest?: number;
  readonly memoryLimit?: number;
  readonly cpuRequest?: number;
  readonly cpuLimit?: number;
}

export interface Probe {
  readonly initialDelaySeconds: number;
  readonly periodSeconds: number;
  readonly timeoutSeconds: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

export interface Ended {
  readonly reason: string;
  readonly exitCode: number;
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
}

export type ContainerState =
  | { readonly kind: 'waiting'; readonly reason: string }
  | { readonly kind: 'running'; readonly startedAt: number | undefined }
  | ({ readonly kind: 'terminated' } & Ended)
  | { readonly kind: 'unknown' };

/** Spec and status of one container together. */
export interface Container {
  readonly name: string;
  readonly image: string;
  readonly resources: Resources;
  /** Plain values only, and only of names that something here reads: GOMEMLIMIT. */
  readonly env: Readonly<Record<string, string>>;
  /** Name -> containerPort. */
  readonly ports: Readonly<Record<string, number>>;
  readonly startupProbe: Probe | undefined;
  readonly readinessProbe: Probe | undefined;
  readonly livenessProbe: Probe | undefined;
  /** restartPolicy Always of an init container: a sidecar. */
  readonly sidecar: boolean;
  /** Below: status; as the API gives it while there is none yet: '' , false, 0, unknown. */
  readonly id: string;
  readonly ready: boolean;
  readonly started: boolean;
  readonly restartCount: number;
  readonly state: ContainerState;
  readonly last: Ended | undefined;
}

export interface Pod extends Meta {
  readonly kind: 'Pod';
  /** Empty until it is scheduled. */
  readonly node: string;
  readonly phase: string;
  /** status.reason: Evicted, NodeLost. */
  readonly reason: string;
  readonly message: string;
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
  readonly runAsUser: number | undefined;
  /** spec.resources (pod-level, Kubernetes >= 1.34), where given. */
  readonly resources: Resources;
  /** spec.overhead, which a RuntimeClass sets (Kata); absent: none. */
  readonly overhead?: { readonly memory: number | undefined; readonly cpu: number | undefined };
  /** Anti-affinity of this pod: topology keys with a selector that matches its own labels, hard and soft. */
  readonly antiAffinity: { readonly required: readonly string[]; readonly preferred: readonly string[] };
  /** Names of its claims and ConfigMaps, by volume. */
  readonly claims: readonly string[];
  readonly configMaps: readonly string[];
}

export interface StatefulSet extends Meta {
  readonly kind: 'StatefulSet';
  readonly generation: number;
  readonly observedGeneration: number;
  readonly replicas: number;
  /** spec.ordinals.start; absent: 0. */
  readonly ordinalsStart?: number;
  readonly readyReplicas: number;
  readonly updatedReplicas: number;
  readonly currentRevision: string;
  readonly updateRevision: string;
  /** RollingUpdate or OnDelete; the partition below which nothing is updated. */
  readonly updateStrategy: string;
  readonly partition: number;
  /** matchLabels of its selector, and its pod template's annotations that Meta would keep. */
  readonly selector: Readonly<Record<string, string>>;
}

export interface PodDisruptionBudget extends Meta {
  readonly kind: 'PodDisruptionBudget';
  /** matchLabels of its selector. */
  readonly selector: Readonly<Record<string, string>>;
  /** The whole selector, with its expressions; absent where there is none (then it covers no pod). */
  readonly labelSelector?: LabelSelector;
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
  readonly taints: readonly {
    readonly key: string;
    readonly effect: string;
    readonly since: number | undefined;
  }[];
  readonly kubeletVersion: string;
  /** `containerd://2.1.4` */
  readonly runtimeVersion: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  /** status.nodeInfo.swap.capacity, where the kubelet tells it. */
  readonly swapBytes: number | undefined;
  readonly allocatable: { readonly memory: number | undefined; readonly cpu: number | undefined };
}

/** core/v1 and events.k8s.io/v1 alike. */
export interface KubeEvent extends Meta {
  readonly kind: 'Event';
  readonly reason: string;
  readonly type: string;
  /** At most 1 KiB. */
  readonly message: string;
  readonly source: string;
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

/** Read when asked for, never watched whole: only Gitaly's and Praefect's own configuration. */
export interface ConfigMap extends Meta {
  readonly kind: 'ConfigMap';
  /** Only config.toml.tpl and config.toml, at most 1 MiB each. */
  readonly data: Readonly<Record<string, string>>;
}

export type KubeObject = Pod | StatefulSet | PodDisruptionBudget | Node | KubeEvent;
