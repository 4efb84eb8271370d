/** The cgroups of the demo's node: its two Gitaly pods, and what else runs there. */
import { type Cgroup, createCgroup, type Limits } from './cgroup.ts';
import { containerId, type DemoPod, demoBuckets, demoPods, scopeOf, sliceOf } from './pods.ts';

/** The cgroups of one of the Gitaly pods. */
export interface PodCgroups {
  readonly pod: DemoPod;
  readonly slice: Cgroup;
  /** Of Gitaly's container. */
  scope(): Cgroup;
  /** Where Gitaly itself runs. */
  gitaly(): Cgroup;
  /** gitaly-<pid>, the parent of all buckets. */
  git(): Cgroup;
  /** Made when it is first used, as Gitaly does. */
  bucket(number: number): Cgroup;
  containerId(): string;
  /** The container runtime makes a new container in the place of the one that ended. */
  restart(): void;
}

export interface Host {
  readonly root: Cgroup;
  readonly pods: readonly PodCgroups[];
}

const mib = 2 ** 20;

/** Made anew in an empty folder. */
export function createHost(folder: string): Host {
  const root = createCgroup(folder, '', {}, 'cpuset cpu io memory hugetlb pids rdma misc');
  const pods = demoPods.map((pod) => createPod(root, pod));
  for (const [index, { name, qosClass, anon }] of neighbours.entries()) {
    const uid = `00000000-0000-4000-8000-00000000000${index}`;
    const slice = below(root, sliceOf({ qosClass, uid }));
    settle(slice.child(scopeOf(containerId({ uid }, 'pause'))), 10 + index * 2, 0.5 * mib);
    settle(slice.child(scopeOf(containerId({ uid }, name))), 11 + index * 2, anon);
  }
  settle(below(root, ['system.slice', 'containerd.service']), 2, 90 * mib);
  settle(below(root, ['system.slice', 'kubelet.service']), 3, 110 * mib);
  root.write();
  return { root, pods };
}

/** Other pods of the node. */
const neighbours = [
  { name: 'praefect', qosClass: 'Burstable', anon: 120 * mib },
  { name: 'log-agent', qosClass: 'BestEffort', anon: 80 * mib },
  { name: 'cache', qosClass: 'Guaranteed', anon: 400 * mib },
] as const;

const below = (root: Cgroup, names: readonly string[]): Cgroup =>
  names.reduce((above, name) => above.child(name), root);

function settle(cgroup: Cgroup, pid: number, anon: number): void {
  cgroup.processes.push({ pid, anon, cores: 0.02 });
  cgroup.file = anon / 4;
}

function createPod(root: Cgroup, pod: DemoPod): PodCgroups {
  const above = sliceOf(pod);
  const slice = below(root, above.slice(0, -1)).child(above.at(-1) ?? '', pod.slice);
  let restarts = 0;
  const id = (): string => containerId(pod, `gitaly ${restarts}`);
  const scope = (): Cgroup => slice.child(scopeOf(id()), pod.container);
  const git = (): Cgroup =>
    (pod.layout === 'sibling' ? slice : scope()).child('gitaly').child('gitaly-1', demoBuckets.git);
  const bucket = (number: number): Cgroup =>
    git().child(`repos-${number}`, demoBuckets.each satisfies Limits);

  settle(slice.child(scopeOf(containerId(pod, 'pause'))), 500, 0.5 * mib);
  if (pod.sidecar) settle(slice.child(scopeOf(containerId(pod, 'logger'))), 501, 40 * mib);
  // Gitaly makes these two at its start, and no other.
  bucket(0);
  return {
    pod,
    slice,
    scope,
    // Who has cgroups of its own inside of its scope must not have processes beside them.
    gitaly: () => (pod.layout === 'sibling' ? scope() : scope().child('init')),
    git,
    bucket,
    containerId: id,
    restart() {
      slice.remove(scopeOf(id()));
      restarts += 1;
      scope();
      bucket(0);
    },
  };
}
