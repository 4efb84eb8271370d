/** Servers that accept and never answer, or fall silent later: noticed in time, and nothing is left open. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { startPostgres, type TestDatabase, type TestPostgres } from '../../../support/postgres.ts';
import { startMute, startProxy, type TestProxy } from './proxy.ts';
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
const backends = async (): Promise<number> => {
  const { rows } = await admin.query(
    `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'gitaly-exporter'`,
  );
  return rows[0].n;
};

describe('while connecting', () => {
  const authenticationRequest = (kind: number): Buffer => Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, kind]);
  const loggedIn = Buffer.concat([authenticationRequest(0), Buffer.from([0x5a, 0, 0, 0, 5, 0x49])]);

  test.each([
    { step: 'asking for TLS', mode: 'require', answers: [] },
    { step: 'agreeing on TLS', mode: 'require', answers: [Buffer.from('S')] },
    { step: 'logging in', mode: 'disable', answers: [] },
    { step: 'logging in', mode: 'disable', answers: [authenticationRequest(3)] },
    { step: 'asking who answers', mode: 'disable', answers: [loggedIn] },
  ] as const)('a server that is silent at $step is given up in time', async ({ step, mode, answers }) => {
    const mute = await startMute(...answers);
    closing.push(() => mute.close());
    const connection = { ...place.connection, port: mute.port, ssl: { mode }, connectTimeoutMs: 200 };
    const [answer, ms] = await took(opened(connection).query('SELECT 1', within(5000)));
    expect(failureIn(answer)).toMatchObject({
      reason: 'timeout',
      message: expect.stringMatching(new RegExp(`no answer within [\\d.]+ m?s while ${step}`)),
    });
    expect(ms).toBeLessThan(2500);
    await until(() => mute.open() === 0);
  });

  test("the question's own deadline counts when it is shorter", async () => {
    const mute = await startMute();
    closing.push(() => mute.close());
    const [answer, ms] = await took(
      opened({ ...place.connection, port: mute.port }).query('SELECT 1', within(200)),
    );
    expect(failureIn(answer).reason).toBe('timeout');
    expect(ms).toBeLessThan(2500);
    await until(() => mute.open() === 0);
  });

  test('a stopped server is given up, and found again when it goes on', async () => {
    const database = opened({ ...place.connection, connectTimeoutMs: 300 });
    server.pause();
    try {
      const [answer, ms] = await took(database.query('SELECT 1', within(5000)));
      expect(failureIn(answer)).toMatchObject({
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
    ['another protocol', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 'timeout'],
    ['noise', Buffer.from([0x5a, 0, 0, 0, 1, 0xff, 0xff]), undefined],
    ['a way of logging in that pg does not know (GSSAPI)', authenticationRequest(7), 'authentication'],
  ])('%s in answer breaks nothing but the connection', async (_, bytes, reason) => {
    const mute = await startMute(bytes);
    closing.push(() => mute.close());
    const connection = { ...place.connection, port: mute.port, connectTimeoutMs: 300 };
    const failure = failureIn(await opened(connection).query('SELECT 1', within(5000)));
    if (reason !== undefined) expect(failure.reason).toBe(reason);
    await until(() => mute.open() === 0);
  });
});

describe('in the middle', () => {
  test('a question on a half-open connection ends at its deadline, its socket is gone, the next one connects anew', async () => {
    const proxy = await proxied();
    const database = opened({ ...place.connection, port: proxy.port });
    valueIn(await database.query('SELECT 1', within(5000)));
    proxy.fallSilent();
    const [answer, ms] = await took(database.query('SELECT 1', within(300, 5000)));
    expect(failureIn(answer)).toEqual({
      reason: 'timeout',
      message: expect.stringMatching(
        /the test, at .*: no answer before the deadline, [\d.]+ m?s after asking/,
      ),
    });
    expect(ms).toBeLessThan(2500);
    await until(() => proxy.open() === 0); // the cancel request, too, which nobody answered
    proxy.speak();
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
    expect(proxy.open()).toBe(1);
  });

  test('without a deadline of its own, statement_timeout and a second end it', async () => {
    const proxy = await proxied();
    const database = opened({ ...place.connection, port: proxy.port });
    valueIn(await database.query('SELECT 1', within(5000)));
    proxy.fallSilent();
    const endless = { signal: new AbortController().signal, statementTimeoutMs: 100 };
    const [answer, ms] = await took(database.query('SELECT 1', endless));
    expect(failureIn(answer).message).toMatch(
      /no answer for \d(\.\d)? s, although the server should stop after 100 ms/,
    );
    expect(ms).toBeGreaterThan(1000);
    expect(ms).toBeLessThan(2500);
  });

  test('a stopped server, too', async () => {
    const database = opened(place.connection);
    valueIn(await database.query('SELECT 1', within(5000)));
    server.pause();
    try {
      const [answer, ms] = await took(database.query('SELECT 1', within(300, 5000)));
      expect(failureIn(answer).reason).toBe('timeout');
      expect(ms).toBeLessThan(2500);
    } finally {
      server.resume();
    }
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
    await until(async () => (await backends()) === 1);
  });

  test('a question that is given up is cancelled on the server', async () => {
    const database = opened(place.connection);
    const [answer, ms] = await took(database.query('SELECT pg_sleep(60)', within(300, 30_000)));
    expect(failureIn(answer).reason).toBe('timeout');
    expect(ms).toBeLessThan(2500);
    await until(async () => (await backends()) === 0, 2000);
  });

  test('a look is given up in the middle of COPY, and so is its body', async () => {
    const proxy = await proxied();
    const database = opened({ ...place.connection, port: proxy.port });
    const gaveUp = new AbortController();
    let bytes = 0;
    const answer = await database.transaction(
      { signal: gaveUp.signal, statementTimeoutMs: 5000 },
      (transaction) =>
        transaction.copy('SELECT * FROM wide', (chunk) => {
          bytes += chunk.length;
          if (bytes > 1_000_000) gaveUp.abort();
        }),
    );
    expect(failureIn(answer).reason).toBe('timeout');
    await until(() => proxy.open() === 0);
    await until(async () => (await backends()) === 0);
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
  });

  test('a body that waits for something else is not waited for', async () => {
    const database = opened(place.connection);
    const [answer, ms] = await took(
      database.transaction(within(200), async (transaction) => {
        await transaction.rows('SELECT 1');
        await new Promise(() => undefined);
      }),
    );
    expect(failureIn(answer).reason).toBe('timeout');
    expect(ms).toBeLessThan(2500);
    await until(async () => (await backends()) === 0);
  });

  test('a slow consumer of COPY holds the server back, and memory stays small', async () => {
    const proxy = await proxied();
    const database = opened({ ...place.connection, port: proxy.port });
    let chunks = 0;
    let bytes = 0;
    let mostInFlight = 0;
    const answer = await database.transaction(within(20_000), (transaction) =>
      transaction.copy('SELECT * FROM wide', async (chunk) => {
        bytes += chunk.length;
        chunks += 1;
        // While the first chunks are held, everybody upstream must come to rest with little in their hands.
        if (chunks <= 3) {
          let before = -1;
          await until(async () => {
            const resting = proxy.bytesOut() === before;
            before = proxy.bytesOut();
            await new Promise((resolve) => setTimeout(resolve, 100));
            return resting;
          });
          mostInFlight = Math.max(mostInFlight, proxy.bytesOut() - bytes);
        }
      }),
    );
    valueIn(answer);
    expect(bytes).toBeGreaterThan(50_000_000);
    expect(mostInFlight).toBeLessThan(10_000_000); // the kernel's buffers of two sockets
  });

  test('a hundred questions given up leave no socket and no backend behind', async () => {
    const proxy = await proxied();
    const database = opened({ ...place.connection, port: proxy.port });
    for (let round = 0; round < 100; round += 1) {
      const gaveUp = new AbortController();
      const options = { signal: gaveUp.signal, statementTimeoutMs: 5000 };
      const question =
        round % 2 === 0
          ? database.query('SELECT pg_sleep(60)', options)
          : database.transaction(options, (transaction) =>
              transaction.copy('SELECT * FROM wide', () => gaveUp.abort()),
            );
      // From "before it was sent" to "well under way".
      if (round % 2 === 0) setTimeout(() => gaveUp.abort(), round % 7);
      expect((await question).ok).toBe(false);
    }
    await until(() => proxy.open() === 0);
    await until(async () => (await backends()) === 0);
    expect(valueIn(await database.query('SELECT 1 AS one', within(5000)))).toEqual([{ one: 1 }]);
    expect(proxy.open()).toBe(1);
    expect(await backends()).toBe(1);
  });
});
