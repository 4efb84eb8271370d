import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { systemClock } from '../../../../src/lib/clock.ts';
import { createHttpApi } from '../../../../src/sources/kubernetes/api/http.ts';
import { createOtherPods } from '../../../../src/sources/kubernetes/directory/other-pods.ts';
import { chartComponentOf } from '../../../../src/sources/kubernetes/gitaly-objects.ts';
import {
  accessTo,
  type RawObject,
  recorded,
  type ScriptedResponse,
  startKubeApi,
  type TestKubeApi,
} from '../../../support/kube-api.ts';
import { archive } from '../../../support/kubernetes-archive.ts';
import { createManualClock } from '../../../support/manual-clock.ts';

let server: TestKubeApi;
beforeEach(async () => {
  server = await startKubeApi();
});
afterEach(() => server.close());

const [gitaly] = archive('posture-good').items('at-rest/pods.json') as readonly (RawObject & {
  spec: object;
})[];

/** `count` other pods with priorities from 0 on, and one of Gitaly's. */
function serve(count: number): void {
  if (gitaly === undefined) throw new Error('a recorded pod');
  const others = Array.from({ length: count }, (_, at) => ({
    ...gitaly,
    metadata: { ...gitaly.metadata, labels: {}, name: `web-${at}`, namespace: 'web', uid: `uid-${at}` },
    spec: { priority: at, containers: [{ name: 'web' }] },
  }));
  server.put('pods', [gitaly, ...others]);
}

function opened() {
  const clock = createManualClock();
  const api = createHttpApi({
    clock: systemClock,
    access: async () => accessTo(server.url),
  });
  const others = createOtherPods(api, chartComponentOf, clock);
  return { clock, others, list: (signal = AbortSignal.timeout(20_000)) => others(signal) };
}

test('all pods except Gitaly are listed in pages', async () => {
  serve(250);
  const { list } = opened();
  const found = await list();
  expect(found).toHaveProperty('value');
  expect(
    'value' in found && [...found.value].sort((a, b) => Number(a.priority) - Number(b.priority)).at(-1),
  ).toEqual({
    namespace: 'web',
    name: 'web-249',
    priority: 249,
  });
  expect('value' in found && found.value).toHaveLength(250);
  expect(server.requests.map(({ query }) => query['limit'])).toEqual(['100', '100', '100']);
});

test('pods that have ended use no capacity, so their priority does not count', async () => {
  if (gitaly === undefined) throw new Error('a recorded pod');
  const pod = (name: string, phase: string) => ({
    ...gitaly,
    metadata: { ...gitaly.metadata, labels: {}, name, namespace: 'ci', uid: name },
    spec: { priority: 5_000_000, containers: [{ name: 'job' }] },
    status: { phase },
  });
  server.put('pods', [pod('done', 'Succeeded'), pod('broken', 'Failed'), pod('runs', 'Running')]);
  const { list } = opened();
  expect(await list()).toEqual({ value: [{ namespace: 'ci', name: 'runs', priority: 5_000_000 }] });
});

test('the list is repeated after half an hour', async () => {
  serve(1);
  const { list, clock } = opened();
  await list();
  await clock.advance(1_799_999);
  await list();
  expect(server.requests).toHaveLength(1);
  await clock.advance(1);
  await list();
  expect(server.requests).toHaveLength(2);
});

test.each([
  ['no right', recorded('list-forbidden'), 'no right to list pods in all namespaces'],
  ['a failure', { status: 500 }, 'HTTP 500'],
  ['a malformed response', { status: 200, body: '<html>' }, 'something else than a list'],
] as const)(
  '%s during the list makes the pods unknown, and is retried after five minutes',
  async (_what, response, why) => {
    serve(150);
    server.next(
      'pods:list',
      { status: 200, body: { kind: 'PodList', metadata: { continue: '0:x' }, items: [] } },
      response,
    );
    const { list, clock } = opened();
    expect(await list()).toEqual({ unknown: expect.stringContaining(why) });
    await clock.advance(299_999);
    await list();
    expect(server.requests).toHaveLength(2);
    await clock.advance(1);
    expect(await list()).toHaveProperty('value');
  },
);

test('a list that takes too long is not repeated every minute', async () => {
  serve(1);
  server.always('pods:list', 'hang');
  const { list, clock } = opened();
  expect(await list(AbortSignal.timeout(100))).toEqual({ unknown: expect.stringContaining('took longer') });
  await clock.advance(60_000);
  await list();
  expect(server.requests).toHaveLength(1);
});

test.each<[string, ScriptedResponse | (() => ScriptedResponse), string]>([
  [
    'is a list of another kind',
    { status: 200, body: { kind: 'NodeList', metadata: {}, items: [] } },
    'something else than a list of pods',
  ],
  [
    'has a malformed pod',
    { status: 200, body: { kind: 'PodList', metadata: {}, items: [{ metadata: { name: 'web-0' } }] } },
    'a malformed one: metadata.uid is missing',
  ],
  [
    'never ends',
    () => ({
      status: 200,
      body: { kind: 'PodList', metadata: { continue: String(Math.random()) }, items: [] },
    }),
    'fewer pods than requested',
  ],
])('a list that %s is not a list of all pods', async (_, response, why) => {
  server.always('pods:list', response);
  const found = await opened().list();
  expect('unknown' in found && found.unknown).toContain(why);
  expect(server.requests.length).toBeLessThan(30);
});
