/** Requests to the Kubernetes API against a real server: credentials, faults, deadlines, streams. */
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../../src/lib/clock.ts';
import { Secret } from '../../../../src/lib/secret.ts';
import { BrokenStream, type KubeApi } from '../../../../src/sources/kubernetes/api/api.ts';
import {
  type AccessResult,
  createHttpApi,
  type GetAccess,
} from '../../../../src/sources/kubernetes/api/http.ts';
import { accessTo, startKubeApi, type TestKubeApi } from '../../../support/kube-api.ts';
import { createManualClock } from '../../../support/manual-clock.ts';
import { rawServer } from '../../../support/raw-server.ts';

const pods = '/api/v1/namespaces/gitlab/pods';
const never = new AbortController().signal;

let server: TestKubeApi;
let api: KubeApi;
const open =
  (at = server.url): GetAccess =>
  async () =>
    accessTo(at);
const bearer = (token: string): AccessResult => accessTo(server.url, new Secret(`Bearer ${token}`));

beforeEach(async () => {
  server = await startKubeApi();
  server.load('drain', '0-before');
  api = createHttpApi({ access: open(), clock: systemClock });
});
afterEach(async () => {
  api.close();
  await server.close();
});

async function textOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  for await (const part of bytes) text += Buffer.from(part).toString('utf8');
  return text;
}

