import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { silentLog } from '../../../../src/lib/log.ts';
import { createHttpApi } from '../../../../src/sources/kubernetes/api/http.ts';
import { watchFamilies } from '../../../../src/sources/kubernetes/cluster-families.ts';
import { watchMetrics } from '../../../../src/sources/kubernetes/metrics.ts';
import { incompleteness, mayBeUnread } from '../../../../src/sources/kubernetes/store.ts';
import {
  createStores,
  type StoresOptions,
  type WatchedStores,
} from '../../../../src/sources/kubernetes/watch/stores.ts';
import {
  accessTo,
  type RawObject,
  recorded,
  startKubeApi,
  type TestKubeApi,
} from '../../../support/kube-api.ts';
import { archive } from '../../../support/kubernetes-archive.ts';
import { lintBlock } from '../../../support/lint-block.ts';
import { lintMetrics } from '../../../support/lint-metrics.ts';
import { createManualClock, type ManualClock } from '../../../support/manual-clock.ts';
import { until } from '../../../support/until.ts';

let server: TestKubeApi;
let clock: ManualClock;
let stores: WatchedStores;

function begin(options: Partial<StoresOptions> = {}): void {
  const api = createHttpApi({
    clock,
    access: async () => accessTo(server.url),
  });
  stores = createStores({
    api,
    clock,
    random: () => 0.5,
    log: silentLog,
    namespaces: undefined,
    role: 'all',
    node: 'lab-node-1',
    gitalySelector: 'app=gitaly',
    praefectSelector: 'app=praefect',
    staleMs: 300_000,
    ...options,
  });
  stores.start();
}

const isCurrent = (): boolean => stores.states().every(({ state }) => state.current);
const requestedPaths = (): string[] =>
  [
    ...new Set(
      server.requests.map(
        ({ path, query }) =>
          `${path} ${[query['labelSelector'], query['fieldSelector']].filter((each) => each !== undefined).join(' ')}`,
      ),
    ),
  ].sort();

beforeEach(async () => {
  server = await startKubeApi();
  server.load('drain', '0-before');
  clock = createManualClock();
});
afterEach(async () => {
  await stores.stop();
  await server.close();
});

describe('the API requests', () => {
  test('with role all are one watch for the pods of both components, and one for each other resource', async () => {
    begin();
    await until(isCurrent);
    expect(requestedPaths()).toEqual([
      '/api/v1/events involvedObject.kind=Pod',
      '/api/v1/events involvedObject.kind=StatefulSet',
      '/api/v1/namespaces/default/events involvedObject.kind=Node',
      '/api/v1/nodes ',
      '/api/v1/pods app in (gitaly,praefect)',
      '/apis/apps/v1/statefulsets ',
      '/apis/policy/v1/poddisruptionbudgets ',
    ]);
    expect(stores.pods.all()).toHaveLength(6);
    expect(stores.nodes.all()).toHaveLength(4);
    expect(stores.statefulSets.all().map(({ name }) => name)).toEqual(['gl-gitaly-default', 'gl-praefect']);
    expect(stores.disruptionBudgets.all()).toHaveLength(2);
  });

  test('for a namespace that is configured twice are made once', async () => {
    begin({ namespaces: ['gitlab', 'gitlab'] });
    await until(isCurrent);
    await until(() => server.openWatches('statefulsets') > 0);
    const lists = server.requests.filter(({ what }) => what === 'statefulsets:list');
    expect([lists.length, server.openWatches('statefulsets')]).toEqual([1, 1]);
  });

  test('with several namespaces are made for each of them, and the results are merged', async () => {
    begin({ namespaces: ['gitlab', 'other'], praefectSelector: 'tier=praefect' });
    await until(isCurrent);
    expect(requestedPaths().filter((line) => line.includes('/pods'))).toEqual([
      '/api/v1/namespaces/gitlab/pods app=gitaly',
      '/api/v1/namespaces/gitlab/pods tier=praefect',
      '/api/v1/namespaces/other/pods app=gitaly',
      '/api/v1/namespaces/other/pods tier=praefect',
    ]);
    expect(stores.pods.all()).toHaveLength(3);
  });

  test("of an agent are for Gitaly's pods of its own node and for that node only", async () => {
    begin({ role: 'agent', node: 'lab-node-3' });
    await until(isCurrent);
    expect(requestedPaths()).toEqual([
      '/api/v1/nodes metadata.name=lab-node-3',
      '/api/v1/pods app=gitaly spec.nodeName=lab-node-3',
    ]);
    expect(stores.states().map(({ resource }) => resource)).toEqual(['pods', 'nodes']);
    expect(stores.nodes.all().map(({ name }) => name)).toEqual(['lab-node-3']);
    expect(stores.pods.all().every(({ node }) => node === 'lab-node-3')).toBe(true);
    expect(stores.events.state()).toMatchObject({
      current: false,
      lastEventAt: undefined,
      failure: undefined,
    });
  });
});

