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
import { startKubeApi, type TestKubeApi } from '../../../support/kube-api.ts';
import { createManualClock } from '../../../support/manual-clock.ts';

const pods = '/api/v1/namespaces/gitlab/pods';
const never = new AbortController().signal;

let server: TestKubeApi;
let api: KubeApi;
const open: GetAccess = async () => ({
  ok: true,
  access: { tls: {}, authorization: undefined, headers: {} },
});
const bearer = (token: string): AccessResult => ({
  ok: true,
  access: { tls: {}, authorization: new Secret(`Bearer ${token}`), headers: {} },
});

beforeEach(async () => {
  server = await startKubeApi();
  server.load('drain', '0-before');
  api = createHttpApi({ server: server.url, access: open, clock: systemClock });
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

describe('one answer', () => {
  test('comes whole, with its status, over one kept connection', async () => {
    for (let i = 0; i < 5; i++) {
      const asked = await api.get(pods, { limit: 2, labelSelector: 'app=gitaly' }, never);
      expect(asked).toMatchObject({ ok: true, answer: { status: 200 } });
      if (asked.ok) expect((JSON.parse(asked.answer.body) as { items: unknown[] }).items).toHaveLength(2);
    }
    expect(server.connections()).toBe(1);
    expect(server.requests[0]).toMatchObject({
      what: 'pods:list',
      path: pods,
      query: { limit: '2', labelSelector: 'app=gitaly' },
      userAgent: 'gitaly-exporter',
    });
  });

  test('of another status is an answer too, with Retry-After', async () => {
    server.next('*', { status: 429, headers: { 'Retry-After': '7' } });
    expect(await api.get(pods, {}, never)).toMatchObject({
      ok: true,
      answer: { status: 429, retryAfterSeconds: 7 },
    });
    server.next('*', { status: 503, headers: { 'Retry-After': 'Fri, 31 Dec 1999 23:59:59 GMT' } });
    expect(await api.get(pods, {}, never)).toMatchObject({ answer: { retryAfterSeconds: undefined } });
  });

  test('a kept connection that the server closed meanwhile is no failure', async () => {
    await api.get(pods, {}, never);
    server.next('*', 'reset');
    expect(await api.get(pods, {}, never)).toMatchObject({ ok: true, answer: { status: 200 } });
  });

  test('a new connection that is closed without an answer is one', async () => {
    server.next('*', 'reset');
    expect(await api.get(pods, {}, never)).toEqual({
      ok: false,
      failure: {
        reason: 'refused',
        message: `the API server ${server.url.origin} ended the connection in the middle of an answer (ECONNRESET)`,
      },
    });
  });

  test('nobody listens', async () => {
    await server.stop();
    expect(await api.get(pods, {}, never)).toMatchObject({
      ok: false,
      failure: { reason: 'refused', message: expect.stringContaining('nothing listens there') },
    });
    await server.start();
    expect(await api.get(pods, {}, never)).toMatchObject({ ok: true });
  });

  test('cut in the middle, it is a failure and no half answer', async () => {
    server.next('*', { lines: ['{"items":['], ending: 'cut' });
    expect(await api.get(pods, {}, never)).toMatchObject({ ok: false, failure: { reason: 'refused' } });
  });

  test('larger than the limit, it is not read to its end', async () => {
    const small = createHttpApi({ server: server.url, access: open, clock: systemClock, maxBytes: 1000 });
    expect(await small.get(pods, {}, never)).toMatchObject({ ok: false, failure: { reason: 'too_large' } });
    small.close();
  });

  test('an answer that does not come ends at the deadline, by the clock that was given', async () => {
    const clock = createManualClock();
    const patient = createHttpApi({ server: server.url, access: open, clock });
    server.next('*', 'silence');
    const asked = patient.get(pods, {}, never);
    while (server.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(60_000);
    expect(await asked).toEqual({
      ok: false,
      failure: {
        reason: 'timeout',
        message: `the API server ${server.url.origin} did not answer within 60 s`,
      },
    });
    expect(clock.sleepers()).toBe(0);
    patient.close();
  });

  test('something that is no HTTP', async () => {
    const tcp = createTcpServer((socket) => socket.resume().end('SSH-2.0-OpenSSH\r\n'));
    await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
    const url = new URL(`http://127.0.0.1:${(tcp.address() as AddressInfo).port}`);
    const odd = createHttpApi({ server: url, access: open, clock: systemClock });
    expect(await odd.get(pods, {}, never)).toMatchObject({ ok: false, failure: { reason: 'parse' } });
    const tls = createHttpApi({
      server: new URL(`https://${url.host}`),
      access: open,
      clock: systemClock,
    });
    expect(await tls.get(pods, {}, never)).toMatchObject({ ok: false, failure: { reason: 'tls' } });
    await new Promise((resolve) => tcp.close(resolve));
  });

  test('the signal ends it', async () => {
    const stop = new AbortController();
    server.next('*', 'silence');
    const asked = api.get(pods, {}, stop.signal);
    stop.abort();
    expect(await asked).toMatchObject({ ok: false });
    expect(await api.get(pods, {}, stop.signal)).toMatchObject({ ok: false });
  });
});

describe('credentials', () => {
  test('that are refused are renewed once, and the question asked again', async () => {
    server.requireToken('new');
    const renewals: boolean[] = [];
    const renewing = createHttpApi({
      server: server.url,
      clock: systemClock,
      access: async (renew) => {
        renewals.push(renew);
        return bearer(renew ? 'new' : 'old');
      },
    });
    expect(await renewing.get(pods, {}, never)).toMatchObject({ ok: true, answer: { status: 200 } });
    expect(renewals).toEqual([false, true]);
    expect(server.requests.map(({ authorization }) => authorization)).toEqual(['Bearer old', 'Bearer new']);
    renewing.close();
  });

  test('that stay refused are a 401 for whoever asked', async () => {
    server.requireToken('other');
    const refused = createHttpApi({
      server: server.url,
      clock: systemClock,
      access: async () => bearer('bad'),
    });
    expect(await refused.get(pods, {}, never)).toMatchObject({ ok: true, answer: { status: 401 } });
    expect(server.requests).toHaveLength(2);
    refused.close();
  });

  test('that cannot be made are a failure, and nothing is asked', async () => {
    const failure = { reason: 'authentication', message: 'no token' } as const;
    const none = createHttpApi({
      server: server.url,
      clock: systemClock,
      access: async () => ({ ok: false, failure }),
    });
    expect(await none.get(pods, {}, never)).toEqual({ ok: false, failure });
    expect(server.requests).toHaveLength(0);
  });

  test('whose plugin hangs end at the deadline', async () => {
    const clock = createManualClock();
    const hanging = createHttpApi({
      server: server.url,
      clock,
      access: () => new Promise(() => undefined),
    });
    const asked = hanging.get(pods, {}, never);
    await clock.advance(60_000);
    expect(await asked).toMatchObject({ ok: false, failure: { reason: 'authentication' } });
  });
});

describe('a stream', () => {
  test('gives its head at once and its bytes as they come', async () => {
    const asked = await api.stream(pods, { watch: true, resourceVersion: '99999' }, never);
    if (!asked.ok) throw new Error(asked.failure.message);
    expect(asked.answer.status).toBe(200);
    const parts = asked.answer.bytes[Symbol.asyncIterator]();
    server.bookmark('pods');
    const first = await parts.next();
    expect(Buffer.from(first.value as Uint8Array).toString()).toMatch(/"BOOKMARK"/);
    server.expire();
    expect((await parts.next()).done).toBe(true);
  });

  test('outlives the deadline of its head', async () => {
    const clock = createManualClock();
    const patient = createHttpApi({ server: server.url, access: open, clock });
    const asked = await patient.stream(pods, { watch: true, resourceVersion: '99999' }, never);
    if (!asked.ok) throw new Error(asked.failure.message);
    expect(clock.sleepers()).toBe(0);
    await clock.advance(3_600_000);
    server.bookmark('pods');
    server.expire();
    expect(await textOf(asked.answer.bytes)).toMatch(/"BOOKMARK"/);
    patient.close();
  });

  test('that breaks off says so', async () => {
    server.next('*', { lines: ['{"type"'], ending: 'cut' });
    const asked = await api.stream(pods, { watch: true }, never);
    if (!asked.ok) throw new Error(asked.failure.message);
    const broken = await textOf(asked.answer.bytes).catch((error: unknown) => error);
    expect(broken).toBeInstanceOf(BrokenStream);
    expect((broken as BrokenStream).failure.reason).toBe('refused');
  });

  test('of another status is read whole', async () => {
    server.next('*', { status: 403, body: { message: 'no' } });
    const asked = await api.stream(pods, { watch: true }, never);
    expect(asked).toMatchObject({ ok: true, answer: { status: 403, body: '{"message":"no"}' } });
  });

  test('ends with its signal, and leaves no connection', async () => {
    const stop = new AbortController();
    const asked = await api.stream(pods, { watch: true, resourceVersion: '99999' }, stop.signal);
    if (!asked.ok) throw new Error(asked.failure.message);
    const text = textOf(asked.answer.bytes).catch((error: unknown) => error);
    stop.abort();
    expect(await text).toBeInstanceOf(BrokenStream);
    while (server.openWatches() > 0) await new Promise((resolve) => setImmediate(resolve));
    expect(server.openWatches()).toBe(0);
  });

  test.each([10, 100_000])(
    'of %d bytes that had come whole, but was not read, ends quietly',
    async (size) => {
      const stop = new AbortController();
      server.next('*', { status: 200, body: 'x'.repeat(size) });
      const asked = await api.stream(pods, {}, stop.signal);
      if (!asked.ok) throw new Error(asked.failure.message);
      const parts = asked.answer.bytes[Symbol.asyncIterator]();
      await parts.next();
      stop.abort();
      await expect(parts.next()).rejects.toBeInstanceOf(BrokenStream);
    },
  );
});
