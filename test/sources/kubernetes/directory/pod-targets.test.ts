import { describe, expect, test } from '@jest/globals';
import { podTargets } from '../../../../src/sources/kubernetes/directory/pod-targets.ts';
import { chartComponentOf } from '../../../../src/sources/kubernetes/gitaly-objects.ts';
import type { Container, Pod } from '../../../../src/sources/kubernetes/objects/types.ts';
import { named, recordedPods, testStore } from './support.ts';

const pods = recordedPods('posture-good', 'at-rest');
const pod = named(pods, 'gl-gitaly-default-0');
const list = async (all: readonly Pod[]) =>
  podTargets({ pods: testStore(all), componentOf: chartComponentOf, tls: {} });
const urlsOf = async (all: readonly Pod[]): Promise<readonly string[]> =>
  (await list(all)).targets.map(({ url }) => url.href);

/** Without the named port, so that the annotations are used. */
const withoutNamedPort = (annotations: Readonly<Record<string, string>>): Pod => ({
  ...pod,
  annotations,
  containers: pod.containers.map((each): Container => ({ ...each, ports: {}, portNumbers: [] })),
});

test('every running pod of the chart is a target of its component, with its address and its named port', async () => {
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
  // As in the chart for Praefect.
  [{ 'gitlab.com/prometheus_port': '', 'prometheus.io/port': '' }, 'http://10.244.0.4:9236/metrics'],
  [
    {
      'prometheus.io/port': '9236',
      'prometheus.io/path': '/other?x=1#y',
      'prometheus.io/scheme': 'https',
    },
    'https://10.244.0.4:9236/other?x=1%23y',
  ],
  // Annotations without a port have no effect.
  [{ 'prometheus.io/path': '/other', 'prometheus.io/scheme': 'https' }, 'http://10.244.0.4:9236/metrics'],
  // The annotations of one prefix only: no path of one prefix with the port of another.
  [
    { 'gitlab.com/prometheus_port': '9400', 'prometheus.io/port': '9300', 'prometheus.io/path': '/other' },
    'http://10.244.0.4:9400/metrics',
  ],
  // No annotation changes the host.
  [
    { 'prometheus.io/port': '9236', 'prometheus.io/path': '//evil.example.com/x' },
    'http://10.244.0.4:9236//evil.example.com/x',
  ],
  [
    { 'prometheus.io/port': '9236', 'prometheus.io/path': '@evil.example.com' },
    'http://10.244.0.4:9236/@evil.example.com',
  ],
])('annotations %j result in the URL %s', async (annotations, url) => {
  expect(await urlsOf([withoutNamedPort(annotations)])).toEqual([url]);
});

test.each([
  [{ 'prometheus.io/port': 'metrics' }, 'prometheus.io/port', '"metrics"'],
  [{ 'prometheus.io/port': '0' }, 'prometheus.io/port', '"0"'],
  [{ 'prometheus.io/port': '65536' }, 'prometheus.io/port', '"65536"'],
  [
    { 'gitlab.com/prometheus_port': '9236', 'gitlab.com/prometheus_scheme': 'file\u202e' },
    'gitlab.com/prometheus_scheme',
    '"file"',
  ],
])('invalid annotations %j are a failure of that pod only', async (annotations, name, found) => {
  const other = named(pods, 'gl-gitaly-default-1');
  const { targets, failures } = await list([withoutNamedPort(annotations), other]);
  expect(targets.map(({ identity }) => identity.pod)).toEqual([other.name]);
  expect(failures).toEqual([{ reason: 'parse', message: expect.stringContaining(name) }]);
  expect(failures[0]?.message).toContain('gitaly gitlab/gl-gitaly-default-0');
  expect(failures[0]?.message).toContain(found);
});

