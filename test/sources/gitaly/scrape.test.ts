/** One read of a page from servers that stall, send false data, redirect, never end, or end too early. */
import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../src/lib/clock.ts';
import { type Resolve, systemResolve } from '../../../src/sources/gitaly/resolve.ts';
import { type ReadOptions, readPage } from '../../../src/sources/gitaly/scrape.ts';
import type { ScrapeTarget } from '../../../src/sources/gitaly/target.ts';
import { head, type RawServer, rawServer } from '../../support/raw-server.ts';
import { until } from '../../support/until.ts';
import { anonymousAccess, pageBytes } from './support.ts';

const servers: RawServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function serve(respond: (socket: Socket) => void): Promise<RawServer> {
  const server = await rawServer(respond);
  servers.push(server);
  return server;
}

const identity = { namespace: '', pod: '', node: 'gitaly-1' };

function target(url: string, more: Partial<ScrapeTarget> = {}): ScrapeTarget {
  return { component: 'gitaly', url: new URL(url), identity, access: anonymousAccess, ...more };
}

const limits = { timeoutMs: 10_000, maxBytes: 1_000_000, maxSamples: 1000 };

function options(more: Partial<ReadOptions> = {}): ReadOptions {
  return {
    ...limits,
    wanted: new Set(['up']),
    prefixes: [],
    clock: systemClock,
    resolve: systemResolve,
    readText: () => Promise.reject(new Error('no files in this test')),
    signal: new AbortController().signal,
    ...more,
  };
}

/** The samples, or `reason: message`. */
async function read(url: string, more: Partial<ReadOptions> = {}, of: Partial<ScrapeTarget> = {}) {
  const result = await readPage(target(url, of), options(more));
  return result.ok ? result.page.samples : `${result.failure.reason}: ${result.failure.message}`;
}

const up = [{ name: 'up', labels: new Map(), value: 1 }];
const chunked = (text: string): string => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

describe('a complete page is read', () => {
  test.each<[string, (string | Buffer)[]]>([
    ['with a length', [head('Content-Length: 5'), 'up 1\n']],
    [
      'in chunks, cut within a line',
      [head('Transfer-Encoding: chunked'), chunked('u'), chunked('p 1\n'), '0\r\n\r\n'],
    ],
    ['compressed, without a length', [head('Content-Encoding: gzip'), gzipSync('up 1\n')]],
    ['without a length, but with # EOF', [head(), 'up 1\n# EOF\n']],
  ])('%s', async (_, parts) => {
    const server = await serve((socket) => {
      for (const part of parts) socket.write(part);
      socket.end();
    });
    expect(await read(`http://127.0.0.1:${server.port}/metrics`)).toEqual(up);
    await until(() => server.open() === 0);
  });

  test('at its path and query, with the headers of a Prometheus scrape', async () => {
    const server = await serve((socket) => socket.end(`${head('Content-Length: 5')}up 1\n`));
    await read(`http://localhost:${server.port}/a/b?c=d`, {}, { address: '127.0.0.1' });
    expect(server.requests[0]).toMatch(/^GET \/a\/b\?c=d HTTP\/1.1\r\n/);
    expect(server.requests[0]).toContain(`\r\nHost: localhost:${server.port}\r\n`);
    expect(server.requests[0]).toContain('\r\nAccept-Encoding: gzip\r\n');
    expect(server.requests[0]).not.toContain('Authorization');
  });

  test('with its duration', async () => {
    const server = await serve((socket) => socket.end(`${head('Content-Length: 5')}up 1\n`));
    const result = await readPage(target(`http://127.0.0.1:${server.port}/`), options());
    expect(result.seconds).toBeGreaterThan(0);
    expect(result.seconds).toBeLessThan(10);
  });
});

