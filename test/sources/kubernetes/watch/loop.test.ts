import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { silentLog } from '../../../../src/lib/log.ts';
import { createHttpApi } from '../../../../src/sources/kubernetes/api/http.ts';
import type { Pod } from '../../../../src/sources/kubernetes/objects/types.ts';
import {
  type Change,
  incompleteness,
  type WatchEndReason,
} from '../../../../src/sources/kubernetes/store.ts';
import { runWatchLoop, type WatchLoop } from '../../../../src/sources/kubernetes/watch/loop.ts';
import {
  createMergedStore,
  type MergedStore,
} from '../../../../src/sources/kubernetes/watch/merged-store.ts';
import { kubeResources, type Scope } from '../../../../src/sources/kubernetes/watch/resources.ts';
import {
  accessTo,
  type RawObject,
  recorded,
  startKubeApi,
  type TestKubeApi,
} from '../../../support/kube-api.ts';
import { archive } from '../../../support/kubernetes-archive.ts';
import { advanceUntil, createManualClock, type ManualClock } from '../../../support/manual-clock.ts';
import { until } from '../../../support/until.ts';

const staleMs = 300_000;
/** The requested duration of a watch, with random 0.5. */
const lifetimeMs = 188_000;
const gitlab: Scope = { namespace: 'gitlab', labelSelector: 'app=gitaly', isSmall: true };

let server: TestKubeApi;
let clock: ManualClock;
let store: MergedStore<Pod>;
let loop: WatchLoop;
let stop: AbortController;
let changes: Change<Pod>[];

const raw = (name: string): RawObject =>
  (archive('drain').items('0-before/pods.json') as RawObject[]).find(
    ({ metadata }) => metadata.name === name,
  )!;
const names = (): string[] => store.all().map(({ name }) => name);
const restarts = (): Partial<Record<WatchEndReason, number>> =>
  Object.fromEntries(Object.entries(store.state().restarts).filter(([, count]) => count > 0));
const requestsOf = (what: string) => server.requests.filter((request) => request.what === what);
const watching = (): boolean => server.openWatches() === 1 && store.state().failure === undefined;

function begin(scope = gitlab, isIncluded: (raw: unknown, pod: Pod) => boolean = () => true): void {
  const api = createHttpApi({
    clock,
    access: async () => accessTo(server.url),
  });
  stop = new AbortController();
  store = createMergedStore<Pod>({ name: 'pods', clock, log: silentLog, staleMs });
  changes = [];
  store.subscribe((change) => changes.push(change));
  const sink = store.addWatch(() => loop.state());
  loop = runWatchLoop({
    api,
    clock,
    random: () => 0.5,
    log: silentLog,
    resource: kubeResources.pods,
    scope,
    isIncluded,
    sink,
    staleMs,
    signal: stop.signal,
  });
}

/** Starts the loop, and waits until the watch is open. */
async function running(): Promise<void> {
  begin();
  await until(watching);
}

const passUntil = (what: () => boolean, stepMs = 500): Promise<void> => advanceUntil(clock, what, stepMs);

beforeEach(async () => {
  server = await startKubeApi();
  server.load('drain', '0-before');
  clock = createManualClock();
});
afterEach(async () => {
  stop.abort();
  await loop.ended;
  await server.close();
});

