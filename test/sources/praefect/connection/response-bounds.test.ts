/** Servers that send endlessly: a failure `too_large`, bounded memory, and the next query reconnects. */
import { afterEach, describe, expect, test } from '@jest/globals';
import type { DatabaseConnection } from '../../../../src/config/database-connection.ts';
import { Secret } from '../../../../src/lib/secret.ts';
import { createResponseGuard } from '../../../../src/sources/praefect/connection/response-guard.ts';
import {
  authentication,
  complete,
  dataRow,
  description,
  errorResponse,
  type FakeOptions,
  type FakePostgres,
  flood,
  message,
  ready,
  startFakePostgres,
} from '../../../support/fake-postgres.ts';
import { failureIn, type Opened, open, until, valueIn, within } from './support.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function opened(
  options: FakeOptions,
): Promise<{ readonly database: Opened; readonly server: FakePostgres }> {
  const server = await startFakePostgres(options);
  closing.push(() => server.stop());
  const connection: DatabaseConnection = {
    host: '127.0.0.1',
    port: server.port,
    database: 'praefect',
    user: 'gitaly_exporter',
    password: async () => new Secret('correct horse battery staple'),
    ssl: { mode: 'disable' },
    connectTimeoutMs: 2000,
  };
  const database = open(connection);
  closing.push(() => database.close());
  return { database, server };
}

const rows = description('one');
/**
 * The limit on memory growth of the server and the exporter together: far below the bytes that would be sent
 * without a bound.
 */
const maxGrowth = 150 * 1024 * 1024;

async function growthDuring(work: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage().rss;
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss);
  }, 5);
  await work();
  clearInterval(timer);
  return Math.max(most, process.memoryUsage().rss) - before;
}

const headOf = (type: string, length: number): Buffer => {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeUInt32BE(length, 1);
  return head;
};
const chunkOf = (row: Buffer): Buffer => Buffer.concat(new Array<Buffer>(2000).fill(row));

describe('a query fails as too_large, and the next one reconnects, when the server sends', () => {
  const wide = chunkOf(dataRow('x'.repeat(500)));
  const narrow = chunkOf(dataRow(''));
  test.each<[string, (socket: Parameters<typeof flood>[0]) => void, RegExp]>([
    ['rows without end', (socket) => flood(socket, wide), /more than 16 MiB/],
    ['the smallest rows without end', (socket) => flood(socket, narrow), /more than 100000 rows/],
    [
      'one row of 900 MB',
      (socket) => {
        socket.write(headOf('D', 900_000_000));
        flood(socket, Buffer.alloc(1024 * 1024, 'x'));
      },
      /a message of 858 MiB/,
    ],
    ['a row of 4 GiB', (socket) => socket.write(headOf('D', 0xffff_ffff)), /a message of 4 GiB/],
    ['an error of 900 MB', (socket) => socket.write(headOf('E', 900_000_000)), /a message of 858 MiB/],
    [
      'notices without end',
      (socket) => flood(socket, chunkOf(message('N', 'MNOTE\0\0'))),
      /more than 10000 messages/,
    ],
    ['60,000 columns', (socket) => socket.write(headOf('T', 1_200_000)), /a message of 1.1 MiB/],
    ['unread copy data', (socket) => flood(socket, chunkOf(message('d', 'x'))), /more than/],
  ])('%s', async (_, respond, found) => {
    let queries = 0;
    const { database, server } = await opened({
      query(_sql, socket) {
        queries += 1;
        if (queries > 1) socket.write(Buffer.concat([rows, dataRow('1'), complete(), ready()]));
        else {
          socket.write(rows);
          respond(socket);
        }
      },
    });
    const growth = await growthDuring(async () => {
      expect(failureIn(await database.query('SELECT 1', within(10_000)))).toMatchObject({
        reason: 'too_large',
        message: expect.stringMatching(found),
      });
    });
    expect(growth).toBeLessThan(maxGrowth);
    await until(() => server.open() === 0);
    expect(valueIn(await database.query('SELECT 1', within(5000)))).toEqual([{ one: '1' }]);
  });
});

test('endless rows in a transaction fail as too_large too', async () => {
  const { database } = await opened({
    query(sql, socket) {
      if (!sql.startsWith('COPY')) return socket.write(Buffer.concat([complete('BEGIN'), message('Z', 'T')]));
      socket.write(message('H', Buffer.from([1, 0, 0])));
      return flood(socket, chunkOf(message('d', Buffer.alloc(4000))));
    },
  });
  const bounds = { rows: 1000, bytes: 2_000_000 };
  const result = await database.transaction({ ...within(10_000), bounds }, (transaction) =>
    transaction.copy('SELECT 1', () => undefined),
  );
  expect(failureIn(result).reason).toBe('too_large');
});

