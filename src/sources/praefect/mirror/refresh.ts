/**
 * A look: one read-only REPEATABLE READ transaction that brings the mirror up to date, by changed rows where the
 * past is known and by whole tables where it is not (design: watch by xmin, find deletions by count).
 */
import type { ReadTransaction } from '../database.ts';
import { createCopyReader } from './copy-binary.ts';
import { differs, type Mirror, type MirroredTable, mirroredTables, type Tally } from './mirror.ts';
import type { Slices } from './slices.ts';
import { changedSince, type MirrorSchema, type Statements } from './statements.ts';
import type { Table } from './table.ts';
import { forgetVanished } from './vanished.ts';

/** What the next look has to know of this one. */
export interface Past {
  /** Which server, database and tables were read; when it differs, ids of transactions mean nothing any more. */
  readonly identity: string;
  /** Every transaction that this look could not see has an id from this one on (64 bits, with the epoch). */
  readonly horizon: bigint;
  readonly newest: bigint;
}

/** Where in the mirror a row or a job belongs. */
export interface Place {
  readonly table: Table;
  readonly slot: number;
  readonly column: number;
}

export interface ShardPrimary {
  readonly virtualStorage: string;
  readonly storage: string;
  readonly demoted: boolean;
  /** Seconds since 1970. */
  readonly electedAt: number;
}

export interface Looked {
  readonly past: Past;
  /** The database's now(), in seconds since 1970. */
  readonly databaseNow: number;
  /** `load`: everything was read, because the past was unknown. */
  readonly kind: 'load' | 'changes';
  /** Rows that were sent, of all three tables. */
  readonly rows: number;
  /** Live delete_replica jobs; undefined when replication_queue may not be read. */
  readonly deletions: readonly Place[] | undefined;
  /** Live jobs that will bring a replica up to date; undefined likewise. */
  readonly repairs: readonly Place[] | undefined;
  readonly shardPrimaries: readonly ShardPrimary[];
}

/** Past this distance the 32-bit ids of rows could be mistaken: 2^30 of the 2^31 that PostgreSQL allows. */
const tooFar = 2n ** 30n;

/** What a look works on. */
export interface LookSubject {
  readonly mirror: Mirror;
  readonly statements: Statements;
  readonly schema: MirrorSchema;
  /** Of the last look that was finished. */
  readonly past?: Past;
}

/** `now`: whole seconds since 1970. Rows are applied as they arrive; settle.ts draws the conclusions. */
export async function lookAtTables(
  look: ReadTransaction,
  { mirror, statements, schema, past }: LookSubject,
  now: number,
  slices: Slices,
): Promise<Looked> {
  const found = await readIdentity(look);
  const trusted =
    past !== undefined &&
    past.identity === found.past.identity &&
    found.past.newest >= past.newest &&
    found.past.newest - past.horizon < tooFar;
  const tables = mirroredTables.filter((table) => table !== 'repository_assignments' || schema.assignments);
  let rows = 0;
  const read = async (table: MirroredTable, where?: string, each?: (row: Place) => void): Promise<void> => {
    rows += await copyRows(look, mirror, statements, table, where, now, slices, each);
  };

  if (!trusted) await reserve(look, mirror, statements);
  for (const table of tables) {
    await read(table, trusted ? changedSince(past.horizon) : undefined);
    const truth = await readTally(look, statements, table);
    if (differs(truth, mirror.tally(table))) {
      await forgetVanished({ look, mirror, statements, schema, table, now, slices, read });
    }
  }
  return {
    past: found.past,
    databaseNow: found.databaseNow,
    kind: trusted ? 'changes' : 'load',
    rows,
    deletions: found.queueReadable ? await readJobs(look, mirror, statements.deletions, slices) : undefined,
    repairs: found.queueReadable ? await readJobs(look, mirror, statements.repairs, slices) : undefined,
    shardPrimaries:
      schema.shardPrimaries && found.shardPrimariesReadable ? await readShardPrimaries(look) : [],
  };
}

