/**
 * Folders below one folder, listed again only when it changed. The kernel does not move a cgroup's times when a child
 * comes or goes, but its count of links is that of its children (fs/kernfs/inode.c); other file systems move both.
 * A child that is exchanged for one of another name between two looks is seen when the child is looked at, and at
 * the latest when all is listed anew.
 */
import { type Dir, lstatSync, opendirSync, realpathSync, statSync } from 'node:fs';
import { codeOf } from '../../../lib/errors.ts';
import { createSlices, type Slices } from '../buckets/slices.ts';
import { fileErrorOf } from '../files/reading.ts';

/** What stands in one folder. */
export interface Listing {
  readonly kind: 'listed';
  /** Of folders alone, in no order. The same array as long as nothing changed. */
  readonly names: readonly string[];
  readonly ino: number;
  /** When it was made, where the file system knows; 0 elsewhere, and there `ino` rises. */
  readonly bornMs: number;
}

export type Listed =
  | Listing
  | { readonly kind: 'removed' }
  /** The kernel's own code, EACCES for instance. */
  | { readonly kind: 'failed'; readonly code: string };

export interface Directories {
  /** Undefined when it is time to give up. */
  list(path: string, slices: Slices): Promise<Listed | undefined>;
  /** Everything that is asked for from now on is listed anew. */
  expire(): void;
  /** Forgets what nobody has asked for since `expire`. */
  prune(): void;
  /** Whether a folder was gone that its parent's remembered listing still names; says so once. */
  wasSurprised(): boolean;
}

interface Remembered {
  readonly listing: Listing;
  readonly links: number;
  readonly changedMs: number;
  readonly generation: number;
}

/** So many entries are read at a time: reading 10,000 at once takes 14 ms. */
const batch = 512;

/** Links of a folder that holds no other, on file systems that count them; the others say 1. */
const withoutChildren = 2;

const gone: Listed = Object.freeze({ kind: 'removed' });

export const below = (path: string, name: string): string => (path === '' ? name : `${path}/${name}`);

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));

/** `root/path`, for the file system. */
export const placeOf = (root: string, path: string): string => (path === '' ? root : `${root}/${path}`);

/** No link leads to it, apart from those that lead to the root itself. */
export function isFreeOfLinks(root: string, path: string): boolean {
  try {
    const real = realpathSync.native(root);
    return realpathSync.native(placeOf(root, path)) === placeOf(real === '/' ? '' : real, path);
  } catch {
    return false;
  }
}

export function createDirectories(root: string): Directories {
  const remembered = new Map<string, Remembered>();
  let generation = 0;
  let isSurprised = false;

  function forget(path: string): Listed {
    remembered.delete(path);
    // Its place in the parent may have been taken by another, at the same count of links.
    if (remembered.delete(parentOf(path))) isSurprised = true;
    return gone;
  }

  return {
    async list(path, slices) {
      if (!(await slices.next())) return undefined;
      try {
        const place = placeOf(root, path);
        const found = path === '' ? statSync(place) : lstatSync(place);
        if (!found.isDirectory()) return forget(path);
        const known = remembered.get(path);
        const isSame =
          known !== undefined &&
          known.listing.ino === found.ino &&
          known.links === found.nlink &&
          known.changedMs === found.mtimeMs;
        if (isSame && known.generation === generation) return known.listing;
        const names = found.nlink === withoutChildren ? [] : await readNames(place, slices);
        if (names === undefined) return undefined;
        const listing: Listing = Object.freeze({
          kind: 'listed',
          names: isSame && hasSameNames(known.listing.names, names) ? known.listing.names : names,
          ino: found.ino,
          bornMs: found.birthtimeMs,
        });
        remembered.set(path, { listing, links: found.nlink, changedMs: found.mtimeMs, generation });
        return listing;
      } catch (error) {
        const found = fileErrorOf(error);
        if (found === 'missing' || found === 'dead') return forget(path);
        remembered.delete(path);
        return { kind: 'failed', code: codeOf(error) ?? 'unknown error' };
      }
    },
    expire() {
      generation++;
    },
    wasSurprised() {
      const was = isSurprised;
      isSurprised = false;
      return was;
    },
    prune() {
      for (const [path, { generation: last }] of remembered) if (last !== generation) remembered.delete(path);
    },
  };
}

async function readNames(path: string, slices: Slices): Promise<string[] | undefined> {
  const names: string[] = [];
  const directory: Dir = opendirSync(path, { bufferSize: batch });
  try {
    let read = 0;
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      if (entry.isDirectory()) names.push(entry.name);
      if (++read % batch === 0 && !(await slices.next())) return undefined;
    }
  } finally {
    directory.closeSync();
  }
  return names;
}

export const hasSameNames = (left: readonly string[], right: readonly string[]): boolean =>
  left.length === right.length && left.every((name, at) => name === right[at]);

/** The paths of the folders directly below one; undefined if they cannot be listed. */
export async function listFolders(root: string, path: string): Promise<readonly string[] | undefined> {
  try {
    const names = await readNames(placeOf(root, path), createSlices());
    return names?.map((name) => below(path, name));
  } catch {
    return undefined;
  }
}
