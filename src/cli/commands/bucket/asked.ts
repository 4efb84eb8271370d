/** What `bucket` was asked for, and what both ways to answer share. */

import type { BucketSizes } from '../../../buckets/hash.ts';
import { bucketName } from '../../../buckets/hash.ts';
import { readRelativePath } from '../../../buckets/paths.ts';
import { type KnownGitalys, noSuchBucketText, type SizesResult, sizesFor } from '../../../buckets/sizes.ts';
import type { CommandIo } from '../../command.ts';

export interface BucketOptions {
  readonly of: string | undefined;
  readonly bucket: number | undefined;
  readonly storage: string | undefined;
  readonly count: number | undefined;
  readonly maxCgroupsPerRepo: number | undefined;
  readonly limit: number;
  readonly null: boolean;
  readonly output: 'text' | 'json';
}

/** `paths`: nothing in particular; the bucket of each path that comes in. */
export type Target =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'bucket'; readonly bucket: number }
  | { readonly kind: 'paths' };

export interface Asked {
  readonly io: CommandIo;
  readonly options: BucketOptions;
  readonly target: Target;
  /** What configurations say of Gitalys. */
  readonly known: KnownGitalys;
}

/** Ends the command with exit code 2. The message is for people: what is missing or wrong, and the mend. */
export class CannotAnswer extends Error {}

export function targetOf({ of, bucket }: Pick<BucketOptions, 'of' | 'bucket'>): Target {
  const number = /^(?:repos-)?(\d{1,15})$/.exec(of ?? '')?.[1];
  if (of !== undefined && bucket !== undefined)
    throw new CannotAnswer('a path or number and --bucket are two questions: give one of them');
  if (bucket !== undefined) return { kind: 'bucket', bucket };
  if (number !== undefined) return { kind: 'bucket', bucket: Number(number) };
  if (of === undefined) return { kind: 'paths' };
  const read = readRelativePath(of);
  if (!read.ok) throw new CannotAnswer(`the path ${JSON.stringify(of)} ${read.problem}`);
  return { kind: 'path', path: read.path };
}

export function sizesOn(storage: string, asked: Asked): BucketSizes {
  const found = findSizes(storage, asked);
  if (!found.ok) throw new CannotAnswer(found.problem);
  return found.sizes;
}

const findSizes = (storage: string, { options, known }: Asked): SizesResult =>
  sizesFor(known, { ...options, storage }, { count: '--count', storage: '--storage' });

/** Those storages whose Gitaly has buckets; all of them, when none has. */
export function withBuckets(storages: readonly string[], asked: Asked): readonly string[] {
  const having = storages.filter((storage) => {
    const found = findSizes(storage, asked);
    return found.ok || !found.isDisabled;
  });
  return having.length > 0 ? having : storages;
}

export function checkBucket(bucket: number, storage: string, { count }: BucketSizes): void {
  if (bucket >= count) throw new CannotAnswer(noSuchBucketText(bucket, storage, count));
}

/** `repos-17 of 100`, or `repos-98, repos-99 or repos-0 of 100`. */
export function bucketsText(buckets: readonly number[], { count }: BucketSizes): string {
  const names = buckets.map(bucketName);
  const last = names.pop();
  return `${names.length === 0 ? last : `${names.join(', ')} or ${last}`} of ${count}`;
}

/** What has several buckets is in none for certain. */
export const mayOr = (certain: string, may: string, { maxCgroupsPerRepo }: BucketSizes): string =>
  maxCgroupsPerRepo > 1 ? may : certain;

/** A path on a terminal: no control characters, whatever somebody called a repository. */
export const printable = (path: string): string =>
  path.replaceAll(/\p{Cc}/gu, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);

export const plural = (number: number, one: string, many: string): string =>
  `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
