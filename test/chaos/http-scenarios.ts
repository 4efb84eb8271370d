/**
 * Gitaly's metrics pages and the Kubernetes API with HTTP faults, and with content that is false or malformed.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Peer, type Scenario, sentinel } from './harness.ts';
import { faultyServer, type HttpFault, httpFaults } from './http-faults.ts';

export const ok = (type: string, body: string): string =>
  `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

/** The shortest page that is recognized as one of Gitaly 18. */
export const goodPage = [
  '# TYPE gitaly_build_info gauge',
  'gitaly_build_info{version="18.2.0"} 1',
  '# TYPE go_goroutines gauge',
  'go_goroutines 40',
  '# TYPE grpc_server_started_total counter',
  'grpc_server_started_total{grpc_method="InfoRefsUploadPack",grpc_service="gitaly.SmartHTTPService",grpc_type="server_stream"} 5',
  '# TYPE gitaly_requests_dropped_total counter',
  'gitaly_requests_dropped_total{grpc_method="InfoRefsUploadPack",grpc_service="gitaly.SmartHTTPService",reason="max_size",system="gitaly"} 0',
  '',
].join('\n');

async function gitalyPeer(fault: HttpFault, folder: string): Promise<Peer> {
  const faulty = await faultyServer(fault);
  const healthy = await faultyServer(fault, () => ok('text/plain; version=0.0.4', goodPage));
  const credentials = join(folder, 'credentials');
  writeFileSync(credentials, `${sentinel}\n`);
  return {
    flags: [
      `--gitaly.target=bad=http://127.0.0.1:${faulty.port}/metrics`,
      `--gitaly.target=good=http://127.0.0.1:${healthy.port}/metrics`,
      '--gitaly.scrape.timeout=2s',
      `--gitaly.scrape.credentials-file=${credentials}`,
    ],
    async stop() {
      await Promise.all([faulty.stop(), healthy.stop()]);
    },
  };
}

const gitalyFaults: readonly Scenario[] = httpFaults.map((fault) => ({
  name: `Gitaly's page ${fault.name}`,
  ...(fault.isSlow === true && { isSlow: true }),
  start: (folder) => gitalyPeer(fault, folder),
  expected: {
    collector: 'gitaly_metrics',
    outcome: 'failed',
    absent: ['gitaly_server_requests_dropped_total{namespace="",pod="",node="bad"'],
    // A failing target does not affect the other one.
    present: ['gitaly_server_scrape_up{namespace="",pod="",node="good",component="gitaly"} 1'],
  },
}));

const page = (name: string, body: string, outcome: Scenario['expected']['outcome']): Scenario => ({
  name: `Gitaly's page ${name}`,
  start: (folder) =>
    gitalyPeer(
      { name, respond: (socket) => void socket.write(ok('text/plain; version=0.0.4', body)) },
      folder,
    ),
  expected: {
    collector: 'gitaly_metrics',
    outcome,
    present: ['gitaly_server_scrape_up{namespace="",pod="",node="good",component="gitaly"} 1'],
  },
});

const drops = 'gitaly_requests_dropped_total{grpc_method="M",grpc_service="S",reason="max_size"}';
const gitalyPages: readonly Scenario[] = [
  page('is that of another program', '# TYPE up gauge\nup 1\n', 'failed'),
  page('has a value that is not a number', `${goodPage}${drops} many\n`, 'failed'),
  page('has NaN in a counter', `${goodPage}${drops} NaN\n`, 'survives'),
  page('has a negative counter', `${goodPage}${drops} -5\n`, 'survives'),
  page('has an infinite counter', `${goodPage}${drops} +Inf\n`, 'survives'),
  page('has one series twice', `${goodPage}${drops} 1\n${drops} 2\n`, 'survives'),
  page('ends in the middle of a line', goodPage.slice(0, -20), 'survives'),
  page('has an unterminated label', `${goodPage}gitaly_requests_dropped_total{reason="max\n`, 'failed'),
  page(
    'has a label of 1 MB',
    `${goodPage}gitaly_requests_dropped_total{reason="${'x'.repeat(1_000_000)}"} 1\n`,
    'survives',
  ),
  page(
    'has a method named __proto__',
    `${goodPage}gitaly_requests_dropped_total{grpc_method="__proto__",grpc_service="constructor",reason="toString"} 1\n`,
    'survives',
  ),
  page(
    'has terminal escapes in a label',
    `${goodPage}gitaly_requests_dropped_total{grpc_method="\u001b[31m",grpc_service="S",reason="max_size"} 1\n`,
    'survives',
  ),
  page(
    'has 100,000 methods',
    goodPage +
      Array.from(
        { length: 100_000 },
        (_, n) => `gitaly_requests_dropped_total{grpc_method="M${n}",grpc_service="S",reason="max_size"} 1`,
      ).join('\n'),
    'survives',
  ),
  page('has timestamps of the year 2100', goodPage.replaceAll(/ (\d+)$/gm, ' $1 4102444800000'), 'survives'),
  page('has carriage returns', goodPage.replaceAll('\n', '\r\n'), 'survives'),
  page('has only comments', '# nothing\n'.repeat(1000), 'failed'),
];

