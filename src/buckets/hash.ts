/**
 * Which repos-N the Git processes of a repository run in, computed as Gitaly does.
 *
 * internal/cgroups/manager_linux.go, the same from GitLab 15.0 to 18 (16.6 and earlier: v1_linux.go, v2_linux.go):
 * crc32 (IEEE) of `<storage>/<relative path>`, modulo [cgroups.repositories] count. From 16.7 on each process is
 * placed a random number of buckets further, 0 to max_cgroups_per_repo - 1, wrapping around after the last bucket.
 * Storage and path are hashed byte by byte as the request names them: behind Praefect that is the Gitaly's own storage
 * and the replica path; a pool, a wiki and a snippet have paths of their own. Commands outside a repository hash their
 * arguments instead. Up to 14.10 every command did, into directories called shard-N.
 */
import { crc32 } from 'node:zlib';

/** [cgroups.repositories] of Gitaly's config.toml. */
export interface BucketSizes {
  /** How many buckets there are: repos-0 to repos-(count - 1). */
  readonly count: number;
  /** 1 unless configured: each repository has exactly one bucket. */
  readonly maxCgroupsPerRepo: number;
}

export const bucketName = (bucket: number): string => `repos-${bucket}`;

/** The buckets that a repository's processes may run in, the first one first; exactly one unless spread over several. */
export const bucketsOf = (storage: string, relativePath: string, sizes: BucketSizes): readonly number[] =>
  bucketsOn(storage, sizes)(relativePath);

/** The same for many repositories of one storage. */
export function bucketsOn(storage: string, sizes: BucketSizes): (relativePath: string) => readonly number[] {
  const { first, span, count } = bucketing(storage, sizes);
  return (relativePath) => {
    const start = first(Buffer.from(relativePath));
    return span === 1 ? [start] : Array.from({ length: span }, (_, further) => (start + further) % count);
  };
}

/** Whether a repository's processes may run in the bucket; for many repositories, with their paths as UTF-8 bytes. */
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
    throw new RangeError(`the number of buckets must be an integer of at least 1, not ${count}`);
  const prefix = crc32(`${storage}/`);
  return {
    count,
    /** Gitaly treats 0 as 1, and does not start with more than count. */
    span: Math.min(Math.max(1, maxCgroupsPerRepo), count),
    first: (relativePath: Uint8Array): number => crc32(relativePath, prefix) % count,
  };
}
