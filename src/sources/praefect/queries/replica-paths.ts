/**
 * Where the replicas of repositories lie on the disks of their Gitalys. For commands and the API, not for a collector:
 * one repository by its path, or all repositories whose replica path passes a filter.
 *
 * A Gitaly knows a repository by its replica path: repositories.replica_path (14.3 and later), before that the path
 * that users know. The filter runs here, since PostgreSQL has no crc32 before version 18. All paths are read in pages
 * by the primary key: short transactions that delay neither VACUUM nor other queries. docs/buckets.md has figures.
 */
import { createYielder, type Yielder } from '../../../lib/yielder.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { type QueryOptions, type QueryResult, type ReadTransaction, UnacceptableRows } from '../database.ts';
import { createCopyReader } from '../mirror/copy-binary.ts';
import {
  columnNumber,
  columnText,
  isFailure,
  type QueryContext,
  queryVariant,
  withVariant,
} from '../query.ts';
import { eq, gt, isPresent, literal, minus } from '../sql.ts';
import type { SchemaVariant } from '../variant.ts';

/** A repository on one storage. */
export interface Replica {
  readonly virtualStorage: string;
  /** The path that users and Praefect's clients know. */
  readonly relativePath: string;
  /** The path below the storage's directory, as in requests to the Gitaly. */
  readonly replicaPath: string;
  readonly storage: string;
  /** Incremented by each write since the repository was created; -1 where Praefect does not know it. */
  readonly generation: number;
}

/** All replicas of the repositories that users or Gitalys know by this path. */
export async function replicasOf(
  context: QueryContext,
  options: QueryOptions,
  path: string,
): Promise<QueryResult<readonly Replica[]>> {
  const limits = { ...options, purpose: 'the replicas of one repository' };
  const variant = await context.variants.detect(options.signal);
  if (isFailure(variant)) return { ok: false, failure: variant };
  const read = await queryVariant(context, limits, (variant) => replicasSql(variant, path));
  if (!read.ok) return read;
  const replicas = read.value.map((row) => ({
    virtualStorage: columnText(row['virtual_storage']),
    relativePath: columnText(row['relative_path']),
    replicaPath: columnText(row['replica_path']),
    storage: columnText(row['storage']),
    generation: columnNumber(row['generation']) ?? -1,
  }));
  return { ...read, value: replicas };
}

/** One pass over the table: under a second with a million repositories. */
function replicasSql(variant: SchemaVariant, path: string): string {
  const onDisk = variant.repositories.replicaPath ? `OR (r.replica_path ${eq} ${literal(path)})` : '';
  return `
SELECT r.virtual_storage, r.relative_path, ${replicaPath(variant)} AS replica_path, s.storage, s.generation
  FROM ${variant.relation('repositories')} r
  JOIN ${variant.relation('storage_repositories')} s ON ${sameRepository(variant)}
 WHERE (r.relative_path ${eq} ${literal(path)}) ${onDisk}
 ORDER BY r.virtual_storage, r.relative_path, s.storage`;
}

/** Names of all storages that a Praefect contacted in the last day; empty where none writes heartbeats. */
export async function contactedStorages(
  context: QueryContext,
  options: QueryOptions,
): Promise<QueryResult<readonly string[]>> {
  const limits = { ...options, purpose: 'the names of the storages' };
  const read = await queryVariant(context, limits, contactedSql);
  return read.ok ? { ...read, value: read.value.map((row) => columnText(row['storage'])) } : read;
}

const contactedSql = (variant: SchemaVariant): string => `
SELECT DISTINCT node_name AS storage FROM ${variant.relation('node_status')}
 WHERE (last_contact_attempt_at ${gt} (pg_catalog.now() ${minus} interval '1 day'))
   AND (${isPresent('last_contact_attempt_at')}) ORDER BY 1`;

interface ReplicaScan {
  /** Storage -> filter of replica paths, as bytes of UTF-8. */
  readonly wanted: ReadonlyMap<string, (replicaPath: Uint8Array) => boolean>;
  /** Called in no particular order. */
  readonly onReplica: (replica: Replica) => void;
  /** Repositories per page, for tests. */
  readonly pageRows?: number;
}

/** Large enough that round trips cost little, small enough for a few MB per page. */
const defaultPageRows = 20_000;
/** A server that always returns one more page would be read forever. */
const maxRepositories = 20_000_000;

