import { expect, test } from '@jest/globals';
import type { KubeApi } from '../../../../src/sources/kubernetes/api/api.ts';
import { lateApi, type OpenApi } from '../../../../src/sources/kubernetes/api/late.ts';
import { createManualClock } from '../../../support/manual-clock.ts';

const signal = new AbortController().signal;
const broken = {
  ok: false,
  failure: { reason: 'parse', message: 'kubernetes.kubeconfig: /x is not YAML' },
} as const;

function fakeApi(): KubeApi & { closed: boolean } {
  return {
    closed: false,
    server: 'https://api.example:6443',
    get: async (path) => ({ ok: true, answer: { status: 200, retryAfterSeconds: undefined, body: path } }),
    stream: async () => broken,
    close() {
      this.closed = true;
    },
  };
}

test('is opened by the first question, once for all that ask at the same time', async () => {
  let opened = 0;
  const api = fakeApi();
  const late = lateApi(async () => {
    opened += 1;
    return { ok: true, api };
  }, createManualClock());
  expect(opened).toBe(0);
  expect(late.server).toBe('the API server');
  const answers = await Promise.all([late.get('/a', {}, signal), late.get('/b', {}, signal)]);
  expect(answers.map((asked) => asked.ok && asked.answer.body)).toEqual(['/a', '/b']);
  expect([opened, late.server]).toEqual([1, 'https://api.example:6443']);
  late.close();
  await Promise.resolve();
  await Promise.resolve();
  expect(api.closed).toBe(true);
});

test('a broken configuration fails each question in its own words, and is read again when it may have been mended', async () => {
  const clock = createManualClock();
  let opened = 0;
  const open: OpenApi = async () => {
    opened += 1;
    return opened === 1 ? broken : { ok: true, api: fakeApi() };
  };
  const late = lateApi(open, clock);
  expect(await late.get('/a', {}, signal)).toEqual(broken);
  expect(await late.stream('/a', {}, signal)).toEqual(broken);
  expect(opened).toBe(1);
  await clock.advance(5000);
  expect(await late.get('/a', {}, signal)).toMatchObject({ ok: true });
  await clock.advance(5000);
  expect(await late.get('/a', {}, signal)).toMatchObject({ ok: true });
  expect(opened).toBe(2);
});
