/** Which repositories share a bucket, and which buckets a repository's processes run in: from Praefect's database. */
import type { QueryOptions, QueryResult } from '../sources/praefect/database.ts';
import { type Replica, scanReplicas } from '../sources/praefect/queries/replica-paths.ts';
import type { QueryContext } from '../sources/praefect/query.ts';
import { type BucketSizes, bucketName, bucketsOf, bucketTest } from './hash.ts';

/** A storage and the bucket sizes of its Gitaly. */
export interface StorageSizes {
  readonly storage: string;
  readonly sizes: BucketSizes;
}

interface ListRequest {
  readonly bucket: number;
  /** All of them have the bucket. */
  readonly storages: readonly StorageSizes[];
  /** How many repositories of each storage are listed; all are counted. */
  readonly limit: number;
}

export interface StorageListing extends StorageSizes {
  /** How many share the bucket, or may share it where a repository is spread over several. */
  readonly repositories: number;
  /** Those with the most writes first. */
  readonly listed: readonly Replica[];
}

export interface BucketListing {
  readonly bucket: number;
  readonly storages: readonly StorageListing[];
  /** Number of repositories in Praefect's database, of all virtual storages. */
  readonly examined: number;
}

/** Reads the paths of all repositories, in pages. */
export async function listBucket(
  context: QueryContext,
  options: QueryOptions,
  { bucket, storages, limit }: ListRequest,
): Promise<QueryResult<BucketListing>> {
  const collected = storages.map(({ storage, sizes }) => ({
    storage,
    sizes,
    most: createMostWritten(limit),
  }));
  const byStorage = new Map(collected.map(({ storage, most }) => [storage, most]));
  const result = await scanReplicas(context, options, {
    wanted: new Map(storages.map(({ storage, sizes }) => [storage, bucketTest(storage, bucket, sizes)])),
    onReplica: (replica) => byStorage.get(replica.storage)?.add(replica),
  });
  if (!result.ok) return result;
  const listings = collected.map(({ storage, sizes, most }) => ({
    storage,
    sizes,
    repositories: most.total(),
    listed: most.listed(),
  }));
  return { ...result, value: { bucket, storages: listings, examined: result.value } };
}

/** Of many replicas the total, and those with the most writes, in bounded memory. */
interface MostWritten {
  add(replica: Replica): void;
  total(): number;
  /** At most `limit`, the highest generation first, equal ones by path. */
  listed(): readonly Replica[];
}

export function createMostWritten(limit: number): MostWritten {
  let kept: Replica[] = [];
  let total = 0;
  const truncate = (): void => {
    kept = kept.sort(byWrites).slice(0, limit);
  };
  return {
    add(replica) {
      total += 1;
      kept.push(replica);
      // Sorting with every replica would cost more than twice the memory does.
      if (kept.length >= 2 * limit + 100) truncate();
    },
    total: () => total,
    listed() {
      truncate();
      return kept;
    },
  };
}

const byWrites = (a: Replica, b: Replica): number =>
  b.generation - a.generation || (a.relativePath < b.relativePath ? -1 : 1);

/** Without Praefect's database only the path and the storage are known. */
type ReplicaPath = Pick<Replica, 'storage' | 'replicaPath'> & Partial<Replica>;

export type ReplicaBuckets = ReplicaPath & {
  readonly sizes: BucketSizes;
  readonly buckets: readonly number[];
};

/** The buckets of a replica on a Gitaly with these sizes. */
export const bucketsOfReplica = (replica: ReplicaPath, sizes: BucketSizes): ReplicaBuckets => ({
  ...replica,
  sizes,
  buckets: bucketsOf(replica.storage, replica.replicaPath, sizes),
});

/** The listing as JSON, from the command and from the API alike: docs/buckets.md. */
export const listingJson = ({ bucket, storages, examined }: BucketListing) => ({
  bucket: bucketName(bucket),
  repositories_examined: examined,
  storages: storages.map(({ storage, sizes, repositories, listed }) => ({
    storage,
    ...sizesJson(sizes),
    repositories,
    listed: listed.map(replicaJson),
  })),
});

export const replicasJson = (path: string, replicas: readonly ReplicaBuckets[]) => ({
  path,
  replicas: replicas.map((replica) => ({
    storage: replica.storage,
    ...replicaJson(replica),
    buckets: replica.buckets.map(bucketName),
    ...sizesJson(replica.sizes),
  })),
});

const sizesJson = ({ count, maxCgroupsPerRepo }: BucketSizes) => ({
  count,
  max_cgroups_per_repo: maxCgroupsPerRepo,
  /** False where each process runs in a random one of several buckets. */
  certain: maxCgroupsPerRepo <= 1,
});

const replicaJson = ({ virtualStorage, relativePath, replicaPath, generation }: ReplicaPath) => ({
  virtual_storage: virtualStorage,
  relative_path: relativePath,
  replica_path: replicaPath,
  generation: generation !== undefined && generation < 0 ? null : generation,
});
