/** The answers about buckets as JSON, the same from the command and from the API: docs/buckets.md. */
import type { BucketSizes } from '../sources/cgroup/buckets/hash.ts';
import type { Replica } from '../sources/praefect/queries/replica-paths.ts';
import type { BucketListing, ReplicaBuckets } from './listing.ts';

export const bucketName = (bucket: number): string => `repos-${bucket}`;

const sizesJson = ({ count, maxCgroupsPerRepo }: BucketSizes) => ({
  count,
  max_cgroups_per_repo: maxCgroupsPerRepo,
  /** False: by chance, each process goes to one of several. */
  certain: maxCgroupsPerRepo <= 1,
});

const replicaJson = ({ virtualStorage, relativePath, replicaPath, generation }: Replica) => ({
  virtual_storage: virtualStorage,
  relative_path: relativePath,
  replica_path: replicaPath,
  generation: generation < 0 ? null : generation,
});

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
