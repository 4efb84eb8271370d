/** Gitalys of a simulated node, as discovery returns them. */
import { dirname } from 'node:path/posix';
import type { ContainerScope, GitalyTree, GitParent } from '../../../../src/sources/cgroup/tree.ts';

export interface PodOptions {
  readonly uid: string;
  readonly name?: string;
  readonly slice?: string;
  readonly layout?: 'sibling' | 'nested';
  readonly pid?: string;
  readonly buckets?: readonly number[];
  readonly dead?: readonly GitParent[];
  /** Names of containers next to Gitaly's. */
  readonly others?: readonly string[];
}

export const burstable = 'kubepods.slice/kubepods-burstable.slice';

export const podPath = ({ slice = burstable, uid }: Pick<PodOptions, 'slice' | 'uid'>): string =>
  `${slice}/kubepods-burstable-pod${uid}.slice`;

export const scopePath = (pod: string, name: string): string => `${pod}/cri-containerd-${name}.scope`;

export function podTree(options: PodOptions): GitalyTree {
  const { buckets = [0, 1, 2, 3], dead = [], layout = 'sibling', name = 'gl-gitaly-0' } = options;
  const { others = ['pause'], pid = '1', uid } = options;
  const pod = podPath(options);
  const container = (each: string): ContainerScope => ({
    path: scopePath(pod, each),
    id: each,
    name: each,
    gitaly: each === 'gitaly',
  });
  const home = layout === 'sibling' ? pod : scopePath(pod, 'gitaly');
  return {
    key: uid,
    identity: { namespace: 'gitlab', pod: name, node: 'node-1' },
    uid,
    qosClass: 'Burstable',
    driver: 'systemd',
    layout,
    pod,
    containers: ['gitaly', ...others].map(container),
    git: { path: `${home}/gitaly/gitaly-${pid}`, pid, buckets },
    deadGit: dead,
  };
}

export const hostTree = (buckets: readonly number[] = [0, 1, 2, 3]): GitalyTree => ({
  key: 'host',
  identity: { namespace: '', pod: '', node: 'gitaly-1.example.com' },
  uid: '',
  qosClass: '',
  driver: undefined,
  layout: 'none',
  pod: undefined,
  containers: [],
  git: { path: 'gitaly/gitaly-1', pid: '1', buckets },
  deadGit: [],
});

/** Every cgroup of a tree, with memory.oom.group on the containers as the kubelet sets it. */
export function pathsOf(tree: GitalyTree): readonly { readonly path: string; readonly isGroup: boolean }[] {
  const gits = tree.git === undefined ? tree.deadGit : [tree.git, ...tree.deadGit];
  return [
    ...(tree.pod === undefined ? [] : [{ path: tree.pod, isGroup: false }]),
    ...tree.containers.map(({ path }) => ({ path, isGroup: true })),
    ...gits.flatMap(({ buckets, path }) => [
      { path: dirname(path), isGroup: false },
      { path, isGroup: false },
      ...buckets.map((bucket) => ({ path: `${path}/repos-${bucket}`, isGroup: false })),
    ]),
  ];
}
