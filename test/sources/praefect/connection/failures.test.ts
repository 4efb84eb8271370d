/** Each failure reason, provoked on a real PostgreSQL, with the message for the operator. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import type { DatabaseConnection } from '../../../../src/config/database-connection.ts';
import type { Clock } from '../../../../src/lib/clock.ts';
import { systemClock } from '../../../../src/lib/clock.ts';
import { Secret } from '../../../../src/lib/secret.ts';
import type { FailureReason } from '../../../../src/scheduler/outcome.ts';
import { startPostgres, type TestDatabase, type TestPostgres } from '../../../support/postgres.ts';
import { failureIn, type Opened, open, until, valueIn, within } from './support.ts';

const sentinel = 'sentinel-password-7f3a';

describe.each([15, 18] as const)('PostgreSQL %i', (version) => {
  let server: TestPostgres;
  let place: TestDatabase;
  let admin: pg.Client;
  const messages: string[] = [];

  beforeAll(async () => {
    server = await startPostgres({ version, config: ['max_connections=20', 'lc_messages=C'] });
    place = await server.createDatabase(`
      CREATE TABLE replication_queue (id bigint, state text);
      CREATE TABLE repositories (id bigint);
      CREATE ROLE reader LOGIN PASSWORD '${sentinel}';
      CREATE ROLE nologin NOLOGIN PASSWORD '${sentinel}';
      CREATE ROLE one LOGIN PASSWORD '${sentinel}' CONNECTION LIMIT 1;
      GRANT SELECT ON repositories TO reader;
      CREATE SCHEMA hidden; CREATE TABLE hidden.repositories (id bigint);`);
    admin = await place.client();
    await admin.query('CREATE DATABASE closed');
    await admin.query('REVOKE CONNECT ON DATABASE closed FROM PUBLIC');
  });
  afterAll(() => server?.stop());

  let database: Opened | undefined;
  afterEach(() => database?.close());
  const as = (change: Partial<DatabaseConnection>): Opened => {
    database = open({
      ...place.connection,
      user: 'reader',
      password: async () => new Secret(sentinel),
      ...change,
    });
    return database;
  };
  const where = (): string => `127.0.0.1:${server.port}/${place.name} as reader`;

  async function expectFailure(
    change: Partial<DatabaseConnection>,
    sql: string,
    reason: FailureReason,
    message: RegExp | string,
  ): Promise<void> {
    const failure = failureIn(await as(change).query(sql, within(5000, 300)));
    messages.push(failure.message);
    expect(failure).toEqual({
      reason,
      message: typeof message === 'string' ? message : expect.stringMatching(message),
    });
  }

  describe('while connecting', () => {
    test.each<[string, Partial<DatabaseConnection>, FailureReason, RegExp]>([
      [
        'a closed port is refused',
        { port: 1 },
        'refused',
        /connection refused \(ECONNREFUSED\)\. Fix: check the host/,
      ],
      [
        'a name that does not resolve is refused',
        { host: 'db.invalid' },
        'refused',
        /does not resolve|DNS server/,
      ],
      ['a missing socket is refused', { host: '/nowhere' }, 'refused', /no such socket \(ENOENT\)/],
      [
        'a wrong password fails authentication',
        { password: async () => new Secret('wrong') },
        'authentication',
        /password authentication failed for user "reader" \(28P01\)\. Fix: check the user and the password/,
      ],
      [
        'a missing password fails authentication',
        { password: async () => undefined },
        'authentication',
        /the server requires a password for "reader", and none is configured/,
      ],
      [
        'a password that cannot be read fails authentication',
        { password: async () => Promise.reject(new Error('password file /etc/x: no such file')) },
        'authentication',
        /the password cannot be read: password file \/etc\/x: no such file/,
      ],
      [
        'a role without LOGIN fails authentication',
        { user: 'nologin' },
        'authentication',
        /not permitted to log in \(28000\)/,
      ],
      [
        'a missing database is a missing schema',
        { database: 'nonesuch' },
        'missing_schema',
        /database "nonesuch" does not exist \(3D000\)/,
      ],
      [
        'a database without CONNECT is a missing permission',
        { database: 'closed' },
        'permission',
        /GRANT CONNECT ON DATABASE/,
      ],
    ])('%s', async (_, change, reason, message) => {
      await expectFailure(change, 'SELECT 1', reason, message);
    });

    test('a role at its connection limit is refused', async () => {
      const first = open({ ...place.connection, user: 'one', password: async () => new Secret(sentinel) });
      valueIn(await first.query('SELECT 1', within(5000)));
      await expectFailure(
        { user: 'one' },
        'SELECT 1',
        'refused',
        /too many connections for role "one" \(53300\)/,
      );
      await first.close();
    });
  });

  describe('a query', () => {
    test.each<[string, string, FailureReason, RegExp]>([
      [
        'of a table without SELECT names the table and the missing grant',
        'SELECT * FROM public.replication_queue',
        'permission',
        /user "reader" may not read table "replication_queue"; .* Fix: GRANT SELECT ON "replication_queue" TO "reader"; deploy\/sql\/role\.sql/,
      ],
      [
        'of a schema without USAGE names the schema',
        'SELECT * FROM hidden.repositories',
        'permission',
        /user "reader" may not use schema "hidden"; .* Fix: GRANT USAGE ON SCHEMA "hidden" TO "reader"/,
      ],
      [
        'of a missing table is a missing schema',
        'SELECT * FROM public.node_status',
        'missing_schema',
        /relation "public\.node_status" does not exist \(42P01\)/,
      ],
      [
        'of a missing column is an unsupported schema',
        'SELECT primary_ FROM public.repositories',
        'unsupported_schema',
        /column "primary_" does not exist/,
      ],
      [
        'of a missing function is an unsupported schema',
        'SELECT nonesuch(1)',
        'unsupported_schema',
        /function nonesuch\(integer\) does not exist/,
      ],
      ['that fails otherwise is a query failure', 'SELECT 1 / 0', 'query', /division by zero \(22012\)$/],
      ['that writes is an internal error', 'CREATE TEMPORARY TABLE t (a int)', 'internal', /tried to write/],
      [
        'that exceeds statement_timeout is a timeout',
        'SELECT pg_sleep(10)',
        'timeout',
        /the server canceled it after 300 ms \(statement_timeout\)/,
      ],
    ])('%s', async (_, sql, reason, message) => {
      await expectFailure({}, sql, reason, message);
    });

    test('of a locked table names the table', async () => {
      await admin.query('BEGIN; LOCK TABLE repositories IN ACCESS EXCLUSIVE MODE');
      try {
        const failure = failureIn(
          await as({}).query('SELECT id FROM public.repositories', within(5000, 4000)),
        );
        expect(failure).toEqual({
          reason: 'timeout',
          message: expect.stringMatching(
            /table "repositories" is locked; .*lock timeout \(55P03\)\. Fix: a migration/,
          ),
        });
      } finally {
        await admin.query('ROLLBACK');
      }
    });

    test('that a user canceled is not a timeout', async () => {
      const query = as({}).query('SELECT pg_sleep(10)', within(5000, 4000));
      await until(async () => {
        const { rows } = await admin.query(
          `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'gitaly-exporter' AND state = 'active'`,
        );
        return rows.length === 1;
      });
      expect(failureIn(await query)).toMatchObject({
        reason: 'query',
        message: expect.stringContaining('the query was canceled by a user'),
      });
    });

    test('without permission does not affect other queries', async () => {
      as({});
      expect((await database!.query('SELECT * FROM public.replication_queue', within(5000))).ok).toBe(false);
      expect(valueIn(await database!.query('SELECT * FROM public.repositories', within(5000)))).toEqual([]);
    });
  });

  describe('a lost connection', () => {
    const pidOf = async (): Promise<unknown> =>
      valueIn(await database!.query('SELECT pg_backend_pid() AS pid', within(5000)))[0]?.['pid'];

    test('is replaced without an error when the backend ended between two queries', async () => {
      as({});
      const pid = await pidOf();
      await admin.query('SELECT pg_terminate_backend($1)', [pid]);
      await until(async () => {
        const { rows } = await admin.query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid]);
        return rows.length === 0;
      });
      expect(await pidOf()).not.toBe(pid);
    });

    test('fails the query that is running when the backend ends', async () => {
      as({});
      const pid = await pidOf();
      const query = database!.query('SELECT pg_sleep(10)', within(5000));
      await until(async () => {
        const { rows } = await admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND query LIKE '%pg_sleep%'`,
          [pid],
        );
        return rows.length === 1;
      });
      expect(failureIn(await query)).toMatchObject({
        reason: 'refused',
        message: expect.stringMatching(
          /terminating connection due to administrator command \(57P01\)\. Fix: nothing to do/,
        ),
      });
      expect(await pidOf()).not.toBe(pid);
    });

    test('is reported as refused while the server restarts, then restored', async () => {
      as({});
      await pidOf();
      await server.shutdown();
      expect(failureIn(await database!.query('SELECT 1', within(5000)))).toMatchObject({
        reason: 'refused',
        message: expect.stringContaining('connection refused'),
      });
      await server.start();
      expect(await pidOf()).toEqual(expect.any(Number));
      admin = await place.client();
    });

    test('is restored after a crash of the server', async () => {
      as({});
      await pidOf();
      await server.kill();
      expect(failureIn(await database!.query('SELECT 1', within(5000))).reason).toBe('refused');
      await server.start();
      await until(async () => (await database!.query('SELECT 1', within(5000))).ok);
      admin = await place.client();
    });
  });

  describe('a delayed attempt to connect', () => {
    /** The real clock, which the test can advance. */
    const adjustableClock = (): Clock & { forward(ms: number): void } => {
      let ahead = 0;
      return {
        ...systemClock,
        now: () => Date.parse('2026-01-02T03:04:05Z') + ahead,
        monotonic: () => systemClock.monotonic() + ahead,
        forward: (ms) => {
          ahead += ms;
        },
      };
    };

    test('fails queries immediately, with the reason, the start of the outage and the next attempt', async () => {
      const clock = adjustableClock();
      let password = 'wrong';
      database = open(
        { ...place.connection, user: 'reader', password: async () => new Secret(password) },
        { clock, random: () => 0.999 },
      );
      failureIn(await database.query('SELECT 1', within(5000)));
      password = sentinel;
      clock.forward(400);
      expect(failureIn(await database.query('SELECT 1', within(5000)))).toEqual({
        reason: 'authentication',
        message: expect.stringMatching(
          /password authentication failed .*\(unreachable since 2026-01-02T03:04:05Z, next attempt in \d+ ms\)/,
        ),
      });
      clock.forward(200);
      expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
    });

    test('is followed by one log line with the duration of the outage when the connection is back', async () => {
      const lines: unknown[] = [];
      const note = (fields: object, message: string): void => void lines.push({ ...fields, message });
      const log = { debug: note, info: note, warn: note, error: note };
      const clock = adjustableClock();
      let port = 1;
      const connection: DatabaseConnection = {
        ...place.connection,
        user: 'reader',
        password: async () => new Secret(sentinel),
        get port() {
          return port;
        },
      };
      database = open(connection, { clock, log });
      failureIn(await database.query('SELECT 1', within(5000)));
      clock.forward(60_000);
      port = server.port;
      valueIn(await database.query('SELECT 1', within(5000)));
      expect(lines).toEqual([
        {
          message: "connected to Praefect's database",
          address: `127.0.0.1:${server.port}/${place.name} as reader`,
          encrypted: false,
          server_version: expect.stringMatching(new RegExp(`^${version}\\.`)),
          pooler: 'none',
          unreachable_seconds: 60,
        },
      ]);
    });
  });

  test('every message names the address, and none has the password', () => {
    expect(messages.length).toBeGreaterThan(15);
    for (const message of messages) {
      expect(message).toMatch(/^(the test|Praefect's database), at .*:\d+\/.* as \w+: /);
      expect(message).not.toContain(sentinel);
    }
    expect(messages).toContainEqual(expect.stringContaining(where()));
  });
});

describe('a server with messages in another language', () => {
  test('is understood by its SQLSTATEs', async () => {
    // A German server: the SQLSTATE is the same, the message is translated.
    const { faultOf } = await import('../../../../src/sources/praefect/connection/failures.ts');
    const { default: pg } = await import('pg');
    const error = new pg.DatabaseError(
      'Anfrage wird storniert wegen Zeitüberschreitung der Anfrage',
      0,
      'error',
    );
    error.code = '57014';
    const running = { sql: 'SELECT 1', statementTimeoutMs: 1000, elapsedMs: 1003 };
    expect(faultOf(error, { user: 'reader', secrets: [] }, running).reason).toBe('timeout');
    expect(faultOf(error, { user: 'reader', secrets: [] }, { ...running, elapsedMs: 200 }).reason).toBe(
      'query',
    );
  });
});
