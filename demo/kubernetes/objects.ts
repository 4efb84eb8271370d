/** Kubernetes objects of the demo as an API server returns them, with the fields that the exporter reads. Pure. */
import { type DemoPod, demoPods } from '../node/pods.ts';
import type { StoredObject } from './api-server.ts';

export const demoNamespace = 'gitlab';
/** The chart's terminationGracePeriodSeconds with gracefulRestartTimeout 1. */
export const graceSeconds = 6;
export const goodImage = 'registry.example/gitaly:v19.0.1';

const gib = 2 ** 30;
const initResources = { memory: '64Mi', cpu: '50m' };
const statefulSetUid = '5e0c9c1d-7f3a-4b7e-9d5e-1c2f3a4b5c6d';
const gitalyLabels = { app: 'gitaly', release: 'demo' };

interface PodCondition {
  readonly status: 'True' | 'False';
  readonly reason?: string;
  readonly message?: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface ContainerTermination {
  readonly reason: 'OOMKilled' | 'Error' | 'Completed';
  readonly exitCode: number;
  readonly startedAt: number;
  readonly finishedAt: number;
}

type MainContainerState =
  | { readonly kind: 'waiting'; readonly reason: string; readonly message?: string }
  | { readonly kind: 'running'; readonly startedAt: number }
  | ({ readonly kind: 'terminated' } & ContainerTermination);

/** The model of a pod, from which its object is made. Times are milliseconds since 1970. */
export interface PodModel {
  readonly spec: DemoPod;
  readonly image: string;
  readonly revision: string;
  readonly createdAt: number;
  /** Empty until it is scheduled. */
  node: string;
  startTime: number | undefined;
  deletion: { readonly requestedAt: number; readonly graceSeconds: number } | undefined;
  phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  reason: string;
  message: string;
  readonly conditions: Map<string, PodCondition>;
  state: MainContainerState;
  lastTermination: ContainerTermination | undefined;
  containerId: string;
  isStarted: boolean;
  isReady: boolean;
  restarts: number;
}

export const timestamp = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

const metadata = (name: string, uid: string, createdAt: number) => ({
  name,
  namespace: demoNamespace,
  uid,
  creationTimestamp: timestamp(createdAt),
});

/** @param port where the storage's /metrics are served on the loopback */
export function podObject(pod: PodModel, port: number | undefined): StoredObject {
  const { spec, deletion } = pod;
  const resources = resourcesOf(spec);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...metadata(spec.storage, spec.uid, pod.createdAt),
      labels: { ...gitalyLabels, 'controller-revision-hash': pod.revision },
      annotations: { 'cluster-autoscaler.kubernetes.io/safe-to-evict': 'false' },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'gitaly', uid: statefulSetUid, controller: true },
      ],
      ...(deletion === undefined
        ? {}
        : {
            deletionTimestamp: timestamp(deletion.requestedAt + deletion.graceSeconds * 1000),
            deletionGracePeriodSeconds: deletion.graceSeconds,
          }),
    },
    spec: {
      ...(pod.node === '' ? {} : { nodeName: pod.node }),
      priority: 1_000_000,
      priorityClassName: 'gitaly',
      terminationGracePeriodSeconds: graceSeconds,
      securityContext: { runAsUser: 1000, fsGroup: 1000, fsGroupChangePolicy: 'OnRootMismatch' },
      affinity: {
        podAntiAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: gitalyLabels } },
          ],
        },
      },
      initContainers: [
        {
          name: 'init-cgroups',
          image: 'registry.example/gitaly-init-cgroups:v19.0.1',
          resources: { limits: initResources, requests: initResources },
        },
      ],
      containers: [
        {
          name: 'gitaly',
          image: pod.image,
          resources,
          env: [{ name: 'GOMEMLIMIT', value: '1536MiB' }],
          ...(port === undefined ? {} : { ports: [{ name: 'http-metrics', containerPort: port }] }),
          readinessProbe: {
            ...{ initialDelaySeconds: 1, periodSeconds: 2, timeoutSeconds: 3 },
            ...{ successThreshold: 1, failureThreshold: 3 },
          },
        },
        ...(spec.sidecar
          ? [
              {
                name: 'logger',
                image: 'registry.example/logger:3.2.1',
                resources: { requests: { memory: '64Mi', cpu: '50m' } },
              },
            ]
          : []),
      ],
      volumes: [
        { name: 'repo-data', persistentVolumeClaim: { claimName: claimOf(spec.storage) } },
        { name: 'gitaly-config', configMap: { name: 'gitaly' } },
      ],
    },
    status: {
      phase: pod.phase,
      ...(pod.reason === '' ? {} : { reason: pod.reason, message: pod.message }),
      qosClass: spec.qosClass,
      ...(pod.startTime === undefined ? {} : { startTime: timestamp(pod.startTime) }),
      // The demo's Gitalys listen on the loopback.
      ...(pod.containerId === '' ? {} : { podIP: '127.0.0.1' }),
      conditions: [...pod.conditions].map(([type, { at, ...condition }]) => ({
        type,
        ...condition,
        lastTransitionTime: timestamp(at),
      })),
      ...containerStatuses(pod),
    },
  } as StoredObject;
}

