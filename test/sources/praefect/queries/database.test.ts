import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import type { DatabaseConnection } from '../../../../src/config/database-connection.ts';
import { systemClock } from '../../../../src/lib/clock.ts';
import { Secret } from '../../../../src/lib/secret.ts';
import { praefectProblems } from '../../../../src/rules/problems/praefect.ts';
import { createBudget } from '../../../../src/scheduler/budget.ts';
import { createEventLog } from '../../../../src/scheduler/event-log.ts';
import type { Runner } from '../../../../src/scheduler/runner.ts';
import { createDatabase } from '../../../../src/sources/praefect/connection/create-database.ts';
import { createDatabaseClock } from '../../../../src/sources/praefect/database-clock.ts';
import { createDatabaseCollector, databaseBlock } from '../../../../src/sources/praefect/queries/database.ts';
import { knownMigrations } from '../../../../src/sources/praefect/queries/known-migrations.ts';
import { createVariantSource } from '../../../../src/sources/praefect/query.ts';
import { praefectView } from '../../../../src/sources/praefect/view.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../../support/postgres.ts';
import { praefectSource } from '../../../support/praefect-source.ts';
import { problemSituation } from '../../../support/problem-situation.ts';
import { blockOf, type OpenedCollectors, only, openCollectors, samplesIn } from './support.ts';

const recovery = 'praefect_db_read_only{reason="recovery"}';
const setting = 'praefect_db_read_only{reason="setting"}';

