/**
 * Where the replicas of repositories lie on the disks of their Gitalys. For people's questions, not for a collector:
 * one repository by its path, or all those whose replica path passes a test.
 *
 * A Gitaly knows a repository by its replica path: repositories.replica_path (14.3 and later), before that the path
 * that users know. The test is made here, since PostgreSQL has no crc32 before version 18. All paths are read, in
 * pages by the primary key: each is a short transaction that holds up neither VACUUM nor other questions. Figures
 * in docs/buckets.md.
 */
import type { Failure } from '../../../scheduler/outcome.ts';
import type { QueryOptions, QueryResult, ReadTransaction } from '../database.ts';
import { createCopyReader } from '../mirror/copy-binary.ts';
import { createSlices, type Slices } from '../mirror/slices.ts';
import {
  isFailure,
  numberOf,
  type QueryContext,
  queryByVariant,
  textOf,
  transactionByVariant,
} from '../query.ts';
import type { SchemaVariant } from '../variant.ts';

/** A repository on one storage. */
export interface Replica {
  readonly virtualStorage: string;
  /** As users and Praefect's clients know it. */
  readonly relativePath: string;
  /** Below the storage's folder: what the Gitaly is asked for. */
  readonly replicaPath: string;
  readonly storage: string;
  /** One more with each write since the repository was made; -1 where Praefect does not know it. */
  readonly generation: number;
}

/** Every replica of the repositories that users or Gitalys know by this path. */
export async function replicasOf(
  context: QueryContext,
  options: QueryOptions,
  path: string,
): Promise<QueryResult<readonly Replica[]>> {
  const limits = { ...options, purpose: 'the replicas of one repository' };
  const variant = await context.variants.detect(options.signal);
  if (isFailure(variant)) return { ok: false, failure: variant };
  const asked = await queryByVariant(context, limits, (variant) => replicasSql(variant, path));
  if (!asked.ok) return asked;
  const replicas = (asked.value ?? []).map((row) => ({
    virtualStorage: textOf(row['virtual_storage']),
    relativePath: textOf(row['relative_path']),
    replicaPath: textOf(row['replica_path']),
    storage: textOf(row['storage']),
    generation: numberOf(row['generation']) ?? -1,
  }));
  return { ...asked, value: replicas };
}

/** One pass over the table: under a second with a million repositories. */
export function replicasSql(variant: SchemaVariant, path: string): string {
  const onDisk = variant.repositories.replicaPath ? `OR r.replica_path = ${literal(path)}` : '';
  return `
SELECT r.virtual_storage, r.relative_path, ${replicaPath(variant)} AS replica_path, s.storage, s.generation
  FROM repositories r
  JOIN storage_repositories s ON ${sameRepository(variant)}
 WHERE r.relative_path = ${literal(path)} ${onDisk}
 ORDER BY r.virtual_storage, r.relative_path, s.storage`;
}

/** Names of all storages that a Praefect contacted within a day; empty where none writes heartbeats. */
export async function contactedStorages(
  context: QueryContext,
  options: QueryOptions,
): Promise<QueryResult<readonly string[]>> {
  const asked = await context.database.query(contactedSql, {
    ...options,
    purpose: 'the names of the storages',
  });
  return asked.ok ? { ...asked, value: asked.value.map((row) => textOf(row['storage'])) } : asked;
}

const contactedSql = `
SELECT DISTINCT node_name AS storage FROM node_status
 WHERE last_contact_attempt_at > now() - interval '1 day' ORDER BY 1`;

export interface ReplicaScan {
  /** Storage -> whether a replica path, as bytes of UTF-8, is wanted there. */
  readonly wanted: ReadonlyMap<string, (replicaPath: Uint8Array) => boolean>;
  /** In no order. */
  readonly onReplica: (replica: Replica) => void;
  /** Repositories a page. Tests make it small. */
  readonly pageRows?: number;
}

/** Enough that a round trip costs little; a few MB on the way. */
const defaultPageRows = 20_000;

/** Wanted replicas that really are on that storage. The number is of repositories that were looked at. */
export async function scanReplicas(
  context: QueryContext,
  options: QueryOptions,
  { wanted, onReplica, pageRows = defaultPageRows }: ReplicaScan,
): Promise<QueryResult<number>> {
  const limits = { ...options, purpose: 'the paths of all repositories' };
  // Not what was once known: the words for an older form may well be answered by a newer one, with other paths.
  const variant = await context.variants.detect(options.signal);
  if (isFailure(variant)) return { ok: false, failure: variant };
  const slices = createSlices();
  let elapsedMs = 0;
  let repositories = 0;
  for (let cursor: Cursor = { kind: 'start' }; ; ) {
    const from: Cursor = cursor;
    const asked: QueryResult<Page | Failure | undefined> = await transactionByVariant(
      context,
      limits,
      (look, variant) => readPage(look, variant, from, { wanted, pageRows, slices }),
    );
    if (!asked.ok) return asked;
    elapsedMs += asked.elapsedMs;
    if (asked.value === undefined || isFailure(asked.value))
      return { ok: false, failure: asked.value ?? schemaChanged };
    for (const replica of asked.value.replicas) onReplica(replica);
    repositories += asked.value.rows;
    if (asked.value.rows < pageRows) return { ok: true, value: repositories, elapsedMs };
    cursor = asked.value.end;
  }
}

/** The last repository that was read. */
type Cursor =
  | { readonly kind: 'start' }
  | { readonly kind: 'id'; readonly id: bigint }
  | { readonly kind: 'path'; readonly virtualStorage: string; readonly relativePath: string };