/** Finds the wanted replicas that exist on their storage. Returns the number of repositories that were read. */
export async function scanReplicas(
  context: QueryContext,
  options: QueryOptions,
  { wanted, onReplica, pageRows = defaultPageRows }: ReplicaScan,
): Promise<QueryResult<number>> {
  const limits = { ...options, purpose: 'the paths of all repositories' };
  // Detected now: the statements of an older form may well run on a newer one, and return other paths.
  const variant = await context.variants.detect(options.signal);
  if (isFailure(variant)) return { ok: false, failure: variant };
  const yielder = createYielder();
  const readFrom = (from: Cursor): Promise<QueryResult<Page | Failure>> =>
    withVariant(context, options.signal, (variant) =>
      context.database.transaction(limits, (transaction) =>
        readPage(transaction, variant, from, { wanted, pageRows, yielder }),
      ),
    );
  let elapsedMs = 0;
  let repositories = 0;
  for (let from: Cursor = { kind: 'start' }; ; ) {
    const read = await readFrom(from);
    if (!read.ok) return read;
    elapsedMs += read.elapsedMs;
    const page = read.value;
    if (isFailure(page)) return { ok: false, failure: page };
    for (const replica of page.replicas) onReplica(replica);
    repositories += page.rows;
    if (repositories > maxRepositories)
      return {
        ok: false,
        failure: {
          reason: 'too_large',
          message: `Praefect's database returned more than ${maxRepositories} repositories`,
        },
      };
    if (page.rows < pageRows) return { ok: true, value: repositories, elapsedMs };
    from = page.end;
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
  transaction: ReadTransaction,
  variant: SchemaVariant,
  from: Cursor,
  { wanted, pageRows, yielder }: Required<Pick<ReplicaScan, 'wanted' | 'pageRows'>> & { yielder: Yielder },
): Promise<Page | Failure> {
  const keyedById = variant.storageRepositories.repositoryIdNotNull;
  if (from.kind !== 'start' && (from.kind === 'id') !== keyedById) return schemaChanged;
  const candidates: Candidate[] = [];
  let rows = 0;
  let end = from;
  const reader = createCopyReader(4, (row) => {
    rows += 1;
    if (rows > pageRows)
      throw new UnacceptableRows('too_large', `a page of more than ${pageRows} repositories`);
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
  await transaction.copy(pageSql(variant, from, pageRows), (chunk) => {
    reader.feed(chunk);
    return yielder.yieldIfDue();
  });
  reader.end();
  return { replicas: await existingReplicas(transaction, variant, candidates, yielder), rows, end };
}

const candidatesPerStatement = 500;

/** The candidates with their generation, without repositories that have no replica on that storage. */
async function existingReplicas(
  transaction: ReadTransaction,
  variant: SchemaVariant,
  candidates: readonly Candidate[],
  yielder: Yielder,
): Promise<readonly Replica[]> {
  const keyedById = variant.storageRepositories.repositoryIdNotNull;
  const replicas: Replica[] = [];
  for (let at = 0; at < candidates.length; at += candidatesPerStatement) {
    await yielder.yieldIfDue();
    const chunk = candidates.slice(at, at + candidatesPerStatement);
    const keyOf = ({
      id,
      virtualStorage,
      relativePath,
    }: Omit<Candidate, 'storage' | 'replicaPath'>): string =>
      keyedById ? String(id) : `${virtualStorage}\0${relativePath}`;
    const byKey = new Map(chunk.map((each) => [`${keyOf(each)}\0${each.storage}`, each]));
    for (const row of await transaction.rows(generationsSql(variant, chunk))) {
      const key = keyedById
        ? columnText(row['repository_id'])
        : `${columnText(row['virtual_storage'])}\0${columnText(row['relative_path'])}`;
      const found = byKey.get(`${key}\0${columnText(row['storage'])}`);
      if (found === undefined) continue;
      const { id: _, ...replica } = found;
      replicas.push({ ...replica, generation: columnNumber(row['generation']) ?? -1 });
    }
  }
  return replicas;
}

/** Fields: repository_id or 0, virtual storage, relative path, replica path; in the order of the primary key. */
function pageSql(variant: SchemaVariant, from: Cursor, rows: number): string {
  const path = replicaPath(variant);
  const repositories = variant.relation('repositories');
  if (variant.storageRepositories.repositoryIdNotNull)
    return `
SELECT r.repository_id, r.virtual_storage, r.relative_path, ${path} FROM ${repositories} r
 WHERE r.repository_id ${gt} ${from.kind === 'id' ? from.id : "'-9223372036854775808'::pg_catalog.int8"}
 ORDER BY r.repository_id LIMIT ${rows}`;
  const after =
    from.kind === 'path'
      ? `(r.virtual_storage, r.relative_path) ${gt} (${literal(from.virtualStorage)}, ${literal(from.relativePath)})`
      : 'true';
  return `
SELECT 0::pg_catalog.int8, r.virtual_storage, r.relative_path, ${path} FROM ${repositories} r
 WHERE ${after}
 ORDER BY r.virtual_storage, r.relative_path LIMIT ${rows}`;
}

function generationsSql(variant: SchemaVariant, candidates: readonly Candidate[]): string {
  const table = variant.relation('storage_repositories');
  const storages = `ARRAY[${[...new Set(candidates.map(({ storage }) => storage))].map(literal).join(', ')}]`;
  if (variant.storageRepositories.repositoryIdNotNull)
    return `
SELECT repository_id, storage, generation FROM ${table}
 WHERE (repository_id ${eq} ANY (ARRAY[${candidates.map(({ id }) => id).join(', ')}]::pg_catalog.int8[]))
   AND (storage ${eq} ANY (${storages}))`;
  const keys = candidates.map(
    ({ virtualStorage, relativePath }) => `(${literal(virtualStorage)}, ${literal(relativePath)})`,
  );
  return `
SELECT virtual_storage, relative_path, storage, generation FROM ${table}
 WHERE ((virtual_storage, relative_path) ${eq} ANY (VALUES ${keys.join(', ')})) AND (storage ${eq} ANY (${storages}))`;
}

const replicaPath = (variant: SchemaVariant): string =>
  variant.repositories.replicaPath ? 'coalesce(r.replica_path, r.relative_path)' : 'r.relative_path';

/** By id where every row has one (14.6 and later). */
const sameRepository = (variant: SchemaVariant): string =>
  variant.storageRepositories.repositoryIdNotNull
    ? `(s.repository_id ${eq} r.repository_id)`
    : `(s.virtual_storage ${eq} r.virtual_storage) AND (s.relative_path ${eq} r.relative_path)`;

const schemaChanged: Failure = {
  reason: 'query',
  message: "Praefect's tables changed while the paths of all repositories were read; try again",
};
