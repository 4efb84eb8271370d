/** One look at the places where Gitaly's cgroups are known to be: what stands there, not yet whose it is. */
import type { Slices } from '../buckets/slices.ts';
import { type Directories, isFreeOfLinks } from './directories.ts';
import { type GitalyFolder, listGitaly, lookIntoPod } from './gitaly-folders.ts';
import type { Places } from './places.ts';
import { listPods, type Notice } from './pods.ts';
import type { FoundPod } from './trees.ts';

export interface Sight {
  /** By uid. */
  readonly pods: ReadonlyMap<string, SeenPod>;
  /** gitaly-<pid> outside of pods, by the folder they are in; those with buckets alone. */
  readonly hosts: readonly { readonly parent: string; readonly gitaly: readonly GitalyFolder[] }[];
  /** Where pods come and go, and where the host's trees do. */
  readonly folders: readonly string[];
  readonly unreadable: readonly Unreadable[];
  /** A place is not what it was: look everywhere again. */
  readonly isOutdated: boolean;
}

export interface SeenPod extends FoundPod {
  /** Its own folder and those in it. */
  readonly folders: readonly string[];
  readonly unreadable: readonly Unreadable[];
}

export interface Unreadable {
  readonly path: string;
  /** The kernel's own: EACCES. */
  readonly code: string;
}

/** Undefined when it is time to give up. */
export async function lookAt(
  root: string,
  places: Places,
  isWanted: (uid: string) => boolean,
  directories: Directories,
  slices: Slices,
): Promise<Sight | undefined> {
  const pods = new Map<string, SeenPod>();
  const folders: string[] = [];
  const unreadable: Unreadable[] = [];
  let isOutdated = false;
  const noticeIn =
    (listedIn: string[], unreadableIn: Unreadable[]): Notice =>
    (path, listed) => {
      if (listed.kind === 'listed') listedIn.push(path);
      if (listed.kind === 'failed') unreadableIn.push({ path, code: listed.code });
    };
  const notice = noticeIn(folders, unreadable);

  for (const kubepods of places.kubepods) {
    if (!isFreeOfLinks(root, kubepods.path)) {
      isOutdated = true;
      continue;
    }
    const found = await listPods(kubepods, directories, slices, notice);
    if (found === undefined) return undefined;
    for (const folder of found) {
      if (!isWanted(folder.uid)) continue;
      const own = { folders: [] as string[], unreadable: [] as Unreadable[] };
      const noticeOwn = noticeIn(own.folders, own.unreadable);
      const contents = await lookIntoPod(folder.path, directories, slices, noticeOwn);
      if (contents === undefined) return undefined;
      // After a change of the kubelet's driver an empty folder of the other may be left.
      const before = pods.get(folder.uid)?.contents;
      if (before === undefined || weightOf(before) < weightOf(contents))
        pods.set(folder.uid, { folder, contents, ...own });
    }
  }

  const hosts: { parent: string; gitaly: readonly GitalyFolder[] }[] = [];
  for (const parent of places.parents) {
    if (!isFreeOfLinks(root, parent)) {
      isOutdated = true;
      continue;
    }
    const gitaly = await listGitaly(parent, directories, slices, notice);
    if (gitaly === undefined) return undefined;
    if (hasBuckets(gitaly)) hosts.push({ parent, gitaly });
  }
  return { pods, hosts, folders, unreadable, isOutdated };
}

const weightOf = ({ containers, gitaly }: FoundPod['contents']): number =>
  gitaly.length * 1000 + containers.length;

/** Gitaly makes repos-0 with its gitaly-<pid>; a cgroup of that name without one may be anybody's. */
export const hasBuckets = (gitaly: readonly GitalyFolder[]): boolean =>
  gitaly.some(({ buckets }) => buckets.length > 0);
