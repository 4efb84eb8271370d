/** Answers of `bucket` from Praefect's database, which knows where on its Gitalys a repository is. */

import { bucketName } from '../../../buckets/hash.ts';
import {
  bucketsOfReplica,
  listBucket,
  listingJson,
  replicasJson,
  type StorageListing,
} from '../../../buckets/listing.ts';
import type { QueryOptions, QueryResult } from '../../../sources/praefect/database.ts';
import { contactedStorages, replicasOf } from '../../../sources/praefect/queries/replica-paths.ts';
import type { QueryContext } from '../../../sources/praefect/query.ts';
import type { ExitCode } from '../../command.ts';
import {
  type Asked,
  bucketsText,
  CannotAnswer,
  checkBucket,
  mayOr,
  plural,
  printable,
  sizesOn,
  withBuckets,
} from './asked.ts';

export interface PraefectAccess {
  readonly context: QueryContext;
  readonly limits: QueryOptions;
  readonly configuredStorages: readonly string[] | undefined;
}

export function answerFromDatabase(asked: Asked, access: PraefectAccess): Promise<ExitCode> {
  const { target } = asked;
  if (target.kind === 'bucket') return listRepositories(asked, access, target.bucket);
  if (target.kind === 'path') return tellBuckets(asked, access, target.path);
  throw new Error('paths from standard input need no database');
}

async function tellBuckets(
  asked: Asked,
  { context, limits }: PraefectAccess,
  path: string,
): Promise<ExitCode> {
  const { options, io } = asked;
  const all = answered(await replicasOf(context, limits, path));
  const replicas = all.filter(({ storage }) => options.storage === undefined || storage === options.storage);
  if (replicas.length === 0) {
    const elsewhere = [...new Set(all.map(({ storage }) => storage))].join(', ');
    io.stderr.write(
      elsewhere === ''
        ? `gitaly-exporter: Praefect knows no repository ${printable(path)}. Paths are as on disk (@hashed/ab/cd/….git; a wiki's end in .wiki.git); --no-database takes them as they are\n`
        : `gitaly-exporter: ${printable(path)} is not on ${options.storage}, but on ${elsewhere}\n`,
    );
    return 1;
  }
  const having = withBuckets(
    replicas.map(({ storage }) => storage),
    asked,
  );
  const found = replicas
    .filter(({ storage }) => having.includes(storage))
    .map((replica) => bucketsOfReplica(replica, sizesOn(replica.storage, asked)));
  if (options.output === 'json') {
    io.stdout.write(`${JSON.stringify(replicasJson(path, found), undefined, 2)}\n`);
    return 0;
  }
  for (const replica of found)
    io.stdout.write(
      `${replica.storage}  ${mayOr('', 'may be in ', replica.sizes)}${bucketsText(replica.buckets, replica.sizes)}  ${printable(replica.replicaPath)}\n`,
    );
  return 0;
}

async function listRepositories(asked: Asked, access: PraefectAccess, bucket: number): Promise<ExitCode> {
  const { options, io } = asked;
  const names = options.storage === undefined ? await storagesOf(access) : [options.storage];
  const storages = withBuckets(names, asked).map((storage) => ({ storage, sizes: sizesOn(storage, asked) }));
  for (const { storage, sizes } of storages) checkBucket(bucket, storage, sizes);
  const { limit } = options;
  const listing = answered(await listBucket(access.context, access.limits, { bucket, storages, limit }));
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
  const names = configuredStorages ?? answered(await contactedStorages(context, limits));
  if (names.length > 0) return [...new Set(names)];
  throw new CannotAnswer(
    'no storage is known: neither praefect.virtual-storage nor praefect.config-file says, and no Praefect has written a heartbeat for a day; give --storage',
  );
}

function listingText(
  bucket: number,
  examined: number,
  { storage, sizes, repositories, listed }: StorageListing,
): string {
  const of = `of ${plural(examined, 'repository', 'repositories')}`;
  const share = `${repositories.toLocaleString('en')} ${of} ${mayOr(repositories === 1 ? 'runs' : 'run', 'may run', sizes)} Git there`;
  const lines = listed.map(
    ({ generation, virtualStorage, relativePath, replicaPath }) =>
      `${(generation < 0 ? '?' : String(generation)).padStart(10)}  ${printable(virtualStorage)}  ${printable(relativePath)}${
        replicaPath === relativePath ? '' : `  ${printable(replicaPath)}`
      }`,
  );
  const more = repositories - listed.length;
  return [
    `${bucketName(bucket)} of ${sizes.count} on ${storage}: ${share}${repositories > 1 ? ', the most written first' : ''}`,
    ...(lines.length > 0 ? ['    writes  virtual storage, path, and where on the disk'] : []),
    ...lines,
    ...(more > 0 ? [`            and ${more.toLocaleString('en')} more: --limit`] : []),
    '',
  ].join('\n');
}

function answered<T>(answer: QueryResult<T>): T {
  if (!answer.ok) throw new CannotAnswer(answer.failure.message);
  return answer.value;
}
