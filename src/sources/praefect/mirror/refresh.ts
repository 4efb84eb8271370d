/**
 * A refresh: one read-only REPEATABLE READ transaction that updates the mirror, with the rows that changed since the
 * previous refresh, or with the whole tables where that is unknown. docs/decisions/0001-mirror.md explains how.
 */
import type { Yielder } from '../../../lib/yielder.ts';
import { type ReadTransaction, UnacceptableRows } from '../database.ts';
import { epochOf, eq, literal } from '../sql.ts';
import { type CopyTuple, createCopyReader } from './copy-binary.ts';
import { removeDeletedRows, removeWithRepositories } from './deleted-rows.ts';
import {
  checksumsDiffer,
  type Mirror,
  type MirroredTable,
  mirroredTables,
  type TableChecksum,
} from './mirror.ts';
import { changedSince, type MirrorSchema, type MirrorStatements } from './statements.ts';
import type { ReplicaRef } from './table.ts';
import type { DeletionTally } from './write-counters.ts';

/** The state of the database at a refresh, from which the next one continues. */
export interface RefreshPoint {
  /** Server, database and tables: with another identity, transaction ids cannot be compared. */
  readonly identity: string;
  /** Every transaction that this refresh could not see has this id or a later one (64 bits, with the epoch). */
  readonly horizon: bigint;
  readonly newest: bigint;
}

export interface ShardPrimary {
  readonly virtualStorage: string;
  readonly storage: string;
  readonly demoted: boolean;
  /** Seconds since 1970. */
  readonly electedAt: number;
}

export interface RefreshResult {
  readonly point: RefreshPoint;
  /** The database's now(), in seconds since 1970. */
  readonly databaseNow: number;
  /** `load`: everything was read, because there was no point to continue from. */
  readonly kind: 'load' | 'changes';
  /** Whether no count of rows was omitted. */
  readonly complete: boolean;
  /** Rows that the database sent, of all three tables. */
  readonly rows: number;
  /** Replicas with a live delete_replica job; undefined when replication_queue may not be read. */
  readonly deletions: readonly ReplicaRef[] | undefined;
  /** Replicas with a live job that brings them up to date; undefined when replication_queue may not be read. */
  readonly repairs: readonly ReplicaRef[] | undefined;
  readonly shardPrimaries: readonly ShardPrimary[];
}

/** Beyond this distance the 32-bit ids of rows are ambiguous: half of the 2^31 that PostgreSQL allows. */
const maxDistance = 2n ** 30n;

/** What a refresh updates. */
export interface RefreshTarget {
  readonly mirror: Mirror;
  readonly statements: MirrorStatements;
  readonly schema: MirrorSchema;
  /** Of the last completed refresh. */
  readonly point?: RefreshPoint;
}

export interface RefreshRun {
  /** Whole seconds since 1970. */
  readonly now: number;
  /** Compares the sums of keys too, in place of the counts of rows alone. A load always does. */
  readonly verifySums: boolean;
  readonly deletions: DeletionTally;
  /** Whether the rows of a table need not be counted where no deletion was. */
  readonly mayOmitCounts: boolean;
  readonly yielder: Yielder;
}

/** Rows are applied as they arrive; recompute.ts then updates what depends on them. */
export async function refreshMirror(
  transaction: ReadTransaction,
  { mirror, statements, schema, point: previous }: RefreshTarget,
  { now, verifySums, deletions, mayOmitCounts, yielder }: RefreshRun,
): Promise<RefreshResult> {
  const { point, databaseNow, queueReadable, shardPrimariesReadable } = await readPoint(transaction, schema);
  const isContinuous =
    previous !== undefined &&
    previous.identity === point.identity &&
    point.newest >= previous.newest &&
    point.newest - previous.horizon < maxDistance;
  const kinds = mirroredTables.filter((kind) => kind !== 'repository_assignments' || schema.assignments);
  let rows = 0;

  const readRows = async (
    kind: MirroredTable,
    where?: string,
    onRow?: (replica: ReplicaRef) => void,
  ): Promise<void> => {
    await copy(transaction, statements.rows(kind, where), statements.fields[kind], yielder, (tuple) => {
      rows++;
      mirror.put(kind, tuple, now);
      if (onRow === undefined) return;
      const table = mirror.table(mirror.names.idInTuple(tuple, 1));
      const row = table.keys.ensure(tuple.high(0), tuple.low(0));
      const column = kind === 'repositories' ? 0 : table.column(mirror.names.idInTuple(tuple, 2));
      onRow({ table, row, column });
    });
  };

  const isUnequal = async (kind: MirroredTable): Promise<boolean> => {
    const held = mirror.checksum(kind);
    if (!verifySums && isContinuous) return (await readCount(transaction, statements, kind)) !== held.rows;
    return checksumsDiffer(await readChecksum(transaction, statements, kind), held);
  };

  if (!isContinuous) await reserveRows(transaction, mirror, statements);
  let complete = true;
  let deletedRepositories: readonly ReplicaRef[] = [];
  for (const kind of kinds) {
    await readRows(kind, isContinuous && previous ? changedSince(previous.horizon) : undefined);
    const search = { transaction, mirror, statements, schema, kind, now, yielder, readRows };
    await removeWithRepositories(search, deletedRepositories);
    const remaining = isContinuous ? deletions.remaining(kind) : 'unknown';
    if (mayOmitCounts && remaining === 'none') {
      complete = false;
      continue;
    }
    // The search compares the whole table, so a count before it would cost the database one more scan.
    if (remaining === 'some' || (await isUnequal(kind))) {
      const removed = await removeDeletedRows(search);
      if (kind === 'repositories') deletedRepositories = removed;
    }
    deletions.settle(kind);
  }
  const readJobs = async (sql: string): Promise<ReplicaRef[] | undefined> =>
    queueReadable ? readJobReplicas(transaction, mirror, sql, yielder) : undefined;
  return {
    point,
    databaseNow,
    kind: isContinuous ? 'changes' : 'load',
    complete,
    rows,
    deletions: await readJobs(statements.deletions),
    repairs: await readJobs(statements.repairs),
    shardPrimaries:
      schema.shardPrimaries && shardPrimariesReadable ? await readShardPrimaries(transaction, schema) : [],
  };
}