/** Empty until the kubelet has accepted the pod. */
function containerStatuses(pod: PodModel): object {
  if (pod.startTime === undefined) return {};
  const { spec, state, lastTermination } = pod;
  const hasRun = pod.containerId !== '';
  const startedAt = pod.startTime;
  const isInitialized = pod.conditions.get('Initialized')?.status === 'True';
  return {
    initContainerStatuses: [
      {
        ...{ name: 'init-cgroups', ready: isInitialized, restartCount: 0, lastState: {} },
        state: isInitialized
          ? {
              terminated: {
                ...{ reason: 'Completed', exitCode: 0 },
                startedAt: timestamp(startedAt),
                finishedAt: timestamp(startedAt),
              },
            }
          : { waiting: { reason: 'PodInitializing' } },
      },
    ],
    containerStatuses: [
      {
        name: 'gitaly',
        ...(hasRun ? { containerID: `containerd://${pod.containerId}` } : {}),
        restartCount: pod.restarts,
        ready: pod.isReady,
        started: pod.isStarted,
        state: stateObject(state),
        lastState: lastTermination === undefined ? {} : { terminated: terminationObject(lastTermination) },
      },
      ...(spec.sidecar
        ? [
            {
              ...{ name: 'logger', restartCount: 0, ready: hasRun, started: hasRun, lastState: {} },
              state: hasRun
                ? { running: { startedAt: timestamp(startedAt) } }
                : { waiting: { reason: 'PodInitializing' } },
            },
          ]
        : []),
    ],
  };
}

function stateObject(state: MainContainerState): object {
  switch (state.kind) {
    case 'waiting':
      return { waiting: { reason: state.reason, message: state.message } };
    case 'running':
      return { running: { startedAt: timestamp(state.startedAt) } };
    case 'terminated':
      return { terminated: terminationObject(state) };
  }
}

const terminationObject = ({ reason, exitCode, startedAt, finishedAt }: ContainerTermination): object => ({
  ...{ reason, exitCode },
  ...{ startedAt: timestamp(startedAt), finishedAt: timestamp(finishedAt) },
});

function resourcesOf({ qosClass, container }: DemoPod): object {
  const limits = { memory: `${(container.memory ?? 0) / gib}Gi`, cpu: String(container.cores) };
  return { limits, requests: qosClass === 'Guaranteed' ? limits : { memory: '4Gi', cpu: '2' } };
}

const claimOf = (storage: string): string => `repo-data-${storage}`;

interface StatefulSetModel {
  readonly createdAt: number;
  readonly generation: number;
  readonly image: string;
  readonly currentRevision: string;
  readonly updateRevision: string;
  readonly readyReplicas: number;
  readonly updatedReplicas: number;
}

export const statefulSetObject = (set: StatefulSetModel): StoredObject =>
  ({
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: {
      ...metadata('gitaly', statefulSetUid, set.createdAt),
      labels: gitalyLabels,
      generation: set.generation,
    },
    spec: {
      replicas: demoPods.length,
      // So that pods are named like the storages.
      ordinals: { start: 1 },
      selector: { matchLabels: gitalyLabels },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
      template: {
        metadata: { labels: gitalyLabels },
        spec: { containers: [{ name: 'gitaly', image: set.image }] },
      },
    },
    status: {
      observedGeneration: set.generation,
      replicas: demoPods.length,
      readyReplicas: set.readyReplicas,
      updatedReplicas: set.updatedReplicas,
      currentRevision: set.currentRevision,
      updateRevision: set.updateRevision,
    },
  }) as StoredObject;

/** Allows one of the three pods to be evicted. */
export const disruptionBudgetObject = (createdAt: number, healthy: number): StoredObject =>
  ({
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: {
      ...metadata('gitaly', 'b1a6f0de-2c47-4d0f-8a0c-6f1b2e3d4c5b', createdAt),
      labels: gitalyLabels,
    },
    spec: { maxUnavailable: 1, selector: { matchLabels: gitalyLabels } },
    status: {
      disruptionsAllowed: allowedDisruptions(healthy),
      currentHealthy: healthy,
      desiredHealthy: demoPods.length - 1,
      expectedPods: demoPods.length,
    },
  }) as StoredObject;

export const allowedDisruptions = (healthy: number): number => Math.max(0, healthy - (demoPods.length - 1));

export const statefulSetReference = { kind: 'StatefulSet', name: 'gitaly', uid: statefulSetUid } as const;

/** @param text config.toml.tpl, as the chart mounts it */
export const configMapObject = (createdAt: number, text: string): StoredObject =>
  ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadata('gitaly', 'c2d3e4f5-0617-4829-a3b4-c5d6e7f80912', createdAt),
    data: { 'config.toml.tpl': text },
  }) as StoredObject;

const volumeCapacity = 200 * gib;

/** k8s.io/kubelet/pkg/apis/stats/v1alpha1 Summary, with the volumes of the node's pods. */
export const statsSummary = (node: string, storages: readonly string[]): object => ({
  node: { nodeName: node },
  pods: storages.map((storage) => {
    const used = (60 + 25 * demoPods.findIndex((pod) => pod.storage === storage)) * gib;
    return {
      podRef: { name: storage, namespace: demoNamespace },
      volume: [
        {
          name: 'repo-data',
          pvcRef: { name: claimOf(storage), namespace: demoNamespace },
          capacityBytes: volumeCapacity,
          usedBytes: used,
          availableBytes: volumeCapacity - used,
          inodes: 13_107_200,
          inodesFree: 11_200_000,
        },
      ],
    };
  }),
});

/** For clients of a server of the demo. */
export const kubeconfigText = (server: string, token: string): string =>
  `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'demo', cluster: { server } }],
      users: [{ name: 'demo', user: { token } }],
      contexts: [{ name: 'demo', context: { cluster: 'demo', user: 'demo', namespace: demoNamespace } }],
      'current-context': 'demo',
    },
    undefined,
    2,
  )}\n`;