describe('annotations of a service mesh for its sidecar', () => {
  const istio = {
    'prometheus.io/scrape': 'true',
    'prometheus.io/port': '15020',
    'prometheus.io/path': '/stats/prometheus',
  };
  const [own] = pod.containers;
  const sidecar: Container = { ...(own as Container), name: 'istio-proxy', ports: {}, portNumbers: [15_090] };
  const plain = withoutNamedPort(istio);
  const unnamed = (each: Container): Container => ({ ...each, ports: {}, portNumbers: [8075, 9236] });

  test.each<[string, Pod, string]>([
    ['with the named port', { ...pod, annotations: istio }, '9236/metrics'],
    [
      'with the named port and a path for it',
      {
        ...pod,
        annotations: { ...istio, 'gitlab.com/prometheus_port': '9236', 'gitlab.com/prometheus_path': '/m' },
      },
      '9236/m',
    ],
    [
      'with unnamed ports',
      { ...plain, containers: [...pod.containers.map(unnamed), sidecar] },
      '9236/metrics',
    ],
    ['without declared ports', { ...plain, containers: [...plain.containers, sidecar] }, '9236/metrics'],
    [
      'with a native sidecar',
      { ...plain, initContainers: [...pod.initContainers, { ...sidecar, sidecar: true }] },
      '9236/metrics',
    ],
  ])('are not used for Gitaly: %s', async (_, each, end) => {
    expect(await urlsOf([each])).toEqual([`http://${pod.ip}:${end}`]);
  });
});

test('an IPv6 address is in brackets', async () => {
  expect(await urlsOf([{ ...pod, ip: 'fd00::7' }])).toEqual(['http://[fd00::7]:9236/metrics']);
});

describe('no target is', () => {
  test.each<[string, Partial<Pod>]>([
    ['a pod that is being deleted', { deletion: { requestedAt: 0, graceSeconds: 6 } }],
    ['a failed pod', { phase: 'Failed', reason: 'Evicted' }],
    ['a pending pod', { phase: 'Pending' }],
    [
      'a pod of another component',
      { labels: { app: 'webservice' }, containers: pod.containers.map((each) => ({ ...each, name: 'web' })) },
    ],
  ])('%s', async (_what, change) => {
    expect(await list([{ ...pod, ...change }])).toEqual({ targets: [], failures: [], excluded: [] });
  });
});

test.each(['', 'evil.example.com', 'fe80::1%eth0'])(
  'a running pod with the address %j is a failure, and not a target',
  async (ip) => {
    const { targets, failures } = await list([{ ...pod, ip }]);
    expect(targets).toEqual([]);
    expect(failures).toMatchObject([{ reason: 'parse', message: expect.stringContaining('status.podIP') }]);
  },
);

test.each(['prometheus.io/', 'gitlab.com/prometheus_'] as const)(
  'a pod with %sscrape: false is excluded, and named',
  async (prefix) => {
    const annotations = { [`${prefix}scrape`]: 'false' };
    expect(await list([{ ...pod, annotations }])).toEqual({
      targets: [],
      failures: [],
      excluded: [
        `Metrics are not read, because an annotation is "false": ${pod.namespace}/${pod.name} (${prefix}scrape).`,
      ],
    });
  },
);

test('during a rotation neither the terminating nor the starting pod is a target', async () => {
  const urls = await Promise.all(
    ['0-before', '1-terminating', '2-pending', '3-initializing', '4-running-not-ready', '5-after'].map(
      async (moment) => (await urlsOf(recordedPods('rotate-delete', moment))).length,
    ),
  );
  expect(urls).toEqual([6, 5, 5, 5, 6, 6]);
});

test('while the watch is not current there are no targets, and the reason is a failure', async () => {
  const store = testStore(pods);
  const listNow = () => podTargets({ pods: store, componentOf: chartComponentOf, tls: {} });
  const failure = { reason: 'permission', message: 'no right to list pods' } as const;
  store.set({ current: false, failure });
  expect(listNow()).toEqual({ targets: [], failures: [failure], excluded: [] });
  store.set({ current: false, failure: undefined, lastEventAt: undefined });
  expect(listNow().failures[0]?.message).toContain('have not been listed');
  store.set({ current: true });
  expect(listNow().targets).toHaveLength(6);
});

test('pods get no credentials, as anyone who may create pods can use these labels', async () => {
  const { targets } = podTargets({
    pods: testStore(pods),
    componentOf: chartComponentOf,
    tls: { caFile: '/etc/ca.pem' },
  });
  expect(targets.map(({ access }) => access)).toEqual(
    targets.map(() => ({ tls: { caFile: '/etc/ca.pem' }, credentialsFile: undefined })),
  );
});