interface Page {
  readonly replicas: readonly Replica[];
  readonly rows: number;
  readonly end: Cursor;
}

interface Candidate extends Omit<Replica, 'generation'> {
  readonly id: bigint;
}

async function readPage(
  look: ReadTransaction,
  variant: SchemaVariant,
  from: Cursor,
  { wanted, pageRows, slices }: Required<Pick<ReplicaScan, 'wanted' | 'pageRows'>> & { slices: Slices },
): Promise<Page | Failure> {
  const keyedById = variant.storageRepositories.repositoryIdNotNull;
  if (from.kind !== 'start' && (from.kind === 'id') !== keyedById) return schemaChanged;
  const candidates: Candidate[] = [];
  let rows = 0;
  let end = from;
  const reader = createCopyReader(4, (row) => {
    rows += 1;
    const text = (field: number): string => row.bytes.toString('utf8', row.start(field), row.end(field));
    const id = (): bigint => row.bytes.readBigInt64BE(row.start(0));
    const path = row.bytes.subarray(row.start(3), row.end(3));
    for (const [storage, isWanted] of wanted)
      if (isWanted(path))
        candidates.push({
          id: id(),
          virtualStorage: text(1),
          relativePath: text(2),
          replicaPath: text(3),
          storage,
        });
    if (rows === pageRows)
      end = keyedById
        ? { kind: 'id', id: id() }
        : { kind: 'path', virtualStorage: text(1), relativePath: text(2) };
  });
  await look.copy(pageSql(variant, from, pageRows), (chunk) => {
    reader.feed(chunk);
    return slices.pause();
  });
  reader.end();
  return { replicas: await thoseThatExist(look, keyedById, candidates, slices), rows, end };
}

const candidatesAtOnce = 500;

/** With the generation of each; a repository that has no replica on that storage falls out. */
async function thoseThatExist(
  look: ReadTransaction,
  keyedById: boolean,
  candidates: readonly Candidate[],
  slices: Slices,
): Promise<readonly Replica[]> {
  const replicas: Replica[] = [];
  for (let at = 0; at < candidates.length; at += candidatesAtOnce) {
    await slices.pause();
    const some = candidates.slice(at, at + candidatesAtOnce);
    const keyOf = ({
      id,
      virtualStorage,
      relativePath,
    }: Omit<Candidate, 'storage' | 'replicaPath'>): string =>
      keyedById ? String(id) : `${virtualStorage}\0${relativePath}`;
    const byPlace = new Map(some.map((each) => [`${keyOf(each)}\0${each.storage}`, each]));
    for (const row of await look.rows(generationsSql(keyedById, some))) {
      const key = keyedById
        ? textOf(row['repository_id'])
        : `${textOf(row['virtual_storage'])}\0${textOf(row['relative_path'])}`;
      const found = byPlace.get(`${key}\0${textOf(row['storage'])}`);
      if (found === undefined) continue;
      const { id: _, ...replica } = found;
      replicas.push({ ...replica, generation: numberOf(row['generation']) ?? -1 });
    }
  }
  return replicas;
}

/** Fields: repository_id or 0, virtual storage, relative path, replica path; in the order of the primary key. */
export function pageSql(variant: SchemaVariant, from: Cursor, rows: number): string {
  const path = replicaPath(variant);
  if (variant.storageRepositories.repositoryIdNotNull)
    return `
SELECT r.repository_id, r.virtual_storage, r.relative_path, ${path} FROM repositories r
 WHERE r.repository_id > ${from.kind === 'id' ? from.id : '-9223372036854775808'}
 ORDER BY r.repository_id LIMIT ${rows}`;
  const after =
    from.kind === 'path'
      ? `(r.virtual_storage, r.relative_path) > (${literal(from.virtualStorage)}, ${literal(from.relativePath)})`
      : 'true';
  return `
SELECT 0::bigint, r.virtual_storage, r.relative_path, ${path} FROM repositories r
 WHERE ${after}
 ORDER BY r.virtual_storage, r.relative_path LIMIT ${rows}`;
}

function generationsSql(keyedById: boolean, candidates: readonly Candidate[]): string {
  const storages = [...new Set(candidates.map(({ storage }) => storage))].map(literal).join(', ');
  if (keyedById)
    return `
SELECT repository_id, storage, generation FROM storage_repositories
 WHERE repository_id IN (${candidates.map(({ id }) => id).join(', ')}) AND storage IN (${storages})`;
  const keys = candidates.map(
    ({ virtualStorage, relativePath }) => `(${literal(virtualStorage)}, ${literal(relativePath)})`,
  );
  return `
SELECT virtual_storage, relative_path, storage, generation FROM storage_repositories
 WHERE (virtual_storage, relative_path) IN (${keys.join(', ')}) AND storage IN (${storages})`;
}

const replicaPath = (variant: SchemaVariant): string =>
  variant.repositories.replicaPath ? 'COALESCE(r.replica_path, r.relative_path)' : 'r.relative_path';

/** By id where no row can be without one (14.6 and later). */
const sameRepository = (variant: SchemaVariant): string =>
  variant.storageRepositories.repositoryIdNotNull
    ? 's.repository_id = r.repository_id'
    : 's.virtual_storage = r.virtual_storage AND s.relative_path = r.relative_path';

/** Text of any kind as a constant, for statements that take no parameters: hex cannot end a literal. */
const literal = (text: string): string =>
  `convert_from(decode('${Buffer.from(text, 'utf8').toString('hex')}', 'hex'), 'UTF8')`;

const schemaChanged: Failure = {
  reason: 'query',
  message: "Praefect's tables were changed while the paths of all repositories were read; ask again",
};
