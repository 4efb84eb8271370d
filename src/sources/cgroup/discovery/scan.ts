/** Which folders exist: pods, their containers, gitaly-<pid> with its buckets. Not yet which Gitaly each belongs to. */
import type { CgroupDriver } from '../tree.ts';
import {
  childPath,
  type DirectoryCache,
  type DirectoryListing,
  isFreeOfLinks,
  type Pause,
  type UnreadableFolder,
} from './directory-cache.ts';
import {
  bucketOf,
  containerIdOf,
  gitalyPidOf,
  isSearchable,
  kubepodsDriverOf,
  podUidOf,
  qosClasses,
  qosFolderName,
  qosFolders,
  strayContainerIdOf,
} from './names.ts';

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

interface Kubepods {
  readonly path: string;
  /** Of the folder itself: the names of pods' folders repeat it. */
  readonly name: string;
  readonly driver: CgroupDriver;
}

interface PodFolder {
  readonly uid: string;
  readonly path: string;
  readonly driver: CgroupDriver;
  /** According to the path. */
  readonly qosClass: string;
}

export interface GitFolder {
  readonly path: string;
  readonly pid: string;
  /** Ascending. The same array as long as nothing changed. */
  readonly buckets: readonly number[];
  readonly ino: number;
  readonly createdMs: number;
}

export interface ScannedPod {
  readonly folder: PodFolder;
  readonly containers: readonly { readonly path: string; readonly id: string }[];
  readonly git: readonly GitFolder[];
  /** False if the scan ended at its limit. */
  readonly isComplete: boolean;
  /** Its own folder and those in it. */
  readonly folders: readonly string[];
  readonly unreadable: readonly UnreadableFolder[];
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
/** `<slice>/<scope>/container/gitaly/gitaly-1` is the deepest known (CRI-O with crun, Git cgroups nested). */
const maxPodGitDepth = 3;
/** A pod that runs an init system or containers of its own has some hundreds. */
const maxPodFolders = 500;

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
  const unreadable: UnreadableFolder[] = [];
  const skipped: string[] = [];
  const startedAt = monotonic();
  let isComplete = true;

  async function list(path: string): Promise<readonly string[]> {
    const listing = await directories.list(path, pause);
    if (listing.kind === 'listed') {
      if (listing.names.some((name) => gitalyPidOf(name) !== undefined)) gitParents.add(path);
      return listing.names;
    }
    if (listing.kind === 'failed') {
      const { kind: _, ...folder } = listing;
      unreadable.push(folder);
    }
    return [];
  }

  for (const path of configured) await list(path);
  let level = [''];
  let searched = 0;
  for (let depth = 0; level.length > 0 && isComplete; depth++) {
    const next: string[] = [];
    for (const path of level) {
      isComplete = searched++ < maxSearchedFolders && monotonic() - startedAt < maxSearchMs;
      if (!isComplete) break;
      for (const name of await list(path)) {
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
    unreadable: uniqueFolders(unreadable),
    isComplete,
    skipped,
  };
}

/** Every folder of a directory without search permission names that directory. */
const uniqueFolders = (folders: readonly UnreadableFolder[]): readonly UnreadableFolder[] => [
  ...new Map(folders.map((folder) => [`${folder.path} ${folder.code}`, folder])).values(),
];

/** Lists folders, and keeps account of which were listed and which could not be. */
interface Lister {
  list(path: string): Promise<DirectoryListing | undefined>;
  readonly folders: string[];
  readonly unreadable: UnreadableFolder[];
}

function createLister(directories: DirectoryCache, pause: Pause): Lister {
  const folders: string[] = [];
  const unreadable: UnreadableFolder[] = [];
  return {
    folders,
    unreadable,
    async list(path) {
      const listing = await directories.list(path, pause);
      if (listing.kind === 'listed') folders.push(path);
      if (listing.kind === 'failed') {
        const { kind: _, ...folder } = listing;
        unreadable.push(folder);
      }
      return listing.kind === 'listed' ? listing : undefined;
    },
  };
}

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
    const git: GitFolder[] = [];
    for (const name of (await lister.list(parent))?.names ?? []) {
      const folder = await readGitFolder(childPath(parent, name), name, lister);
      if (folder !== undefined) git.push(folder);
    }
    if (hasBuckets(git)) hosts.push({ parent, git });
  }
  return { pods, hosts, folders: lister.folders, unreadable: lister.unreadable, isOutdated };
}

