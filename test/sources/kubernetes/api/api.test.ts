import { expect, test } from '@jest/globals';
import { createLazyApi, type KubeApi, type OpenApi } from '../../../../src/sources/kubernetes/api/api.ts';
import { createManualClock } from '../../../support/manual-clock.ts';

const signal = new AbortController().signal;
const failed = {
  ok: false,
  failure: { reason: 'parse', message: 'kubernetes.kubeconfig: /x is not YAML' },
} as const;

function fakeApi(): KubeApi & { closed: boolean } {
  return {
    closed: false,
    server: 'https://api.example:6443',
    get: async (path) => ({ ok: true, response: { status: 200, retryAfterSeconds: undefined, body: path } }),
    stream: async () => failed,
    clockSkewMs: () => undefined,
    withoutSecrets: (bytes: Buffer) => bytes,
    close() {
      this.closed = true;
    },
  };
}

test('a lazy API is opened once by its first requests', async () => {
  let opened = 0;
  const api = fakeApi();
  const lazy = createLazyApi(async () => {
    opened += 1;
    return { ok: true, api };
  }, createManualClock());
  expect(opened).toBe(0);
  expect(lazy.server).toBe('the API server');
  const results = await Promise.all([lazy.get('/a', {}, signal), lazy.get('/b', {}, signal)]);
  expect(results.map((result) => result.ok && result.response.body)).toEqual(['/a', '/b']);
  expect([opened, lazy.server]).toEqual([1, 'https://api.example:6443']);
  lazy.close();
  await Promise.resolve();
  await Promise.resolve();
  expect(api.closed).toBe(true);
});

test('an invalid configuration is the failure of each request, and is read again after five seconds', async () => {
  const clock = createManualClock();
  let opened = 0;
  const open: OpenApi = async () => {
    opened += 1;
    return opened === 1 ? failed : { ok: true, api: fakeApi() };
  };
  const lazy = createLazyApi(open, clock);
  expect(await lazy.get('/a', {}, signal)).toEqual(failed);
  expect(await lazy.stream('/a', {}, signal)).toEqual(failed);
  expect(opened).toBe(1);
  await clock.advance(5000);
  expect(await lazy.get('/a', {}, signal)).toMatchObject({ ok: true });
  await clock.advance(5000);
  expect(await lazy.get('/a', {}, signal)).toMatchObject({ ok: true });
  expect(opened).toBe(2);
});
