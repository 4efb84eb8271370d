import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { Secret } from '../../../../src/lib/secret.ts';
import { blockedSqlBefore14 } from '../../../../src/sources/praefect/queries/connections.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { type OpenedCollectors, only, openCollectors, type Samples } from './support.ts';

const state = (name: string) => `praefect_db_connections{state="${name}"}`;
const limit = 'praefect_db_connections_limit';
const blocked = 'praefect_db_blocked_backends';
const longestBlocked = 'praefect_db_longest_blocked_seconds';
const longestTransaction = 'praefect_db_longest_transaction_seconds';

describe.each([15, 18] as const)('on PostgreSQL %i', (version) => {
  let server: TestPostgres;
  let database: TestDatabase;
  let collectors: OpenedCollectors;
  let clients: pg.Client[];
  beforeAll(async () => {
    server = await startPostgres({
      version,
      config: [
        'max_connections=40',
        'superuser_reserved_connections=3',
        // PostgreSQL 16 and later may reserve more.
        ...(version === 18 ? ['reserved_connections=5'] : []),
      ],
    });
    const admin = await server.client();
    await admin.query(
      "CREATE ROLE praefect; CREATE ROLE monitor LOGIN PASSWORD 'm'; GRANT pg_monitor TO monitor",
    );
    await admin.query("CREATE ROLE plain LOGIN PASSWORD 'p'");
    await admin.end();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    database = await server.createDatabase(
      `${praefectSchema('19.0')}; ALTER TABLE public.replication_queue OWNER TO praefect`,
    );
    clients = [];
    collectors = asRole('monitor', 'm');
  });
  afterEach(async () => {
    await collectors.close();
    for (const client of clients) await client.end();
    await server
      .client()
      .then((admin) => admin.query('ALTER ROLE praefect CONNECTION LIMIT -1').then(() => admin.end()));
  });

  const asRole = (user: string, password: string) =>
    openCollectors({ ...database.connection, user, password: async () => new Secret(password) });
  const open = async () => {
    const client = await database.client();
    clients.push(client);
    return client;
  };
  const read = () => collectors.samples('praefect_connections');
  /** Reads until another session has the given state. */
  const until = async (holds: (samples: Samples) => boolean) => {
    for (let i = 0; i < 200; i++) {
      const samples = await read();
      if (holds(samples)) return samples;
    }
    throw new Error(`the expected samples never came: ${JSON.stringify(await read())}`);
  };
  const server_limit = version === 18 ? 40 - 3 - 5 : 40 - 3;

  test('connections are counted by state, including the exporter', async () => {
    await open();
    await (await open()).query('BEGIN');
    const aborted = await open();
    await aborted.query('BEGIN');
    await aborted.query('SELECT 1/0').catch(() => undefined);
    expect(await until((samples) => samples[state('idle')] === 1)).toMatchObject({
      [state('active')]: 1,
      [state('idle')]: 1,
      [state('idle in transaction')]: 1,
      [state('idle in transaction (aborted)')]: 1,
      [state('fastpath function call')]: 0,
      [state('disabled')]: 0,
      [state('unknown')]: 0,
      [limit]: server_limit,
      [blocked]: 0,
      [longestBlocked]: 0,
    });
  });

  test('the age of the oldest transaction is reported, and 0 without one', async () => {
    expect((await read())[longestTransaction]).toBe(0);
    await (await open()).query('BEGIN');
    expect((await until((samples) => samples[longestTransaction] !== 0))[longestTransaction]).toBeLessThan(
      20,
    );
  });

  test('a session that waits for a lock is blocked', async () => {
    const holder = await open();
    await holder.query('BEGIN; LOCK public.repositories');
    const waiter = await open();
    const waiting = waiter.query('SELECT count(*) FROM public.repositories');
    const samples = await until((each) => each[blocked] === 1);
    expect(samples[longestBlocked]).toBeGreaterThanOrEqual(0);
    expect(samples[longestBlocked]).toBeLessThan(20);
    // The statement for PostgreSQL 11 to 13 returns the same, by the time of the blocked statement.
    const { rows } = await (await open()).query(blockedSqlBefore14);
    expect(rows[0]).toMatchObject({ blocked: '1', longest: expect.any(Number) });
    await holder.query('ROLLBACK');
    await waiting;
  });

  test('without pg_monitor the states of other sessions are unknown, not 0, and the age of transactions is absent', async () => {
    await (await open()).query('BEGIN');
    await open();
    const plain = asRole('plain', 'p');
    const samples = await plain.samples('praefect_connections');
    await plain.close();
    expect(only(samples, 'praefect_db_connections{')).toEqual({ [state('unknown')]: 3 });
    expect(samples).not.toHaveProperty(longestTransaction);
    expect(samples).toMatchObject({ [limit]: server_limit, [blocked]: 0, [longestBlocked]: 0 });
  });

  test('connections to other databases reduce the limit', async () => {
    const before = (await read())[limit] ?? 0;
    const others = await Promise.all([server.client(), server.client(), server.client()]);
    expect(before - ((await read())[limit] ?? 0)).toBe(3);
    for (const other of others) await other.end();
  });

  test('a lower CONNECTION LIMIT of the database is the limit', async () => {
    await (await open()).query(`ALTER DATABASE ${database.name} CONNECTION LIMIT 12`);
    expect((await read())[limit]).toBe(12);
  });

  test("a lower CONNECTION LIMIT of the role that owns Praefect's tables is the limit", async () => {
    await (await open()).query('ALTER ROLE praefect CONNECTION LIMIT 7');
    expect((await read())[limit]).toBe(7);
  });
});
