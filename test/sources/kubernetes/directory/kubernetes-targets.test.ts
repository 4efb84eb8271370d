/** Which pods' metrics are read, and where. */
import { describe, expect, test } from '@jest/globals';
import { chartComponentOf } from '../../../../src/sources/kubernetes/directory/component.ts';
import { kubernetesTargets } from '../../../../src/sources/kubernetes/directory/kubernetes-targets.ts';
import type { Container, Pod } from '../../../../src/sources/kubernetes/objects/types.ts';
import { named, recordedPods, testStore } from './support.ts';

const pods = recordedPods('posture-good', 'at-rest');
const pod = named(pods, 'gl-gitaly-default-0');
const signal = new AbortController().signal;
const list = (all: readonly Pod[]) =>
  kubernetesTargets({ pods: testStore(all), componentOf: chartComponentOf, tls: {} }).list(signal);
const urlsOf = async (all: readonly Pod[]): Promise<readonly string[]> =>
  (await list(all)).targets.map(({ url }) => url.href);

/** The port without a name, as Praefect's gRPC one, or as the annotations say. */
const withoutNamedPort = (annotations: Readonly<Record<string, string>>): Pod => ({
  ...pod,
  annotations,
  containers: pod.containers.map((each): Container => ({ ...each, ports: {} })),
});

test('every running pod of the chart is a target of its component, by its address and the named port', async () => {
  const { targets, failures } = await list(pods);
  expect(failures).toEqual([]);
  expect(
    targets.map(({ component, url, identity }) => [component, url.href, identity.pod, identity.node]),
  ).toEqual(
    pods.map(({ name, ip, node }) => [
      name.includes('praefect') ? 'praefect' : 'gitaly',
      `http://${ip}:9236/metrics`,
      name,
      node,
    ]),
  );
  expect(targets[0]?.identity.namespace).toBe('gitlab');
});

test.each([
  [{}, 'http://10.244.0.4:9236/metrics'],
  [{ 'prometheus.io/port': '9300' }, 'http://10.244.0.4:9300/metrics'],
  [{ 'gitlab.com/prometheus_port': '9400', 'prometheus.io/port': '9300' }, 'http://10.244.0.4:9400/metrics'],
  // As the chart leaves them on Praefect's Service.
  [{ 'gitlab.com/prometheus_port': '', 'prometheus.io/port': '' }, 'http://10.244.0.4:9236/metrics'],
  [
    { 'prometheus.io/path': '/other?x=1#y', 'prometheus.io/scheme': 'https' },
    'https://10.244.0.4:9236/other?x=1%23y',
  ],
  // No annotation leads to another host.
  [{ 'prometheus.io/path': '//evil.example.com/x' }, 'http://10.244.0.4:9236//evil.example.com/x'],
  [{ 'prometheus.io/path': '@evil.example.com' }, 'http://10.244.0.4:9236/@evil.example.com'],
])('annotations %j lead to %s', async (annotations, url) => {
  expect(await urlsOf([withoutNamedPort(annotations)])).toEqual([url]);
});

test.each([
  [{ 'prometheus.io/port': 'metrics' }, 'prometheus.io/port', '"metrics"'],
  [{ 'prometheus.io/port': '0' }, 'prometheus.io/port', '"0"'],
  [{ 'prometheus.io/port': '65536' }, 'prometheus.io/port', '"65536"'],
  [{ 'gitlab.com/prometheus_scheme': 'file' }, 'prometheus.io/scheme', '"file"'],
])(
  'annotations %j are a failure that names the pod, and other pods are read',
  async (annotations, name, found) => {
    const other = named(pods, 'gl-gitaly-default-1');
    const { targets, failures } = await list([withoutNamedPort(annotations), other]);
    expect(targets.map(({ identity }) => identity.pod)).toEqual([other.name]);
    expect(failures).toEqual([{ reason: 'parse', message: expect.stringContaining(name) }]);
    expect(failures[0]?.message).toContain('gitaly gitlab/gl-gitaly-default-0');
    expect(failures[0]?.message).toContain(found);
  },
);

test('an address of IPv6 stands in brackets', async () => {
  expect(await urlsOf([{ ...pod, ip: 'fd00::7' }])).toEqual(['http://[fd00::7]:9236/metrics']);
});

describe('left out is', () => {
  test.each<[string, Partial<Pod>]>([
    ['a pod without an address', { ip: '' }],
    ['one whose address is none', { ip: 'evil.example.com' }],
    ['one that is being deleted', { deletion: { requestedAt: 0, graceSeconds: 6 } }],
    ['one that failed', { phase: 'Failed', reason: 'Evicted' }],
    ['one that does not run yet', { phase: 'Pending' }],
    ['one that says so', { annotations: { 'prometheus.io/scrape': 'false' } }],
    [
      'one of something else',
      { labels: { app: 'webservice' }, containers: pod.containers.map((each) => ({ ...each, name: 'web' })) },
    ],
  ])('%s', async (_what, change) => {
    expect(await list([{ ...pod, ...change }])).toEqual({ targets: [], failures: [] });
  });
});

test('during a rotation the pod that ends and the one that begins are left out, and come back', async () => {
  const urls = await Promise.all(
    ['0-before', '1-terminating', '2-pending', '3-initializing', '4-running-not-ready', '5-after'].map(
      async (moment) => (await urlsOf(recordedPods('rotate-delete', moment))).length,
    ),
  );
  expect(urls).toEqual([6, 5, 5, 5, 6, 6]);
});

test('while the watch is not current there are no targets, and why is a failure', async () => {
  const store = testStore(pods);
  const source = kubernetesTargets({ pods: store, componentOf: chartComponentOf, tls: {} });
  const failure = { reason: 'permission', message: 'may not list pods' } as const;
  store.set({ current: false, failure });
  expect(await source.list(signal)).toEqual({ targets: [], failures: [failure] });
  store.set({ current: false, failure: undefined, heardAt: undefined });
  expect((await source.list(signal)).failures[0]?.message).toContain('were not listed yet');
  store.set({ current: true });
  expect((await source.list(signal)).targets).toHaveLength(6);
});

test('no credentials are shown to pods: anybody may make one with these labels', async () => {
  const { targets } = await kubernetesTargets({
    pods: testStore(pods),
    componentOf: chartComponentOf,
    tls: { caFile: '/etc/ca.pem' },
  }).list(signal);
  expect(targets.map(({ access }) => access)).toEqual(
    targets.map(() => ({ tls: { caFile: '/etc/ca.pem' }, credentialsFile: undefined })),
  );
});