describe.each([15, 18] as const)('on PostgreSQL %i', (version) => {
  let server: TestPostgres;
  let database: TestDatabase;
  let admin: pg.Client;
  let collectors: OpenedCollectors;
  beforeAll(async () => {
    server = await startPostgres({ version });
    admin = await server.client();
    await admin.query("CREATE ROLE praefect LOGIN; CREATE ROLE reader LOGIN PASSWORD 'reader-password'");
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    database = await server.createDatabase(`
      ${praefectSchema('19.0')};
      ALTER TABLE public.replication_queue OWNER TO praefect;
      GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader`);
    collectors = openCollectors({
      ...database.connection,
      user: 'reader',
      password: async () => new Secret('reader-password'),
    });
  });
  afterEach(async () => {
    await collectors.close();
    await admin.query('ALTER SYSTEM RESET ALL');
    await admin.query('ALTER ROLE praefect RESET ALL; ALTER ROLE reader RESET ALL; ALTER ROLE ALL RESET ALL');
    await admin.query('ALTER DATABASE postgres RESET ALL; SELECT pg_reload_conf()');
  });

  const read = () => collectors.samples('praefect_database');
  /** Reads until the server has reloaded its configuration. */
  const until = async (series: string, value: number | undefined) => {
    for (let i = 0; i < 200; i++) {
      const samples = await read();
      if (samples[series] === value) return samples;
    }
    throw new Error(`${series} never became ${value}: ${JSON.stringify(await read())}`);
  };

  test('a reachable database is described', async () => {
    const samples = await read();
    expect(samples).toMatchObject({
      praefect_db_up: 1,
      praefect_db_tls: 0,
      praefect_db_migrations_applied: 0,
      praefect_db_migrations_unknown: 0,
      [recovery]: 0,
      [setting]: 0,
    });
    expect(Object.keys(only(samples, 'info'))).toEqual([
      expect.stringMatching(
        new RegExp(
          `^praefect_db_info\\{server_version="${version}\\.\\d+",schema_variant="19.0",pooler="none"\\}$`,
        ),
      ),
    ]);
    expect(samples['praefect_db_probe_duration_seconds']).toBeGreaterThan(0);
    expect(Math.abs(samples['praefect_db_clock_skew_seconds'] ?? 9)).toBeLessThan(0.5);
  });

  test('the migrations of 19.0 are all known, and a newer one is counted as unknown', async () => {
    const client = await database.client();
    await client.query(
      `INSERT INTO public.schema_migrations (id) VALUES ${knownMigrations.map((id) => `('${id}')`).join(', ')}, ('20301231235959_from_the_future')`,
    );
    expect(await read()).toMatchObject({
      praefect_db_migrations_applied: knownMigrations.length + 1,
      praefect_db_migrations_unknown: 1,
    });
  });

  describe('the read-only setting', () => {
    const name = () => database.name;
    test.each<[string, () => string, number]>([
      ['of the database', () => `ALTER DATABASE ${name()} SET default_transaction_read_only = on`, 1],
      [
        'of the role that owns the tables',
        () => 'ALTER ROLE praefect SET default_transaction_read_only = true',
        1,
      ],
      [
        'of that role in this database',
        () => `ALTER ROLE praefect IN DATABASE ${name()} SET default_transaction_read_only = on`,
        1,
      ],
      ['of all roles', () => 'ALTER ROLE ALL SET default_transaction_read_only = on', 1],
      [
        'of the database, while the role is exempt',
        () =>
          `ALTER DATABASE ${name()} SET default_transaction_read_only = on; ALTER ROLE praefect SET default_transaction_read_only = off`,
        0,
      ],
      ['of another database', () => 'ALTER DATABASE postgres SET default_transaction_read_only = on', 0],
      [
        'of the exporter only, which hides the value of the server',
        () => 'ALTER ROLE reader SET default_transaction_read_only = on',
        Number.NaN,
      ],
      [
        'of the exporter, in addition to one of the database',
        () =>
          `ALTER ROLE reader SET default_transaction_read_only = on; ALTER DATABASE ${name()} SET default_transaction_read_only = on`,
        1,
      ],
    ])('%s', async (_, sql, expected) => {
      await admin.query(sql());
      const samples = await read();
      // NaN: the metric is absent, as the value is unknown.
      if (Number.isNaN(expected)) expect(samples).not.toHaveProperty([setting]);
      else expect(samples).toMatchObject({ [setting]: expected, [recovery]: 0 });
    });

    test('of the server, as managed databases set it when their disk is full: detected by the open connection', async () => {
      expect(await read()).toMatchObject({ [setting]: 0 });
      await admin.query('ALTER SYSTEM SET default_transaction_read_only = on');
      await admin.query('SELECT pg_reload_conf()');
      await until(setting, 1);
      await admin.query('ALTER SYSTEM RESET default_transaction_read_only');
      await admin.query('SELECT pg_reload_conf()');
      await until(setting, 0);
    });

    test("of the database, set while the exporter's connection is open: detected immediately", async () => {
      await read();
      await admin.query(`ALTER DATABASE ${name()} SET default_transaction_read_only = on`);
      expect(await read()).toMatchObject({ [setting]: 1 });
      await admin.query(`ALTER DATABASE ${name()} RESET default_transaction_read_only`);
      expect(await read()).toMatchObject({ [setting]: 0 });
    });
  });

  test('without a privilege on schema_migrations all other values are reported', async () => {
    await (await database.client()).query('REVOKE SELECT ON public.schema_migrations FROM reader');
    const outcome = await collectors.run('praefect_database');
    expect(outcome).toMatchObject({
      kind: 'failed',
      reason: 'permission',
      message: expect.stringContaining('schema_migrations'),
    });
    const samples = samplesIn(blockOf(outcome));
    expect(samples).toMatchObject({ praefect_db_up: 1, [recovery]: 0 });
    expect(samples).not.toHaveProperty('praefect_db_migrations_applied');
  });

  test('a wrong database is up, and the failure names what is missing', async () => {
    const wrong = openCollectors((await server.createDatabase()).connection);
    const outcome = await wrong.run('praefect_database');
    await wrong.close();
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'missing_schema' });
    expect(samplesIn(blockOf(outcome))).toMatchObject({ praefect_db_up: 1 });
    expect(Object.keys(only(samplesIn(blockOf(outcome)), 'info'))[0]).toContain('schema_variant="unknown"');
  });
});