async function readPoint(
  transaction: ReadTransaction,
  { relation }: MirrorSchema,
): Promise<{
  point: RefreshPoint;
  databaseNow: number;
  queueReadable: boolean;
  shardPrimariesReadable: boolean;
}> {
  // pg_postmaster_start_time: a restart or failover of PostgreSQL may have lost transactions (asynchronous standby,
  // restore), which the rows themselves would not show. Behind a pooler, the backend may change unnoticed.
  const oid = (name: Parameters<typeof relation>[0]): string =>
    `pg_catalog.to_regclass(${literal(relation(name))})::pg_catalog.oid`;
  const isReadable = (name: Parameters<typeof relation>[0]): string =>
    `coalesce(pg_catalog.has_table_privilege(${oid(name)}, 'SELECT'), false)`;
  const [row] = await transaction.rows(`
    SELECT ${epochOf('pg_catalog.now()')} AS now,
           pg_catalog.txid_snapshot_xmin(s) AS horizon, pg_catalog.txid_snapshot_xmax(s) AS newest,
           pg_catalog.concat_ws(' ', extract(epoch FROM pg_catalog.pg_postmaster_start_time()), pg_catalog.pg_is_in_recovery(),
             (SELECT oid FROM pg_catalog.pg_database WHERE datname ${eq} pg_catalog.current_database()),
             ${oid('repositories')}, ${oid('storage_repositories')}, ${oid('repository_assignments')}) AS identity,
           ${isReadable('replication_queue')} AS queue,
           ${isReadable('shard_primaries')} AS shards
    FROM pg_catalog.txid_current_snapshot() AS s`);
  const horizon = String(row?.['horizon']);
  const newest = String(row?.['newest']);
  const databaseNow = Number(row?.['now']);
  if (!/^\d{1,20}$/.test(horizon) || !/^\d{1,20}$/.test(newest) || !Number.isFinite(databaseNow))
    throw new UnacceptableRows('parse', "the server's snapshot and time are not numbers");
  return {
    point: {
      identity: String(row?.['identity']),
      horizon: BigInt(horizon),
      newest: BigInt(newest),
    },
    databaseNow,
    queueReadable: row?.['queue'] === true,
    shardPrimariesReadable: row?.['shards'] === true,
  };
}

async function readChecksum(
  transaction: ReadTransaction,
  statements: MirrorStatements,
  kind: MirroredTable,
): Promise<TableChecksum> {
  const [row] = await transaction.rows(statements.checksum(kind));
  return { rows: Number(row?.['rows']), sum: Number(row?.['sum']) };
}

async function readCount(
  transaction: ReadTransaction,
  statements: MirrorStatements,
  kind: MirroredTable,
): Promise<number> {
  const [row] = await transaction.rows(statements.count(kind));
  return Number(row?.['rows']);
}

/** Before a load: without this, arrays would be copied repeatedly while they grow. */
async function reserveRows(
  transaction: ReadTransaction,
  mirror: Mirror,
  statements: MirrorStatements,
): Promise<void> {
  for (const row of await transaction.rows(statements.sizes)) {
    mirror.table(mirror.names.idOf(String(row['virtual_storage']))).keys.reserve(Number(row['rows']));
  }
}

/** Some 100 rows. In a load, each may be the first to touch a page of memory, which takes as long as 20 others. */
const partBytes = 8192;

async function copy(
  transaction: ReadTransaction,
  sql: string,
  fields: number,
  yielder: Yielder,
  onTuple: (tuple: CopyTuple) => void,
): Promise<void> {
  const reader = createCopyReader(fields, onTuple);
  // A fast server delivers dozens of chunks in one turn of the event loop: 50 ms of work without yielding.
  await transaction.copy(sql, async (chunk) => {
    for (let at = 0; at < chunk.length; at += partBytes) {
      reader.feed(chunk.subarray(at, at + partBytes));
      if (yielder.isDue()) await yielder.yield();
    }
  });
  reader.end();
}

/** The replicas of jobs, without those whose repository is not in the mirror. */
async function readJobReplicas(
  transaction: ReadTransaction,
  mirror: Mirror,
  sql: string,
  yielder: Yielder,
): Promise<ReplicaRef[]> {
  const replicas: ReplicaRef[] = [];
  await copy(transaction, sql, 3, yielder, (tuple) => {
    const table = mirror.tables.get(mirror.names.idInTuple(tuple, 1));
    const row = table?.keys.find(tuple.high(0), tuple.low(0));
    if (table === undefined || row === undefined) return;
    replicas.push({ table, row, column: table.column(mirror.names.idInTuple(tuple, 2)) });
  });
  return replicas;
}

async function readShardPrimaries(
  transaction: ReadTransaction,
  { relation }: MirrorSchema,
): Promise<ShardPrimary[]> {
  const rows = await transaction.rows(`
    SELECT shard_name, node_name, demoted, ${epochOf('elected_at')} AS elected_at FROM ${relation('shard_primaries')}`);
  return rows.map((row) => ({
    virtualStorage: String(row['shard_name']),
    storage: String(row['node_name']),
    demoted: row['demoted'] === true,
    electedAt: Number(row['elected_at']),
  }));
}
