/** The demo's Gitaly pods, each named after its storage, and their description as kubectl prints it. */
import { createHash } from 'node:crypto';
import type { CgroupLimits } from './cgroup.ts';

const gib = 2 ** 30;

/** [cgroups] of Gitaly's config.toml. */
export const demoBuckets = {
  count: 100,
  git: { memory: 6 * gib, cores: 3, weight: 100 },
  each: { memory: gib, cores: 1, weight: 59 },
} as const satisfies { readonly count: number; readonly git: CgroupLimits; readonly each: CgroupLimits };

export interface DemoPod {
  /** Also the pod's name. */
  readonly storage: string;
  readonly uid: string;
  readonly qosClass: 'Guaranteed' | 'Burstable';
  /** Where Gitaly's cgroups are: next to the container's (the chart's init-cgroups) or inside (containerd 2.1's cgroup_writable). */
  readonly layout: 'sibling' | 'nested';
  /** Limits of the pod's slice. A sidecar without a limit leaves the slice without one. */
  readonly slice: CgroupLimits;
  readonly container: CgroupLimits;
  readonly sidecar: boolean;
}

export const demoPods = [
  {
    storage: 'gitaly-1',
    uid: '7c0e5b1a-3d8f-4a62-9b1e-5f2d8c4a7e10',
    qosClass: 'Guaranteed',
    layout: 'sibling',
    slice: { memory: 8 * gib, cores: 4 },
    // oom.group: Kubernetes 1.28 and later.
    container: { memory: 8 * gib, cores: 4, oomGroup: true },
    sidecar: false,
  },
  {
    storage: 'gitaly-2',
    uid: 'd4f19c36-82b7-4e05-a3c8-0b6e71d29f54',
    qosClass: 'Burstable',
    layout: 'nested',
    slice: {},
    container: { memory: 8 * gib, cores: 4, oomGroup: true },
    sidecar: true,
  },
] as const satisfies readonly DemoPod[];

const demoNamespace = 'gitlab';
const node = 'worker-1';

/** What a restart of the container changes. */
interface ContainerState {
  readonly id: string;
  readonly restarts: number;
  readonly startedAt: number;
  /** When the kernel killed the previous container. */
  readonly oomKilledAt: number | undefined;
}

/** The fields that the exporter reads, as `kubectl get pods,nodes -o json` prints them. */
export const podsJson = (stateOf: (pod: DemoPod) => ContainerState): string =>
  `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'List',
      items: [...demoPods.map((pod) => podObject(pod, stateOf(pod))), nodeObject],
    },
    undefined,
    2,
  )}\n`;

const at = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

function podObject(pod: DemoPod, state: ContainerState): object {
  const quantities = (limits: CgroupLimits): object => ({
    ...(limits.memory === undefined ? {} : { memory: `${limits.memory / gib}Gi` }),
    ...(limits.cores === undefined ? {} : { cpu: String(limits.cores) }),
  });
  const limits = quantities(pod.container);
  const requests = pod.qosClass === 'Guaranteed' ? limits : { memory: '4Gi', cpu: '2' };
  const sidecar = { name: 'logger', image: 'registry.example/logger:3.2.1' };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: pod.storage,
      namespace: demoNamespace,
      uid: pod.uid,
      labels: { app: 'gitaly', release: 'demo' },
      creationTimestamp: at(state.startedAt),
    },
    spec: {
      nodeName: node,
      containers: [
        { name: 'gitaly', image: 'registry.example/gitaly:v19.0.1', resources: { limits, requests } },
        ...(pod.sidecar ? [{ ...sidecar, resources: { requests: { memory: '64Mi', cpu: '50m' } } }] : []),
      ],
    },
    status: {
      phase: 'Running',
      qosClass: pod.qosClass,
      startTime: at(state.startedAt),
      containerStatuses: [
        {
          name: 'gitaly',
          containerID: `containerd://${state.id}`,
          restartCount: state.restarts,
          ready: true,
          started: true,
          state: { running: { startedAt: at(state.oomKilledAt ?? state.startedAt) } },
          lastState:
            state.oomKilledAt === undefined
              ? {}
              : { terminated: { exitCode: 137, reason: 'OOMKilled', finishedAt: at(state.oomKilledAt) } },
        },
        ...(pod.sidecar
          ? [
              {
                name: sidecar.name,
                containerID: `containerd://${containerId(pod, 'logger')}`,
                restartCount: 0,
                ready: true,
                started: true,
                state: { running: { startedAt: at(state.startedAt) } },
                lastState: {},
              },
            ]
          : []),
      ],
    },
  };
}

const nodeObject = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: {
    name: node,
    uid: '0d9a7f62-5c1b-4e3d-8f70-2b6c4a1e9d38',
    creationTimestamp: '2026-01-05T08:00:00Z',
  },
  status: {
    nodeInfo: {
      kernelVersion: '6.12.48-amd64',
      containerRuntimeVersion: 'containerd://2.1.4',
      kubeletVersion: 'v1.35.4',
    },
  },
};

/** 64 hex digits, the same in every run. */
export const containerId = ({ uid }: Pick<DemoPod, 'uid'>, which: string): string =>
  createHash('sha256').update(`${uid} ${which}`).digest('hex');

const underscored = (uid: string): string => uid.replaceAll('-', '_');

/** The pod's slice and its ancestors, as the kubelet's systemd driver names them. */
export const sliceOf = ({
  qosClass,
  uid,
}: Pick<DemoPod, 'uid'> & { readonly qosClass: string }): readonly string[] =>
  qosClass === 'Guaranteed'
    ? ['kubepods.slice', `kubepods-pod${underscored(uid)}.slice`]
    : [
        'kubepods.slice',
        `kubepods-${qosClass.toLowerCase()}.slice`,
        `kubepods-${qosClass.toLowerCase()}-pod${underscored(uid)}.slice`,
      ];

export const scopeOf = (id: string): string => `cri-containerd-${id}.scope`;
