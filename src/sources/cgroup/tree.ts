/** What is found of one Gitaly in the cgroup tree: paths and names, no numbers. */
import type { Identity } from '../identity.ts';

/**
 * Where Gitaly's own cgroups are: `beside` the container's scope (the chart's init-cgroups), `inside` it (containerd
 * 2.1's cgroup_writable), or `none`: Gitaly runs Git in the container's own cgroup.
 */
export const layouts = ['beside', 'inside', 'none'] as const;
export type Layout = (typeof layouts)[number];

export const cgroupDrivers = ['systemd', 'cgroupfs'] as const;
export type CgroupDriver = (typeof cgroupDrivers)[number];

/** One Gitaly of this node: a pod, or the one of a virtual machine. All paths are relative to the root. */
export interface GitalyTree {
  /** The pod's uid; `host` for the one of a virtual machine. The same tree has the same key at each look. */
  readonly key: string;
  readonly identity: Identity;
  /** Empty on a virtual machine. */
  readonly uid: string;
  /** As the API says, else as the path does. Empty on a virtual machine. */
  readonly qosClass: string;
  /** Undefined on a virtual machine. */
  readonly driver: CgroupDriver | undefined;
  readonly layout: Layout;
  /** The pod's slice. Undefined on a virtual machine. */
  readonly pod: string | undefined;
  /** Every container's scope below the slice, pause and sidecars included, by path. */
  readonly containers: readonly ContainerScope[];
  /** The living gitaly-<pid>; undefined where there is none (Git cgroups are off). */
  readonly git: GitParent | undefined;
  /** gitaly-<pid> of processes that ended: their counters are still read for kills, nothing else. */
  readonly deadGit: readonly GitParent[];
}

export interface ContainerScope {
  readonly path: string;
  /** Hex, as the runtime names it. */
  readonly id: string;
  /** As the API says; the first 12 digits of the id while nobody has told. */
  readonly name: string;
  /** Gitaly's own: by its name where it is known, by Gitaly's tree inside of it, else undecided. */
  readonly gitaly: boolean | undefined;
}

export interface GitParent {
  readonly path: string;
  /** Of gitaly-<pid>, as it stands in the name: inside the container's own PID namespace. */
  readonly pid: string;
  /** Numbers of repos-N that exist, rising. Their paths are `${path}/repos-${n}`. */
  readonly buckets: readonly number[];
}
