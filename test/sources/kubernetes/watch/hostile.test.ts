/**
 * All resources together: one that fails, stalls or sends false data does not affect the others, and nothing
 * delays the shutdown.
 */
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { silentLog } from '../../../../src/lib/log.ts';
import { Secret } from '../../../../src/lib/secret.ts';
import { expositionText } from '../../../../src/metrics/exposition.ts';
import { createEventLog } from '../../../../src/scheduler/event-log.ts';
import type { Outcome } from '../../../../src/scheduler/outcome.ts';
import { createHttpApi } from '../../../../src/sources/kubernetes/api/http.ts';
import { watchFamilies } from '../../../../src/sources/kubernetes/cluster-families.ts';
import { chartComponentOf } from '../../../../src/sources/kubernetes/gitaly-objects.ts';
import { createKubernetesSource } from '../../../../src/sources/kubernetes/source.ts';
import {
  notCurrent,
  type WatchedResource,
  watchedResources,
} from '../../../../src/sources/kubernetes/store.ts';
import { createStores, type WatchedStores } from '../../../../src/sources/kubernetes/watch/stores.ts';
import {
  accessTo,
  type RawObject,
  type ScriptedResponse,
  startKubeApi,
  type TestKubeApi,
} from '../../../support/kube-api.ts';
import { advanceUntil, createManualClock, type ManualClock } from '../../../support/manual-clock.ts';
import { until } from '../../../support/until.ts';

const token = 'eyJhbGciOiJSUzI1NiJ9.c2VydmljZSBhY2NvdW50.c2lnbmF0dXJl';

let server: TestKubeApi;
let clock: ManualClock;
let stores: WatchedStores;
let source: ReturnType<typeof createKubernetesSource>;

function begin(): void {
  const access = accessTo(server.url, new Secret(`Bearer ${token}`));
  const api = createHttpApi({ clock, access: async () => access });
  stores = createStores({
    ...{ api, clock, random: () => 0.5, log: silentLog, namespaces: undefined, role: 'all' },
    ...{ node: 'lab-node-1', gitalySelector: 'app=gitaly', praefectSelector: 'app=praefect' },
    staleMs: 300_000,
  });
  source = createKubernetesSource({
    ...{ stores, role: 'all', componentOf: chartComponentOf, clock, events: createEventLog(clock) },
    reportsServerInfo: false,
  });
  stores.start();
}

const stateOf = (resource: WatchedResource) =>
  stores.states().find((each) => each.resource === resource)?.state;
const isCurrent = (resource: WatchedResource): boolean => stateOf(resource)?.current === true;
const watchCurrent = (): string[] =>
  expositionText([{ families: watchFamilies(stores.states()) }])
    .split('\n')
    .filter((line) => line.startsWith('gitaly_exporter_kubernetes_watch_current'))
    .map((line) => line.replace(/^.*resource="(\w+)"\} /, '$1 '));
const collect = (): Promise<Outcome> => {
  const [collector] = source.collectors;
  if (collector === undefined) throw new Error('no collector');
  return collector.collect({ signal: new AbortController().signal, cause: 'scrape' });
};
const passUntil = (what: () => boolean, stepMs = 1000): Promise<void> => advanceUntil(clock, what, stepMs);

beforeEach(async () => {
  server = await startKubeApi();
  server.load('drain', '0-before');
  clock = createManualClock();
});
afterEach(async () => {
  await stores.stop();
  await server.close();
});

const notAList: ScriptedResponse = {
  status: 200,
  body: { kind: 'Status', metadata: { resourceVersion: '7' }, items: [] },
};
const endless = (): ScriptedResponse => ({
  status: 200,
  body: { kind: 'PodList', metadata: { resourceVersion: '7', continue: String(Math.random()) }, items: [] },
});

