import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { silentLog } from '../../../../src/lib/log.ts';
import { createHttpApi } from '../../../../src/sources/kubernetes/api/http.ts';
import type { Pod } from '../../../../src/sources/kubernetes/objects/types.ts';
import type { Change, WatchEnd } from '../../../../src/sources/kubernetes/store.ts';
import { type Loop, runLoop } from '../../../../src/sources/kubernetes/watch/loop.ts';
import {
  createMergedStore,
  type MergedStore,
} from '../../../../src/sources/kubernetes/watch/merged-store.ts';
import { pods, type Scope } from '../../../../src/sources/kubernetes/watch/resources.ts';
import { type RawObject, recorded, startKubeApi, type TestKubeApi } from '../../../support/kube-api.ts';
import { archive } from '../../../support/kubernetes-archive.ts';
import { createManualClock, type ManualClock } from '../../../support/manual-clock.ts';
import { until } from '../../../support/until.ts';

const staleMs = 300_000;
/** With random 0.5: a watch asks for this long. */
const lifeMs = 188_000;
const gitlab: Scope = { namespace: 'gitlab', labelSelector: 'app=gitaly', few: true };

let server: TestKubeApi;
let clock: ManualClock;
let store: MergedStore<Pod>;
let loop: Loop;
let stop: AbortController;
let changes: Change<Pod>[];

const raw = (name: string): RawObject =>
  (archive('drain').items('0-before/pods.json') as RawObject[]).find(
    ({ metadata }) => metadata.name === name,
  )!;
const names = (): string[] => store.all().map(({ name }) => name);
const restarts = (): Partial<Record<WatchEnd, number>> =>
  Object.fromEntries(Object.entries(store.state().restarts).filter(([, count]) => count > 0));
const asked = (what: string) => server.requests.filter((request) => request.what === what);
const watching = (): boolean => server.openWatches() === 1 && store.state().failure === undefined;

function begin(scope = gitlab, keep: (raw: unknown, pod: Pod) => boolean = () => true): void {
  const api = createHttpApi({
    server: server.url,
    clock,
    access: async () => ({ ok: true, access: { tls: {}, authorization: undefined, headers: {} } }),
  });
  stop = new AbortController();
  store = createMergedStore<Pod>({ name: 'pods', clock, log: silentLog, staleMs });
  changes = [];
  store.subscribe((change) => changes.push(change));
  const sink = store.join(() => loop.state());
  loop = runLoop({
    api,
    clock,
    random: () => 0.5,
    log: silentLog,
    resource: pods,
    scope,
    keep,
    sink,
    staleMs,
    signal: stop.signal,
  });
}

/** Begins, and waits until the watch is open. */
async function running(): Promise<void> {
  begin();
  await until(watching);
}

