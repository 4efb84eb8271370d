/** From scanned folders to trees: which are Gitaly's, its containers, and which of several gitaly-<pid> is current. */
import type { Identity } from '../../identity.ts';
import type { KnownPod } from '../../server-info.ts';
import { type CgroupFiles, knownOf } from '../files/reading.ts';
import type { ContainerScope, GitalyTree, GitParent, Vacancy } from '../tree.ts';
import { parentPath, type UnreadableFolder } from './directory-cache.ts';
import type { CgroupScan } from './scan.ts';
import { type GitFolder, hasBuckets, type ScannedPod } from './scan-pod.ts';

interface GitFolders {
  /** Of the running Gitaly. */
  readonly current: GitFolder | undefined;
  /** Of processes that ended, newest first. */
  readonly dead: readonly GitFolder[];
}

/** The gitaly-<pid> that was taken for the current one, and whether processes were seen in it. */
export interface CurrentGit {
  readonly path: string;
  readonly ino: number;
  readonly wasBusy: boolean;
}

/** Cgroups have no time of creation, but ascending inode numbers; other file systems have a time. */
const newestFirst = (left: GitFolder, right: GitFolder): number =>
  right.createdMs - left.createdMs || right.ino - left.ino;

/**
 * Which of several gitaly-<pid> is the running Gitaly's. Gitaly creates its own at its start, and removes those of
 * ended processes at the next one. So there are several after a start that could not clean up, and during an upgrade
 * in place, when the old process finishes its requests. Nothing in them shows which one is current: Gitaly itself runs
 * elsewhere, and they contain processes only while Git commands run. So:
 *
 * 1. the newest with processes, unless a newer one had some before;
 * 2. else the one chosen before;
 * 3. else the newest.
 *
 * @param isBusy called only if there are several
 * @returns `chosen`: to be passed as `before` at the next scan
 */
export function chooseCurrentGit(
  folders: readonly GitFolder[],
  before: CurrentGit | undefined,
  isBusy: (folder: GitFolder) => boolean,
): GitFolders & { readonly chosen: CurrentGit | undefined } {
  const sorted = folders.toSorted(newestFirst);
  const known = sorted.find(({ path, ino }) => path === before?.path && ino === before.ino);
  const wasBusy = known !== undefined && before?.wasBusy === true;
  const busy = sorted.length > 1 ? sorted.find(isBusy) : undefined;
  const isOlderThanKnown = busy !== undefined && known !== undefined && newestFirst(busy, known) > 0;
  const isBusyOne = busy !== undefined && !(isOlderThanKnown && wasBusy);
  const current = isBusyOne ? busy : (known ?? sorted[0]);
  return {
    current,
    dead: sorted.filter((folder) => folder !== current),
    chosen: current && { path: current.path, ino: current.ino, wasBusy: isBusyOne || wasBusy },
  };
}

/** In GitLab's chart and operator. */
const gitalyContainer = 'gitaly';
/** Enough to find it in `crictl ps`. */
const shortIdLength = 12;

/** `git`: the path of the current gitaly-<pid>. Sorted by path. */
export function nameContainers(
  containers: ScannedPod['containers'],
  pod: KnownPod | undefined,
  git: string | undefined,
): readonly ContainerScope[] {
  const nameOf = (id: string): string | undefined =>
    pod?.containers.find((container) => container.id !== '' && container.id === id)?.name;
  // The container of a pod with only one may have any name; of several without `gitaly` it is unknown which one it is.
  const gitalyName =
    pod?.containers.length === 1
      ? pod.containers[0]?.name
      : pod?.containers.find(({ name }) => name === gitalyContainer)?.name;
  const gitaly =
    containers.find(({ path }) => git?.startsWith(`${path}/`)) ??
    containers.find(({ id }) => gitalyName !== undefined && nameOf(id) === gitalyName);
  return containers
    .map(({ path, id }): ContainerScope => {
      const name = nameOf(id);
      const isGitaly =
        gitaly !== undefined
          ? path === gitaly.path
          : name !== undefined && gitalyName !== undefined
            ? name === gitalyName
            : undefined;
      return { path, id, name: name ?? shortName(id, containers), gitaly: isGitaly };
    })
    .sort((left, right) => (left.path < right.path ? -1 : 1));
}

/** The whole ID if another one begins in the same way: two series with the same labels would fail the whole scrape. */
function shortName(id: string, containers: ScannedPod['containers']): string {
  const short = id.slice(0, shortIdLength);
  return containers.some((other) => other.id !== id && other.id.startsWith(short)) ? id : short;
}

const gitParentOf = ({ path, pid, buckets }: GitFolder): GitParent => ({ path, pid, buckets });

/** `known`: undefined if no directory lists the pod, which is then named by its UID. */
function podTree(
  { containers, folder }: ScannedPod,
  known: KnownPod | undefined,
  { current, dead }: GitFolders,
  hostName: string,
): GitalyTree {
  const identity: Identity =
    known === undefined
      ? { namespace: '', pod: folder.uid, node: hostName }
      : { namespace: known.namespace, pod: known.name, node: known.node || hostName };
  const isNested = containers.some(({ path }) => current?.path.startsWith(`${path}/`));
  return {
    key: folder.uid,
    identity,
    uid: folder.uid,
    qosClass: known?.qosClass || folder.qosClass,
    driver: folder.driver,
    layout: current === undefined ? 'none' : isNested ? 'nested' : 'sibling',
    pod: folder.path,
    containers: nameContainers(containers, known, current?.path),
    git: current && gitParentOf(current),
    deadGit: dead.map(gitParentOf),
  };
}

