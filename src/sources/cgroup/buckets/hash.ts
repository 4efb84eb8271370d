/**
 * Which repos-N the Git processes of a repository run in, as Gitaly decides it.
 *
 * internal/cgroups/manager_linux.go, the same from GitLab 15.0 to 18 (16.6 and before: v1_linux.go, v2_linux.go):
 * crc32 (IEEE) of `<storage>/<relative path>`, modulo [cgroups.repositories] count. From 16.7 on each process then
 * goes a random number of buckets further, 0 to max_cgroups_per_repo - 1, and from the last one on to the first.
 * Storage and path are hashed byte by byte as the request names them: behind Praefect the Gitaly's own storage and
 * the replica path; a pool, a wiki and a snippet by paths of their own. Commands outside a repository hash their
 * arguments instead. Up to 14.10 every command did, into directories that were called shard-N.
 */
import { crc32 } from 'node:zlib';

/** [cgroups.repositories] of Gitaly's config.toml. */
export interface BucketSizes {
  /** How many buckets there are: repos-0 to repos-(count - 1). */
  readonly count: number;
  /** 1 unless configured: a repository has that one bucket and no other. */
  readonly maxCgroupsPerRepo: number;
}

/** The buckets that a repository's processes run in: one, or all of those that they may, the first one first. */
export const bucketsOf = (storage: string, relativePath: string, sizes: BucketSizes): readonly number[] =>
  bucketsOn(storage, sizes)(relativePath);

/** The same for many of one storage. */
export function bucketsOn(storage: string, sizes: BucketSizes): (relativePath: string) => readonly number[] {
  const { first, span, count } = bucketing(storage, sizes);
  return (relativePath) => {
    const start = first(Buffer.from(relativePath));
    return span === 1 ? [start] : Array.from({ length: span }, (_, further) => (start + further) % count);
  };
}

/** Whether the repository's processes run in the bucket, or may; for going through many. Paths as bytes of UTF-8. */
export function bucketTest(
  storage: string,
  bucket: number,
  sizes: BucketSizes,
): (relativePath: Uint8Array) => boolean {
  const { first, span, count } = bucketing(storage, sizes);
  return (relativePath) => (bucket - first(relativePath) + count) % count < span;
}

function bucketing(storage: string, { count, maxCgroupsPerRepo }: BucketSizes) {
  if (!Number.isSafeInteger(count) || count < 1)
    throw new RangeError(`buckets are counted from 1 on, not ${count}`);
  const before = crc32(`${storage}/`);
  return {
    count,
    /** To Gitaly 0 is 1, and more than there are is a mistake that keeps it from starting. */
    span: Math.min(Math.max(1, maxCgroupsPerRepo), count),
    first: (relativePath: Uint8Array): number => crc32(relativePath, before) % count,
  };
}