describe('the loop without failures', () => {
  test("lists from the server's cache, watches from the list's version, and is current", async () => {
    await running();
    expect(names().sort()).toEqual(['gl-gitaly-default-0', 'gl-gitaly-default-1', 'gl-gitaly-default-2']);
    expect(changes).toEqual([{ type: 'relisted', before: [], now: store.all() }]);
    const [list, watch] = server.requests;
    expect(list).toMatchObject({
      path: '/api/v1/namespaces/gitlab/pods',
      query: { labelSelector: 'app=gitaly', resourceVersion: '0', limit: '500' },
    });
    expect(watch?.query).toEqual({
      labelSelector: 'app=gitaly',
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: expect.stringMatching(/^\d+$/),
      timeoutSeconds: String(lifetimeMs / 1000),
    });
    expect(store.state()).toMatchObject({
      current: true,
      lastEventAt: clock.now(),
      failure: undefined,
      objects: 3,
    });
    expect(restarts()).toEqual({});
  });

  test('reports each change in order, with the object before it', async () => {
    await running();
    const before = store.all().find(({ name }) => name === 'gl-gitaly-default-2');
    changes.length = 0;
    server.replay('drain', 'pods');
    const gitaly = archive('drain')
      .watch('pods')
      .map((line) => JSON.parse(line) as { type: string; object: RawObject })
      .filter(({ object }) => object.metadata.labels?.['app'] === 'gitaly')
      .map(({ type, object }) => `${type.toLowerCase()} ${object.metadata.name}`);
    await until(() => changes.length === gitaly.length);
    expect(changes.map((change) => `${change.type} ${'object' in change ? change.object.name : ''}`)).toEqual(
      gitaly,
    );
    const [first] = changes;
    expect(first).toMatchObject({ type: 'modified', before });
    expect(changes.some(({ type }) => type === 'added')).toBe(true);
    expect(changes.some(({ type }) => type === 'deleted')).toBe(true);
    expect(store.all()).toHaveLength(3);
  });

  test('reads long lists in pages', async () => {
    const { metadata } = raw('gl-gitaly-default-0');
    const many = Array.from({ length: 1200 }, (_, i) => ({
      metadata: { ...metadata, managedFields: [], name: `gl-${String(i).padStart(4, '0')}`, uid: `uid-${i}` },
    }));
    server.put('pods', many);
    begin({ namespace: 'gitlab' });
    await until(watching);
    expect(store.state().objects).toBe(1200);
    const [first, second, third, ...more] = requestsOf('pods:list').map(({ query }) => query);
    expect(first).toEqual({ limit: '500' });
    expect(second).toEqual({ limit: '500', continue: expect.any(String) });
    expect(third?.['continue']).not.toBe(second?.['continue']);
    expect(more).toEqual([]);
  });

  test('fails on a server that repeats a page', async () => {
    const page = {
      status: 200,
      body: { kind: 'PodList', metadata: { resourceVersion: '7', continue: 'again' }, items: [] },
    };
    server.next('pods:list', page, page);
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state().failure?.message).toMatch(/it repeats a page/);
    await passUntil(watching);
  });

  test('ignores objects that are not included', async () => {
    begin(gitlab, (_raw, { name }) => name !== 'gl-gitaly-default-1');
    await until(watching);
    expect(names()).not.toContain('gl-gitaly-default-1');
    changes.length = 0;
    server.emit('pods', 'MODIFIED', raw('gl-gitaly-default-1'));
    server.emit('pods', 'MODIFIED', raw('gl-gitaly-default-2'));
    await until(() => changes.length > 0);
    expect(changes).toMatchObject([{ type: 'modified', object: { name: 'gl-gitaly-default-2' } }]);
  });
});

