import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { startPostgres, type TestDatabase, type TestPostgres } from '../../../support/postgres.ts';
import { failureIn, type Opened, open, until, valueIn, within } from './support.ts';

describe.each([15, 18] as const)('PostgreSQL %i', (version) => {
  let server: TestPostgres;
  let place: TestDatabase;
  let admin: pg.Client;
  let database: Opened;

  beforeAll(async () => {
    // These settings change the text form of every value.
    server = await startPostgres({
      version,
      config: ['timezone=Asia/Kolkata', 'datestyle=SQL, DMY', 'extra_float_digits=-5'],
    });
    place = await server.createDatabase(`
      CREATE TABLE numbers AS SELECT n, repeat('x', 100) AS padding FROM generate_series(1, 1000) n;
      CREATE TABLE utc (at timestamp, with_zone timestamptz);
      INSERT INTO utc VALUES ('2026-01-02 03:04:05.678901', '2026-01-02 03:04:05.678901+00');`);
    admin = await place.client();
  });
  afterAll(() => server?.stop());
  const opened = (): Opened => {
    database = open(place.connection);
    return database;
  };
  afterEach(() => database?.close());

  test('a query returns its rows', async () => {
    const result = await opened().query('SELECT n FROM public.numbers ORDER BY n LIMIT 2', within(5000));
    expect(valueIn(result)).toEqual([{ n: 1 }, { n: 2 }]);
    expect(result).toMatchObject({ elapsedMs: expect.any(Number) });
  });

  test('a query without rows returns none', async () => {
    expect(valueIn(await opened().query('SELECT n FROM public.numbers WHERE false', within(5000)))).toEqual(
      [],
    );
  });

  test("values are exact, regardless of the server's settings", async () => {
    const [row] = valueIn(
      await opened().query(
        `SELECT 9007199254740993::int8 AS int8, 1.10::numeric AS numeric, 0.1::float8 + 0.2 AS float8,
           'infinity'::float8 AS infinite, 7::int4 AS int4, true AS yes, NULL::int4 AS nothing, at, with_zone,
           '{"a": [1]}'::jsonb AS json, ARRAY[1,2] AS list
         FROM public.utc`,
        within(5000),
      ),
    );
    expect(row).toEqual({
      int8: '9007199254740993',
      numeric: '1.10',
      float8: 0.1 + 0.2,
      infinite: Infinity,
      int4: 7,
      yes: true,
      nothing: null,
      at: '2026-01-02 03:04:05.678901',
      with_zone: '2026-01-02 03:04:05.678901+00',
      json: '{"a": [1]}',
      list: '{1,2}',
    });
  });

  test('a transaction is read-only, has time limits, and uses one backend of the server', async () => {
    const settings = [
      'transaction_read_only',
      'statement_timeout',
      'lock_timeout',
      'idle_in_transaction_session_timeout',
      'max_parallel_workers_per_gather',
      'jit',
      'application_name',
    ];
    const sql = `SELECT ${settings.map((name) => `current_setting('${name}') AS ${name}`).join(', ')}`;
    const common = {
      transaction_read_only: 'on',
      statement_timeout: '4s',
      lock_timeout: '1s',
      idle_in_transaction_session_timeout: '10s',
      max_parallel_workers_per_gather: '0',
      jit: 'off',
      application_name: 'gitaly-exporter',
    };
    opened();
    expect(valueIn(await database.query(sql, within(5000, 4000)))).toEqual([common]);
    const isolated = `${sql}, current_setting('transaction_isolation') AS isolation`;
    expect(
      valueIn(await database.transaction(within(5000, 4000), (transaction) => transaction.rows(isolated))),
    ).toEqual([{ ...common, isolation: 'repeatable read' }]);
    // Its settings end with the transaction.
    const { rows } = await admin.query('SHOW statement_timeout');
    expect(rows).toEqual([{ statement_timeout: '0' }]);
  });

  test('pg_stat_activity shows the exporter and the purpose of a query', async () => {
    const [row] = valueIn(
      await opened().query('SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()', {
        ...within(5000),
        purpose: 'the queue; */ DROP',
      }),
    );
    expect(row?.['query']).toMatch(
      /^\/\* gitaly-exporter: the queue {2}DROP \*\/ SET TRANSACTION READ ONLY; SET LOCAL/,
    );
  });

  test('an error leaves no transaction open, and the next query uses the same connection', async () => {
    opened();
    const pid = 'SELECT pg_backend_pid() AS pid';
    const before = valueIn(await database.query(pid, within(5000)));
    const failed = await database.query('SELECT 1 / 0', within(5000));
    expect(failureIn(failed)).toEqual({
      reason: 'query',
      message: `the test, at 127.0.0.1:${server.port}/${place.name} as postgres: the server reported: division by zero (22012)`,
    });
    const { rows } = await admin.query(
      `SELECT state, xact_start FROM pg_stat_activity WHERE application_name = 'gitaly-exporter'`,
    );
    expect(rows).toEqual([{ state: 'idle', xact_start: null }]);
    expect(valueIn(await database.query(pid, within(5000)))).toEqual(before);
  });

  test('a write is rejected by the server, and is an internal error', async () => {
    const failure = failureIn(await opened().query('DELETE FROM public.numbers', within(5000)));
    expect(failure).toMatchObject({ reason: 'internal', message: expect.stringContaining('tried to write') });
  });

  test('a query that opens a transaction of its own does not leave it open', async () => {
    opened();
    expect(failureIn(await database.query('BEGIN', within(5000))).reason).toBe('internal');
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
    await until(async () => {
      const { rows } = await admin.query(
        `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'gitaly-exporter'`,
      );
      return rows[0].n === 1;
    });
  });

  test('the statements of a transaction see the same snapshot', async () => {
    const counts = valueIn(
      await opened().transaction(within(5000), async (transaction) => {
        const before = await transaction.rows('SELECT count(*) AS n FROM public.numbers');
        await admin.query('INSERT INTO numbers VALUES (0)');
        return [before, await transaction.rows('SELECT count(*) AS n FROM public.numbers')];
      }),
    );
    expect(counts).toEqual([[{ n: '1000' }], [{ n: '1000' }]]);
    await admin.query('DELETE FROM numbers WHERE n = 0');
  });

  test('a transaction copies rows in binary format', async () => {
    const chunks: Buffer[] = [];
    opened();
    valueIn(
      await database.transaction(within(5000), async (transaction) => {
        await transaction.copy(
          'SELECT n::int4 FROM public.numbers WHERE n <= 2 ORDER BY n',
          (chunk) => void chunks.push(chunk),
        );
      }),
    );
    const header = `${Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1').toString('hex')}0000000000000000`;
    const rows = '0001' + '00000004' + '00000001' + '0001' + '00000004' + '00000002';
    expect(Buffer.concat(chunks).toString('hex')).toBe(`${header}${rows}ffff`);
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
  });

  test('a failed statement fails the transaction, even if its body continues', async () => {
    opened();
    const result = await database.transaction(within(5000), async (transaction) => {
      await transaction.rows('SELECT missing FROM public.numbers').catch(() => undefined);
      await transaction.rows('SELECT 1').catch(() => undefined);
      return 'ignored';
    });
    expect(failureIn(result)).toMatchObject({
      reason: 'unsupported_schema',
      message: expect.stringContaining('column "missing" does not exist'),
    });
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
  });

  test('an error of the body itself is rethrown, and the transaction is rolled back', async () => {
    opened();
    const bug = new TypeError('undefined is not a function');
    const running = database.transaction(within(5000), async (transaction) => {
      await transaction.rows('SELECT 1');
      throw bug;
    });
    await expect(running).rejects.toBe(bug);
    const { rows } = await admin.query(
      `SELECT state, xact_start FROM pg_stat_activity WHERE application_name = 'gitaly-exporter'`,
    );
    expect(rows).toEqual([{ state: 'idle', xact_start: null }]);
  });

  test('an error of the consumer of COPY is rethrown, and ends the connection', async () => {
    opened();
    const bug = new Error('an impossible row');
    const running = database.transaction(within(5000), (transaction) =>
      transaction.copy('SELECT padding FROM public.numbers, generate_series(1, 1000)', () => {
        throw bug;
      }),
    );
    await expect(running).rejects.toBe(bug);
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
  });

  test('queries run one at a time, in order of arrival', async () => {
    opened();
    const order: number[] = [];
    const sleep = async (n: number, ms: number): Promise<unknown> => {
      const rows = valueIn(
        await database.query(`SELECT pg_sleep(${ms / 1000}), pg_backend_pid() AS pid`, within(9000)),
      );
      order.push(n);
      return rows[0]?.['pid'];
    };
    const pids = await Promise.all([sleep(1, 100), sleep(2, 50), sleep(3, 1)]);
    expect(order).toEqual([1, 2, 3]);
    expect(new Set(pids).size).toBe(1);
  });

  test('a query whose deadline passes in the queue is removed from it, and the others continue', async () => {
    opened();
    const slow = database.query('SELECT pg_sleep(0.4)', within(5000));
    const first = database.query('SELECT 1 AS one', within(50));
    const second = database.query('SELECT 2 AS two', within(5000));
    expect(failureIn(await first)).toMatchObject({
      reason: 'timeout',
      message: expect.stringContaining('waited for earlier queries'),
    });
    expect(valueIn(await second)).toEqual([{ two: 2 }]);
    expect((await slow).ok).toBe(true);
  });

  test('the budget is charged for every query, failed ones included, but not for waiting and connecting', async () => {
    opened();
    await Promise.all([
      database.query('SELECT pg_sleep(1)', within(5000)),
      database.query('SELECT pg_sleep(0.1), 1 / (random() * 0)::int', within(5000)),
    ]);
    expect(database.budget.spentSeconds()).toBeGreaterThan(1.09);
    expect(database.budget.spentSeconds()).toBeLessThan(1.9);
  });

  test('the connection is described after the first query', async () => {
    opened();
    expect(database.connection()).toBeUndefined();
    await database.query('SELECT 1', within(5000));
    expect(database.connection()).toEqual({
      encrypted: false,
      serverVersion: expect.stringMatching(new RegExp(`^${version}\\.\\d+$`)),
      pooler: 'none',
    });
  });

  test('after close() no query runs, and no session remains on the server', async () => {
    opened();
    const running = database.query('SELECT pg_sleep(20)', within(30_000));
    await until(async () => {
      const { rows } = await admin.query(
        `SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE '%pg_sleep(20)' AND state = 'active'`,
      );
      return rows[0].n === 1;
    });
    await database.close();
    await database.close();
    expect((await running).ok).toBe(false);
    expect(failureIn(await database.query('SELECT 1', within(5000))).message).toContain('shutting down');
    await until(async () => {
      const { rows } = await admin.query(
        `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'gitaly-exporter'`,
      );
      return rows[0].n === 0;
    });
  });
});

test('a standby runs queries and transactions', async () => {
  const server = await startPostgres();
  const place = await server.createDatabase('CREATE TABLE kept AS SELECT 7 AS n');
  await server.becomeStandby();
  const database = open(place.connection);
  const sql = 'SELECT n, pg_is_in_recovery() AS standby FROM public.kept';
  const results = [
    await database.query(sql, within(5000)),
    await database.transaction(within(5000), (transaction) => transaction.rows(sql)),
  ];
  await database.close();
  await server.stop();
  expect(results.map(valueIn)).toEqual([[{ n: 7, standby: true }], [{ n: 7, standby: true }]]);
});