/** Of a virtual machine, or of a container that sees only its own cgroup: no pod is known. */
const hostTree = ({ current, dead }: GitFolders, hostName: string): GitalyTree => ({
  key: 'host',
  identity: { namespace: '', pod: '', node: hostName },
  uid: '',
  qosClass: '',
  driver: undefined,
  layout: 'sibling',
  pod: undefined,
  containers: [],
  git: current && gitParentOf(current),
  deadGit: dead.map(gitParentOf),
});

interface SortedTrees {
  /** By key; the host's own last. */
  readonly trees: readonly GitalyTree[];
  /** UIDs of pods that have Gitaly's cgroups and are not in a complete list of pods. */
  readonly unlisted: readonly string[];
  /** Folders in which the cgroups of the trees are created and removed. */
  readonly folders: readonly string[];
  readonly unreadable: readonly UnreadableFolder[];
  /** Pods with more cgroups than are read. */
  readonly truncated: readonly string[];
}

interface TreeSorter {
  /** Which scanned folders are Gitaly's, and what of the others concerns us. */
  sort(
    scan: CgroupScan,
    known: ReadonlyMap<string, KnownPod>,
    isListComplete: boolean,
    strayContainers: ReadonlyMap<string, string>,
  ): SortedTrees;
}

const populatedKey = ['populated'] as const;

export function createTreeSorter(files: CgroupFiles, hostName: string): TreeSorter {
  /** By the tree's key. */
  const currentGits = new Map<string, CurrentGit>();

  function sort(
    { hosts, pods }: CgroupScan,
    known: ReadonlyMap<string, KnownPod>,
    isListComplete: boolean,
    strayContainers: ReadonlyMap<string, string>,
  ): SortedTrees {
    const trees: GitalyTree[] = [];
    const notListed: string[] = [];
    const folders: string[] = [];
    const unreadable: UnreadableFolder[] = [];
    const truncated: string[] = [];
    for (const [uid, pod] of pods) {
      const listed = known.get(uid);
      const isGitalys = listed !== undefined || hasBuckets(pod.git);
      // Without a complete list a pod may turn out to be Gitaly's later.
      if (listed !== undefined || !isListComplete) {
        folders.push(...pod.folders);
        unreadable.push(...pod.unreadable);
      }
      if (!isGitalys) continue;
      if (!pod.isComplete) truncated.push(pod.folder.path);
      if (listed === undefined && isListComplete) notListed.push(uid);
      else {
        const tree = podTree(pod, listed, gitFoldersOf(uid, pod.git), hostName);
        const vacancy = listed && vacancyOf(pod, listed, strayContainers);
        const isPartial = pod.unreadable.length > 0 || !pod.isComplete;
        trees.push({ ...tree, ...(vacancy && { vacancy }), ...(isPartial && { isPartial }) });
      }
    }
    trees.sort((left, right) => (left.key < right.key ? -1 : 1));
    const host = gitFoldersOf(
      'host',
      hosts.flatMap(({ git }) => git),
    );
    if (host.current !== undefined) {
      const parent = parentPath(host.current.path);
      const dead = host.dead.filter(({ path }) => parentPath(path) === parent);
      trees.push(hostTree({ ...host, dead }, hostName));
    }
    for (const key of currentGits.keys())
      if (!trees.some((tree) => tree.key === key)) currentGits.delete(key);
    return { trees, unlisted: notListed, folders, unreadable, truncated };
  }

  function gitFoldersOf(key: string, folders: readonly GitFolder[]): GitFolders {
    const { chosen, ...found } = chooseCurrentGit(folders, currentGits.get(key), isBusy);
    if (chosen !== undefined) currentGits.set(key, chosen);
    return found;
  }

  function isBusy({ path }: Pick<GitFolder, 'path'>): boolean {
    const folder = files.folder(path);
    const { populated } = knownOf(folder.keyed('cgroup.events', populatedKey)) ?? {};
    folder.close();
    return populated === 1;
  }

  /** Whether a cgroup is known to be without processes, or without memory. */
  function isUnused(path: string): boolean {
    const folder = files.folder(path);
    const { populated } = knownOf(folder.keyed('cgroup.events', populatedKey)) ?? {};
    const usage = knownOf(folder.number('memory.current'));
    folder.close();
    return populated === 0 || usage === 0;
  }

  /**
   * With a kubelet that uses the systemd driver and a container runtime that does not, the kubelet creates the pod's
   * slice, and the runtime puts the containers elsewhere.
   */
  function vacancyOf(
    { containers, folder, unreadable }: ScannedPod,
    pod: KnownPod,
    strayContainers: ReadonlyMap<string, string>,
  ): Vacancy | undefined {
    const running = pod.containers.flatMap(({ id, running: runs }) =>
      runs === true && id !== '' ? [id] : [],
    );
    if (running.length === 0 || unreadable.length > 0) return undefined;
    if (containers.some(({ id }) => running.includes(id))) return undefined;
    const elsewhere = running.map((id) => strayContainers.get(id)).find((path) => path !== undefined);
    return elsewhere !== undefined || isUnused(folder.path) ? { elsewhere } : undefined;
  }

  return { sort };
}