describe('a watch that ends', () => {
  test('at its requested time is continued immediately from its last version, without a list', async () => {
    await running();
    server.emit('pods', 'MODIFIED', raw('gl-gitaly-default-0'));
    await until(() => changes.length === 2);
    await clock.advance(lifetimeMs);
    server.expire();
    await until(() => requestsOf('pods:watch').length === 2 && watching());
    const [first, second] = requestsOf('pods:watch');
    expect(Number(second?.query['resourceVersion'])).toBeGreaterThan(Number(first?.query['resourceVersion']));
    expect(requestsOf('pods:list')).toHaveLength(1);
    expect(restarts()).toEqual({ expired: 1 });
  });

  test('is continued from the version of a bookmark when there was no event', async () => {
    await running();
    server.emit('pods', 'MODIFIED', raw('gl-praefect-0'));
    server.bookmark('pods');
    server.expire();
    await until(() => store.state().failure !== undefined);
    await passUntil(() => requestsOf('pods:watch').length === 2);
    const [first, second] = requestsOf('pods:watch');
    expect(Number(second?.query['resourceVersion'])).toBe(Number(first?.query['resourceVersion']) + 1);
  });

  test('early is a failure, and is retried after a short delay', async () => {
    await running();
    server.expire();
    await until(() => store.state().failure !== undefined);
    expect(store.state()).toMatchObject({
      current: true,
      failure: {
        reason: 'refused',
        message: expect.stringMatching(/closed a watch of pods in namespace gitlab/),
      },
    });
    await passUntil(watching);
    expect(restarts()).toEqual({ closed: 1 });
    expect(requestsOf('pods:list')).toHaveLength(1);
  });

  test('by a connection reset is continued from its last version, with the changes in between', async () => {
    await running();
    server.cut();
    await until(() => store.state().failure !== undefined);
    server.emit('pods', 'DELETED', raw('gl-gitaly-default-1'));
    await passUntil(watching);
    await until(() => changes.length === 2);
    expect(changes[1]).toMatchObject({ type: 'deleted', object: { name: 'gl-gitaly-default-1' } });
    expect(restarts()).toEqual({ reset: 1 });
    expect(requestsOf('pods:list')).toHaveLength(1);
  });

  test('in the middle of a line drops the partial line, which the next watch repeats', async () => {
    await running();
    const line = JSON.stringify({ type: 'DELETED', object: raw('gl-gitaly-default-1') });
    server.cut();
    server.next('pods:watch', { lines: [line.slice(0, line.length - 20)], ending: 'cut' });
    await passUntil(() => requestsOf('pods:watch').length === 2);
    await until(() => (restarts().reset ?? 0) === 2);
    expect(names()).toContain('gl-gitaly-default-1');
    server.emit('pods', 'DELETED', raw('gl-gitaly-default-1'));
    await passUntil(() => !names().includes('gl-gitaly-default-1'));
    expect(restarts()).toEqual({ reset: 2 });
  });

  test('because the server is down is retried with backoff until the server returns', async () => {
    await running();
    await server.stop();
    await until(() => store.state().failure !== undefined);
    await passUntil(() => (restarts().reset ?? 0) >= 8);
    expect(store.state().failure).toMatchObject({ reason: 'refused', message: /nothing listens there/ });
    const failures = restarts().reset ?? 0;
    await clock.advance(4_900);
    expect((restarts().reset ?? 0) - failures).toBeLessThanOrEqual(1);
    await server.start();
    await passUntil(watching);
    expect(store.state()).toMatchObject({ current: true, objects: 3 });
    expect(requestsOf('pods:list')).toHaveLength(1);
  });
});

describe('HTTP 410', () => {
  test('does not make the objects current, and is retried without the backoff of the outage before it', async () => {
    await running();
    const { lastEventAt } = store.state();
    await server.stop();
    await passUntil(() => (restarts().reset ?? 0) >= 8);
    server.compact();
    await server.start();
    await passUntil(() => restarts().gone === 1);
    expect(store.state()).toMatchObject({
      lastEventAt,
      failure: { message: expect.stringMatching(/no longer has the resourceVersion/) },
    });
    await clock.advance(1000);
    await until(watching);
    expect(store.state().lastEventAt).toBeGreaterThan(lastEventAt ?? 0);
  });

  test('repeatedly is retried with backoff', async () => {
    await running();
    server.always('pods:watch', { status: 410 });
    server.cut();
    await passUntil(() => (restarts().gone ?? 0) >= 8);
    const listed = requestsOf('pods:list').length;
    await clock.advance(4_900);
    expect(requestsOf('pods:list').length - listed).toBeLessThanOrEqual(1);
  });

  test('as an ERROR event causes a list, which is reported with the objects before it', async () => {
    await running();
    const before = store.all();
    changes.length = 0;
    server.cut();
    server.emit('pods', 'DELETED', raw('gl-gitaly-default-1'));
    server.compact();
    await passUntil(() => changes.length > 0);
    await until(watching);
    expect(changes).toEqual([{ type: 'relisted', before, now: store.all() }]);
    expect(names()).not.toContain('gl-gitaly-default-1');
    expect(restarts()).toEqual({ reset: 1, gone: 1 });
    expect(requestsOf('pods:list')[1]?.query).toMatchObject({
      resourceVersion: requestsOf('pods:watch')[0]?.query['resourceVersion'],
      resourceVersionMatch: 'NotOlderThan',
    });
  });

  test('as a recorded stream, and as the status of a watch, causes a list', async () => {
    await running();
    for (const response of [recorded('watch-gone'), { status: 410 }]) {
      changes.length = 0;
      server.next('pods:watch', response);
      server.cut();
      await passUntil(() => changes.length > 0);
      await until(watching);
    }
    expect(restarts()).toMatchObject({ gone: 2 });
    expect(requestsOf('pods:list')).toHaveLength(3);
  });

  test('for the second page of a list restarts the list, and the first page is not reported', async () => {
    const [item] = archive('drain').items('0-before/pods.json');
    const body = { kind: 'PodList', metadata: { resourceVersion: '7', continue: 'old' }, items: [item] };
    server.next('pods:list', { status: 200, body }, recorded('list-continue-gone'));
    begin();
    await until(() => restarts().gone === 1);
    expect(store.all()).toEqual([]);
    await passUntil(watching);
    expect(requestsOf('pods:list')[1]?.query).toEqual({
      labelSelector: 'app=gitaly',
      limit: '500',
      continue: 'old',
    });
    expect(requestsOf('pods:list')[2]?.query).toEqual({ labelSelector: 'app=gitaly', limit: '500' });
  });

  test("with a version that is too new for the server's cache leads to a list from etcd", async () => {
    await running();
    server.next('pods:watch', { status: 410 });
    server.next('pods:list', recorded('list-too-new'));
    server.cut();
    await passUntil(() => requestsOf('pods:list').length === 3);
    await until(watching);
    expect(requestsOf('pods:list')[2]?.query).toEqual({ labelSelector: 'app=gitaly', limit: '500' });
    expect(restarts()).toMatchObject({ gone: 1, server_error: 1 });
  });
});

