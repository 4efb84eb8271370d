/** Bucket lookups in Praefect's database, which has the path of each replica. */
import { bucketName } from '../../../buckets/hash.ts';
import { bucketsOfReplica, listBucket, listingJson, type StorageListing } from '../../../buckets/listing.ts';
import { counted } from '../../../lib/format.ts';
import type { QueryOptions, QueryResult } from '../../../sources/praefect/database.ts';
import { contactedStorages, replicasOf } from '../../../sources/praefect/queries/replica-paths.ts';
import type { QueryContext } from '../../../sources/praefect/query.ts';
import type { ExitCode } from '../../command.ts';
import {
  BucketError,
  type BucketRequest,
  certainOrPossible,
  checkBucket,
  printable,
  printReplicas,
  sizesOn,
  withBuckets,
} from './lookup.ts';

export interface PraefectAccess {
  readonly context: QueryContext;
  readonly limits: QueryOptions;
  readonly configuredStorages: readonly string[] | undefined;
}

export function lookUpInDatabase(request: BucketRequest, access: PraefectAccess): Promise<ExitCode> {
  const { target } = request;
  if (target.kind === 'bucket') return listRepositories(request, access, target.bucket);
  if (target.kind === 'path') return printBuckets(request, access, target.path);
  throw new Error('paths on standard input need no database');
}

async function printBuckets(
  request: BucketRequest,
  { context, limits }: PraefectAccess,
  path: string,
): Promise<ExitCode> {
  const { options, io } = request;
  const all = resultOf(await replicasOf(context, limits, path));
  const replicas = all.filter(({ storage }) => options.storage === undefined || storage === options.storage);
  if (replicas.length === 0) {
    const elsewhere = [...new Set(all.map(({ storage }) => storage))].join(', ');
    io.stderr.write(
      elsewhere === ''
        ? `gitaly-exporter: Praefect has no repository ${printable(path)}. Paths are relative paths (@hashed/ab/cd/….git; those of wikis end in .wiki.git); --no-database skips this check\n`
        : `gitaly-exporter: ${printable(path)} is not on ${options.storage}, but on ${elsewhere}\n`,
    );
    return 1;
  }
  const enabled = withBuckets(
    replicas.map(({ storage }) => storage),
    request,
  );
  const found = replicas
    .filter(({ storage }) => enabled.includes(storage))
    .map((replica) => bucketsOfReplica(replica, sizesOn(replica.storage, request)));
  printReplicas(request, path, found);
  return 0;
}

async function listRepositories(
  request: BucketRequest,
  access: PraefectAccess,
  bucket: number,
): Promise<ExitCode> {
  const { options, io } = request;
  const names = options.storage === undefined ? await storagesOf(access) : [options.storage];
  const storages = withBuckets(names, request).map((storage) => ({
    storage,
    sizes: sizesOn(storage, request),
  }));
  for (const { storage, sizes } of storages) checkBucket(bucket, storage, sizes);
  const { limit } = options;
  const listing = resultOf(await listBucket(access.context, access.limits, { bucket, storages, limit }));
  const isEmpty = listing.storages.every(({ repositories }) => repositories === 0);
  if (options.output === 'json') io.stdout.write(`${JSON.stringify(listingJson(listing), undefined, 2)}\n`);
  else for (const each of listing.storages) io.stdout.write(listingText(bucket, listing.examined, each));
  return isEmpty ? 1 : 0;
}

async function storagesOf({
  context,
  limits,
  configuredStorages,
}: PraefectAccess): Promise<readonly string[]> {
  const names = configuredStorages ?? resultOf(await contactedStorages(context, limits));
  if (names.length > 0) return [...new Set(names)];
  throw new BucketError(
    'no storage is known: praefect.virtual-storage and praefect.config-file name none, and no Praefect has written a heartbeat within a day; set --storage',
  );
}

function listingText(
  bucket: number,
  examined: number,
  { storage, sizes, repositories, listed }: StorageListing,
): string {
  const of = `of ${counted(examined, 'repository', 'repositories')}`;
  const count = `${repositories.toLocaleString('en')} ${of} ${certainOrPossible(repositories === 1 ? 'runs' : 'run', 'may run', sizes)} Git there`;
  const lines = listed.map(
    ({ generation, virtualStorage, relativePath, replicaPath }) =>
      `${(generation < 0 ? '?' : String(generation)).padStart(10)}  ${printable(virtualStorage)}  ${printable(relativePath)}${
        replicaPath === relativePath ? '' : `  ${printable(replicaPath)}`
      }`,
  );
  const more = repositories - listed.length;
  return [
    `${bucketName(bucket)} of ${sizes.count} on ${storage}: ${count}${repositories > 1 ? ', most writes first' : ''}`,
    ...(lines.length > 0 ? ['    writes  virtual storage, relative path, replica path if different'] : []),
    ...lines,
    ...(more > 0 ? [`            and ${more.toLocaleString('en')} more: --limit`] : []),
    '',
  ].join('\n');
}

function resultOf<T>(result: QueryResult<T>): T {
  if (!result.ok) throw new BucketError(result.failure.message);
  return result.value;
}
