/** One read against servers that stall, lie, redirect, never end, or end too early. */
import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../../src/lib/clock.ts';
import { openAccess } from '../../../../src/sources/gitaly/scrape/access.ts';
import { type ReadOptions, readPage } from '../../../../src/sources/gitaly/scrape/read-page.ts';
import { type Resolve, systemResolve } from '../../../../src/sources/gitaly/scrape/resolve.ts';
import type { Target } from '../../../../src/sources/gitaly/target.ts';
import { pageBytes, until } from '../support.ts';
import { head, type RawServer, rawServer } from './server.ts';

const servers: RawServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function serve(answer: (socket: Socket) => void): Promise<RawServer> {
  const server = await rawServer(answer);
  servers.push(server);
  return server;
}

const identity = { namespace: '', pod: '', node: 'gitaly-1' };

function target(url: string, more: Partial<Target> = {}): Target {
  return { component: 'gitaly', url: new URL(url), identity, access: openAccess, ...more };
}

const limits = { timeoutMs: 10_000, maxBytes: 1_000_000, maxSamples: 1000 };

function options(more: Partial<ReadOptions> = {}): ReadOptions {
  return {
    ...limits,
    wanted: new Set(['up']),
    prefixes: [],
    clock: systemClock,
    resolve: systemResolve,
    readText: () => Promise.reject(new Error('no file is read here')),
    signal: new AbortController().signal,
    ...more,
  };
}

/** The samples, or `reason: message`. */
async function read(url: string, more: Partial<ReadOptions> = {}, of: Partial<Target> = {}) {
  const result = await readPage(target(url, of), options(more));
  return result.ok ? result.page.samples : `${result.failure.reason}: ${result.failure.message}`;
}

const up = [{ name: 'up', labels: new Map(), value: 1 }];
const chunked = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

describe('a page that comes through', () => {
  test.each<[string, (string | Buffer)[]]>([
    ['with a length', [head('Content-Length: 5'), 'up 1\n']],
    [
      'in chunks, cut within a line',
      [head('Transfer-Encoding: chunked'), chunked('u'), chunked('p 1\n'), '0\r\n\r\n'],
    ],
    ['packed, without a length', [head('Content-Encoding: gzip'), gzipSync('up 1\n')]],
    ['without a length, but with its own end', [head(), 'up 1\n# EOF\n']],
  ])('%s', async (_, parts) => {
    const server = await serve((socket) => {
      for (const part of parts) socket.write(part);
      socket.end();
    });
    expect(await read(`http://127.0.0.1:${server.port}/metrics`)).toEqual(up);
    await until(() => server.open() === 0);
  });

  test('is asked for as Prometheus does, at its path and query', async () => {
    const server = await serve((socket) => socket.end(`${head('Content-Length: 5')}up 1\n`));
    await read(`http://localhost:${server.port}/a/b?c=d`, {}, { address: '127.0.0.1' });
    expect(server.requests[0]).toMatch(/^GET \/a\/b\?c=d HTTP\/1.1\r\n/);
    expect(server.requests[0]).toContain(`\r\nHost: localhost:${server.port}\r\n`);
    expect(server.requests[0]).toContain('\r\nAccept-Encoding: gzip\r\n');
    expect(server.requests[0]).not.toContain('Authorization');
  });

  test('tells how long it took', async () => {
    const server = await serve((socket) => socket.end(`${head('Content-Length: 5')}up 1\n`));
    const result = await readPage(target(`http://127.0.0.1:${server.port}/`), options());
    expect(result.seconds).toBeGreaterThan(0);
    expect(result.seconds).toBeLessThan(10);
  });
});