describe('an error response', () => {
  test('429 is retried after the time in Retry-After', async () => {
    server.next('pods:list', { status: 429, headers: { 'Retry-After': '30' } });
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state().failure?.message).toMatch(/throttles requests \(HTTP 429\)/);
    await clock.advance(29_000);
    expect(requestsOf('pods:list')).toHaveLength(1);
    await passUntil(watching);
    expect(restarts()).toEqual({ throttled: 1 });
  });

  test('5xx to a watch continues from its version', async () => {
    await running();
    server.next('pods:watch', { status: 500 }, { status: 503 });
    server.cut();
    await passUntil(() => (restarts().server_error ?? 0) === 2);
    await passUntil(watching);
    expect(requestsOf('pods:list')).toHaveLength(1);
  });

  test('403 names verb, resource, group, namespace and account, and is retried every minute', async () => {
    server.always('pods:list', recorded('list-forbidden'));
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state()).toMatchObject({
      current: false,
      lastEventAt: undefined,
      failure: {
        reason: 'permission',
        message:
          'no right to list pods of the core group ("") in namespace gitlab as system:serviceaccount:gitlab:default: grant get, list and watch in a Role of namespace gitlab (or a ClusterRole)',
      },
    });
    await clock.advance(59_000);
    expect(requestsOf('pods:list')).toHaveLength(1);
    await clock.advance(1000);
    await until(() => requestsOf('pods:list').length === 2);
    server.always('pods:list', undefined);
    await passUntil(watching, 5000);
    expect(store.state().current).toBe(true);
    expect(restarts()).toEqual({ permission: 2 });
  });

  test('403 of a server that has just started, and has not loaded its RBAC rules, is retried within seconds', async () => {
    begin();
    await passUntil(watching);
    server.next('pods:watch', recorded('list-forbidden'), recorded('list-forbidden'));
    const before = clock.now();
    server.cut();
    await passUntil(() => restarts().permission === 2);
    await passUntil(watching);
    expect(store.state().failure).toBeUndefined();
    expect(clock.now() - before).toBeLessThan(15_000);
  });

  test('403 to the watch alone names the verb watch', async () => {
    server.always('pods:watch', { status: 403 });
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state()).toMatchObject({
      objects: 3,
      failure: { message: expect.stringMatching(/^no right to watch pods/) },
    });
    await passUntil(() => !store.state().current, 5000);
    expect(clock.now() - (store.state().lastEventAt ?? 0)).toBeGreaterThan(staleMs);
  });

  test('401 is retried until the credentials are accepted again', async () => {
    server.always('pods:watch', recorded('list-unauthorized'));
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state().failure).toMatchObject({ reason: 'authentication' });
    // The first retry is soon; the others are about three per minute.
    await passUntil(() => restarts().authentication === 2);
    const attempts = requestsOf('pods:watch').length;
    await clock.advance(19_000);
    expect(requestsOf('pods:watch')).toHaveLength(attempts);
    server.always('pods:watch', undefined);
    await passUntil(watching);
    expect(restarts()).toEqual({ authentication: 2 });
  });
});