/** Time passes in small steps, so that what waits asks, and is answered, in between. */
async function passUntil(what: () => boolean, stepMs = 500): Promise<void> {
  for (let i = 0; !what(); i++) {
    if (i > 1000) throw new Error(`not within ${stepMs} s of the clock: ${what.toString()}`);
    await clock.advance(stepMs);
    for (let turn = 0; turn < 20 && !what(); turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

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

describe('at rest', () => {
  test('lists from the memory of the server, watches from there, and is current', async () => {
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
      timeoutSeconds: String(lifeMs / 1000),
    });
    expect(store.state()).toMatchObject({
      current: true,
      heardAt: clock.now(),
      failure: undefined,
      objects: 3,
    });
    expect(restarts()).toEqual({});
  });

  test('tells each change in its order, with what was before', async () => {
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

  test('long lists come in pages', async () => {
    const { metadata } = raw('gl-gitaly-default-0');
    const many = Array.from({ length: 1200 }, (_, i) => ({
      metadata: { ...metadata, managedFields: [], name: `gl-${String(i).padStart(4, '0')}`, uid: `uid-${i}` },
    }));
    server.put('pods', many);
    begin({ namespace: 'gitlab' });
    await until(watching);
    expect(store.state().objects).toBe(1200);
    const [first, second, third, ...more] = asked('pods:list').map(({ query }) => query);
    expect(first).toEqual({ limit: '500' });
    expect(second).toEqual({ limit: '500', continue: expect.any(String) });
    expect(third?.['continue']).not.toBe(second?.['continue']);
    expect(more).toEqual([]);
  });

  test('pages that do not end are not followed for ever', async () => {
    const page = { status: 200, body: { metadata: { resourceVersion: '7', continue: 'again' }, items: [] } };
    server.next('pods:list', page, page);
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state().failure?.message).toMatch(/its pages do not end/);
    await passUntil(watching);
  });

  test('what is not to be kept is as if it were not there', async () => {
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
  test('in its time goes on at once from its last version, without a list', async () => {
    await running();
    server.emit('pods', 'MODIFIED', raw('gl-gitaly-default-0'));
    await until(() => changes.length === 2);
    await clock.advance(lifeMs);
    server.expire();
    await until(() => asked('pods:watch').length === 2 && watching());
    const [first, second] = asked('pods:watch');
    expect(Number(second?.query['resourceVersion'])).toBeGreaterThan(Number(first?.query['resourceVersion']));
    expect(asked('pods:list')).toHaveLength(1);
    expect(restarts()).toEqual({ expired: 1 });
  });

  test('from the version of a bookmark, when nothing else came', async () => {
    await running();
    server.emit('pods', 'MODIFIED', raw('gl-praefect-0'));
    server.bookmark('pods');
    server.expire();
    await until(() => store.state().failure !== undefined);
    await passUntil(() => asked('pods:watch').length === 2);
    const [first, second] = asked('pods:watch');
    expect(Number(second?.query['resourceVersion'])).toBe(Number(first?.query['resourceVersion']) + 1);
  });

  test('early waits a little, and says so meanwhile', async () => {
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
    expect(asked('pods:list')).toHaveLength(1);
  });

  test('by a reset goes on from its last version; what happened meanwhile is told', async () => {
    await running();
    server.cut();
    await until(() => store.state().failure !== undefined);
    server.emit('pods', 'DELETED', raw('gl-gitaly-default-1'));
    await passUntil(watching);
    await until(() => changes.length === 2);
    expect(changes[1]).toMatchObject({ type: 'deleted', object: { name: 'gl-gitaly-default-1' } });
    expect(restarts()).toEqual({ reset: 1 });
    expect(asked('pods:list')).toHaveLength(1);
  });

  test('in the middle of a line: the half is forgotten, and comes again whole', async () => {
    await running();
    const line = JSON.stringify({ type: 'DELETED', object: raw('gl-gitaly-default-1') });
    server.cut();
    server.next('pods:watch', { lines: [line.slice(0, line.length - 20)], ending: 'cut' });
    await passUntil(() => asked('pods:watch').length === 2);
    await until(() => (restarts().reset ?? 0) === 2);
    expect(names()).toContain('gl-gitaly-default-1');
    server.emit('pods', 'DELETED', raw('gl-gitaly-default-1'));
    await passUntil(() => !names().includes('gl-gitaly-default-1'));
    expect(restarts()).toEqual({ reset: 2 });
  });

  test('with the server: it is asked ever more rarely until it is back', async () => {
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
    expect(asked('pods:list')).toHaveLength(1);
  });
});

describe('410', () => {
  test('is no sign that what is known is current, and after a long absence of the server no reason to wait', async () => {
    await running();
    const { heardAt } = store.state();
    await server.stop();
    await passUntil(() => (restarts().reset ?? 0) >= 8);
    server.compact();
    await server.start();
    await passUntil(() => restarts().gone === 1);
    expect(store.state()).toMatchObject({
      heardAt,
      failure: { message: expect.stringMatching(/forgotten/) },
    });
    await clock.advance(1000);
    await until(watching);
    expect(store.state().heardAt).toBeGreaterThan(heardAt ?? 0);
  });

  test('again and again is asked ever more rarely', async () => {
    await running();
    server.always('pods:watch', { status: 410 });
    server.cut();
    await passUntil(() => (restarts().gone ?? 0) >= 8);
    const listed = asked('pods:list').length;
    await clock.advance(4_900);
    expect(asked('pods:list').length - listed).toBeLessThanOrEqual(1);
  });

  test('as an ERROR event: all is listed anew, and told with what was before', async () => {
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
    expect(asked('pods:list')[1]?.query).toMatchObject({
      resourceVersion: asked('pods:watch')[0]?.query['resourceVersion'],
      resourceVersionMatch: 'NotOlderThan',
    });
  });

  test('as a recorded stream, and as a status of the watch', async () => {
    await running();
    for (const answer of [recorded('watch-gone'), { status: 410 }]) {
      changes.length = 0;
      server.next('pods:watch', answer);
      server.cut();
      await passUntil(() => changes.length > 0);
      await until(watching);
    }
    expect(restarts()).toMatchObject({ gone: 2 });
    expect(asked('pods:list')).toHaveLength(3);
  });

  test('of the second page of a list: it begins anew, and the first page is not shown', async () => {
    const [item] = archive('drain').items('0-before/pods.json');
    const body = { metadata: { resourceVersion: '7', continue: 'old' }, items: [item] };
    server.next('pods:list', { status: 200, body }, recorded('list-continue-gone'));
    begin();
    await until(() => restarts().gone === 1);
    expect(store.all()).toEqual([]);
    await passUntil(watching);
    expect(asked('pods:list')[1]?.query).toEqual({
      labelSelector: 'app=gitaly',
      limit: '500',
      continue: 'old',
    });
    expect(asked('pods:list')[2]?.query).toEqual({ labelSelector: 'app=gitaly', limit: '500' });
  });

  test('too new a version for the server: its store is asked instead', async () => {
    await running();
    server.next('pods:watch', { status: 410 });
    server.next('pods:list', recorded('list-too-new'));
    server.cut();
    await passUntil(() => asked('pods:list').length === 3);
    await until(watching);
    expect(asked('pods:list')[2]?.query).toEqual({ labelSelector: 'app=gitaly', limit: '500' });
    expect(restarts()).toMatchObject({ gone: 1, server_error: 1 });
  });
});

describe('refusals', () => {
  test('429: waits as long as it is told', async () => {
    server.next('pods:list', { status: 429, headers: { 'Retry-After': '30' } });
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state().failure?.message).toMatch(/busy \(HTTP 429\)/);
    await clock.advance(29_000);
    expect(asked('pods:list')).toHaveLength(1);
    await passUntil(watching);
    expect(restarts()).toEqual({ throttled: 1 });
  });

  test('5xx of a watch: goes on from its version', async () => {
    await running();
    server.next('pods:watch', { status: 500 }, { status: 503 });
    server.cut();
    await passUntil(() => (restarts().server_error ?? 0) === 2);
    await passUntil(watching);
    expect(asked('pods:list')).toHaveLength(1);
  });

  test('403: one failure that names verb, resource, group, namespace and account; asked again each minute', async () => {
    server.always('pods:list', recorded('list-forbidden'));
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state()).toMatchObject({
      current: false,
      heardAt: undefined,
      failure: {
        reason: 'permission',
        message:
          'no right to list pods of the core group ("") in namespace gitlab as system:serviceaccount:gitlab:default: grant get, list and watch in a Role of namespace gitlab (or a ClusterRole)',
      },
    });
    await clock.advance(59_000);
    expect(asked('pods:list')).toHaveLength(1);
    await clock.advance(1000);
    await until(() => asked('pods:list').length === 2);
    server.always('pods:list', undefined);
    await passUntil(watching, 5000);
    expect(store.state().current).toBe(true);
    expect(restarts()).toEqual({ permission: 2 });
  });

  test('403 of a server that has just started, which knows nobody yet: asked again within seconds', async () => {
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

  test('403 of the watch alone says watch', async () => {
    server.always('pods:watch', { status: 403 });
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state()).toMatchObject({
      objects: 3,
      failure: { message: expect.stringMatching(/^no right to watch pods/) },
    });
    await passUntil(() => !store.state().current, 5000);
    expect(clock.now() - (store.state().heardAt ?? 0)).toBeGreaterThan(staleMs);
  });

  test('401 that stays: says so, and goes on when it is over', async () => {
    server.always('pods:watch', recorded('list-unauthorized'));
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state().failure).toMatchObject({ reason: 'authentication' });
    // Soon once, then about three times a minute.
    await passUntil(() => restarts().authentication === 2);
    const refused = asked('pods:watch').length;
    await clock.advance(19_000);
    expect(asked('pods:watch')).toHaveLength(refused);
    server.always('pods:watch', undefined);
    await passUntil(watching);
    expect(restarts()).toEqual({ authentication: 2 });
  });
});

describe('silence', () => {
  test('on an open watch, longer than it was to live: a new one', async () => {
    await running();
    await clock.advance(lifeMs + 9000);
    expect(restarts()).toEqual({});
    await clock.advance(1500);
    await until(() => asked('pods:watch').length === 2 || store.state().failure !== undefined);
    expect(restarts()).toEqual({ timeout: 1 });
    await passUntil(watching);
    expect(store.state().current).toBe(true);
    expect(asked('pods:list')).toHaveLength(1);
  });

  test('of a server that used to send bookmarks: after a minute and a half', async () => {
    await running();
    server.bookmark('pods');
    await until(() => asked('pods:watch').length === 1 && store.state().heardAt === clock.now());
    await clock.advance(1000);
    server.bookmark('pods');
    await until(() => store.state().heardAt === clock.now());
    await clock.advance(88_000);
    expect(restarts()).toEqual({});
    server.always('pods:watch', { status: 500 });
    await clock.advance(15_000);
    await until(() => restarts().timeout === 1);
    server.always('pods:watch', undefined);
    await passUntil(watching);
  });

  test('in the middle of a list: it is asked for again, and half of it is not shown', async () => {
    const [first] = archive('drain').items('0-before/pods.json');
    server.next('pods:list', {
      lines: [`{"metadata":{"resourceVersion":"9"},"items":[${JSON.stringify(first)},`],
      ending: 'silence',
    });
    begin();
    await until(() => asked('pods:list').length === 1);
    await passUntil(() => restarts().timeout === 1, 5000);
    expect(store.all()).toEqual([]);
    await passUntil(watching);
    expect(store.all()).toHaveLength(3);
  });

  test('of a server without bookmarks, whose watches end in their time, is no silence', async () => {
    await running();
    for (let i = 1; i < 4; i++) {
      await clock.advance(lifeMs);
      server.expire();
      await until(() => asked('pods:watch').length === i + 1 && watching());
      expect(store.state()).toMatchObject({ current: true, heardAt: clock.now() });
    }
    expect(asked('pods:list')).toHaveLength(1);
  });

  test('that nothing ends is stale: what is known is no longer current', async () => {
    await running();
    server.always('pods:watch', 'silence');
    server.cut();
    await passUntil(() => !store.state().current, 5000);
    expect(store.state()).toMatchObject({
      current: false,
      objects: 3,
      failure: { reason: expect.anything() },
    });
    expect(clock.now() - (store.state().heardAt ?? 0)).toBeGreaterThan(staleMs);
    server.always('pods:watch', undefined);
    await passUntil(() => store.state().current);
  });

  test('bytes that drip are heard, however slowly', async () => {
    const line = JSON.stringify({ type: 'MODIFIED', object: raw('gl-gitaly-default-0') });
    const pieces = [...`${line}\n`].reduce<string[]>((all, letter, i) => {
      all[Math.floor(i / 500)] = (all[Math.floor(i / 500)] ?? '') + letter;
      return all;
    }, []);
    server.next('pods:watch', { lines: pieces, ending: 'silence' });
    begin();
    await until(() => changes.length === 2);
    expect(changes[1]).toMatchObject({ type: 'modified', object: { name: 'gl-gitaly-default-0' } });
  });
});

describe('garbage', () => {
  const event = (object: unknown, type = 'MODIFIED'): string => `${JSON.stringify({ type, object })}\n`;

  test.each<[string, string]>([
    ['no JSON', '<html>\n'],
    ['JSON, but no event', '[]\n'],
    ['an event without a version', event({ metadata: { uid: 'x' } })],
    ['an event of an unknown type', event({ metadata: { resourceVersion: '7' } }, 'RENAMED')],
    ['an object that nobody can name', event({ metadata: { resourceVersion: '7' } })],
    ['an object over the limit', `${'x'.repeat(5 * 1024 * 1024)}\n`],
  ])('on a watch: %s. All is listed anew', async (_name, line) => {
    server.next('pods:watch', { lines: [line], ending: 'silence' });
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state().failure).toMatchObject({ reason: 'parse' });
    expect(store.all()).toHaveLength(3);
    await passUntil(watching);
    expect(asked('pods:list')).toHaveLength(2);
    expect(restarts()).toEqual({ malformed: 1 });
  });

  test.each<[string, string]>([
    ['no JSON', '<html></html>'],
    ['cut JSON', '{"metadata":{"resourceVersion":"7"},"items":[{"metadata"'],
    ['no version', '{"items":[]}'],
  ])('as a list: %s', async (_name, body) => {
    server.next('pods:list', { status: 200, body });
    begin();
    await until(() => store.state().failure !== undefined);
    expect(store.state()).toMatchObject({ current: false, failure: { reason: 'parse' } });
    await passUntil(watching);
    expect(restarts()).toEqual({ malformed: 1 });
  });

  test('one object that cannot be read is out of the store, and the rest lives', async () => {
    await running();
    changes.length = 0;
    const odd = structuredClone(raw('gl-gitaly-default-1')) as RawObject & { status: object };
    Object.assign(odd.status, { conditions: [{ type: 'Ready', status: 'Perhaps' }] });
    server.emit('pods', 'MODIFIED', odd);
    server.emit('pods', 'MODIFIED', raw('gl-gitaly-default-2'));
    await until(() => changes.length === 2);
    expect(changes).toMatchObject([{ type: 'relisted' }, { type: 'modified' }]);
    expect(names()).not.toContain('gl-gitaly-default-1');
    expect(store.state()).toMatchObject({
      current: true,
      failure: {
        reason: 'parse',
        message:
          'of pods in namespace gitlab not all could be read: gitlab/gl-gitaly-default-1: condition Ready is neither True, False nor Unknown',
      },
    });
    server.emit('pods', 'MODIFIED', raw('gl-gitaly-default-1'));
    await until(() => changes.length === 3);
    expect(changes[2]).toMatchObject({ type: 'added', object: { name: 'gl-gitaly-default-1' } });
    expect(store.state().failure).toBeUndefined();
    expect(restarts()).toEqual({});
  });

  test('and so is one of a list', async () => {
    const odd = structuredClone(raw('gl-gitaly-default-1'));
    Object.assign(odd.metadata, { deletionTimestamp: 'soon' });
    server.put('pods', [raw('gl-gitaly-default-0'), odd]);
    begin();
    await until(() => store.state().failure !== undefined);
    expect(names()).toEqual(['gl-gitaly-default-0']);
    expect(store.state().failure?.message).toMatch(/gl-gitaly-default-1: metadata.deletionTimestamp/);
  });
});

test('a listener that throws harms nobody', async () => {
  begin();
  const heard: string[] = [];
  store.subscribe(() => {
    throw new Error('a bug of the listener');
  });
  store.subscribe(({ type }) => heard.push(type));
  await until(watching);
  server.emit('pods', 'MODIFIED', raw('gl-gitaly-default-0'));
  await until(() => heard.length === 2);
  expect(heard).toEqual(['relisted', 'modified']);
  expect(restarts()).toEqual({});
});

test('what a bug throws in the loop is a failure, and the loop goes on', async () => {
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

test('told to end, it ends at once, wherever it is, and leaves nobody waiting', async () => {
  await running();
  stop.abort();
  await loop.ended;
  await until(() => server.openWatches() === 0);
  await until(() => clock.sleepers() === 0);
  expect(clock.sleepers()).toBe(0);
});
