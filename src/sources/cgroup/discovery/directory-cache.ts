/**
 * Folders below one folder, listed again only when it changed. The kernel does not update a cgroup's times when a child
 * is created or removed, but its link count is that of its children (fs/kernfs/inode.c); other file systems update
 * both. A child that is replaced by one of another name between two scans is noticed when the child is read, and at
 * the latest when everything is listed again.
 */
import { lstatSync, opendirSync, realpathSync, statSync } from 'node:fs';
import { codeOf } from '../../../lib/errors.ts';
import { createYielder } from '../../../lib/yielder.ts';
import { fileErrorOf } from '../files/reading.ts';

/** Between two pieces of work: gives the event loop a turn if one is due. Rejects once the signal has aborted. */
export type Pause = () => Promise<void>;

export function createPause(signal?: AbortSignal): Pause {
  const yielder = createYielder();
  return async () => {
    await yielder.yieldIfDue();
    signal?.throwIfAborted();
  };
}

export interface DirectoryListing {
  readonly kind: 'listed';
  /** Of folders only, in no order. The same array as long as nothing changed. */
  readonly names: readonly string[];
  readonly ino: number;
  /** Milliseconds since 1970 where the file system knows; 0 elsewhere, where `ino` ascends. */
  readonly createdMs: number;
}

type ListingResult =
  | DirectoryListing
  | { readonly kind: 'removed' }
  | { readonly kind: 'failed'; readonly folder: UnreadableFolder };

/** A folder that could not be listed, or in which nothing could be opened. */
export interface UnreadableFolder {
  /** The folder that denies access: the one to list, or one above it. */
  readonly path: string;
  /** The kernel's error code: EACCES. */
  readonly code: string;
  /** Its permissions and its owner's UID, where they can be read. */
  readonly mode?: number;
  readonly owner?: number;
}

export interface DirectoryCache {
  list(path: string, pause: Pause): Promise<ListingResult>;
  /** From now on every folder is listed again at its next use. */
  invalidate(): void;
  /** Forgets what has not been listed since `invalidate`. */
  prune(): void;
  /** Whether, since the last call, a folder was removed that the cached listing of its parent still names. */
  wasStale(): boolean;
}

interface CachedListing {
  readonly listing: DirectoryListing;
  readonly links: number;
  readonly modifiedMs: number;
  readonly generation: number;
}

/** Entries that are read at a time: reading 10,000 in one piece takes 14 ms. */
const batchSize = 512;

/** Links of a folder without subfolders, on file systems that count them; the others report 1. */
const linksOfLeaf = 2;

const removedListing: ListingResult = Object.freeze({ kind: 'removed' });

export const childPath = (path: string, name: string): string => (path === '' ? name : `${path}/${name}`);

/** '' for a folder of the root. */
export const parentPath = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));

/** `root/path`, for the file system. */
export const absolutePath = (root: string, path: string): string => (path === '' ? root : `${root}/${path}`);

/** Whether no symbolic link leads to it, apart from those that lead to the root itself. */
export function isFreeOfLinks(root: string, path: string): boolean {
  try {
    const real = realpathSync.native(root);
    return realpathSync.native(absolutePath(root, path)) === absolutePath(real === '/' ? '' : real, path);
  } catch {
    return false;
  }
}

export function createDirectoryCache(root: string): DirectoryCache {
  const cached = new Map<string, CachedListing>();
  let generation = 0;
  let isStale = false;

  function forget(path: string): ListingResult {
    cached.delete(path);
    // Another folder may have taken its place in the parent, at the same number of links.
    if (cached.delete(parentPath(path))) isStale = true;
    return removedListing;
  }

  return {
    async list(path, pause) {
      await pause();
      try {
        const place = absolutePath(root, path);
        const stat = path === '' ? statSync(place) : lstatSync(place);
        if (!stat.isDirectory()) return forget(path);
        const known = cached.get(path);
        const isSame =
          known !== undefined &&
          known.listing.ino === stat.ino &&
          known.links === stat.nlink &&
          known.modifiedMs === stat.mtimeMs;
        if (isSame && known.generation === generation) return known.listing;
        const names = stat.nlink === linksOfLeaf ? [] : await readFolderNames(place, pause);
        const listing: DirectoryListing = Object.freeze({
          kind: 'listed',
          names: isSame && haveSameNames(known.listing.names, names) ? known.listing.names : names,
          ino: stat.ino,
          createdMs: stat.birthtimeMs,
        });
        cached.set(path, { listing, links: stat.nlink, modifiedMs: stat.mtimeMs, generation });
        return listing;
      } catch (error) {
        const code = codeOf(error);
        if (code === undefined) throw error;
        const kind = fileErrorOf(error);
        if (kind === 'missing' || kind === 'dead') return forget(path);
        cached.delete(path);
        return { kind: 'failed', folder: denyingFolder(root, path, code) };
      }
    },
    invalidate() {
      generation++;
    },
    prune() {
      for (const [path, { generation: last }] of cached) if (last !== generation) cached.delete(path);
    },
    wasStale() {
      const was = isStale;
      isStale = false;
      return was;
    },
  };
}

/** The deepest folder on the way whose attributes can be read: to read those of a folder takes access to its parent. */
function denyingFolder(root: string, path: string, code: string): UnreadableFolder {
  for (let at = path; ; at = parentPath(at)) {
    try {
      const { mode, uid } = at === '' ? statSync(root) : lstatSync(absolutePath(root, at));
      return { path: at, code, mode: mode & 0o7777, owner: uid };
    } catch {
      // The one above denies access.
    }
    if (at === '') return { path: at, code };
  }
}

/** Far more than Gitaly's buckets. */
const maxNames = 150_000;

async function readFolderNames(place: string, pause: Pause): Promise<string[]> {
  const names: string[] = [];
  const directory = opendirSync(place, { bufferSize: batchSize });
  try {
    let read = 0;
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      if (entry.isDirectory()) names.push(entry.name);
      if (names.length > maxNames) throw Object.assign(new Error('too many folders'), { code: 'E2BIG' });
      if (++read % batchSize === 0) await pause();
    }
  } finally {
    directory.closeSync();
  }
  return names;
}

/** The paths of the folders directly below one, without a cache; undefined if they cannot be listed, for any reason. */
export async function listFolders(root: string, path: string): Promise<readonly string[] | undefined> {
  try {
    const names = await readFolderNames(absolutePath(root, path), createPause());
    return names.map((name) => childPath(path, name));
  } catch {
    return undefined;
  }
}

export const haveSameNames = (left: readonly string[], right: readonly string[]): boolean =>
  left.length === right.length && left.every((name, at) => name === right[at]);