describe('one resource', () => {
  test.each(watchedResources)('that is listed as another kind fails the collector: %s', async (resource) => {
    server.always(`${resource}:list`, notAList);
    begin();
    await passUntil(() => stateOf(resource)?.failure !== undefined);
    const others = watchedResources.filter((each) => each !== resource);
    await passUntil(() => others.every(isCurrent));
    expect(watchCurrent().sort()).toEqual([...others.map((each) => `${each} 1`), `${resource} 0`].sort());
    expect(await collect()).toMatchObject({
      ...{ kind: 'failed', reason: 'parse' },
      message: expect.stringContaining(`sent something else than a list of ${resource}`),
    });
  });

  test.each(watchedResources)(
    'with a malformed object fails the collector, and the rest is reported: %s',
    async (resource) => {
      begin();
      await passUntil(() => watchedResources.every(isCurrent));
      const before = stores.pods.all().length;
      const metadata = {
        ...{ name: 'odd', namespace: 'gitlab', uid: 'odd', resourceVersion: '1', labels: { app: 'gitaly' } },
        creationTimestamp: 'yesterday',
      };
      const about = { kind: 'Pod', namespace: 'gitlab', name: 'gl-gitaly-default-0' };
      const spec = { template: { metadata: { labels: { app: 'gitaly' } } } };
      const odd = { metadata, involvedObject: about, spec } as RawObject;
      await until(() => server.openWatches(resource) > 0);
      server.emit(resource, 'ADDED', odd);
      await passUntil(() => (stateOf(resource)?.malformed.length ?? 0) > 0);
      expect(stores.pods.all()).toHaveLength(before);
      expect(watchCurrent()).toContain(`${resource} 0`);
      expect(await collect()).toMatchObject({
        ...{ kind: 'failed', reason: 'parse' },
        message: expect.stringContaining('creationTimestamp is not a time'),
      });
      server.emit(resource, 'DELETED', odd);
      await passUntil(() => stateOf(resource)?.malformed.length === 0);
      expect((await collect()).kind).toBe('data');
    },
  );

  test.each<[string, ScriptedResponse | (() => ScriptedResponse)]>([
    ['gets no response', 'hang'],
    ['has a continue token that always changes', endless],
    ['is sent endlessly', { flood: ' ' }],
  ])('that %s delays neither the others nor the shutdown', async (_, response) => {
    server.always('pods:list', response);
    begin();
    const others = watchedResources.filter((each) => each !== 'pods');
    await passUntil(() => others.every(isCurrent));
    expect(isCurrent('pods')).toBe(false);
    const started = performance.now();
    await stores.stop();
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe('a cluster without policy/v1', () => {
  test('has its disruption budgets from policy/v1beta1, without a failure', async () => {
    server.setNotServed('policy/v1');
    begin();
    await passUntil(() => watchedResources.every(isCurrent));
    expect(stores.disruptionBudgets.all()).toHaveLength(2);
    const paths = server.requests.filter(({ what }) => what.startsWith('poddisruptionbudgets'));
    expect(paths.map(({ path }) => path)).toEqual([
      '/apis/policy/v1/poddisruptionbudgets',
      '/apis/policy/v1beta1/poddisruptionbudgets',
      '/apis/policy/v1beta1/poddisruptionbudgets',
    ]);
    expect((await collect()).kind).toBe('data');
    expect(source.view().unavailable).toEqual([]);
  });

  test('and without v1beta1 has no disruption budgets: not available, which is not a failure, and rarely requested', async () => {
    server.setNotServed('policy/v1', 'policy/v1beta1');
    begin();
    const others = watchedResources.filter((each) => each !== 'poddisruptionbudgets');
    await passUntil(() => others.every(isCurrent));
    const message =
      'the API server does not serve poddisruptionbudgets of policy/v1 or policy/v1beta1 (HTTP 404): needs Kubernetes 1.21';
    await passUntil(() => source.view().unavailable.length > 0);
    expect(source.view().unavailable).toEqual([{ resource: 'poddisruptionbudgets', message }]);
    expect(notCurrent(stores.disruptionBudgets, 'poddisruptionbudgets')?.message).toBe(message);
    expect((await collect()).kind).toBe('data');
    expect(watchCurrent().sort()).toEqual(others.map((each) => `${each} 1`).sort());
    const requests = (): number =>
      server.requests.filter(({ what }) => what === 'poddisruptionbudgets:list').length;
    const before = requests();
    await clock.advance(400_000);
    expect(requests()).toBe(before);
    // The cluster is upgraded.
    server.setNotServed();
    await passUntil(() => isCurrent('poddisruptionbudgets'), 30_000);
    expect(source.view().unavailable).toEqual([]);
    expect(stores.disruptionBudgets.all()).toHaveLength(2);
  });
});

describe('text from the API server', () => {
  const shown = async (): Promise<string> =>
    JSON.stringify([source.view(), stores.states(), await collect()]);

  test('in an error is cut, printable and without the token that it repeats', async () => {
    const message = `${'x'.repeat(100)}\u001b[2J\u202e Bearer ${token} ${'y'.repeat(100_000)}`;
    server.always('*', { status: 500, body: { kind: 'Status', code: 500, message } });
    begin();
    await passUntil(() => stateOf('pods')?.failure !== undefined);
    await passUntil(() => stateOf('nodes')?.failure !== undefined);
    const text = await shown();
    expect(text).toContain('Bearer <secret>');
    expect(text.length).toBeLessThan(20_000);
    expect(text).not.toMatch(/eyJ|\\u001b|\u202e/);
  });

  test('in events, names and reasons is printable and without the token', async () => {
    begin();
    await passUntil(() => watchedResources.every(isCurrent));
    const pod = stores.pods.all().find(({ name }) => name === 'gl-gitaly-default-0');
    if (pod === undefined) throw new Error('the recording has changed');
    const base64 = Buffer.from(token).toString('base64');
    const event = {
      metadata: {
        ...{ name: 'e', namespace: 'gitlab', uid: 'e', resourceVersion: '1' },
        creationTimestamp: '2026-11-23T02:00:00Z',
      },
      ...{
        type: 'Warning',
        reason: 'Failed\u001b[31m',
        involvedObject: { kind: 'Pod', namespace: pod.namespace, name: pod.name, uid: pod.uid },
      },
      message: `${token}\n\u009b2J${base64} ${'z'.repeat(10_000)}`,
      lastTimestamp: '2026-11-23T02:00:00Z',
    };
    const odd = {
      metadata: {
        name: `gl-${token}\u0007`,
        namespace: 'gitlab',
        uid: 'odd',
        resourceVersion: '1',
        labels: { app: 'gitaly' },
      },
    };
    await until(() => server.openWatches('events') > 0);
    server.emit('events', 'ADDED', event as RawObject);
    server.emit('pods', 'ADDED', odd as RawObject);
    await passUntil(() => source.view().pods.some(({ warning }) => warning !== undefined));
    await passUntil(() => (stateOf('pods')?.malformed.length ?? 0) > 0);
    const text = await shown();
    expect(text).toContain('<secret> 2J<secret>');
    expect(text).not.toMatch(/eyJ|\\u00|\u009b|\\n|z{600}/);
    expect(text).not.toContain(base64.slice(0, 20));
  });
});

test.each([-4, 0, 4])("the API server's clock is measured from its responses: %i h off", async (hours) => {
  server.setClock(() => clock.now() + hours * 3_600_000);
  begin();
  await passUntil(() => watchedResources.every(isCurrent));
  const families = watchFamilies(stores.states(), stores.clockSkewMs());
  const [line = ''] = expositionText([{ families }])
    .split('\n')
    .filter((each) => each.startsWith('gitaly_exporter_kubernetes_clock_skew_seconds '));
  expect(Math.abs(Number(line.split(' ')[1]) - hours * 3600)).toBeLessThan(3);
  expect(source.view().clockSkewSeconds === 0).toBe(hours === 0);
});