describe('a connection without data', () => {
  test('beyond the requested duration of the watch is replaced by a new watch', async () => {
    await running();
    await clock.advance(lifetimeMs + 9000);
    expect(restarts()).toEqual({});
    await clock.advance(1500);
    await until(() => requestsOf('pods:watch').length === 2 || store.state().failure !== undefined);
    expect(restarts()).toEqual({ timeout: 1 });
    await passUntil(watching);
    expect(store.state().current).toBe(true);
    expect(requestsOf('pods:list')).toHaveLength(1);
  });

  test('from a server that has sent bookmarks is replaced after 90 seconds', async () => {
    await running();
    server.bookmark('pods');
    await until(() => requestsOf('pods:watch').length === 1 && store.state().lastEventAt === clock.now());
    await clock.advance(1000);
    server.bookmark('pods');
    await until(() => store.state().lastEventAt === clock.now());
    await clock.advance(88_000);
    expect(restarts()).toEqual({});
    server.always('pods:watch', { status: 500 });
    await clock.advance(15_000);
    await until(() => restarts().timeout === 1);
    server.always('pods:watch', undefined);
    await passUntil(watching);
  });

  test('in the middle of a list causes another list, and the partial one is not reported', async () => {
    const [first] = archive('drain').items('0-before/pods.json');
    server.next('pods:list', {
      lines: [`{"metadata":{"resourceVersion":"9"},"items":[${JSON.stringify(first)},`],
      ending: 'hang',
    });
    begin();
    await until(() => requestsOf('pods:list').length === 1);
    await passUntil(() => restarts().timeout === 1, 5000);
    expect(store.all()).toEqual([]);
    await passUntil(watching);
    expect(store.all()).toHaveLength(3);
  });

  test('from a server without bookmarks stays current while its watches end at their requested time', async () => {
    await running();
    for (let i = 1; i < 4; i++) {
      await clock.advance(lifetimeMs);
      server.expire();
      await until(() => requestsOf('pods:watch').length === i + 1 && watching());
      expect(store.state()).toMatchObject({ current: true, lastEventAt: clock.now() });
    }
    // Each watch without a line is followed by a request for the server's present version.
    const lists = requestsOf('pods:list').map(({ query }) => query['limit']);
    expect(lists).toEqual(['500', '1', '1', '1']);
  });

  test('from a server whose etcd was restored is noticed at the end of the watch, and everything is listed again', async () => {
    await running();
    const kept = raw('gl-gitaly-default-0');
    const changed = { ...kept, status: { phase: 'Failed' } } as RawObject;
    server.restore('pods', [changed]);
    server.cut();
    await passUntil(() => requestsOf('pods:watch').length === 2 && watching());
    server.emit('pods', 'MODIFIED', changed);
    await clock.advance(lifetimeMs);
    server.expire();
    await passUntil(() => restarts().gone === 1 && watching());
    expect(store.all()).toMatchObject([{ name: 'gl-gitaly-default-0', phase: 'Failed' }]);
    expect(requestsOf('pods:list').at(-1)?.query['resourceVersion']).toBe(undefined);
    server.emit('pods', 'MODIFIED', { ...changed, status: { phase: 'Running' } } as RawObject);
    await until(() => store.all()[0]?.phase === 'Running');
  });

  test('from a server whose etcd was restored: older versions of objects that several watches report count', async () => {
    await running();
    const shared = createMergedStore<Pod>({ name: 'pods', clock, log: silentLog, staleMs });
    const [first, second] = [shared.addWatch(() => loop.state()), shared.addWatch(() => loop.state())];
    const [pod] = store.all();
    if (pod === undefined) throw new Error('no pod');
    const at = (version: string, phase: string) => ({ object: { ...pod, phase }, version });
    for (const watch of [first, second]) watch.put(pod.uid, at('900', 'Running'));
    first.put(pod.uid, at('7', 'Failed'));
    expect(shared.all()).toMatchObject([{ phase: 'Running' }]);
    first.restored();
    first.put(pod.uid, at('7', 'Failed'));
    expect(shared.all()).toMatchObject([{ phase: 'Failed' }]);
  });

  test('and without a response to the request for its present version does not count as current', async () => {
    await running();
    await clock.advance(lifetimeMs);
    server.next('pods:list', { status: 503 });
    server.expire();
    await until(() => store.state().failure !== undefined);
    expect(store.state().lastEventAt).toBeLessThanOrEqual(clock.now() - lifetimeMs + 5000);
    await passUntil(watching);
  });

  test('for too long makes the objects stale', async () => {
    await running();
    server.always('pods:watch', 'hang');
    server.cut();
    await passUntil(() => !store.state().current, 5000);
    expect(store.state()).toMatchObject({
      current: false,
      objects: 3,
      failure: { reason: expect.anything() },
    });
    expect(clock.now() - (store.state().lastEventAt ?? 0)).toBeGreaterThan(staleMs);
    server.always('pods:watch', undefined);
    await passUntil(() => store.state().current);
  });

  test('does not time out while bytes arrive slowly', async () => {
    const line = JSON.stringify({ type: 'MODIFIED', object: raw('gl-gitaly-default-0') });
    const pieces = [...`${line}\n`].reduce<string[]>((all, letter, i) => {
      all[Math.floor(i / 500)] = (all[Math.floor(i / 500)] ?? '') + letter;
      return all;
    }, []);
    server.next('pods:watch', { lines: pieces, ending: 'hang' });
    begin();
    await until(() => changes.length === 2);
    expect(changes[1]).toMatchObject({ type: 'modified', object: { name: 'gl-gitaly-default-0' } });
  });
});

