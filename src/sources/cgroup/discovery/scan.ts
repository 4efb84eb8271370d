/** Which folders exist: pods, their containers, gitaly-<pid> with its buckets. Not yet which Gitaly each belongs to. */
import {
  childPath,
  type DirectoryCache,
  isFreeOfLinks,
  type Pause,
  type UnreadableFolder,
} from './directory-cache.ts';
import { gitalyPidOf, isSearchable, kubepodsDriverOf, strayContainerIdOf } from './names.ts';
import {
  createLister,
  type GitFolder,
  gitFoldersIn,
  hasBuckets,
  type Kubepods,
  listPods,
  type ScannedPod,
  scanPod,
} from './scan-pod.ts';

/** Where Gitaly's cgroups may be, from a search of the whole tree. */
export interface SearchedPlaces {
  /** Where the kubelet's cgroups begin. */
  readonly kubepods: readonly Kubepods[];
  /** Folders outside of those that contain a gitaly-<pid>; '' is the root itself. */
  readonly gitParents: readonly string[];
  /** Containers outside of the kubelet's cgroups, by ID: their paths. */
  readonly strayContainers: ReadonlyMap<string, string>;
  readonly unreadable: readonly UnreadableFolder[];
  /** False if the search ended at its limit of folders or time. */
  readonly isComplete: boolean;
  /** Not searched: a few of the folders below the greatest depth, or with names that no systemd unit or runtime has. */
  readonly skipped: readonly string[];
}

export interface CgroupScan {
  /** By UID. */
  readonly pods: ReadonlyMap<string, ScannedPod>;
  /** gitaly-<pid> outside of pods, by the folder they are in; only those with buckets. */
  readonly hosts: readonly { readonly parent: string; readonly git: readonly GitFolder[] }[];
  /** Folders in which pods, and Gitalys of the host, are created and removed. */
  readonly folders: readonly string[];
  readonly unreadable: readonly UnreadableFolder[];
  /** A place changed: search the whole tree again. */
  readonly isOutdated: boolean;
}

/** Rootless Podman with kind: user.slice/user-N.slice/user@N.service/user.slice/libpod-<id>.scope/container/kubelet.slice. */
const maxDepth = 8;
const maxSearchedFolders = 20_000;
const maxSearchMs = 10_000;
const maxKubepods = 16;
const maxStrayContainers = 10_000;
/** Enough for a message. */
const maxSkipped = 100;
/**
 * Nearest to the root first; does not search the kubelet's own cgroups.
 *
 * @param configured where Gitaly's cgroups are by its own configuration: at any depth, under any name
 * @param monotonic milliseconds
 */
export async function searchPlaces(
  directories: DirectoryCache,
  configured: readonly string[],
  monotonic: () => number,
  pause: Pause,
): Promise<SearchedPlaces> {
  const kubepods: Kubepods[] = [];
  const gitParents = new Set<string>();
  const strayContainers = new Map<string, string>();
  const lister = createLister(directories, pause);
  const skipped: string[] = [];
  const startedAt = monotonic();
  let isComplete = true;

  async function namesIn(path: string): Promise<readonly string[]> {
    const { names = [] } = (await lister.list(path)) ?? {};
    if (names.some((name) => gitalyPidOf(name) !== undefined)) gitParents.add(path);
    return names;
  }

  for (const path of configured) await namesIn(path);
  let level = [''];
  let searched = 0;
  for (let depth = 0; level.length > 0 && isComplete; depth++) {
    const next: string[] = [];
    for (const path of level) {
      isComplete = searched++ < maxSearchedFolders && monotonic() - startedAt < maxSearchMs;
      if (!isComplete) break;
      for (const name of await namesIn(path)) {
        if (gitalyPidOf(name) !== undefined) continue;
        const child = childPath(path, name);
        const driver = kubepodsDriverOf(name);
        if (driver !== undefined) {
          if (kubepods.length < maxKubepods) kubepods.push({ path: child, name, driver });
        } else if (isSearchable(name) && depth + 1 < maxDepth) {
          const id = strayContainerIdOf(name);
          if (id !== undefined && strayContainers.size < maxStrayContainers) strayContainers.set(id, child);
          next.push(child);
        } else if (skipped.length < maxSkipped) skipped.push(child);
      }
    }
    level = next;
  }
  return {
    kubepods,
    gitParents: [...gitParents],
    strayContainers,
    unreadable: uniqueFolders(lister.unreadable),
    isComplete,
    skipped,
  };
}

/** Every folder of a directory without search permission names that directory. */
const uniqueFolders = (folders: readonly UnreadableFolder[]): readonly UnreadableFolder[] => [
  ...new Map(folders.map((folder) => [`${folder.path} ${folder.code}`, folder])).values(),
];

/**
 * Reads what the places contain now; of pods only those that are wanted.
 *
 * @param hierarchyRoots where Gitaly's cgroups are in a pod's slice by its configuration: at any depth
 */
export async function scanPlaces(
  root: string,
  places: SearchedPlaces,
  isWanted: (uid: string) => boolean,
  hierarchyRoots: readonly string[],
  directories: DirectoryCache,
  pause: Pause,
): Promise<CgroupScan> {
  const pods = new Map<string, ScannedPod>();
  const hosts: { parent: string; git: readonly GitFolder[] }[] = [];
  const lister = createLister(directories, pause);
  let isOutdated = false;
  for (const kubepods of places.kubepods) {
    if (!isFreeOfLinks(root, kubepods.path)) {
      isOutdated = true;
      continue;
    }
    for (const folder of await listPods(kubepods, lister)) {
      if (!isWanted(folder.uid)) continue;
      const pod = await scanPod(folder, hierarchyRoots, createLister(directories, pause));
      // After a change of the kubelet's driver an empty folder of the other one may be left.
      const other = pods.get(folder.uid);
      if (other === undefined || contentOf(other) < contentOf(pod)) pods.set(folder.uid, pod);
    }
  }
  for (const parent of places.gitParents) {
    if (!isFreeOfLinks(root, parent)) {
      isOutdated = true;
      continue;
    }
    const git = await gitFoldersIn(parent, lister);
    if (hasBuckets(git)) hosts.push({ parent, git });
  }
  return { pods, hosts, folders: lister.folders, unreadable: lister.unreadable, isOutdated };
}

const contentOf = ({ containers, git }: ScannedPod): number => git.length * 1000 + containers.length;
