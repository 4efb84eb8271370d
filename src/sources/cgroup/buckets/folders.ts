/** The open folders of one Gitaly's buckets, kept from sweep to sweep. */
import type { CgroupFiles, CgroupFolder } from '../files/reading.ts';
import type { GitParent } from '../tree.ts';
import type { Slices } from './slices.ts';

export interface BucketFolders {
  /**
   * Closes those of buckets that are gone (all of them, when another gitaly-<pid> is the living one); false when
   * there was no time for it.
   */
  follow(git: GitParent | undefined, slices: Slices): Promise<boolean>;
  of(bucket: number): CgroupFolder;
  /** This one was removed, and the next look will not have it. */
  drop(bucket: number): void;
}

export function createBucketFolders(files: CgroupFiles): BucketFolders {
  let parent = '';
  /** By bucket, of `parent`. */
  let open = new Map<number, CgroupFolder>();
  /** Of parents before it: thousands of them are not closed at once. */
  const leftovers: CgroupFolder[] = [];
  const drop = (bucket: number): void => {
    open.get(bucket)?.close();
    open.delete(bucket);
  };
  return {
    drop,
    async follow(git, slices) {
      if (git?.path !== parent) {
        for (const folder of open.values()) leftovers.push(folder);
        open = new Map();
        parent = git?.path ?? '';
      }
      const living = new Set(git?.buckets);
      for (const bucket of [...open.keys()]) {
        if (!living.has(bucket)) drop(bucket);
        if (!(await slices.next())) return false;
      }
      for (let folder = leftovers.pop(); folder !== undefined; folder = leftovers.pop()) {
        folder.close();
        if (!(await slices.next())) return false;
      }
      return true;
    },
    of(bucket) {
      let folder = open.get(bucket);
      if (folder === undefined) {
        folder = files.folder(`${parent}/repos-${bucket}`);
        open.set(bucket, folder);
      }
      return folder;
    },
  };
}
