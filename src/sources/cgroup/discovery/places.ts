/** Where below the root the kubelet's cgroups begin, and where else Gitaly's are: the search that looks everywhere. */
import type { Slices } from '../buckets/slices.ts';
import type { CgroupDriver } from '../tree.ts';
import { below, type Directories } from './directories.ts';
import { gitalyPidOf, isPlainName, kubepodsDriverOf } from './names.ts';

export interface Kubepods {
  readonly path: string;
  /** Of the folder itself: those of pods repeat it. */
  readonly name: string;
  readonly driver: CgroupDriver;
}

export interface Places {
  readonly kubepods: readonly Kubepods[];
  /** Folders outside of those that hold a gitaly-<pid>; '' is the root itself. */
  readonly parents: readonly string[];
  /** False when there was more to look at than is looked at. */
  readonly isWhole: boolean;
}

/** Rootless Podman with kind: user.slice/user-N.slice/user@N.service/user.slice/libpod-<id>.scope/container/kubelet.slice. */
const deepestKubepods = 8;
/** `system.slice/docker-<id>.scope/gitaly`, of GitLab in a container on a virtual machine. */
const deepestParent = 3;
const mostFolders = 20_000;
const mostKubepods = 16;

/** Undefined when it is time to give up. Nearest to the root first; does not look into the kubelet's own. */
export async function findPlaces(directories: Directories, slices: Slices): Promise<Places | undefined> {
  const kubepods: Kubepods[] = [];
  const parents: string[] = [];
  let level = [''];
  let looked = 0;
  for (let depth = 0; level.length > 0 && depth < deepestKubepods; depth++) {
    const next: string[] = [];
    for (const path of level) {
      if (looked++ >= mostFolders) return { kubepods, parents, isWhole: false };
      const listed = await directories.list(path, slices);
      if (listed === undefined) return undefined;
      if (listed.kind !== 'listed') continue;
      if (depth <= deepestParent && listed.names.some((name) => gitalyPidOf(name) !== undefined))
        parents.push(path);
      for (const name of listed.names) {
        if (!isPlainName(name) || gitalyPidOf(name) !== undefined) continue;
        const driver = kubepodsDriverOf(name);
        if (driver === undefined) next.push(below(path, name));
        else if (kubepods.length < mostKubepods) kubepods.push({ path: below(path, name), name, driver });
      }
    }
    level = next;
  }
  return { kubepods, parents, isWhole: true };
}