describe('an answer that is no page', () => {
  const elsewhere = 'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/secret\r\nContent-Length: 0\r\n\r\n';
  test.each<[string, string, string]>([
    ['redirects', elsewhere, 'http_status: redirects (HTTP 302); redirects are not followed'],
    [
      'is not found',
      'HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n',
      'http_status: answered with HTTP 404',
    ],
    ['fails', 'HTTP/1.1 503 Unavailable\r\n\r\n', 'http_status: answered with HTTP 503'],
    [
      'wants a user',
      'HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n',
      'authentication: wants credentials',
    ],
    ['forbids', 'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n', 'permission: may not be read'],
    ['is empty, and no error', 'HTTP/1.1 204 No Content\r\n\r\n', 'http_status: answered with HTTP 204'],
    [
      'is a web page',
      'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nup 1\n',
      'parse: answered with something else than metrics',
    ],
    [
      'has no type',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n',
      'parse: answered with something else than metrics',
    ],
    [
      'is packed otherwise',
      `${head('Content-Encoding: br', 'Content-Length: 5')}up 1\n`,
      'parse: packed its answer in a way',
    ],
    [
      'is garbage',
      `${head('Content-Length: 6')}<html>`,
      'parse: sent something else than metrics: line 1: is cut off',
    ],
    [
      'is garbage by lines',
      `${head('Content-Length: 7')}<html>\n`,
      'parse: sent something else than metrics: line 1: is not a sample',
    ],
    ['is not HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', 'parse: does not answer in HTTP'],
    ['is nothing', '', 'parse: ended its answer before it was whole'],
    ['ends within its head', 'HTTP/1.1 200 OK\r\nContent-', 'parse: ended its answer before it was whole'],
    [
      'has another length than it says: longer',
      `${head('Content-Length: 500')}up 1\n`,
      'parse: ended its answer before it was whole',
    ],
    [
      'has another length than it says: shorter',
      `${head('Content-Length: 3')}up 1\n`,
      'parse: sent something else than metrics: line 1: is cut off',
    ],
    [
      'ends before its last chunk',
      `${head('Transfer-Encoding: chunked')}${chunked('up 1\n')}`,
      'parse: ended its answer before it was whole',
    ],
    [
      'has neither length nor end',
      `${head()}up 1\n`,
      'parse: sent an answer without a length, of which nobody can tell',
    ],
    [
      'has a head without an end',
      `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
      'parse: does not answer in HTTP',
    ],
    [
      'has more samples than allowed',
      `${head('Content-Length: 30')}up{a="1"} 1\nup{a="2"} 1\nup 1   \n`,
      'too_large: sent too much: line 2: more than 1 samples',
    ],
  ])('%s', async (_, answer, failure) => {
    const server = await serve((socket) => socket.end(answer));
    expect(
      await read(`http://127.0.0.1:${server.port}/metrics`, {
        maxSamples: failure.startsWith('too') ? 1 : 1000,
      }),
    ).toMatch(new RegExp(`^${failure.replaceAll(/[()]/g, '\\$&')}`));
    expect(server.requests).toHaveLength(1);
    await until(() => server.open() === 0);
  });

  test.each([
    [
      'cut off',
      (whole: Buffer) => whole.subarray(0, whole.length - 4),
      'parse: ended its answer before it was whole',
    ],
    [
      'damaged',
      (whole: Buffer) => Buffer.concat([whole.subarray(0, 12), Buffer.from('no gzip at all'), whole]),
      'parse: sent gzip that cannot be unpacked',
    ],
    ['none', () => Buffer.from('up 1\n'), 'parse: sent gzip that cannot be unpacked'],
  ])('gzip that is %s', async (_, spoil, failure) => {
    const body = spoil(gzipSync('up 1\n'.repeat(100)));
    const server = await serve((socket) => {
      socket.write(head('Content-Encoding: gzip', `Content-Length: ${body.length}`));
      socket.end(body);
    });
    expect(await read(`http://127.0.0.1:${server.port}/metrics`)).toBe(failure);
  });

  test('nobody listens there', async () => {
    const server = await serve(() => undefined);
    await server.stop();
    servers.pop();
    expect(await read(`http://127.0.0.1:${server.port}/metrics`)).toBe(
      'refused: refuses the connection: nothing listens there',
    );
  });
});

