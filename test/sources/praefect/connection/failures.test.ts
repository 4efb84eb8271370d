/** Each failure reason, provoked on a real PostgreSQL, with the sentence that an operator reads. */
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

  describe('connecting', () => {
    test.each<[string, Partial<DatabaseConnection>, FailureReason, RegExp]>([
      [
        'a port where nothing listens',
        { port: 1 },
        'refused',
        /nothing listens there \(ECONNREFUSED\)\. Mend: check the host/,
      ],
      ['a name that does not resolve', { host: 'db.invalid' }, 'refused', /does not resolve|name server/],
      ['a socket that is not there', { host: '/nowhere' }, 'refused', /there is no such socket \(ENOENT\)/],
      [
        'a wrong password',
        { password: async () => new Secret('wrong') },
        'authentication',
        /password authentication failed for user "reader" \(28P01\)\. Mend: check the user and the password/,
      ],
      [
        'no password',
        { password: async () => undefined },
        'authentication',
        /the server wants a password for "reader", and none is configured/,
      ],
      [
        'a password that cannot be had',
        { password: async () => Promise.reject(new Error('password file /etc/x: no such file')) },
        'authentication',
        /the password could not be had: password file \/etc\/x: no such file/,
      ],
      [
        'a role that may not log in',
        { user: 'nologin' },
        'authentication',
        /not permitted to log in \(28000\)/,
      ],
      [
        'a database that is not there',
        { database: 'nonesuch' },
        'missing_schema',
        /database "nonesuch" does not exist \(3D000\)/,
      ],
      [
        'a database that may not be entered',
        { database: 'closed' },
        'permission',
        /GRANT CONNECT ON DATABASE/,
      ],
    ])('%s', async (_, change, reason, message) => {
      await expectFailure(change, 'SELECT 1', reason, message);
    });

    test('no connection left for the role', async () => {
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

  describe('asking', () => {
    test.each<[string, string, FailureReason, RegExp]>([
      [
        'a table that may not be read is named, with the grant that is missing',
        'SELECT * FROM replication_queue',
        'permission',
        /user "reader" may not read table "replication_queue"; .* Mend: GRANT SELECT ON "replication_queue" TO "reader"; deploy\/sql\/role\.sql/,
      ],
      [
        'a schema that may not be entered is named, too',
        'SELECT * FROM hidden.repositories',
        'permission',
        /user "reader" may not use schema "hidden"; .* Mend: GRANT USAGE ON SCHEMA "hidden" TO "reader"/,
      ],
      [
        'a table that is not there',
        'SELECT * FROM node_status',
        'missing_schema',
        /relation "node_status" does not exist \(42P01\)/,
      ],
      [
        'a column that is not there',
        'SELECT primary_ FROM repositories',
        'unsupported_schema',
        /column "primary_" does not exist/,
      ],
      [
        'a function that is not there',
        'SELECT nonesuch(1)',
        'unsupported_schema',
        /function nonesuch\(integer\) does not exist/,
      ],
      ['anything else', 'SELECT 1 / 0', 'query', /division by zero \(22012\)$/],
      ['a write', 'CREATE TEMPORARY TABLE t (a int)', 'internal', /tried to write/],
      [
        'longer than statement_timeout',
        'SELECT pg_sleep(10)',
        'timeout',
        /the server cancelled it at its limit of 300 ms \(statement_timeout\)/,
      ],
    ])('%s', async (_, sql, reason, message) => {
      await expectFailure({}, sql, reason, message);
    });

    test('a table that somebody has locked is named', async () => {
      await admin.query('BEGIN; LOCK TABLE repositories IN ACCESS EXCLUSIVE MODE');
      try {
        const failure = failureIn(await as({}).query('SELECT id FROM repositories', within(5000, 4000)));
        expect(failure).toEqual({
          reason: 'timeout',
          message: expect.stringMatching(
            /table "repositories" is locked; .*lock timeout \(55P03\)\. Mend: a migration/,
          ),
        });
      } finally {
        await admin.query('ROLLBACK');
      }
    });

    test('a question that somebody cancelled is no timeout', async () => {
      const asking = as({}).query('SELECT pg_sleep(10)', within(5000, 4000));
      await until(async () => {
        const { rows } = await admin.query(
          `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'gitaly-exporter' AND state = 'active'`,
        );
        return rows.length === 1;
      });
      expect(failureIn(await asking)).toMatchObject({
        reason: 'query',
        message: expect.stringContaining('somebody cancelled it'),
      });
    });

    test('one forbidden table costs that question only', async () => {
      as({});
      expect((await database!.query('SELECT * FROM replication_queue', within(5000))).ok).toBe(false);
      expect(valueIn(await database!.query('SELECT * FROM repositories', within(5000)))).toEqual([]);
    });
  });

  describe('losing the connection', () => {
    const pidOf = async (): Promise<unknown> =>
      valueIn(await database!.query('SELECT pg_backend_pid() AS pid', within(5000)))[0]?.['pid'];

    test('a backend that was ended between two questions is replaced, and nobody hears of it', async () => {
      as({});
      const pid = await pidOf();
      await admin.query('SELECT pg_terminate_backend($1)', [pid]);
      await until(async () => {
        const { rows } = await admin.query('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid]);
        return rows.length === 0;
      });
      expect(await pidOf()).not.toBe(pid);
    });

    test('a backend that is ended in a question costs that question', async () => {
      as({});
      const pid = await pidOf();
      const asking = database!.query('SELECT pg_sleep(10)', within(5000));
      await until(async () => {
        const { rows } = await admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND query LIKE '%pg_sleep%'`,
          [pid],
        );
        return rows.length === 1;
      });
      expect(failureIn(await asking)).toMatchObject({
        reason: 'refused',
        message: expect.stringMatching(
          /terminating connection due to administrator command \(57P01\)\. Mend: nothing to do/,
        ),
      });
      expect(await pidOf()).not.toBe(pid);
    });

    test('a server that restarts: refused meanwhile, then answered', async () => {
      as({});
      await pidOf();
      await server.shutdown();
      expect(failureIn(await database!.query('SELECT 1', within(5000)))).toMatchObject({
        reason: 'refused',
        message: expect.stringContaining('nothing listens there'),
      });
      await server.start();
      expect(await pidOf()).toEqual(expect.any(Number));
      admin = await place.client();
    });

    test('a server that lost power: the same', async () => {
      as({});
      await pidOf();
      await server.kill();
      expect(failureIn(await database!.query('SELECT 1', within(5000))).reason).toBe('refused');
      await server.start();
      await until(async () => (await database!.query('SELECT 1', within(5000))).ok);
      admin = await place.client();
    });
  });

  describe('backing off', () => {
    /** The real clock, with a monotonic time that the test moves on. */
    const movable = (): Clock & { forward(ms: number): void } => {
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

    test('after a failed attempt the next questions fail at once, with the reason, since when and until when', async () => {
      const clock = movable();
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
          /password authentication failed .*\(unreachable since 2026-01-02T03:04:05Z, next attempt in 0\.\d s\)/,
        ),
      });
      clock.forward(200);
      expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
    });

    test('what the log says of it', async () => {
      const lines: string[] = [];
      const note = (_: object, message: string): void => void lines.push(message);
      const log = { debug: note, info: note, warn: note, error: note };
      const clock = movable();
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
        expect.stringMatching(
          /^connected to Praefect's database at 127\.0\.0\.1:1\/.* as reader, after 60(\.\d)? s$/,
        ),
      ]);
    });
  });

  test('every message names the place, and none the password', () => {
    expect(messages.length).toBeGreaterThan(15);
    for (const message of messages) {
      expect(message).toMatch(/^the test, at .*:\d+\/.* as \w+: /);
      expect(message).not.toContain(sentinel);
    }
    expect(messages).toContainEqual(expect.stringContaining(where()));
  });
});

describe('a server that speaks another language', () => {
  test('is understood by its error codes', async () => {
    // What a German server says: the states are the same, the words are not.
    const { findingOf } = await import('../../../../src/sources/praefect/connection/failures.ts');
    const { default: pg } = await import('pg');
    const error = new pg.DatabaseError(
      'Anfrage wird storniert wegen Zeitüberschreitung der Anfrage',
      0,
      'error',
    );
    error.code = '57014';
    const asked = { sql: 'SELECT 1', statementTimeoutMs: 1000, elapsedMs: 1003 };
    expect(findingOf(error, 'reader', asked).reason).toBe('timeout');
    expect(findingOf(error, 'reader', { ...asked, elapsedMs: 200 }).reason).toBe('query');
  });
});