test('a flood on an idle connection closes it', async () => {
  const { database, server } = await opened({
    query(_sql, socket) {
      socket.write(Buffer.concat([rows, complete('SELECT 0'), ready()]));
      setTimeout(() => flood(socket, chunkOf(message('N', 'MNOTE\0\0'))), 20);
    },
  });
  valueIn(await database.query('SELECT 1', within(5000)));
  await until(() => server.open() === 0);
  expect(server.sentBytes()).toBeLessThan(64 * 1024 * 1024);
});

test('a flood during the login is not read to its end', async () => {
  for (const chunk of [chunkOf(message('S', 'a\0b\0')), Buffer.alloc(100_000, 'HTTP/1.1 200 OK ')]) {
    const { database, server } = await opened({ login: (_, socket) => flood(socket, chunk) });
    const failure = failureIn(await database.query('SELECT 1', within(5000)));
    expect(['too_large', 'parse']).toContain(failure.reason);
    await until(() => server.open() === 0);
  }
});

describe('an error of the server', () => {
  test('that repeats the password, requested in clear text, is redacted', async () => {
    const { database } = await opened({
      login(text, socket) {
        if (!text.includes('staple')) return socket.write(authentication(3));
        const encoded = Buffer.from(text).toString('base64');
        return socket.end(
          errorResponse('28P01', `password "${text}" (${encoded}) is wrong for \u001b[31muser\u0000`),
        );
      },
    });
    const { reason, message: found } = failureIn(await database.query('SELECT 1', within(5000)));
    expect(reason).toBe('authentication');
    expect(found).toContain('password "<secret>" (<secret>) is wrong for [31muser');
    expect(found).not.toContain('staple');
  });

  test('that repeats the password in the error of a later query, its SQLSTATE or version, is redacted', async () => {
    const { database } = await opened({
      login(text, socket) {
        if (!text.includes('staple')) return socket.write(authentication(3));
        return socket.write(Buffer.concat([authentication(0), message('K', Buffer.alloc(8)), ready()]));
      },
      query: (_sql, socket) =>
        socket.write(
          Buffer.concat([
            errorResponse('correct horse battery staple', 'no correct horse battery staple'),
            ready(),
          ]),
        ),
    });
    const { message: found } = failureIn(await database.query('SELECT 1', within(5000)));
    expect(found).toContain('no <secret> (no SQLSTATE)');
    expect(found).not.toContain('staple');
  });

  test('of 100 KB is cut to a few hundred bytes', async () => {
    const { database } = await opened({
      query: (_sql, socket) =>
        socket.write(Buffer.concat([errorResponse('XX000', `oh ${'x'.repeat(100_000)}`), ready()])),
    });
    expect(failureIn(await database.query('SELECT 1', within(5000))).message.length).toBeLessThan(600);
  });
});

test('stopping takes a second at most while a server floods, stalls, or never ends its login', async () => {
  for (const options of [
    {
      query: (_: string, socket: Parameters<typeof flood>[0]) =>
        flood(socket, chunkOf(message('N', 'MNOTE\0\0'))),
    },
    { query: () => undefined },
    { login: () => undefined },
  ] satisfies FakeOptions[]) {
    const { database } = await opened(options);
    const running = database.query('SELECT 1', within(60_000));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const started = performance.now();
    await database.close();
    await running;
    expect(performance.now() - started).toBeLessThan(3000);
  }
});

test('a password file that never returns ends at the deadline', async () => {
  const server = await startFakePostgres({ login: (_, socket) => socket.write(authentication(3)) });
  closing.push(() => server.stop());
  const database = open({
    host: '127.0.0.1',
    port: server.port,
    database: 'praefect',
    user: 'gitaly_exporter',
    password: () => new Promise(() => undefined),
    ssl: { mode: 'disable' },
    connectTimeoutMs: 200,
  });
  closing.push(() => database.close());
  expect(failureIn(await database.query('SELECT 1', within(5000))).reason).toBe('timeout');
});

test('the guard counts the same messages for any split into chunks', () => {
  const bytes = Buffer.concat([rows, dataRow('a'), dataRow('b'), complete(), ready()]);
  for (let split = 1; split < bytes.length; split++) {
    for (const allowed of [1, 2]) {
      const guard = createResponseGuard();
      guard.expect({ rows: allowed, bytes: 1_000_000 });
      const faults = [];
      for (let at = 0; at < bytes.length; at += split)
        faults.push(guard.check(bytes.subarray(at, at + split)));
      expect(faults.some((fault) => fault?.reason === 'too_large')).toBe(allowed === 1);
    }
  }
});