async function readIdentity(
  look: ReadTransaction,
): Promise<{ past: Past; databaseNow: number; queueReadable: boolean; shardPrimariesReadable: boolean }> {
  // pg_postmaster_start_time: a restart or failover of PostgreSQL may have taken transactions back (asynchronous
  // standby, restore), and nothing in the rows would show it. Behind a pooler, the backend may change unnoticed.
  const [row] = await look.rows(`
    SELECT extract(epoch FROM now())::float8 AS now,
           txid_snapshot_xmin(s)::text AS horizon, txid_snapshot_xmax(s)::text AS newest,
           concat_ws(' ', extract(epoch FROM pg_postmaster_start_time())::text, pg_is_in_recovery()::text,
             (SELECT oid::text FROM pg_database WHERE datname = current_database()),
             to_regclass('repositories')::oid::text, to_regclass('storage_repositories')::oid::text,
             to_regclass('repository_assignments')::oid::text) AS identity,
           COALESCE(has_table_privilege(to_regclass('replication_queue')::oid, 'SELECT'), false) AS queue,
           COALESCE(has_table_privilege(to_regclass('shard_primaries')::oid, 'SELECT'), false) AS shards
    FROM txid_current_snapshot() AS s`);
  return {
    past: {
      identity: String(row?.['identity']),
      horizon: BigInt(String(row?.['horizon'])),
      newest: BigInt(String(row?.['newest'])),
    },
    databaseNow: Number(row?.['now']),
    queueReadable: row?.['queue'] === true,
    shardPrimariesReadable: row?.['shards'] === true,
  };
}

async function readTally(
  look: ReadTransaction,
  statements: Statements,
  table: MirroredTable,
): Promise<Tally> {
  const [row] = await look.rows(statements.tally(table));
  return { rows: Number(row?.['rows']), sum: Number(row?.['sum']) };
}

/** A load knows how much is coming; without this, arrays would be copied again and again while they grow. */
async function reserve(look: ReadTransaction, mirror: Mirror, statements: Statements): Promise<void> {
  for (const row of await look.rows(statements.sizes)) {
    mirror.table(mirror.names.of(String(row['virtual_storage']))).slots.reserve(Number(row['rows']));
  }
}

async function copyRows(
  look: ReadTransaction,
  mirror: Mirror,
  statements: Statements,
  table: MirroredTable,
  where: string | undefined,
  now: number,
  slices: Slices,
  each?: (target: Place) => void,
): Promise<number> {
  let rows = 0;
  const reader = createCopyReader(statements.fields[table], (row) => {
    rows++;
    mirror.put(table, row, now);
    if (each === undefined) return;
    const of = mirror.table(mirror.names.ofBytes(row.bytes, row.start(1), row.end(1)));
    const storage = table === 'repositories' ? 0 : mirror.names.ofBytes(row.bytes, row.start(2), row.end(2));
    const slot = of.slots.ensure(row.high(0), row.low(0));
    each({ table: of, slot, column: table === 'repositories' ? 0 : of.column(storage) });
  });
  // A fast server fills dozens of chunks into one turn of the event loop: 50 ms of work without the pause.
  await look.copy(statements.rows(table, where), (chunk) => {
    reader.feed(chunk);
    return slices.pause();
  });
  reader.end();
  return rows;
}

/** Jobs whose repository the mirror knows. */
async function readJobs(
  look: ReadTransaction,
  mirror: Mirror,
  sql: string,
  slices: Slices,
): Promise<Place[]> {
  const targets: Place[] = [];
  const reader = createCopyReader(3, (row) => {
    const table = mirror.tables.get(mirror.names.ofBytes(row.bytes, row.start(1), row.end(1)));
    const slot = table?.slots.find(row.high(0), row.low(0));
    if (table === undefined || slot === undefined) return;
    targets.push({
      table,
      slot,
      column: table.column(mirror.names.ofBytes(row.bytes, row.start(2), row.end(2))),
    });
  });
  await look.copy(sql, (chunk) => {
    reader.feed(chunk);
    return slices.pause();
  });
  reader.end();
  return targets;
}

async function readShardPrimaries(look: ReadTransaction): Promise<ShardPrimary[]> {
  const rows = await look.rows(`
    SELECT shard_name, node_name, demoted, extract(epoch FROM elected_at)::float8 AS elected_at FROM shard_primaries`);
  return rows.map((row) => ({
    virtualStorage: String(row['shard_name']),
    storage: String(row['node_name']),
    demoted: row['demoted'] === true,
    electedAt: Number(row['elected_at']),
  }));
}
