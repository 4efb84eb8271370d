/** What `bucket` looks up, and what both sources of paths share. */
import type { BucketSizes } from '../../../buckets/hash.ts';
import { bucketName } from '../../../buckets/hash.ts';
import { type ReplicaBuckets, replicasJson } from '../../../buckets/listing.ts';
import { readRelativePath } from '../../../buckets/paths.ts';
import { type KnownGitalys, noSuchBucketText, type SizesResult, sizesFor } from '../../../buckets/sizes.ts';
import type { CommandIo } from '../../command.ts';

export interface BucketOptions {
  readonly of: string | undefined;
  readonly storage: string | undefined;
  readonly count: number | undefined;
  readonly maxCgroupsPerRepo: number | undefined;
  readonly limit: number;
  readonly null: boolean;
  readonly output: 'text' | 'json';
}

/** `paths`: the bucket of each path on standard input. */
export type Target =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'bucket'; readonly bucket: number }
  | { readonly kind: 'paths' };

export interface BucketRequest {
  readonly io: CommandIo;
  readonly options: BucketOptions;
  readonly target: Target;
  /** Gitaly servers and their buckets, from Gitaly's configurations. */
  readonly known: KnownGitalys;
}

/** Ends the command with exit code 2. The message is for people: what is missing or wrong, and how to fix it. */
export class BucketError extends Error {}

export function targetOf(of: string | undefined): Target {
  if (of === undefined) return { kind: 'paths' };
  const number = /^(?:repos-)?(\d{1,15})$/.exec(of)?.[1];
  if (number !== undefined) return { kind: 'bucket', bucket: Number(number) };
  const read = readRelativePath(of);
  if (!read.ok) throw new BucketError(`the path ${JSON.stringify(of)} ${read.problem}`);
  return { kind: 'path', path: read.path };
}

export function sizesOn(storage: string, request: BucketRequest): BucketSizes {
  const found = findSizes(storage, request);
  if (!found.ok) throw new BucketError(found.problem);
  return found.sizes;
}

const findSizes = (storage: string, { options, known }: BucketRequest): SizesResult =>
  sizesFor(known, { ...options, storage }, { count: '--count', storage: '--storage' });

/** The storages whose Gitaly has buckets; all of them if none has. */
export function withBuckets(storages: readonly string[], request: BucketRequest): readonly string[] {
  const enabled = storages.filter((storage) => {
    const found = findSizes(storage, request);
    return found.ok || !found.isDisabled;
  });
  return enabled.length > 0 ? enabled : storages;
}

export function checkBucket(bucket: number, storage: string, { count }: BucketSizes): void {
  if (bucket >= count) throw new BucketError(noSuchBucketText(bucket, storage, count));
}

/** Each replica of the repository with its buckets. */
export function printReplicas(
  { io: { stdout }, options }: BucketRequest,
  path: string,
  replicas: readonly ReplicaBuckets[],
): void {
  if (options.output === 'json') {
    stdout.write(`${JSON.stringify(replicasJson(path, replicas), undefined, 2)}\n`);
    return;
  }
  for (const { storage, sizes, buckets, replicaPath } of replicas)
    stdout.write(
      `${storage}  ${certainOrPossible('', 'may be in ', sizes)}${bucketsText(buckets, sizes)}  ${printable(replicaPath)}\n`,
    );
}

/** `repos-17 of 100`, or `repos-98, repos-99 or repos-0 of 100`. */
function bucketsText(buckets: readonly number[], { count }: BucketSizes): string {
  const names = buckets.map(bucketName);
  const last = names.pop();
  return `${names.length === 0 ? last : `${names.join(', ')} or ${last}`} of ${count}`;
}

/** A repository with several buckets may be in any of them. */
export const certainOrPossible = (
  certain: string,
  possible: string,
  { maxCgroupsPerRepo }: BucketSizes,
): string => (maxCgroupsPerRepo > 1 ? possible : certain);

/** A path on a terminal: control characters in names are escaped. */
export const printable = (path: string): string =>
  path.replaceAll(/\p{Cc}/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