const contentOf = ({ containers, git }: ScannedPod): number => git.length * 1000 + containers.length;

/** Gitaly creates repos-0 with its gitaly-<pid>; a cgroup of that name without one may be anyone's. */
export const hasBuckets = (git: readonly GitFolder[]): boolean =>
  git.some(({ buckets }) => buckets.length > 0);

async function listPods(kubepods: Kubepods, { list }: Lister): Promise<readonly PodFolder[]> {
  const { driver } = kubepods;
  const pods: PodFolder[] = [];
  // Guaranteed pods have no folder for their class; the kubelet creates the others' even when they are empty.
  const top = { path: kubepods.path, name: kubepods.name, qosClass: 'Guaranteed' };
  const folders = [top];
  for (const folder of folders) {
    for (const name of (await list(folder.path))?.names ?? []) {
      const uid = podUidOf(name, folder.name, driver);
      const qos =
        folder === top ? qosFolders.find((each) => name === qosFolderName(top.name, each)) : undefined;
      const path = childPath(folder.path, name);
      if (uid !== undefined) pods.push({ uid, path, driver, qosClass: folder.qosClass });
      else if (qos !== undefined) folders.push({ path, name, qosClass: qosClasses[qos] });
    }
  }
  return pods;
}

/** A slice that has been removed is empty. */
async function scanPod(
  folder: PodFolder,
  hierarchyRoots: readonly string[],
  lister: Lister,
): Promise<ScannedPod> {
  const { folders, unreadable } = lister;
  const containers: { path: string; id: string }[] = [];
  const git: GitFolder[] = [];
  for (const hierarchyRoot of hierarchyRoots) {
    // The search below finds the others.
    if (hierarchyRoot.split('/').length <= maxPodGitDepth) continue;
    const parent = childPath(folder.path, hierarchyRoot);
    for (const name of (await lister.list(parent))?.names ?? []) {
      const gitFolder = await readGitFolder(childPath(parent, name), name, lister);
      if (gitFolder !== undefined) git.push(gitFolder);
    }
  }
  let level = [folder.path];
  let scanned = 0;
  for (let depth = 0; level.length > 0 && depth <= maxPodGitDepth; depth++) {
    const next: string[] = [];
    for (const parent of level) {
      if (scanned++ >= maxPodFolders)
        return { folder, containers, git, isComplete: false, folders, unreadable };
      for (const name of (await lister.list(parent))?.names ?? []) {
        const path = childPath(parent, name);
        const id = depth === 0 ? containerIdOf(name) : undefined;
        if (id !== undefined) containers.push({ path, id });
        const gitFolder = await readGitFolder(path, name, lister);
        if (gitFolder !== undefined) git.push(gitFolder);
        else if (gitalyPidOf(name) === undefined && isSearchable(name)) next.push(path);
      }
    }
    level = next;
  }
  return { folder, containers, git, isComplete: true, folders, unreadable };
}

/** Undefined if it is none, or was removed. */
async function readGitFolder(path: string, name: string, { list }: Lister): Promise<GitFolder | undefined> {
  const pid = gitalyPidOf(name);
  if (pid === undefined) return undefined;
  const listing = await list(path);
  if (listing === undefined) return undefined;
  const { createdMs, ino, names } = listing;
  return { path, pid, buckets: bucketsIn(names), ino, createdMs };
}

const bucketsOfNames = new WeakMap<readonly string[], readonly number[]>();

function bucketsIn(names: readonly string[]): readonly number[] {
  let buckets = bucketsOfNames.get(names);
  if (buckets === undefined) {
    const found = names.map(bucketOf).filter((bucket) => bucket !== undefined);
    buckets = Object.freeze(found.sort((left, right) => left - right));
    bucketsOfNames.set(names, buckets);
  }
  return buckets;
}
