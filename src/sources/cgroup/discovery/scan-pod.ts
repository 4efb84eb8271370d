/** One pod's folder in a scan: its containers, and the cgroups of Git with their buckets. */
import type { CgroupDriver } from '../tree.ts';
import {
  childPath,
  type DirectoryCache,
  type DirectoryListing,
  type Pause,
  type UnreadableFolder,
} from './directory-cache.ts';
import {
  bucketOf,
  containerIdOf,
  gitalyPidOf,
  isSearchable,
  podUidOf,
  qosClasses,
  qosFolderName,
  qosFolders,
} from './names.ts';

export interface Kubepods {
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

/** `<slice>/<scope>/container/gitaly/gitaly-1` is the deepest known (CRI-O with crun, Git cgroups nested). */
const maxPodGitDepth = 3;
/** A pod that runs an init system or containers of its own has some hundreds. */
const maxPodFolders = 500;

/** Lists folders, and keeps account of which were listed and which could not be. */
export interface Lister {
  list(path: string): Promise<DirectoryListing | undefined>;
  readonly folders: string[];
  readonly unreadable: UnreadableFolder[];
}

export function createLister(directories: DirectoryCache, pause: Pause): Lister {
  const folders: string[] = [];
  const unreadable: UnreadableFolder[] = [];
  return {
    folders,
    unreadable,
    async list(path) {
      const listing = await directories.list(path, pause);
      if (listing.kind === 'listed') folders.push(path);
      if (listing.kind === 'failed') unreadable.push(listing.folder);
      return listing.kind === 'listed' ? listing : undefined;
    },
  };
}

/** Gitaly creates repos-0 with its gitaly-<pid>; a cgroup of that name without one may be anyone's. */
export const hasBuckets = (git: readonly GitFolder[]): boolean =>
  git.some(({ buckets }) => buckets.length > 0);

export async function listPods(kubepods: Kubepods, { list }: Lister): Promise<readonly PodFolder[]> {
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
export async function scanPod(
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
    git.push(...(await gitFoldersIn(childPath(folder.path, hierarchyRoot), lister)));
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

export async function gitFoldersIn(parent: string, lister: Lister): Promise<readonly GitFolder[]> {
  const git: GitFolder[] = [];
  for (const name of (await lister.list(parent))?.names ?? []) {
    const folder = await readGitFolder(childPath(parent, name), name, lister);
    if (folder !== undefined) git.push(folder);
  }
  return git;
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