describe('a response', () => {
  test('is read completely, with its status, over one kept connection', async () => {
    for (let i = 0; i < 5; i++) {
      const result = await api.get(pods, { limit: 2, labelSelector: 'app=gitaly' }, never);
      expect(result).toMatchObject({ ok: true, response: { status: 200 } });
      if (result.ok) expect((JSON.parse(result.response.body) as { items: unknown[] }).items).toHaveLength(2);
    }
    expect(server.connections()).toBe(1);
    expect(server.requests[0]).toMatchObject({
      what: 'pods:list',
      path: pods,
      query: { limit: '2', labelSelector: 'app=gitaly' },
      userAgent: 'gitaly-exporter',
    });
  });

  test('of another status is a response too, with Retry-After', async () => {
    server.next('*', { status: 429, headers: { 'Retry-After': '7' } });
    expect(await api.get(pods, {}, never)).toMatchObject({
      ok: true,
      response: { status: 429, retryAfterSeconds: 7 },
    });
    server.next('*', { status: 503, headers: { 'Retry-After': 'Fri, 31 Dec 1999 23:59:59 GMT' } });
    expect(await api.get(pods, {}, never)).toMatchObject({ response: { retryAfterSeconds: undefined } });
  });

  test('arrives on a new connection when the kept one was closed', async () => {
    await api.get(pods, {}, never);
    server.next('*', 'reset');
    expect(await api.get(pods, {}, never)).toMatchObject({ ok: true, response: { status: 200 } });
  });

  test('fails when a new connection is closed without a response', async () => {
    server.next('*', 'reset');
    expect(await api.get(pods, {}, never)).toEqual({
      ok: false,
      failure: {
        reason: 'refused',
        message: `the API server ${server.url.origin} closed the connection before its response was complete (ECONNRESET)`,
      },
    });
  });

  test('fails when no process listens', async () => {
    await server.stop();
    expect(await api.get(pods, {}, never)).toMatchObject({
      ok: false,
      failure: { reason: 'refused', message: expect.stringContaining('nothing listens there') },
    });
    await server.start();
    expect(await api.get(pods, {}, never)).toMatchObject({ ok: true });
  });

  test('that is cut in the middle is a failure', async () => {
    server.next('*', { lines: ['{"items":['], ending: 'cut' });
    expect(await api.get(pods, {}, never)).toMatchObject({ ok: false, failure: { reason: 'refused' } });
  });

  test('over the size limit is a failure, and is not read to its end', async () => {
    const small = createHttpApi({ access: open(), clock: systemClock, maxBytes: 1000 });
    expect(await small.get(pods, {}, never)).toMatchObject({ ok: false, failure: { reason: 'too_large' } });
    small.close();
  });

  test('that never arrives fails at the deadline, by the given clock', async () => {
    const clock = createManualClock();
    const client = createHttpApi({ access: open(), clock });
    server.next('*', 'hang');
    const result = client.get(pods, {}, never);
    while (server.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(60_000);
    expect(await result).toEqual({
      ok: false,
      failure: {
        reason: 'timeout',
        message: `the API server ${server.url.origin} sent no response within 1 min`,
      },
    });
    expect(clock.sleepers()).toBe(0);
    client.close();
  });

  test('that switches protocols is a failure of that request alone', async () => {
    const raw = await rawServer((socket) => {
      const isFirst = raw.requests.length === 1;
      if (isFirst)
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}');
    });
    const server = new URL(`http://127.0.0.1:${raw.port}`);
    const switching = createHttpApi({ access: open(server), clock: systemClock });
    expect(await switching.get(pods, {}, never)).toEqual({
      ok: false,
      failure: {
        reason: 'http_status',
        message: `the API server ${server.origin} switched protocols (HTTP 101), which was not requested`,
      },
    });
    expect(await switching.get(pods, {}, never)).toMatchObject({ ok: true, response: { body: '{}' } });
    switching.close();
    await raw.stop();
  });

  test.each(['get', 'stream'] as const)(
    'that stalls after its headers fails at the deadline: %s',
    async (how) => {
      const raw = await rawServer((socket) =>
        socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\n{'),
      );
      const server = new URL(`http://127.0.0.1:${raw.port}`);
      const clock = createManualClock();
      const stalling = createHttpApi({ access: open(server), clock });
      let settled = false;
      const result = stalling[how](pods, {}, never).finally(() => {
        settled = true;
      });
      while (raw.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
      while (!settled) {
        await new Promise((resolve) => setImmediate(resolve));
        await clock.advance(1000);
      }
      expect(await result).toMatchObject({
        ok: false,
        failure: { reason: 'timeout', message: expect.stringMatching(/sent no (complete )?response within/) },
      });
      expect(clock.sleepers()).toBe(0);
      await raw.stop();
    },
  );

  test('that is not HTTP is a failure', async () => {
    const tcp = createTcpServer((socket) => socket.resume().end('SSH-2.0-OpenSSH\r\n'));
    await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
    const url = new URL(`http://127.0.0.1:${(tcp.address() as AddressInfo).port}`);
    const plain = createHttpApi({ access: open(url), clock: systemClock });
    expect(await plain.get(pods, {}, never)).toMatchObject({ ok: false, failure: { reason: 'parse' } });
    const tls = createHttpApi({
      access: open(new URL(`https://${url.host}`)),
      clock: systemClock,
    });
    expect(await tls.get(pods, {}, never)).toMatchObject({ ok: false, failure: { reason: 'tls' } });
    await new Promise((resolve) => tcp.close(resolve));
  });

  test('is canceled by the signal', async () => {
    const stop = new AbortController();
    server.next('*', 'hang');
    const result = api.get(pods, {}, stop.signal);
    stop.abort();
    expect(await result).toMatchObject({ ok: false });
    expect(await api.get(pods, {}, stop.signal)).toMatchObject({ ok: false });
  });
});

describe('credentials', () => {
  test('that are rejected are renewed once, and the request sent again', async () => {
    server.requireToken('new');
    const renewals: boolean[] = [];
    const renewing = createHttpApi({
      clock: systemClock,
      access: async (renew) => {
        renewals.push(renew);
        return bearer(renew ? 'new' : 'old');
      },
    });
    expect(await renewing.get(pods, {}, never)).toMatchObject({ ok: true, response: { status: 200 } });
    expect(renewals).toEqual([false, true]);
    expect(server.requests.map(({ authorization }) => authorization)).toEqual(['Bearer old', 'Bearer new']);
    renewing.close();
  });

  test('that are rejected again give a response with status 401', async () => {
    server.requireToken('other');
    const rejected = createHttpApi({
      clock: systemClock,
      access: async () => bearer('bad'),
    });
    expect(await rejected.get(pods, {}, never)).toMatchObject({ ok: true, response: { status: 401 } });
    expect(server.requests).toHaveLength(2);
    rejected.close();
  });

  test('that cannot be obtained are a failure, and nothing is sent', async () => {
    const failure = { reason: 'authentication', message: 'no token' } as const;
    const none = createHttpApi({
      clock: systemClock,
      access: async () => ({ ok: false, failure }),
    });
    expect(await none.get(pods, {}, never)).toEqual({ ok: false, failure });
    expect(server.requests).toHaveLength(0);
  });

  test('whose plugin hangs fail at the deadline', async () => {
    const clock = createManualClock();
    const hanging = createHttpApi({
      clock,
      access: () => new Promise(() => undefined),
    });
    const result = hanging.get(pods, {}, never);
    await clock.advance(60_000);
    expect(await result).toMatchObject({ ok: false, failure: { reason: 'authentication' } });
  });
});

describe('a stream', () => {
  test('returns its headers first and its bytes as they arrive', async () => {
    const result = await api.stream(pods, { watch: true, resourceVersion: '99999' }, never);
    if (!result.ok) throw new Error(result.failure.message);
    expect(result.response.status).toBe(200);
    const parts = result.response.bytes[Symbol.asyncIterator]();
    server.bookmark('pods');
    const first = await parts.next();
    expect(Buffer.from(first.value as Uint8Array).toString()).toMatch(/"BOOKMARK"/);
    server.expire();
    expect((await parts.next()).done).toBe(true);
  });

  test('may last beyond the deadline for its headers', async () => {
    const clock = createManualClock();
    const client = createHttpApi({ access: open(), clock });
    const result = await client.stream(pods, { watch: true, resourceVersion: '99999' }, never);
    if (!result.ok) throw new Error(result.failure.message);
    expect(clock.sleepers()).toBe(0);
    await clock.advance(3_600_000);
    server.bookmark('pods');
    server.expire();
    expect(await textOf(result.response.bytes)).toMatch(/"BOOKMARK"/);
    client.close();
  });

  test('that is cut throws BrokenStream', async () => {
    server.next('*', { lines: ['{"type"'], ending: 'cut' });
    const result = await api.stream(pods, { watch: true }, never);
    if (!result.ok) throw new Error(result.failure.message);
    const broken = await textOf(result.response.bytes).catch((error: unknown) => error);
    expect(broken).toBeInstanceOf(BrokenStream);
    expect((broken as BrokenStream).failure.reason).toBe('refused');
  });

  test('of another status is read completely', async () => {
    server.next('*', { status: 403, body: { message: 'no' } });
    const result = await api.stream(pods, { watch: true }, never);
    expect(result).toMatchObject({ ok: true, response: { status: 403, body: '{"message":"no"}' } });
  });

  test('ends with its signal and leaves no connection open', async () => {
    const stop = new AbortController();
    const result = await api.stream(pods, { watch: true, resourceVersion: '99999' }, stop.signal);
    if (!result.ok) throw new Error(result.failure.message);
    const text = textOf(result.response.bytes).catch((error: unknown) => error);
    stop.abort();
    expect(await text).toBeInstanceOf(BrokenStream);
    while (server.openWatches() > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(server.openWatches()).toBe(0);
  });

  test.each([10, 100_000])(
    'of %d bytes that have arrived and were not read ends without an uncaught error',
    async (size) => {
      const stop = new AbortController();
      server.next('*', { status: 200, body: 'x'.repeat(size) });
      const result = await api.stream(pods, {}, stop.signal);
      if (!result.ok) throw new Error(result.failure.message);
      const parts = result.response.bytes[Symbol.asyncIterator]();
      await parts.next();
      stop.abort();
      await expect(parts.next()).rejects.toBeInstanceOf(BrokenStream);
    },
  );
});