test('a pod that two selectors match is in the store once, until neither matches', async () => {
  begin({ praefectSelector: 'release=gl' });
  await until(isCurrent);
  expect(stores.pods.all()).toHaveLength(6);
  const changes: string[] = [];
  stores.pods.subscribe((change) =>
    changes.push('object' in change ? `${change.type} ${change.object.name}` : change.type),
  );
  const pod = (archive('drain').items('0-before/pods.json') as RawObject[]).find(
    ({ metadata }) => metadata.name === 'gl-gitaly-default-0',
  )!;
  const praefect = (archive('drain').items('0-before/pods.json') as RawObject[]).find(
    ({ metadata }) => metadata.name === 'gl-praefect-0',
  )!;
  const { metadata } = pod;
  server.emit('pods', 'MODIFIED', pod);
  server.emit('pods', 'MODIFIED', {
    ...pod,
    metadata: { ...metadata, labels: { app: 'gitaly', release: 'other' } },
  });
  // Only the other watch gets this event: by then, the first watch has removed the first pod.
  server.emit('pods', 'MODIFIED', praefect);
  await until(() => changes.includes('modified gl-praefect-0') && changes.length === 3);
  expect(stores.pods.all()).toHaveLength(6);
  server.emit('pods', 'DELETED', { ...pod, metadata: { ...metadata, labels: { app: 'gitaly' } } });
  await until(() => stores.pods.all().length === 5);
  expect(changes.filter((change) => change.includes('gitaly'))).toEqual([
    'modified gl-gitaly-default-0',
    'modified gl-gitaly-default-0',
    'deleted gl-gitaly-default-0',
  ]);
});

describe('a missing permission', () => {
  test('on nodes is a failure of nodes only', async () => {
    server.always('nodes:list', {
      status: 403,
      body: { message: 'nodes is forbidden: User "system:serviceaccount:gitlab:x" cannot list' },
    });
    begin({ namespaces: ['gitlab'] });
    await until(() => stores.nodes.state().failure !== undefined && stores.events.state().current);
    expect(stores.nodes.state()).toMatchObject({
      current: false,
      failure: {
        reason: 'permission',
        message:
          'no right to list nodes of the core group ("") in the whole cluster as system:serviceaccount:gitlab:x: grant get, list and watch in a ClusterRole',
      },
    });
    expect(stores.pods.state()).toMatchObject({ current: true, failure: undefined, objects: 6 });
  });

  test('on events of nodes is reported, while the other events are current', async () => {
    server.always('events:list@default', { status: 403, body: { message: 'events is forbidden' } });
    begin({ namespaces: ['gitlab'] });
    await until(() => stores.events.state().failure !== undefined && stores.events.state().current);
    expect(stores.events.state().failure?.message).toMatch(
      /^no right to list events .* in namespace default/,
    );
    expect(stores.events.state().lastEventAt).toBe(clock.now());
  });

  test('on all events makes them not current', async () => {
    server.always('events:list', { status: 403, body: { message: 'events is forbidden' } });
    begin({ namespaces: ['gitlab'] });
    await until(() => stores.events.state().restarts.permission === 3);
    expect(stores.events.state()).toMatchObject({ current: false, lastEventAt: undefined });
  });

  test('in one of several namespaces hides no other one, and its objects are unknown', async () => {
    for (const resource of ['pods', 'statefulsets'])
      server.always(`${resource}:list@other`, recorded('list-forbidden'));
    begin({ namespaces: ['gitlab', 'other'] });
    await until(() => stores.pods.state().current && stores.statefulSets.state().current);
    expect(stores.pods.all()).toHaveLength(6);
    expect(stores.pods.state()).toMatchObject({ unread: ['other'], failure: { reason: 'permission' } });
    expect(incompleteness(stores.pods.state())).toMatchObject({ reason: 'permission' });
    expect(mayBeUnread(stores.pods, 'other/gl-gitaly-0')).toBe(true);
    expect(mayBeUnread(stores.pods, 'gitlab/gl-gitaly-0')).toBe(false);
    expect(stores.disruptionBudgets.state()).toMatchObject({ unread: [], failure: undefined });
  });

  test('in all of several namespaces makes a store not current', async () => {
    server.always('pods:list', recorded('list-forbidden'));
    begin({ namespaces: ['gitlab', 'other'] });
    await until(() => stores.pods.state().failure !== undefined && stores.statefulSets.state().current);
    expect(stores.pods.state()).toMatchObject({ current: false, unread: [] });
  });

  test('that is lost in one of several namespaces hides its objects once they are stale', async () => {
    begin({ namespaces: ['gitlab', 'other'] });
    await until(isCurrent);
    server.always('pods:list@gitlab', recorded('list-forbidden'));
    server.always('pods:watch@gitlab', recorded('list-forbidden'));
    await until(async () => {
      await clock.advance(60_000);
      return stores.pods.state().unread?.includes('gitlab') === true;
    });
    expect(stores.pods.all()).toEqual([]);
    expect(stores.pods.state()).toMatchObject({ current: true, failure: { reason: 'permission' } });
  });

  test('on pods does not affect the watch of events', async () => {
    server.always('pods:list', recorded('list-forbidden'));
    begin({ namespaces: ['gitlab'] });
    await until(() => stores.events.state().current);
    expect(stores.pods.state()).toMatchObject({ current: false, objects: 0 });
  });
});

