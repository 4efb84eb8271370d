/** Which repositories share a bucket, and which buckets a repository's processes run in: through Praefect's database. */
import { type BucketSizes, bucketsOf, bucketTest } from '../sources/cgroup/buckets/hash.ts';
import type { QueryOptions, QueryResult } from '../sources/praefect/database.ts';
import { type Replica, scanReplicas } from '../sources/praefect/queries/replica-paths.ts';
import type { QueryContext } from '../sources/praefect/query.ts';
import { createMostWritten } from './most-written.ts';

/** A storage whose Gitaly has the bucket, with the sizes of that Gitaly. */
export interface StorageSizes {
  readonly storage: string;
  readonly sizes: BucketSizes;
}

export interface BucketQuestion {
  readonly bucket: number;
  readonly storages: readonly StorageSizes[];
  /** Repositories of each storage that are listed; all are counted. */
  readonly limit: number;
}

export interface StorageListing extends StorageSizes {
  /** How many share the bucket, or may where each has several. */
  readonly repositories: number;
  /** The most written ones first. */
  readonly listed: readonly Replica[];
}

export interface BucketListing {
  readonly bucket: number;
  readonly storages: readonly StorageListing[];
  /** How many repositories Praefect has, of all virtual storages. */
  readonly examined: number;
}

/** Reads the paths of all repositories, in pages; a storage without the bucket is the caller's mistake. */
export async function listBucket(
  context: QueryContext,
  options: QueryOptions,
  { bucket, storages, limit }: BucketQuestion,
): Promise<QueryResult<BucketListing>> {
  const found = new Map(storages.map(({ storage }) => [storage, createMostWritten(limit)]));
  const asked = await scanReplicas(context, options, {
    wanted: new Map(storages.map(({ storage, sizes }) => [storage, bucketTest(storage, bucket, sizes)])),
    onReplica: (replica) => found.get(replica.storage)?.add(replica),
  });
  if (!asked.ok) return asked;
  const listings = storages.map(({ storage, sizes }) => {
    const of = found.get(storage);
    return { storage, sizes, repositories: of?.total() ?? 0, listed: of?.listed() ?? [] };
  });
  return { ...asked, value: { bucket, storages: listings, examined: asked.value } };
}

export interface ReplicaBuckets extends Replica {
  readonly sizes: BucketSizes;
  readonly buckets: readonly number[];
}

/** The buckets of a replica, on a Gitaly with these sizes. */
export const bucketsOfReplica = (replica: Replica, sizes: BucketSizes): ReplicaBuckets => ({
  ...replica,
  sizes,
  buckets: bucketsOf(replica.storage, replica.replicaPath, sizes),
});