describe('a lost database', () => {
  let server: TestPostgres;
  let database: TestDatabase;
  let collectors: OpenedCollectors;
  beforeAll(async () => {
    server = await startPostgres();
    database = await server.createDatabase(praefectSchema('19.0'));
    collectors = openCollectors(database.connection);
  });
  afterAll(async () => {
    await collectors.close();
    await server.stop();
  });

  test('is down when the server is stopped, without other samples', async () => {
    await collectors.samples('praefect_database');
    await server.shutdown();
    const outcome = await collectors.run('praefect_database');
    expect(outcome).toMatchObject({ kind: 'failed', reason: 'refused' });
    expect(samplesIn(blockOf(outcome))).toEqual({ praefect_db_up: 0 });
    await server.start();
    for (let i = 0; i < 100; i++) {
      const again = await collectors.run('praefect_database');
      if (again.kind === 'data') return;
      await systemClock.sleep(100);
    }
    throw new Error('never came back');
  }, 30_000);

  test('is down within the deadline when the server accepts connections and never responds', async () => {
    const clock = systemClock;
    const budget = createBudget(1, clock);
    const own = createDatabase({ connection: database.connection, clock, budget });
    const collector = createDatabaseCollector({
      database: own,
      budget,
      clock,
      databaseClock: createDatabaseClock(clock),
      variants: createVariantSource(own, createEventLog(clock)),
    });
    server.pause();
    try {
      const outcome = await collector.collect({ signal: AbortSignal.timeout(500), cause: 'due' });
      expect(outcome).toMatchObject({ kind: 'failed', reason: 'timeout' });
      expect(samplesIn(blockOf(outcome))).toEqual({ praefect_db_up: 0 });
    } finally {
      server.resume();
      await own.close();
    }
  });
});

describe('a failed probe', () => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres({
      files: {
        'pg_hba.conf': 'host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n',
      },
    });
    const admin = await server.client();
    await admin.query("CREATE ROLE reader LOGIN PASSWORD 'reader-password'");
  });
  afterAll(() => server.stop());

  const closedPort = 1;
  test.each([
    ['of a changed password is a rejection', { user: 'reader' }, "Praefect's database rejects the exporter"],
    [
      'of a database that does not exist is one',
      { database: 'none' },
      "Praefect's database rejects the exporter",
    ],
    [
      'of a server that does not run is an outage',
      { port: closedPort },
      "Praefect's database is unreachable",
    ],
  ])('%s', async (_, change, title) => {
    const { connection } = await server.createDatabase(praefectSchema('19.0'));
    const password = async () => new Secret('another-password');
    const { database, budget, clock, events } = opened({ ...connection, password, ...change });
    const source = praefectSource({ database, budget, clock, events });
    const outcome = await source.viewed.database.collect({
      signal: AbortSignal.timeout(20_000),
      cause: 'due',
    });
    await database.close();
    const snapshot = outcome.kind === 'failed' ? outcome.snapshot : undefined;
    const view = praefectView(source.viewed, ((of: unknown) =>
      of === source.viewed.database ? snapshot : undefined) as Runner['latest']);
    const [problem] = praefectProblems(problemSituation(view, clock.now() / 1000));
    expect(problem).toMatchObject({ id: 'database_unreachable', severity: 'critical', title });
  });
});

function opened(connection: DatabaseConnection) {
  const clock = systemClock;
  const budget = createBudget(1, clock);
  const events = createEventLog(clock);
  return { database: createDatabase({ connection, clock, budget }), budget, clock, events };
}

test('a standby is read-only by recovery', () => {
  const block = databaseBlock({
    ping: { seconds: 0.001, skewSeconds: 0 },
    connection: { encrypted: true, serverVersion: '11.22', pooler: 'pgbouncer' },
    server: { version: '11.22', recovery: true, setting: false },
    variant: '13.5',
    migrations: ['20200109161404_hello_world'],
  });
  expect(samplesIn(block)).toEqual({
    praefect_db_up: 1,
    'praefect_db_info{server_version="11.22",schema_variant="13.5",pooler="pgbouncer"}': 1,
    praefect_db_tls: 1,
    praefect_db_probe_duration_seconds: 0.001,
    praefect_db_clock_skew_seconds: 0,
    praefect_db_migrations_applied: 1,
    praefect_db_migrations_unknown: 0,
    [recovery]: 1,
    [setting]: 0,
  });
});