describe('a malformed response', () => {
  const event = (object: unknown, type = 'MODIFIED'): string => `${JSON.stringify({ type, object })}\n`;

  test.each<[string, string]>([
    ['not JSON', '<html>\n'],
    ['JSON, but not an event', '[]\n'],
    ['an event without a version', event({ metadata: { uid: 'x' } })],
    ['an event of an unknown type', event({ metadata: { resourceVersion: '7' } }, 'RENAMED')],
    ['an object without a uid', event({ metadata: { resourceVersion: '7' } })],
    ['an object over the limit', `${'x'.repeat(5 * 1024 * 1024)}\n`],
  ])('to a watch causes a list: %s', async (_name, line) => {
    server.next('pods:watch', { lines: [line], ending: 'hang' });
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state().failure).toMatchObject({ reason: 'parse' });
    expect(store.all()).toHaveLength(3);
    await passUntil(watching);
    expect(requestsOf('pods:list')).toHaveLength(2);
    expect(restarts()).toEqual({ malformed: 1 });
  });

  test.each<[string, string]>([
    ['not JSON', '<html></html>'],
    ['cut JSON', '{"metadata":{"resourceVersion":"7"},"items":[{"metadata"'],
    ['no version', '{"items":[]}'],
  ])('to a list is retried: %s', async (_name, body) => {
    server.next('pods:list', { status: 200, body });
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state()).toMatchObject({ current: false, failure: { reason: 'parse' } });
    await passUntil(watching);
    expect(restarts()).toEqual({ malformed: 1 });
  });

  const listOf = (items: unknown, kind: unknown = 'PodList') => ({
    status: 200,
    body: { kind, apiVersion: 'v1', metadata: { resourceVersion: '7' }, items },
  });

  test.each<[string, ReturnType<typeof listOf>, RegExp]>([
    ['of another kind', listOf([], 'ConfigMapList'), /its kind is "ConfigMapList", expected "PodList"/],
    ['without a kind', listOf([], null), /its kind is/],
    ['with a string as its items', listOf('none'), /its items are "none"/],
    ['without items', listOf(undefined), /its items are missing/],
    ['with an object as its items', listOf({ a: 1 }), /its items are of a wrong type/],
    ['with items that are not objects', listOf(['gl-gitaly-0', 5]), /its items are no objects/],
  ])(
    'that is a list %s is rejected: the previous objects are kept until they are stale',
    async (_, response, why) => {
      await running();
      server.always('pods:list', response);
      server.always('pods:watch', { status: 410 });
      changes.length = 0;
      server.cut();
      await passUntil(() => (restarts().malformed ?? 0) > 2);
      const state = store.state();
      expect(state).toMatchObject({
        current: true,
        failure: { reason: 'parse', message: expect.stringMatching(why) },
      });
      expect(incompleteness(state)).toEqual(state.failure);
      expect([store.all().length, changes.length]).toEqual([3, 0]);
      await passUntil(() => !store.state().current, 5000);
      server.always('pods:list', undefined);
      server.always('pods:watch', undefined);
      await passUntil(() => watching() && store.state().current);
      expect(incompleteness(store.state())).toBeUndefined();
    },
  );

  test('that is an empty list as Go may write it is one', async () => {
    server.next('pods:list', listOf(null));
    begin();
    await until(watching);
    expect(store.state()).toMatchObject({ current: true, objects: 0, failure: undefined });
  });

  const ready = (name: string, status: string): RawObject => {
    const odd = structuredClone(raw(name)) as RawObject & { status: object };
    Object.assign(odd.status, { conditions: [{ type: 'Ready', status }] });
    return odd;
  };

  test('with one malformed object keeps the previous state of that object until it is stale', async () => {
    await running();
    changes.length = 0;
    server.emit('pods', 'MODIFIED', ready('gl-gitaly-default-1', 'Maybe'));
    server.emit('pods', 'MODIFIED', raw('gl-gitaly-default-2'));
    await until(() => changes.length === 1);
    expect(changes).toMatchObject([{ type: 'modified', object: { name: 'gl-gitaly-default-2' } }]);
    expect(names()).toContain('gl-gitaly-default-1');
    const state = store.state();
    expect(state).toMatchObject({
      ...{ current: true, malformed: ['gitlab/gl-gitaly-default-1'] },
      failure: {
        reason: 'parse',
        message:
          'malformed objects among pods in namespace gitlab: gitlab/gl-gitaly-default-1: condition Ready is neither True, False nor Unknown',
      },
    });
    expect(incompleteness(state)).toEqual(state.failure);
    for (let at = 0; at <= staleMs; at += 60_000) {
      await clock.advance(60_000);
      server.bookmark('pods');
      await until(() => store.state().lastEventAt === clock.now());
    }
    expect(names()).toEqual(['gl-gitaly-default-0', 'gl-gitaly-default-2']);
    expect([store.state().current, changes.length]).toEqual([true, 1]);
    server.emit('pods', 'MODIFIED', raw('gl-gitaly-default-1'));
    await until(() => changes.length === 2);
    expect(changes[1]).toMatchObject({ type: 'modified', object: { name: 'gl-gitaly-default-1' } });
    expect(store.state()).toMatchObject({ failure: undefined, malformed: [] });
    expect(restarts()).toEqual({});
  });

  test('with the deletion of a malformed object deletes it', async () => {
    await running();
    changes.length = 0;
    server.emit('pods', 'MODIFIED', ready('gl-gitaly-default-1', 'Maybe'));
    server.emit('pods', 'DELETED', ready('gl-gitaly-default-1', 'Maybe'));
    await until(() => changes.length === 1);
    expect(changes).toMatchObject([{ type: 'deleted', object: { name: 'gl-gitaly-default-1' } }]);
    expect(store.state()).toMatchObject({ failure: undefined, malformed: [], objects: 2 });
  });

  test.each<[string, (pod: RawObject) => object, string]>([
    [
      'an invalid deletionTimestamp',
      (pod) => ({ ...pod.metadata, deletionTimestamp: 'soon' }),
      'deletionTimestamp',
    ],
    ['no uid', ({ metadata: { uid: _uid, ...rest } }) => rest, 'metadata.uid is missing'],
    ['no metadata', () => ({}), 'an object without a name'],
  ])(
    'with one object in a list that has %s keeps its previous state, and is listed again',
    async (_, change, why) => {
      await running();
      const odd = { ...raw('gl-gitaly-default-1') };
      const items = [
        raw('gl-gitaly-default-0'),
        { ...odd, metadata: change(odd) },
        raw('gl-gitaly-default-2'),
      ];
      server.next('pods:watch', { status: 410 });
      server.next('pods:list', listOf(items));
      server.cut();
      await passUntil(() => store.state().malformed.length > 0);
      expect(names().sort()).toEqual(['gl-gitaly-default-0', 'gl-gitaly-default-1', 'gl-gitaly-default-2']);
      expect(incompleteness(store.state())?.message).toContain(why);
      await until(() => server.openWatches() === 1);
      await clock.advance(lifetimeMs);
      server.expire();
      await until(() => store.state().malformed.length === 0);
      expect(names()).toHaveLength(3);
    },
  );

  test('with one malformed object in the first list has the others', async () => {
    const odd = structuredClone(raw('gl-gitaly-default-1'));
    Object.assign(odd.metadata, { deletionTimestamp: 'soon' });
    server.put('pods', [raw('gl-gitaly-default-0'), odd]);
    begin();
    await until(() => store.state().failure !== undefined);
    expect(names()).toEqual(['gl-gitaly-default-0']);
    expect(store.state().failure?.message).toMatch(/gl-gitaly-default-1: metadata.deletionTimestamp/);
  });
});