describe('a response fails that', () => {
  const elsewhere = 'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/secret\r\nContent-Length: 0\r\n\r\n';
  test.each<[string, string, string]>([
    ['redirects', elsewhere, 'http_status: redirects (HTTP 302), and redirects are not followed'],
    [
      'is not found',
      'HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n',
      'http_status: responded with HTTP 404',
    ],
    ['is a server error', 'HTTP/1.1 503 Unavailable\r\n\r\n', 'http_status: responded with HTTP 503'],
    [
      'requires credentials',
      'HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n',
      'authentication: requires other credentials',
    ],
    [
      'is forbidden',
      'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n',
      'permission: does not permit reading',
    ],
    ['is empty without an error', 'HTTP/1.1 204 No Content\r\n\r\n', 'http_status: responded with HTTP 204'],
    [
      'is a web page',
      'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nup 1\n',
      'parse: sent something else than metrics in text format',
    ],
    [
      'has no type',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nup 1\n',
      'parse: sent something else than metrics in text format',
    ],
    [
      'has another content encoding',
      `${head('Content-Encoding: br', 'Content-Length: 5')}up 1\n`,
      'parse: sent a content encoding that was not requested',
    ],
    [
      'is garbage',
      `${head('Content-Length: 6')}<html>`,
      'parse: sent something else than metrics: line 1: is cut off',
    ],
    [
      'is garbage in lines',
      `${head('Content-Length: 7')}<html>\n`,
      'parse: sent something else than metrics: line 1: is not a sample',
    ],
    ['is not HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', 'parse: does not speak HTTP'],
    ['is nothing', '', 'refused: closed the connection before its response was complete'],
    [
      'ends within its head',
      'HTTP/1.1 200 OK\r\nContent-',
      'refused: closed the connection before its response was complete',
    ],
    [
      'is shorter than its Content-Length',
      `${head('Content-Length: 500')}up 1\n`,
      'refused: closed the connection before its response was complete',
    ],
    [
      'is longer than its Content-Length',
      `${head('Content-Length: 3')}up 1\n`,
      'parse: sent something else than metrics: line 1: is cut off',
    ],
    [
      'ends before its last chunk',
      `${head('Transfer-Encoding: chunked')}${chunked('up 1\n')}`,
      'refused: closed the connection before its response was complete',
    ],
    [
      'has neither a length nor # EOF',
      `${head()}up 1\n`,
      'parse: sent a response without a length, which may be incomplete',
    ],
    [
      'has an endless head',
      `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
      'parse: does not speak HTTP',
    ],
    [
      'has more samples than allowed',
      `${head('Content-Length: 30')}up{a="1"} 1\nup{a="2"} 1\nup 1   \n`,
      'too_large: sent too much: line 2: more than 1 samples',
    ],
  ])('%s', async (_, response, failure) => {
    const server = await serve((socket) => socket.end(response));
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
      'refused: closed the connection before its response was complete (Z_BUF_ERROR)',
    ],
    [
      'damaged',
      (whole: Buffer) => Buffer.concat([whole.subarray(0, 12), Buffer.from('no gzip at all'), whole]),
      'parse: sent invalid gzip (Z_DATA_ERROR)',
    ],
    ['none', () => Buffer.from('up 1\n'), 'parse: sent invalid gzip (Z_DATA_ERROR)'],
  ])('gzip that is %s', async (_, spoil, failure) => {
    const body = spoil(gzipSync('up 1\n'.repeat(100)));
    const server = await serve((socket) => {
      socket.write(head('Content-Encoding: gzip', `Content-Length: ${body.length}`));
      socket.end(body);
    });
    expect(await read(`http://127.0.0.1:${server.port}/metrics`)).toBe(failure);
  });

  test('is never sent, as no process listens there', async () => {
    const server = await serve(() => undefined);
    await server.stop();
    servers.pop();
    expect(await read(`http://127.0.0.1:${server.port}/metrics`)).toBe(
      'refused: refused the connection: nothing listens there, or it is starting (ECONNREFUSED)',
    );
  });
});

describe('a server that never ends its response', () => {
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
  ])('is cut at the size limit: %s', async (_, headers, piece) => {
    const server = await serve((socket) => {
      socket.write(head(...headers));
      endless(socket, piece);
    });
    const before = process.memoryUsage().arrayBuffers;
    expect(await read(`http://127.0.0.1:${server.port}/metrics`)).toMatch(
      /^too_large: sent (more than 1000000 bytes|too much: line 1: is longer)/,
    );
    await until(() => server.open() === 0);
    // More than was read, as the kernel buffers some of it.
    expect(server.sent()).toBeLessThan(20_000_000);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20_000_000);
  });

  test('is cut at the size limit when a few bytes decompress to many', async () => {
    const bomb = gzipSync(Buffer.alloc(60_000_000, '\n'), { level: 9 });
    expect(bomb.length).toBeLessThan(limits.maxBytes);
    const server = await serve((socket) => {
      socket.write(head('Content-Encoding: gzip', `Content-Length: ${bomb.length}`));
      socket.end(bomb);
    });
    const before = process.memoryUsage().rss;
    expect(await read(`http://127.0.0.1:${server.port}/metrics`)).toBe(
      'too_large: sent more than 1000000 bytes: raise gitaly.scrape.max-bytes if that is a page of metrics',
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
  });

  test.each<[string, string, (socket: Socket) => void]>([
    ['sends nothing', 'sent no response', () => undefined],
    ['stalls within its head', 'sent no response', (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-')],
    [
      'stalls after its head',
      'sent no complete response',
      (socket) => socket.write(head('Content-Length: 500')),
    ],
    [
      'stalls within its body',
      'sent no complete response',
      (socket) => socket.write(`${head('Content-Length: 500')}up 1\n`),
    ],
    [
      'sends a byte now and then',
      'sent no complete response',
      (socket) => {
        socket.write(head('Content-Length: 500'));
        const timer = setInterval(() => socket.write('\n'), 20);
        socket.on('close', () => clearInterval(timer));
      },
    ],
    [
      'only announces a response',
      'sent no response',
      (socket) => {
        const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 20);
        socket.on('close', () => clearInterval(timer));
      },
    ],
  ])('is cut at the time limit: %s', async (_, failure, respond) => {
    const server = await serve(respond);
    const startedAt = performance.now();
    expect(await read(`http://127.0.0.1:${server.port}/metrics`, { timeoutMs: 200 })).toBe(
      `timeout: ${failure} within 200 ms`,
    );
    expect(performance.now() - startedAt).toBeLessThan(5000);
    await until(() => server.open() === 0);
  });

  test.each([
    ['with the headers of an upgrade', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'],
    ['without', ''],
  ])('a switch of protocols is a failed read of one target: %s', async (_, headers) => {
    const server = await serve((socket) =>
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headers}\r\nup 1\n`),
    );
    expect(await read(`http://127.0.0.1:${server.port}/metrics`)).toBe(
      'http_status: switched protocols (HTTP 101), which was not requested',
    );
    await until(() => server.open() === 0);
  });

  test('is cut when the run ends', async () => {
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

  test('a name that never resolves fails at the time limit', async () => {
    const resolve: Resolve = () => new Promise(() => undefined);
    expect(await read('http://gitaly.example:9236/metrics', { resolve, timeoutMs: 100 })).toBe(
      'timeout: has a name that did not resolve within 100 ms',
    );
  });
});

describe('a name', () => {
  const resolveTo =
    (...addresses: string[]): Resolve =>
    async () =>
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));

  test('with one address of each family is one server', async () => {
    const server = await serve((socket) => socket.end(`${head('Content-Length: 5')}up 1\n`));
    const url = `http://gitaly.example:${server.port}/metrics`;
    expect(await read(url, { resolve: resolveTo('127.0.0.1') })).toEqual(up);
    expect(await read(url, { resolve: resolveTo('127.0.0.1', '::1') })).toEqual(up);
  });

  test('with several addresses of a family fails, as they are several servers', async () => {
    expect(await read('http://gitaly.example:9/', { resolve: resolveTo('127.0.0.1', '127.0.0.2') })).toBe(
      'refused: has a name with several addresses: write dns+ before it to read each of them, or set the address of one',
    );
  });

  test.each(['ENOTFOUND', 'EAI_AGAIN'])('that does not resolve fails: %s', async (code) => {
    const resolve: Resolve = () => Promise.reject(Object.assign(new Error(code), { code }));
    expect(await read('http://gitaly.example:9/', { resolve })).toMatch(
      /^refused: has a name that does not resolve/,
    );
  });

  test('without an address fails', async () => {
    expect(await read('http://gitaly.example:9/', { resolve: resolveTo() })).toMatch(
      /^refused: has a name that does not/,
    );
  });
});

test('a compressed page of a real Gitaly is read', async () => {
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
