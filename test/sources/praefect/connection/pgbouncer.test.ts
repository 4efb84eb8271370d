/** Through a real PgBouncer in transaction mode, with one server connection for all clients. */
import { afterAll, afterEach, beforeAll, describe, expect } from '@jest/globals';
import pg from 'pg';
import type { DatabaseConnection } from '../../../../src/config/database-connection.ts';
import { Secret } from '../../../../src/lib/secret.ts';
import { startPostgres, type TestDatabase, type TestPostgres } from '../../../support/postgres.ts';
import { hasTool, testWith } from '../../../support/tools.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { type PgBouncer, startPgBouncer } from './pgbouncer.ts';
import { failureIn, type Opened, open, until, valueIn, within } from './support.ts';

const withPgBouncer = testWith('pgbouncer');
const password = 'sentinel-password-7f3a';
const users = { reader: password, stranger: password };

let server: TestPostgres;
let place: TestDatabase;
let admin: pg.Client;
beforeAll(async () => {
  if (!hasTool('pgbouncer')) return;
  server = await startPostgres({ version: 15 });
  place = await server.createDatabase(`
    CREATE ROLE reader LOGIN PASSWORD '${password}';
    CREATE TABLE wide AS SELECT n, repeat('x', 1000) AS padding FROM generate_series(1, 20000) n;
    GRANT SELECT ON wide TO reader;`);
  admin = await place.client();
});
afterAll(() => server?.stop());

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function bouncer(
  settings: Readonly<Record<string, string>> = {},
  files: Readonly<Record<string, string>> = {},
): Promise<PgBouncer> {
  const started = await startPgBouncer(server, [place], users, settings, files);
  closing.push(() => started.stop());
  return started;
}

function through({ port }: PgBouncer, change: Partial<DatabaseConnection> = {}): Opened {
  const database = open({
    ...place.connection,
    port,
    user: 'reader',
    password: async () => new Secret(password),
    ...change,
  });
  closing.push(() => database.close());
  return database;
}

/** Another client of the same pool, as Praefect would be. */
async function other({ port }: PgBouncer): Promise<pg.Client> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    database: place.name,
    user: 'reader',
    password,
    ssl: false,
  });
  client.on('error', () => undefined);
  await client.connect();
  closing.push(() => client.end());
  return client;
}