export function kubernetesFlags(port: number, folder: string): readonly string[] {
  const kubeconfig = join(folder, 'kubeconfig');
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}` } }],
      users: [{ name: 'u', user: { token: sentinel } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  return ['--kubernetes.enabled', '--kubernetes.role=cluster', `--kubernetes.kubeconfig=${kubeconfig}`];
}

async function kubernetesPeer(fault: HttpFault, folder: string): Promise<Peer> {
  const server = await faultyServer(fault);
  return { flags: kubernetesFlags(server.port, folder), stop: server.stop };
}

const kubernetesFaults: readonly Scenario[] = httpFaults.map((fault) => ({
  name: `the Kubernetes API ${fault.name}`,
  // The first read waits for the first lists, for 3 s at most.
  isSlow: true,
  start: (folder) => kubernetesPeer(fault, folder),
  expected: { collector: 'kubernetes', outcome: 'failed', absent: ['gitaly_server_pod_ready'] },
}));

const listBody = (name: string, body: unknown): Scenario => ({
  name: `the Kubernetes API lists ${name}`,
  isSlow: true,
  start: (folder) =>
    kubernetesPeer(
      {
        name,
        respond: (socket, head) =>
          // Watches stay open, lists give the body.
          head.includes('watch=')
            ? void socket.write(
                'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
              )
            : void socket.write(
                ok('application/json', typeof body === 'string' ? body : JSON.stringify(body)),
              ),
      },
      folder,
    ),
  expected: { collector: 'kubernetes', outcome: 'failed', absent: ['gitaly_server_pod_ready'] },
});

const podList = (items: unknown, metadata: unknown = { resourceVersion: '5' }): unknown => ({
  kind: 'PodList',
  apiVersion: 'v1',
  metadata,
  items,
});
const pod = (more: object): object => ({
  metadata: { name: 'gitaly-0', namespace: 'gitlab', uid: 'u-1', labels: { app: 'gitaly' }, ...more },
  spec: { nodeName: 'n1', containers: [{ name: 'gitaly' }] },
  status: { phase: 'Running' },
});
const kubernetesBodies: readonly Scenario[] = [
  listBody('an empty object', {}),
  listBody('an array', []),
  listBody('null', 'null'),
  listBody('a truncated JSON document', '{"kind":"PodList","items":[{"metadata":'),
  listBody('another kind', { kind: 'Status', status: 'Success' }),
  listBody('items that are a string', podList('none')),
  listBody('missing items', {
    kind: 'PodList',
    apiVersion: 'v1',
    metadata: { resourceVersion: '5' },
  }),
  listBody('no resourceVersion', podList([], {})),
  listBody('a pod without uid', podList([pod({ uid: undefined })])),
  listBody('a pod named __proto__', podList([pod({ name: 7 })])),
  listBody('deeply nested JSON', `${'['.repeat(100_000)}${']'.repeat(100_000)}`),
  listBody('the token in an error', {
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    code: 403,
    reason: 'Forbidden',
    message: `the token ${sentinel} may not`,
  }),
  listBody('endless pages', podList([], { resourceVersion: '5', continue: 'more' })),
];

export const httpScenarios: readonly Scenario[] = [
  ...gitalyFaults,
  ...gitalyPages,
  ...kubernetesFaults,
  ...kubernetesBodies,
];
