/**
 * Servers that accept connections and never respond, or stop responding later: the query times out, and no
 * connection stays open.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { systemClock } from '../../../../src/lib/clock.ts';
import { createBudget } from '../../../../src/scheduler/budget.ts';
import { startPostgres, type TestDatabase, type TestPostgres } from '../../../support/postgres.ts';
import { startProxy, startUnresponsive, type TestProxy } from './proxy.ts';
import { failureIn, type Opened, open, until, valueIn, within } from './support.ts';

let server: TestPostgres;
let place: TestDatabase;
let admin: pg.Client;
beforeAll(async () => {
  server = await startPostgres();
  place = await server.createDatabase(
    `CREATE TABLE wide AS SELECT n, repeat('x', 1000) AS padding FROM generate_series(1, 50000) n`,
  );
  admin = await place.client();
});
afterAll(() => server?.stop());

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
const opened = (...options: Parameters<typeof open>): Opened => {
  const database = open(...options);
  closing.push(() => database.close());
  return database;
};
const proxied = async (): Promise<TestProxy> => {
  const proxy = await startProxy(server);
  closing.push(() => proxy.close());
  return proxy;
};
const took = async <T>(work: Promise<T>): Promise<[T, number]> => {
  const started = performance.now();
  return [await work, performance.now() - started];
};
const backends = async (state?: 'active'): Promise<number> => {
  const { rows } = await admin.query(
    `SELECT count(*)::int AS n FROM pg_stat_activity
      WHERE application_name = 'gitaly-exporter' AND state = coalesce($1, state)`,
    [state],
  );
  return rows[0].n;
};

describe('a connection attempt', () => {
  const authenticationRequest = (kind: number): Buffer => Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, kind]);
  const loggedIn = Buffer.concat([authenticationRequest(0), Buffer.from([0x5a, 0, 0, 0, 5, 0x49])]);

  test.each([
    { step: 'requesting TLS', mode: 'require', replies: [] },
    { step: 'negotiating TLS', mode: 'require', replies: [Buffer.from('S')] },
    { step: 'logging in', mode: 'disable', replies: [] },
    { step: 'logging in', mode: 'disable', replies: [authenticationRequest(3)] },
    { step: 'reading the server version', mode: 'disable', replies: [loggedIn] },
  ] as const)('to a server that does not respond while $step times out', async ({ step, mode, replies }) => {
    const peer = await startUnresponsive(...replies);
    closing.push(() => peer.close());
    const connection = { ...place.connection, port: peer.port, ssl: { mode }, connectTimeoutMs: 200 };
    const [result, ms] = await took(opened(connection).query('SELECT 1', within(5000)));
    expect(failureIn(result)).toMatchObject({
      reason: 'timeout',
      message: expect.stringMatching(new RegExp(`no response within [\\d.]+ m?s while ${step}`)),
    });
    expect(ms).toBeLessThan(2500);
    await until(() => peer.open() === 0);
  });

  test("ends at the query's own deadline when it is shorter", async () => {
    const peer = await startUnresponsive();
    closing.push(() => peer.close());
    const [result, ms] = await took(
      opened({ ...place.connection, port: peer.port }).query('SELECT 1', within(200)),
    );
    expect(failureIn(result).reason).toBe('timeout');
    expect(ms).toBeLessThan(2500);
    await until(() => peer.open() === 0);
  });

  test('to a stopped server times out, and succeeds when the server continues', async () => {
    const database = opened({ ...place.connection, connectTimeoutMs: 300 });
    server.pause();
    try {
      const [result, ms] = await took(database.query('SELECT 1', within(5000)));
      expect(failureIn(result)).toMatchObject({
        reason: 'timeout',
        message: expect.stringContaining('while logging in'),
      });
      expect(ms).toBeLessThan(2500);
    } finally {
      server.resume();
    }
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
  });

  test.each([
    ['a response in another protocol', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 'parse'],
    ['a garbled response', Buffer.from([0x5a, 0, 0, 0, 1, 0xff, 0xff]), undefined],
    [
      'an authentication method that pg does not support (GSSAPI)',
      authenticationRequest(7),
      'authentication',
    ],
  ])('that gets %s fails and closes only that connection', async (_, bytes, reason) => {
    const peer = await startUnresponsive(bytes);
    closing.push(() => peer.close());
    const connection = { ...place.connection, port: peer.port, connectTimeoutMs: 300 };
    const failure = failureIn(await opened(connection).query('SELECT 1', within(5000)));
    if (reason !== undefined) expect(failure.reason).toBe(reason);
    await until(() => peer.open() === 0);
  });
});

describe('an open connection', () => {
  test('that is half open ends the query at its deadline, closes the socket, and the next query reconnects', async () => {
    const proxy = await proxied();
    const database = opened({ ...place.connection, port: proxy.port });
    valueIn(await database.query('SELECT 1', within(5000)));
    proxy.stopForwarding();
    const [result, ms] = await took(database.query('SELECT 1', within(300, 5000)));
    expect(failureIn(result)).toEqual({
      reason: 'timeout',
      message: expect.stringMatching(/the test, at .*: no response before the deadline, after [\d.]+ m?s/),
    });
    expect(ms).toBeLessThan(2500);
    await until(() => proxy.open() === 0); // The cancel request got no response either.
    proxy.resumeForwarding();
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
    expect(proxy.open()).toBe(1);
  });

  test('ends the query one second after statement_timeout without a deadline', async () => {
    const proxy = await proxied();
    const database = opened({ ...place.connection, port: proxy.port });
    valueIn(await database.query('SELECT 1', within(5000)));
    proxy.stopForwarding();
    const endless = { signal: new AbortController().signal, statementTimeoutMs: 100 };
    const [result, ms] = await took(database.query('SELECT 1', endless));
    expect(failureIn(result).message).toMatch(
      /no response for \d(\.\d)? s, although the server should stop after 100 ms/,
    );
    expect(ms).toBeGreaterThan(1000);
    expect(ms).toBeLessThan(2500);
  });

  test('to a stopped server ends the query at its deadline, and nothing is charged for it', async () => {
    const database = opened(place.connection);
    valueIn(await database.query('SELECT 1', within(5000)));
    const before = database.budget.spentSeconds();
    server.pause();
    try {
      const [result, ms] = await took(database.query('SELECT 1', within(500, 300)));
      expect(failureIn(result).reason).toBe('timeout');
      expect(ms).toBeLessThan(2500);
      expect(database.budget.spentSeconds()).toBe(before);
    } finally {
      server.resume();
    }
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
    await until(async () => (await backends()) === 1);
  });

  test('with a response from before the process was suspended has no result, and nothing is charged for it', async () => {
    let suspendedMs = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + suspendedMs };
    const budget = createBudget(0.01, clock);
    const database = opened(place.connection, { clock, budget });
    valueIn(await database.query('SELECT 1', within(5000)));
    const before = budget.spentSeconds();
    const read = database.query('SELECT now() FROM pg_sleep(0.4)', within(5000));
    // The response is in the socket when the process resumes, and no deadline has ended.
    await until(async () => (await backends('active')) === 1);
    suspendedMs = 300_000;
    expect(failureIn(await read)).toMatchObject({
      reason: 'timeout',
      message: expect.stringContaining('no response for 5 min'),
    });
    expect(budget.spentSeconds()).toBe(before);
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
  });

  test('that sends rows until it is given up is charged for its time, without that of a suspension', async () => {
    let suspendedMs = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + suspendedMs };
    const budget = createBudget(1, clock);
    const database = opened(place.connection, { clock, budget });
    const endless = { signal: new AbortController().signal, statementTimeoutMs: 100 };
    for (const pauseMs of [0, 300_000]) {
      const before = budget.spentSeconds();
      const result = await database.transaction(endless, (transaction) =>
        transaction.copy('SELECT * FROM public.wide', () => {
          suspendedMs += pauseMs;
          return new Promise(() => undefined);
        }),
      );
      expect(failureIn(result).reason).toBe('timeout');
      const spent = budget.spentSeconds() - before;
      expect(spent).toBeGreaterThan(1);
      expect(spent).toBeLessThan(5);
    }
  });

  test('that abandons a query cancels it on the server, and is charged for it', async () => {
    const database = opened(place.connection);
    const [result, ms] = await took(database.query('SELECT pg_sleep(60)', within(300, 30_000)));
    expect(failureIn(result).reason).toBe('timeout');
    expect(ms).toBeLessThan(2500);
    expect(database.budget.spentSeconds()).toBeGreaterThan(0.1);
    await until(async () => (await backends()) === 0, 2000);
  });

  test('ends a transaction in the middle of COPY, and its body', async () => {
    const proxy = await proxied();
    const database = opened({ ...place.connection, port: proxy.port });
    const gaveUp = new AbortController();
    let bytes = 0;
    const result = await database.transaction(
      { signal: gaveUp.signal, statementTimeoutMs: 5000 },
      (transaction) =>
        transaction.copy('SELECT * FROM public.wide', (chunk) => {
          bytes += chunk.length;
          if (bytes > 1_000_000) gaveUp.abort();
        }),
    );
    expect(failureIn(result).reason).toBe('timeout');
    await until(() => proxy.open() === 0);
    await until(async () => (await backends()) === 0);
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
  });

  test('does not wait for a body that waits for something else', async () => {
    const database = opened(place.connection);
    const [result, ms] = await took(
      database.transaction(within(200), async (transaction) => {
        await transaction.rows('SELECT 1');
        await new Promise(() => undefined);
      }),
    );
    expect(failureIn(result).reason).toBe('timeout');
    expect(ms).toBeLessThan(2500);
    await until(async () => (await backends()) === 0);
  });

  test('applies back-pressure when a consumer of COPY is slow, and memory stays bounded', async () => {
    const proxy = await proxied();
    const database = opened({ ...place.connection, port: proxy.port });
    let chunks = 0;
    let bytes = 0;
    let mostInFlight = 0;
    const result = await database.transaction(within(20_000), (transaction) =>
      transaction.copy('SELECT * FROM public.wide', async (chunk) => {
        bytes += chunk.length;
        chunks += 1;
        // While the first chunks are processed, the server must stop sending, with little data buffered.
        if (chunks <= 3) {
          let before = -1;
          await until(async () => {
            const isPaused = proxy.bytesOut() === before;
            before = proxy.bytesOut();
            await new Promise((resolve) => setTimeout(resolve, 100));
            return isPaused;
          });
          mostInFlight = Math.max(mostInFlight, proxy.bytesOut() - bytes);
        }
      }),
    );
    valueIn(result);
    expect(bytes).toBeGreaterThan(50_000_000);
    expect(mostInFlight).toBeLessThan(10_000_000); // the kernel's buffers of two sockets
  });

  test('leaves no socket and no backend open after a hundred abandoned queries', async () => {
    const proxy = await proxied();
    const database = opened({ ...place.connection, port: proxy.port });
    for (let round = 0; round < 100; round += 1) {
      const gaveUp = new AbortController();
      const options = { signal: gaveUp.signal, statementTimeoutMs: 5000 };
      const query =
        round % 2 === 0
          ? database.query('SELECT pg_sleep(60)', options)
          : database.transaction(options, (transaction) =>
              transaction.copy('SELECT * FROM public.wide', () => gaveUp.abort()),
            );
      // From "before it was sent" to "in the middle of its run".
      if (round % 2 === 0) setTimeout(() => gaveUp.abort(), round % 7);
      expect((await query).ok).toBe(false);
    }
    await until(() => proxy.open() === 0);
    await until(async () => (await backends()) === 0);
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
    expect(proxy.open()).toBe(1);
    expect(await backends()).toBe(1);
  });
});
