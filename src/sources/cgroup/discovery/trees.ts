/** From scanned folders to trees: names of containers, and which of several gitaly-<pid> is the running Gitaly's. */
import type { Identity } from '../../identity.ts';
import type { ContainerScope, GitalyTree, GitParent, KnownPod } from '../tree.ts';
import type { GitFolder, ScannedPod } from './scan-pod.ts';

export interface GitFolders {
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
export function podTree(
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
export const hostTree = ({ current, dead }: GitFolders, hostName: string): GitalyTree => ({
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
