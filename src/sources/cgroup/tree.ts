/** One Gitaly in the cgroup tree (paths and names, no numbers), and what the Kubernetes API reports about its pod. */
import type { Failure } from '../../scheduler/outcome.ts';
import { type Identity, identityKey } from '../identity.ts';
import type { cgroupLayouts, KnownPod } from '../server-info.ts';

/** See `cgroupLayouts`. */
export type Layout = (typeof cgroupLayouts)[number];

export type CgroupDriver = 'systemd' | 'cgroupfs';

/** One Gitaly of this host: a pod, or the one of a virtual machine. All paths are relative to the root. */
export interface GitalyTree {
  /** The pod's UID; `host` for the one of a virtual machine. The same in every scan. */
  readonly key: string;
  readonly identity: Identity;
  /** Empty on a virtual machine. */
  readonly uid: string;
  /** As the API reports it, else as the path has it. Empty on a virtual machine. */
  readonly qosClass: string;
  /** Undefined on a virtual machine. */
  readonly driver: CgroupDriver | undefined;
  readonly layout: Layout;
  /** The pod's slice. Undefined on a virtual machine. */
  readonly pod: string | undefined;
  /** Every container's scope below the slice, pause and sidecars included, by path. */
  readonly containers: readonly ContainerScope[];
  /** gitaly-<pid> of the running Gitaly; undefined where its cgroups are disabled. */
  readonly git: GitParent | undefined;
  /** gitaly-<pid> of processes that ended: read for OOM kills only. */
  readonly deadGit: readonly GitParent[];
  /** Some of its cgroups could not be read: without `git` it is unknown whether Git has cgroups of its own. */
  readonly isPartial?: boolean;
  /**
   * The pod runs, but outside of its slice, whose figures are therefore not Gitaly's: always 0. Undefined where the
   * slice is in use, and where it is unknown whether the pod runs.
   */
  readonly vacancy?: Vacancy;
}

/** Undefined while it is unknown. */
export const knownLayout = ({ git, isPartial, layout }: GitalyTree): Layout | undefined =>
  git === undefined && isPartial === true ? undefined : layout;

export interface Vacancy {
  /** Where one of its containers is, if the search found it: relative to the root. */
  readonly elsewhere: string | undefined;
}

export interface ContainerScope {
  readonly path: string;
  /** Hexadecimal, as the runtime names it. */
  readonly id: string;
  /** As the API reports it; the first 12 digits of the ID until then. */
  readonly name: string;
  /** Whether it is Gitaly's: by its name where that is known, by Gitaly's cgroups in it; else undefined. */
  readonly gitaly: boolean | undefined;
}

export interface GitParent {
  readonly path: string;
  /** Of gitaly-<pid>, as in the name: a PID in the container's own namespace. */
  readonly pid: string;
  /** Numbers of the repos-N that exist, ascending. Their paths are `${path}/repos-${n}`. */
  readonly buckets: readonly number[];
}

/**
 * Of trees with the same identity the running one: with Git cgroups, else with more containers, else the later. A pod
 * that is created again under its old name leaves its slice for a moment: two trees with one set of labels.
 */
export function onePerIdentity(trees: readonly GitalyTree[]): readonly GitalyTree[] {
  const chosen = new Map<string, GitalyTree>();
  const rankOf = ({ git, containers }: GitalyTree): number =>
    (git === undefined ? 0 : 1000) + Math.min(999, containers.length);
  for (const tree of trees) {
    const key = identityKey(tree.identity);
    const other = chosen.get(key);
    if (other === undefined || rankOf(tree) >= rankOf(other)) chosen.set(key, tree);
  }
  return [...chosen.values()];
}

/** What the configuration of a Gitaly says of its cgroups. */
export interface ConfiguredGitaly {
  /** For messages: the file's path, or the ConfigMap. */
  readonly name: string;
  /** Without a pod: of a virtual machine. */
  readonly identities: readonly Identity[];
  /** As in [cgroups]; undefined where the chart's template fills it in. */
  readonly mountpoint: string | undefined;
  readonly hierarchyRoot: string | undefined;
  /** Of [cgroups.repositories]; 0: Git runs in no cgroups of its own. Undefined: unknown. */
  readonly count: number | undefined;
}

/** Knows configurations of Gitaly: files, and ConfigMaps on Kubernetes. */
export interface GitalyConfigs {
  /** `failures`: why the list may be incomplete. May be a minute old. Never rejects; ends when the signal aborts. */
  read(
    signal: AbortSignal,
  ): Promise<{ readonly gitalys: readonly ConfiguredGitaly[]; readonly failures: readonly string[] }>;
}

/** Knows Gitaly's pods on this node: from the Kubernetes API, or from a file. */
export interface PodDirectory {
  /**
   * The current pods, from memory: cheap enough for every scrape, and without waiting. A deleted pod stays in the list
   * for a minute, so that what happened at its end is still labeled with its name.
   */
  pods(): KnownPods;
  /** Calls the listener when the pods may have changed; returns how to unsubscribe. */
  subscribe(listener: () => void): () => void;
}

export interface KnownPods {
  readonly pods: readonly KnownPod[];
  /**
   * Undefined when the list is complete. Else the reason why it may not be: then a tree whose pod is not listed is
   * named by its UID instead of being left out.
   */
  readonly failure: Failure | undefined;
}
