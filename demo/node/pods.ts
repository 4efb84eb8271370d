/** The demo's Gitaly pods, each named after its storage, and the names of their cgroups. */
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

// oom.group: Kubernetes 1.28 and later.
const container = { memory: 8 * gib, cores: 4, oomGroup: true } as const;
const guaranteed = {
  qosClass: 'Guaranteed',
  layout: 'sibling',
  slice: { memory: 8 * gib, cores: 4 },
  container,
  sidecar: false,
} as const;

/** The first pod of each name; a replacement has another uid. */
export const demoPods: readonly DemoPod[] = [
  { storage: 'gitaly-1', uid: '7c0e5b1a-3d8f-4a62-9b1e-5f2d8c4a7e10', ...guaranteed },
  {
    storage: 'gitaly-2',
    uid: 'd4f19c36-82b7-4e05-a3c8-0b6e71d29f54',
    qosClass: 'Burstable',
    layout: 'nested',
    slice: {},
    container,
    sidecar: true,
  },
  { storage: 'gitaly-3', uid: '2b93e7d4-61fa-4c1d-8e57-a90c3f48b6d1', ...guaranteed },
];

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
