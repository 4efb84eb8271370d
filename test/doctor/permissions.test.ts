/**
 * Permissions on the API, tested against a server that grants some of them: with GET requests only, each as
 * small as possible.
 */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { permissionFindings } from '../../src/doctor/permissions.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createHttpApi } from '../../src/sources/kubernetes/api/http.ts';
import { type RightsSettings, rightsFor } from '../../src/sources/kubernetes/directory/rights.ts';
import {
  accessTo,
  recorded,
  type ScriptedResponse,
  startKubeApi,
  type TestKubeApi,
} from '../support/kube-api.ts';
import { until } from '../support/until.ts';

const cluster: RightsSettings = { role: 'cluster', namespace: ['gitlab'], scrape: true, volumeStats: false };
const forbidden: ScriptedResponse = recorded('list-forbidden');

let server: TestKubeApi;
beforeEach(async () => {
  server = await startKubeApi();
  server.load('posture-good', 'at-rest');
  // As an account without permissions on Secrets.
  server.always('secrets:get', forbidden);
  server.always(':list', { status: 200, body: { gitVersion: 'v1.35.4' } });
});
afterEach(() => server.close());

function findings(settings: RightsSettings = cluster, signal = AbortSignal.timeout(20_000)) {
  const api = createHttpApi({
    clock: systemClock,
    access: async () => accessTo(server.url),
    timeoutMs: 5000,
  });
  return permissionFindings(api, rightsFor(settings), signal).finally(() => api.close());
}

test('every check passes with every permission, and no object is requested by its name', async () => {
  const all = await findings();
  expect(all.map(({ check, status, detail }) => [check.id, status, detail])).toEqual([
    ['api_reachable', 'pass', expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+, Kubernetes v1\.35\.4$/)],
    [
      'api_rights',
      'pass',
      '13 of 13 granted, on pods, statefulsets, poddisruptionbudgets, nodes, events, configmaps',
    ],
    ['api_least_rights', 'pass', 'no read access to Secrets in kube-system, gitlab, default'],
  ]);
  const names = server.requests.filter(({ what }) => what.endsWith(':get')).map(({ path }) => path);
  expect(names.every((path) => path.endsWith('/gitaly-exporter-doctor-no-such-object'))).toBe(true);
  expect(
    server.requests.filter(
      ({ what, query }) => what.endsWith(':list') && what !== ':list' && query['limit'] !== '1',
    ),
  ).toEqual([]);
  await until(() => server.openWatches() === 0);
});

test.each([
  [
    'pods:list',
    'forbidden: list pods in namespace gitlab as system:serviceaccount:gitlab:default, needed for',
    'kubectl auth can-i list pods -n gitlab --as system:serviceaccount:gitlab:default',
  ],
  ['pods:watch', 'forbidden: watch pods in namespace gitlab', 'kubectl auth can-i watch pods -n gitlab'],
  [
    'statefulsets:list',
    'forbidden: list statefulsets.apps in namespace gitlab',
    'kubectl auth can-i list statefulsets.apps -n gitlab',
  ],
  ['nodes:watch', 'forbidden: watch nodes as', 'kubectl auth can-i watch nodes --as'],
  [
    'configmaps:get',
    'forbidden: get configmaps in namespace gitlab',
    'kubectl auth can-i get configmaps -n gitlab',
  ],
])(
  'without %s, that permission alone is reported, with the line that verifies it',
  async (what, found, kubectl) => {
    server.always(what, forbidden);
    const failures = (await findings()).filter(
      ({ check, status }) => check.id === 'api_rights' && status === 'fail',
    );
    expect(failures).toHaveLength(1);
    expect(failures[0]?.detail).toContain(found);
    expect(failures[0]?.fixes.map(({ text }) => text).join('\n')).toContain(kubectl);
  },
);

test('for all namespaces the line verifies the permission in all of them', async () => {
  server.always('events:watch', forbidden);
  const [failures] = (await findings({ ...cluster, namespace: undefined })).filter(
    ({ status }) => status === 'fail',
  );
  expect(failures?.detail).toContain('forbidden: watch events in all namespaces');
  expect(failures?.fixes.map(({ text }) => text).join('\n')).toMatch(
    /rbac\.yaml.*\nkubectl auth can-i watch events -A/,
  );
});

test('an account that can read Secrets is a warning', async () => {
  server.always('secrets:get', undefined);
  expect((await findings()).at(-1)).toMatchObject({
    status: 'warn',
    detail: 'can read Secrets in namespace kube-system, gitlab, default',
  });
});

describe('a failure is reported when', () => {
  test('the credentials are rejected', async () => {
    server.requireToken('another');
    expect(await findings()).toMatchObject([
      { check: { id: 'api_reachable' }, status: 'fail', detail: expect.stringContaining('HTTP 401') },
    ]);
  });

  test('the connection is refused', async () => {
    await server.stop();
    expect(await findings()).toMatchObject([
      {
        check: { id: 'api_reachable' },
        status: 'fail',
        detail: expect.stringContaining('refused the connection'),
      },
    ]);
  });

  test('the server does not respond before the signal aborts', async () => {
    server.always(':list', 'hang');
    server.always('*', 'hang');
    expect(await findings(cluster, AbortSignal.timeout(200))).toMatchObject([
      { check: { id: 'api_reachable' }, status: 'fail' },
    ]);
  });

  test('the server responds with an error: the permission is unknown, neither missing nor granted', async () => {
    server.always('pods:list', { status: 500 });
    const [failures] = (await findings()).filter(({ check }) => check.id === 'api_rights');
    expect(failures).toMatchObject({
      status: 'unknown',
      detail: expect.stringContaining(
        'list pods in namespace gitlab: the API server responded with HTTP 500',
      ),
    });
  });
});

test.each([
  [3, '; its clock is 2 h 59 min ahead of this host'],
  [-3, '; its clock is 2 h 59 min behind this host'],
])('a clock of the API server that is %i h off is reported', async (hours, text) => {
  // A minute less, so that the seconds of the measurement do not matter.
  server.setClock(() => Date.now() + Math.sign(hours) * (Math.abs(hours) * 3_600_000 - 30_000));
  const [reachable] = await findings();
  expect(reachable?.detail).toContain(text);
});

test('disruption budgets are tried in policy/v1beta1 where v1 is not served, and reported where neither is', async () => {
  server.setNotServed('policy/v1');
  expect((await findings()).map(({ status }) => status)).toEqual(['pass', 'pass', 'pass']);
  server.setNotServed('policy/v1', 'policy/v1beta1');
  const open = (await findings()).filter(({ status }) => status !== 'pass');
  expect(open.length).toBeGreaterThan(0);
  for (const { status, detail } of open)
    expect([status, detail]).toEqual(['unknown', expect.stringContaining('needs Kubernetes 1.21')]);
});