describe('a server that would go on for ever', () => {
  const endless = (socket: Socket, piece: Buffer): void => {
    const more = (): void => {
      while (!socket.destroyed && socket.write(piece));
    };
    socket.on('drain', more);
    more();
  };

  test.each<[string, string[], Buffer]>([
    ['plain', ['Transfer-Encoding: chunked'], Buffer.from(chunked('other{a="b"} 1\n'.repeat(4000)))],
    ['of 10 GB by its length', ['Content-Length: 10000000000'], Buffer.from('other{a="b"} 1\n'.repeat(4000))],
    ['without a line feed', ['Content-Length: 10000000000'], Buffer.from('# '.repeat(20_000))],
  ])('is left at the size limit: %s', async (_, headers, piece) => {
    const server = await serve((socket) => {
      socket.write(head(...headers));
      endless(socket, piece);
    });
    const before = process.memoryUsage().arrayBuffers;
    expect(await read(`http://127.0.0.1:${server.port}/metrics`)).toMatch(
      /^too_large: sent (more than 1000000 bytes|too much: line 1: is longer)/,
    );
    await until(() => server.open() === 0);
    // What the kernel took into its buffers comes on top.
    expect(server.sent()).toBeLessThan(20_000_000);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20_000_000);
  });

  test('is left at the size limit when a few bytes unpack to many', async () => {
    const bomb = gzipSync(Buffer.alloc(60_000_000, '\n'), { level: 9 });
    expect(bomb.length).toBeLessThan(limits.maxBytes);
    const server = await serve((socket) => {
      socket.write(head('Content-Encoding: gzip', `Content-Length: ${bomb.length}`));
      socket.end(bomb);
    });
    const before = process.memoryUsage().rss;
    expect(await read(`http://127.0.0.1:${server.port}/metrics`)).toBe(
      'too_large: sent more than 1000000 bytes; gitaly.scrape.max-bytes can allow more',
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
  });

  test.each<[string, (socket: Socket) => void]>([
    ['says nothing', () => undefined],
    ['stalls within its head', (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-')],
    ['stalls after its head', (socket) => socket.write(head('Content-Length: 500'))],
    ['stalls within its body', (socket) => socket.write(`${head('Content-Length: 500')}up 1\n`)],
    [
      'sends a byte now and then',
      (socket) => {
        socket.write(head('Content-Length: 500'));
        const timer = setInterval(() => socket.write('\n'), 20);
        socket.on('close', () => clearInterval(timer));
      },
    ],
    [
      'says only that it will',
      (socket) => {
        const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 20);
        socket.on('close', () => clearInterval(timer));
      },
    ],
  ])('is left at the time limit: %s', async (_, answer) => {
    const server = await serve(answer);
    const startedAt = performance.now();
    expect(await read(`http://127.0.0.1:${server.port}/metrics`, { timeoutMs: 200 })).toBe(
      'timeout: did not answer in full within 0.2 s',
    );
    expect(performance.now() - startedAt).toBeLessThan(5000);
    await until(() => server.open() === 0);
  });

  test('is left when nobody waits any more', async () => {
    const server = await serve(() => undefined);
    const stop = new AbortController();
    const reading = read(`http://127.0.0.1:${server.port}/metrics`, { signal: stop.signal });
    await until(() => server.requests.length === 1);
    stop.abort();
    expect(await reading).toMatch(/^timeout/);
    await until(() => server.open() === 0);
    expect(await read(`http://127.0.0.1:${server.port}/metrics`, { signal: stop.signal })).toMatch(
      /^timeout/,
    );
  });

  test('a resolver that never answers is one, too', async () => {
    const resolve: Resolve = () => new Promise(() => undefined);
    expect(await read('http://gitaly.example:9236/metrics', { resolve, timeoutMs: 100 })).toBe(
      'timeout: did not answer in full within 0.1 s',
    );
  });
});

describe('names', () => {
  const resolveTo =
    (...addresses: string[]): Resolve =>
    async () =>
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));

  test('one address of each kind is one server', async () => {
    const server = await serve((socket) => socket.end(`${head('Content-Length: 5')}up 1\n`));
    const url = `http://gitaly.example:${server.port}/metrics`;
    expect(await read(url, { resolve: resolveTo('127.0.0.1') })).toEqual(up);
    expect(await read(url, { resolve: resolveTo('127.0.0.1', '::1') })).toEqual(up);
  });

  test('several of a kind are several servers, and counters would jump between them', async () => {
    expect(await read('http://gitaly.example:9/', { resolve: resolveTo('127.0.0.1', '127.0.0.2') })).toBe(
      'refused: has a name with several addresses: write dns+ before it to read each of them, or the address of the one that is meant',
    );
  });

  test.each(['ENOTFOUND', 'EAI_AGAIN'])('a name that does not resolve: %s', async (code) => {
    const resolve: Resolve = () => Promise.reject(Object.assign(new Error(code), { code }));
    expect(await read('http://gitaly.example:9/', { resolve })).toMatch(
      /^refused: has a name that does not resolve/,
    );
  });

  test('no address at all', async () => {
    expect(await read('http://gitaly.example:9/', { resolve: resolveTo() })).toMatch(
      /^refused: has a name that does not/,
    );
  });
});

test('a whole page of a real Gitaly, packed as it would be', async () => {
  const page = gzipSync(pageBytes('19/after.gitaly-2'));
  const server = await serve((socket) => {
    socket.write(head('Content-Encoding: gzip', `Content-Length: ${page.length}`));
    socket.end(page);
  });
  const samples = await read(`http://127.0.0.1:${server.port}/metrics`, {
    wanted: new Set(['gitaly_requests_dropped_total']),
  });
  expect(samples).toHaveLength(4);
});