describe('a server that sends endlessly', () => {
  /** Runs within one minute of the clock. */
  const requestsWithin = async (minutes: number): Promise<number> => {
    const before = server.requests.length;
    for (let at = 0; at < minutes * 60_000; at += 1000) {
      await clock.advance(1000);
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    return server.requests.length - before;
  };

  test('pages with new continue tokens is stopped after some pages, with a pause before the next attempt', async () => {
    let token = 0;
    server.always('pods:list', () => ({
      status: 200,
      body: { kind: 'PodList', metadata: { resourceVersion: '7', continue: `t${++token}` }, items: [] },
    }));
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state()).toMatchObject({
      failure: { reason: 'too_large', message: expect.stringContaining('fewer objects than requested') },
    });
    expect(token).toBeLessThan(30);
    expect(await requestsWithin(2)).toBeLessThan(70);
    server.always('pods:list', undefined);
    await passUntil(watching, 5000);
  });

  test('full pages is stopped at a number of objects', async () => {
    let uid = 0;
    const metadata = { ...raw('gl-gitaly-default-0').metadata, managedFields: [] };
    server.always('pods:list', () => ({
      status: 200,
      body: {
        ...{ kind: 'PodList', metadata: { resourceVersion: '7', continue: `t${uid}` } },
        items: Array.from({ length: 500 }, () => ({ metadata: { ...metadata, uid: `uid-${++uid}` } })),
      },
    }));
    begin();
    await until(() => store.state().failure !== undefined, 30_000);
    expect(store.state()).toMatchObject({
      ...{ current: false, objects: 0 },
      failure: { reason: 'too_large', message: expect.stringContaining('more than 20000 of its objects') },
    });
    expect(uid).toBeLessThan(22_000);
  }, 40_000);

  test('a list in small chunks is stopped by its duration', async () => {
    server.always('pods:list', { lines: ['{"kind":"PodList","items":[', ' '], ending: 'hang' });
    begin();
    await until(() => requestsOf('pods:list').length === 1);
    await passUntil(() => store.state().failure !== undefined, 5000);
    expect(store.state().failure?.reason).toBe('timeout');
  });

  test.each([
    ['events', `${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: '8' } } })}\n`],
    ['empty lines', '\n'.repeat(65_536)],
  ])(
    '%s to a watch is stopped at a limit, with a pause before the next watch',
    async (_, text) => {
      await running();
      server.always('pods:watch', { flood: text });
      server.cut();
      // The clock does not advance while the bytes arrive.
      await passUntil(() => requestsOf('pods:watch').length === 2);
      await until(() => (restarts().malformed ?? 0) > 0, 60_000);
      expect(store.state().failure?.reason).toBe('too_large');
      const watches = requestsOf('pods:watch').length;
      await clock.advance(59_000);
      expect(requestsOf('pods:watch')).toHaveLength(watches);
      expect(store.all()).toHaveLength(3);
    },
    90_000,
  );

  test('does not delay the end of the loop', async () => {
    await running();
    server.always('pods:watch', { flood: '\n'.repeat(65_536) });
    server.cut();
    await passUntil(() => requestsOf('pods:watch').length === 2);
    const started = performance.now();
    stop.abort();
    await loop.ended;
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

test('a listener that throws does not affect the loop and other listeners', async () => {
  begin();
  const received: string[] = [];
  store.subscribe(() => {
    throw new Error('an error of the listener');
  });
  store.subscribe(({ type }) => received.push(type));
  await until(watching);
  server.emit('pods', 'MODIFIED', raw('gl-gitaly-default-0'));
  await until(() => received.length === 2);
  expect(received).toEqual(['relisted', 'modified']);
  expect(restarts()).toEqual({});
});

test('an error that is thrown in the loop becomes a failure, and the loop continues', async () => {
  let broken = true;
  begin(gitlab, () => {
    if (broken) throw new Error('oops');
    return true;
  });
  await until(() => store.state().failure !== undefined);
  expect(store.state().failure).toMatchObject({ reason: 'internal', message: expect.stringMatching(/oops/) });
  broken = false;
  await passUntil(watching);
  expect(store.all()).toHaveLength(3);
});

test('the loop ends immediately when its signal aborts, and leaves no timer', async () => {
  await running();
  stop.abort();
  await loop.ended;
  await until(() => server.openWatches() === 0);
  await until(() => clock.sleepers() === 0);
  expect(clock.sleepers()).toBe(0);
});
