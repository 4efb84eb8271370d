/** gitaly-<pid> with their buckets, below a pod's slice wherever they are, or in a folder that is known to hold some. */
import type { Slices } from '../buckets/slices.ts';
import { below, type Directories } from './directories.ts';
import { bucketOf, containerIdOf, gitalyPidOf, isPlainName } from './names.ts';
import type { Notice } from './pods.ts';

export interface GitalyFolder {
  readonly path: string;
  readonly pid: string;
  /** Rising. The same array as long as nothing changed. */
  readonly buckets: readonly number[];
  readonly ino: number;
  readonly bornMs: number;
}

export interface PodContents {
  readonly containers: readonly { readonly path: string; readonly id: string }[];
  readonly gitaly: readonly GitalyFolder[];
  /** False when there was more to look at than is looked at. */
  readonly isWhole: boolean;
}

/** `<slice>/<scope>/container/gitaly/gitaly-1` is the deepest that is known (CRI-O with crun, tree inside). */
const deepestParent = 3;
/** A pod that runs an init system or containers of its own has some hundreds. */
const mostFolders = 500;

/** Undefined when it is time to give up. A slice that is gone is empty. */
export async function lookIntoPod(
  slice: string,
  directories: Directories,
  slices: Slices,
  notice: Notice,
): Promise<PodContents | undefined> {
  const containers: { path: string; id: string }[] = [];
  const gitaly: GitalyFolder[] = [];
  let level = [slice];
  let looked = 0;
  for (let depth = 0; level.length > 0 && depth <= deepestParent; depth++) {
    const next: string[] = [];
    for (const path of level) {
      if (looked++ >= mostFolders) return { containers, gitaly, isWhole: false };
      const listed = await directories.list(path, slices);
      if (listed === undefined) return undefined;
      notice(path, listed);
      if (listed.kind !== 'listed') continue;
      for (const name of listed.names) {
        const folder = below(path, name);
        const id = depth === 0 ? containerIdOf(name) : undefined;
        if (id !== undefined) containers.push({ path: folder, id });
        if (gitalyPidOf(name) === undefined) {
          if (isPlainName(name)) next.push(folder);
          continue;
        }
        const found = await readGitaly(folder, name, directories, slices, notice);
        if (found === undefined) return undefined;
        if (found !== 'none') gitaly.push(found);
      }
    }
    level = next;
  }
  return { containers, gitaly, isWhole: true };
}

/** Undefined when it is time to give up. */
export async function listGitaly(
  parent: string,
  directories: Directories,
  slices: Slices,
  notice: Notice,
): Promise<readonly GitalyFolder[] | undefined> {
  const listed = await directories.list(parent, slices);
  if (listed === undefined) return undefined;
  notice(parent, listed);
  const folders: GitalyFolder[] = [];
  for (const name of listed.kind === 'listed' ? listed.names : []) {
    const found = await readGitaly(below(parent, name), name, directories, slices, notice);
    if (found === undefined) return undefined;
    if (found !== 'none') folders.push(found);
  }
  return folders;
}

async function readGitaly(
  path: string,
  name: string,
  directories: Directories,
  slices: Slices,
  notice: Notice,
): Promise<GitalyFolder | 'none' | undefined> {
  const pid = gitalyPidOf(name);
  if (pid === undefined) return 'none';
  const listed = await directories.list(path, slices);
  if (listed === undefined) return undefined;
  notice(path, listed);
  if (listed.kind !== 'listed') return 'none';
  return { path, pid, buckets: bucketsOf(listed.names), ino: listed.ino, bornMs: listed.bornMs };
}

const bucketsOfNames = new WeakMap<readonly string[], readonly number[]>();

function bucketsOf(names: readonly string[]): readonly number[] {
  let buckets = bucketsOfNames.get(names);
  if (buckets === undefined) {
    const found = names.map(bucketOf).filter((bucket) => bucket !== undefined);
    buckets = Object.freeze(found.sort((left, right) => left - right));
    bucketsOfNames.set(names, buckets);
  }
  return buckets;
}