const sleeping = async (): Promise<number> => {
  const { rows } = await admin.query(
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'reader' AND state <> 'idle'`,
  );
  return rows[0].n;
};

describe('the exporter behind PgBouncer', () => {
  withPgBouncer('runs queries and transactions, and detects the pooler', async () => {
    const database = through(await bouncer());
    expect(
      valueIn(await database.query("SELECT current_setting('application_name') AS name", within(5000))),
    ).toEqual([{ name: 'gitaly-exporter' }]);
    let bytes = 0;
    const rows = valueIn(
      await database.transaction(within(5000), async (transaction) => {
        await transaction.copy('SELECT padding FROM public.wide', (chunk) => {
          bytes += chunk.length;
        });
        return transaction.rows("SELECT current_setting('transaction_isolation') AS isolation");
      }),
    );
    expect(rows).toEqual([{ isolation: 'repeatable read' }]);
    expect(bytes).toBe(19 + 20_000 * (2 + 4 + 1000) + 2);
    expect(database.connection()).toMatchObject({ pooler: 'pgbouncer', encrypted: false });
  });

  withPgBouncer(
    'changes nothing in the shared session, and ignores what other clients changed there',
    async () => {
      const pooler = await bouncer();
      const database = through(pooler);
      const neighbor = await other(pooler);
      const settings =
        "current_setting('statement_timeout') AS timeout, current_setting('search_path') AS path, current_setting('extra_float_digits') AS digits";
      const pid = 'pg_backend_pid() AS pid';
      valueIn(await database.query(`SELECT ${pid}`, within(5000, 4000)));
      expect((await neighbor.query(`SELECT ${settings}`)).rows).toEqual([
        { timeout: '0', path: '"$user", public', digits: '1' },
      ]);
      // As pg_dump does in its session.
      await neighbor.query("SET search_path = ''; SET extra_float_digits = 0; SET statement_timeout = '1h'");
      expect(valueIn(await database.query(`SELECT ${settings}`, within(5000, 4000)))).toEqual([
        { timeout: '4s', path: 'pg_catalog', digits: '3' },
      ]);
      const [exporterSession] = valueIn(await database.query(`SELECT ${pid}`, within(5000)));
      const neighborSession = (await neighbor.query(`SELECT ${pid}`)).rows[0];
      expect(exporterSession).toEqual(neighborSession);
    },
  );

  withPgBouncer('leaves no transaction open in the shared session after an error', async () => {
    const pooler = await bouncer();
    const database = through(pooler);
    expect((await database.query('SELECT 1 / 0', within(5000))).ok).toBe(false);
    expect(
      (await database.transaction(within(5000), (transaction) => transaction.rows('SELECT 1 / 0'))).ok,
    ).toBe(false);
    expect(await sleeping()).toBe(0);
    expect((await (await other(pooler)).query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  withPgBouncer('cancels an abandoned query on the server', async () => {
    const database = through(await bouncer());
    expect((await database.query('SELECT pg_sleep(60)', within(300, 30_000))).ok).toBe(false);
    await until(async () => (await sleeping()) === 0, 2000);
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
  });

  withPgBouncer('leaves no query and no transaction open after thirty abandoned queries', async () => {
    const pooler = await bouncer();
    const database = through(pooler);
    for (let round = 0; round < 30; round += 1) {
      const gaveUp = new AbortController();
      const options = { signal: gaveUp.signal, statementTimeoutMs: 5000 };
      const query =
        round % 2 === 0
          ? database.query('SELECT pg_sleep(60)', options)
          : database.transaction(options, (transaction) =>
              transaction.copy('SELECT * FROM public.wide', () => gaveUp.abort()),
            );
      if (round % 2 === 0) setTimeout(() => gaveUp.abort(), round);
      expect((await query).ok).toBe(false);
    }
    await until(async () => (await sleeping()) === 0);
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
    const { rows } = await admin.query(
      `SELECT count(*)::int AS n FROM pg_stat_activity WHERE usename = 'reader'`,
    );
    expect(rows[0].n).toBe(1);
  });

  withPgBouncer('reconnects after a restart of the server', async () => {
    const database = through(await bouncer());
    valueIn(await database.query('SELECT 1', within(5000)));
    await server.restart();
    admin = await place.client();
    // PgBouncer may still assign the dead connection to the first query.
    await until(async () => (await database.query('SELECT 1', within(5000))).ok);
  });

  withPgBouncer('reports the TLS of its connection to PgBouncer, not of the one to the server', async () => {
    const certificates: Certificates = makeCertificates();
    closing.push(async () => certificates.remove());
    const pooler = await bouncer(
      {
        client_tls_sslmode: 'require',
        client_tls_cert_file: '$folder/server.crt',
        client_tls_key_file: '$folder/server.key',
      },
      { 'server.crt': certificates.text('server.crt'), 'server.key': certificates.text('server.key') },
    );
    const database = through(pooler, {
      host: 'localhost',
      ssl: { mode: 'verify-full', rootCert: certificates.path('ca.crt') },
    });
    expect(
      valueIn(await database.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()', within(5000))),
    ).toEqual([{ ssl: false }]);
    expect(database.connection()).toMatchObject({ encrypted: true, pooler: 'pgbouncer' });
    expect((await database.query('SELECT pg_sleep(60)', within(300, 30_000))).ok).toBe(false);
    await until(async () => (await sleeping()) === 0, 2000);
    expect(failureIn(await through(pooler).query('SELECT 1', within(5000)))).toMatchObject({
      reason: 'tls',
      message: expect.stringContaining('SSL required'),
    });
  });
});

describe('PgBouncer rejects', () => {
  const refused = async (
    pooler: PgBouncer,
    change: Partial<DatabaseConnection> = {},
  ): Promise<{ reason: string; message: string }> =>
    failureIn(await through(pooler, change).query('SELECT 1', within(5000)));

  withPgBouncer('a database that is not configured', async () => {
    expect(await refused(await bouncer(), { database: 'nonesuch' })).toEqual({
      reason: 'missing_schema',
      message: expect.stringMatching(/no such database: nonesuch \(08P01\)\. Fix: .*pgbouncer\.ini/),
    });
  });

  withPgBouncer('a wrong password, and a user that is not configured', async () => {
    const pooler = await bouncer();
    const wrong = { password: async () => new Secret('wrong') };
    for (const change of [wrong, { user: 'unknown' }])
      expect(await refused(pooler, change)).toMatchObject({ reason: 'authentication' });
  });

  withPgBouncer('a user that only PgBouncer has', async () => {
    const failure = await refused(await bouncer(), { user: 'stranger' });
    expect(failure.reason).toBe('authentication');
    expect(failure.message).not.toContain(password);
  });

  withPgBouncer('a database whose server is down', async () => {
    // PgBouncer's default timeout for a first login is a minute, so the exporter's own timeout ends it.
    expect(await refused(await bouncer(), { database: 'gone', connectTimeoutMs: 300 })).toMatchObject({
      reason: 'timeout',
      message: expect.stringContaining('while logging in'),
    });
    const reported = await refused(await bouncer({ client_login_timeout: '1' }), { database: 'gone' });
    expect(reported).toMatchObject({
      reason: expect.stringMatching(/^(timeout|refused)$/),
      message: expect.stringMatching(/(client_login_timeout|server login has been failing).*Fix: PgBouncer/),
    });
  });

  withPgBouncer('clients over max_client_conn', async () => {
    const pooler = await bouncer({ max_client_conn: '1' });
    await other(pooler);
    expect(await refused(pooler)).toMatchObject({
      reason: 'refused',
      message: expect.stringContaining('max_client_conn'),
    });
  });

  withPgBouncer('a query that waits too long for a server connection', async () => {
    const pooler = await bouncer({ query_wait_timeout: '1' });
    const neighbor = await other(pooler);
    await neighbor.query('BEGIN');
    expect(failureIn(await through(pooler).query('SELECT 1', within(10_000)))).toMatchObject({
      reason: 'timeout',
      message: expect.stringMatching(/query_wait_timeout .*Fix: PgBouncer had no free server connection/),
    });
    await neighbor.query('ROLLBACK');
  });

  withPgBouncer('nothing while all server connections are in use: the query times out', async () => {
    const pooler = await bouncer();
    const database = through(pooler);
    valueIn(await database.query('SELECT 1', within(5000)));
    const neighbor = await other(pooler);
    await neighbor.query('BEGIN');
    const endless = { signal: new AbortController().signal, statementTimeoutMs: 100 };
    expect(failureIn(await database.query('SELECT 1', endless))).toMatchObject({
      reason: 'timeout',
      message: expect.stringContaining('whether the pooler has a free server connection'),
    });
    await neighbor.query('ROLLBACK');
  });

  withPgBouncer('transactions in statement mode', async () => {
    const database = through(await bouncer({ pool_mode: 'statement' }));
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
    expect(
      failureIn(await database.transaction(within(5000), (transaction) => transaction.rows('SELECT 1'))),
    ).toMatchObject({
      reason: 'query',
      message: expect.stringContaining('set pool_mode = transaction'),
    });
  });
});