describe('events', () => {
  test("are kept only when they concern Gitaly's or Praefect's pods, StatefulSets and nodes", async () => {
    const [event] = archive('drain').items('0-before/events.json') as (RawObject & {
      involvedObject: object;
    })[];
    const about = (kind: string, name: string, namespace = 'gitlab', i = 0): RawObject => ({
      ...event!,
      metadata: {
        ...event!.metadata,
        namespace: kind === 'Node' ? 'default' : namespace,
        name: `${kind}-${name}-${namespace}`,
        uid: `${kind}-${name}-${namespace}-${i}`,
      },
      ...{ involvedObject: { kind, name, namespace, uid: 'unknown' } },
    });
    const occupied = (archive('drain').items('0-before/pods.json') as { spec: { nodeName: string } }[]).map(
      ({ spec }) => spec.nodeName,
    );
    server.put('events', [
      about('Pod', 'gl-gitaly-default-0'),
      about('Pod', 'gl-gitaly-default-7'),
      about('Pod', 'gl-gitaly-default-0', 'elsewhere'),
      about('Pod', 'gl-gitaly-default-0-debug'),
      about('Pod', 'runner-123'),
      about('StatefulSet', 'gl-praefect'),
      about('StatefulSet', 'gl-redis'),
      about('Node', occupied[0]!),
      about('Node', 'some-other-node'),
    ]);
    begin();
    await until(isCurrent);
    expect(
      stores.events
        .all()
        .map(({ name }) => name)
        .sort(),
    ).toEqual([
      `Node-${occupied[0]}-gitlab`,
      'Pod-gl-gitaly-default-0-gitlab',
      'Pod-gl-gitaly-default-7-gitlab',
      'StatefulSet-gl-praefect-gitlab',
    ]);
  });

  test('are bounded to the newest 5000, and dropped after an hour', async () => {
    const [event] = archive('drain').items('0-before/events.json') as RawObject[];
    const pod = { kind: 'Pod', name: 'gl-gitaly-default-0', namespace: 'gitlab' };
    const many = Array.from({ length: 5100 }, (_, i) => ({
      ...event!,
      metadata: {
        ...event!.metadata,
        namespace: 'gitlab',
        name: `e${String(i).padStart(5, '0')}`,
        uid: `u${i}`,
      },
      involvedObject: pod,
    }));
    server.put('events', many);
    begin({ namespaces: ['gitlab'] });
    await until(() => stores.events.state().current);
    expect(stores.events.all()).toHaveLength(5000);
    expect(stores.events.all()[0]?.name).toBe('e00100');
    clock.stall(3_600_001);
    expect(stores.events.all()).toEqual([]);
  });
});

test('the recorded drain of a node ends in the recorded state', async () => {
  begin({ namespaces: ['gitlab'] });
  await until(isCurrent);
  await until(() => server.openWatches() === 7);
  for (const resource of ['nodes', 'pods', 'statefulsets', 'poddisruptionbudgets', 'events'])
    server.replay('drain', resource);
  const after = (archive('drain').items('4-after/pods.json') as RawObject[]).map(
    ({ metadata }) => metadata.uid,
  );
  const uids = (): string =>
    stores.pods
      .all()
      .map(({ uid }) => uid)
      .sort()
      .join();
  await until(() => uids() === after.sort().join());
  await until(() => stores.pods.all().every(({ conditions }) => conditions['Ready']?.status === 'True'));
  await until(() => stores.events.all().some(({ reason }) => reason === 'Scheduled'));
  expect(stores.pods.all()).toHaveLength(6);
});

test('the metrics of the watches report currency, objects and restarts by reason', async () => {
  server.always('nodes:list', recorded('list-forbidden'));
  begin();
  await until(() => stores.nodes.state().failure !== undefined && stores.events.state().current);
  expect(lintMetrics(watchMetrics)).toEqual([]);
  const families = watchFamilies(stores.states());
  expect(lintBlock({ families }, watchMetrics)).toEqual([]);
  const value = (name: string, ...labels: string[]): number | undefined => {
    const family = families.find(({ metric }) => metric.name === `gitaly_exporter_kubernetes_${name}`);
    if (family === undefined || !('samples' in family)) throw new Error(name);
    return family.samples.find(({ labelValues }) => labelValues.join() === labels.join())?.value;
  };
  expect(value('watch_current', 'pods')).toBe(1);
  expect(value('watch_current', 'nodes')).toBe(0);
  expect(value('watch_last_event_timestamp_seconds', 'pods')).toBe(clock.now() / 1000);
  expect(value('watch_last_event_timestamp_seconds', 'nodes')).toBeUndefined();
  expect(value('watch_objects', 'pods')).toBe(6);
  expect(value('watch_restarts_total', 'nodes', 'permission')).toBe(1);
  expect(value('watch_restarts_total', 'pods', 'gone')).toBe(0);
});
