/** Rights on the API, tried on a server that grants some of them: only GETs, and nothing read that need not be. */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { apiFindings } from '../../src/doctor/api-rights.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { createHttpApi } from '../../src/sources/kubernetes/api/http.ts';
import { type RightsSettings, rightsFor } from '../../src/sources/kubernetes/directory/rights.ts';
import { type Misbehaviour, recorded, startKubeApi, type TestKubeApi } from '../support/kube-api.ts';
import { until } from '../support/until.ts';

const cluster: RightsSettings = { role: 'cluster', namespace: ['gitlab'], scrape: true, volumeStats: false };
const forbidden: Misbehaviour = recorded('list-forbidden');

let server: TestKubeApi;
beforeEach(async () => {
  server = await startKubeApi();
  server.load('posture-good', 'at-rest');
  // As an account without rights on Secrets has it.
  server.always('secrets:get', forbidden);
  server.always(':list', { status: 200, body: { gitVersion: 'v1.35.4' } });
});
afterEach(() => server.close());

function look(settings: RightsSettings = cluster, signal = AbortSignal.timeout(20_000)) {
  const api = createHttpApi({
    server: server.url,
    clock: systemClock,
    access: async () => ({ ok: true, access: { tls: {}, authorization: undefined, headers: {} } }),
    timeoutMs: 5000,
  });
  return apiFindings(api, rightsFor(settings), signal).finally(() => api.close());
}

test('with every right all passes, and no object is asked for by its name', async () => {
  const findings = await look();
  expect(findings.map(({ check, status, found }) => [check.id, status, found])).toEqual([
    ['api_reachable', 'pass', expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+, Kubernetes v1\.35\.4$/)],
    [
      'api_rights',
      'pass',
      '13 of 13 granted, on pods, statefulsets, poddisruptionbudgets, nodes, events, configmaps',
    ],
    ['api_least_rights', 'pass', 'no Secrets of kube-system, gitlab, default'],
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
    'may not list pods in namespace gitlab, as system:serviceaccount:gitlab:default',
    'kubectl auth can-i list pods -n gitlab --as system:serviceaccount:gitlab:default',
  ],
  ['pods:watch', 'may not watch pods in namespace gitlab', 'kubectl auth can-i watch pods -n gitlab'],
  [
    'statefulsets:list',
    'may not list statefulsets.apps in namespace gitlab',
    'kubectl auth can-i list statefulsets.apps -n gitlab',
  ],
  ['nodes:watch', 'may not watch nodes,', 'kubectl auth can-i watch nodes --as'],
  [
    'configmaps:get',
    'may not get configmaps in namespace gitlab',
    'kubectl auth can-i get configmaps -n gitlab',
  ],
])('without %s that right alone is named, with the line that proves it', async (what, found, kubectl) => {
  server.always(what, forbidden);
  const bad = (await look()).filter(({ check, status }) => check.id === 'api_rights' && status === 'fail');
  expect(bad).toHaveLength(1);
  expect(bad[0]?.found).toContain(found);
  expect(bad[0]?.mend.map(({ text }) => text).join('\n')).toContain(kubectl);
});

test('in all namespaces the line asks for all of them', async () => {
  server.always('events:watch', forbidden);
  const [bad] = (await look({ ...cluster, namespace: undefined })).filter(({ status }) => status === 'fail');
  expect(bad?.found).toContain('may not watch events in all namespaces');
  expect(bad?.mend.map(({ text }) => text).join('\n')).toMatch(
    /rbac\.yaml.*\nkubectl auth can-i watch events -A/,
  );
});

test('an account that may read Secrets has more than it needs', async () => {
  server.always('secrets:get', undefined);
  expect((await look()).at(-1)).toMatchObject({
    status: 'warn',
    found: 'may get Secrets in namespace kube-system, gitlab, default',
  });
});

describe('what stands in the way', () => {
  test('credentials that are refused', async () => {
    server.requireToken('another');
    expect(await look()).toMatchObject([
      { check: { id: 'api_reachable' }, status: 'fail', found: expect.stringContaining('HTTP 401') },
    ]);
  });

  test('nobody listens', async () => {
    await server.stop();
    expect(await look()).toMatchObject([
      {
        check: { id: 'api_reachable' },
        status: 'fail',
        found: expect.stringContaining('refused the connection'),
      },
    ]);
  });

  test('a server that is silent, until the signal aborts', async () => {
    server.always(':list', 'silence');
    server.always('*', 'silence');
    expect(await look(cluster, AbortSignal.timeout(200))).toMatchObject([
      { check: { id: 'api_reachable' }, status: 'fail' },
    ]);
  });

  test('a server that fails leaves the right unknown, not missing and not granted', async () => {
    server.always('pods:list', { status: 500 });
    const [bad] = (await look()).filter(({ check }) => check.id === 'api_rights');
    expect(bad).toMatchObject({
      status: 'unknown',
      found: expect.stringContaining('list pods in namespace gitlab: the API server answered with HTTP 500'),
    });
  });
});
