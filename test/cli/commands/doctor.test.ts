/**
 * The command doctor, from its flags to its exit code: on recorded clusters served over HTTP, and without a cluster.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { main } from '../../../src/cli/main.ts';
import { pageBytes } from '../../sources/gitaly/support.ts';
import { recorded, startKubeApi, type TestKubeApi } from '../../support/kube-api.ts';
import { until } from '../../support/until.ts';
import { testHost } from '../host.ts';

let folder: string;
let server: TestKubeApi;
let kubeconfig: string;
const cleanups: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gitaly-exporter-doctor-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  server = await startKubeApi();
  server.always('secrets:get', recorded('list-forbidden'));
  kubeconfig = join(folder, `kubeconfig-${server.url.port}`);
  await writeFile(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: server.url.origin } }],
      users: [{ name: 'u', user: { token: 'SENTINEL-token' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
  await server.close();
});

interface Output {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function doctor(args: readonly string[], env: Record<string, string> = {}): Promise<Output> {
  const host = testHost({}, env, 100);
  const code = await main(['doctor', ...args], host);
  expect(host.out() + host.err()).not.toContain('SENTINEL');
  return { code, out: host.out(), err: host.err() };
}

interface Json {
  readonly summary: Readonly<Record<string, number>>;
  readonly findings: readonly {
    readonly check: string;
    readonly status: string;
    readonly subject: string;
    readonly detail: string;
    readonly fixes: readonly { readonly kind: string; readonly text: string }[];
  }[];
  readonly notes: readonly string[];
}

/** Runs doctor on the recorded cluster. No process serves the addresses of its pods. */
async function onCluster(
  name: string,
  ...args: readonly string[]
): Promise<Output & { readonly json: Json }> {
  server.load(name, 'at-rest');
  const output = await doctor([
    `--kubernetes.kubeconfig=${kubeconfig}`,
    '--namespace=gitlab',
    '--skip=servers_reachable',
    '--output=json',
    ...args,
  ]);
  return { ...output, json: JSON.parse(output.out) as Json };
}

const worst = (json: Json, check: string): string | undefined => {
  const found = json.findings.filter((each) => each.check === check).map(({ status }) => status);
  return ['fail', 'warn', 'unknown', 'pass'].find((status) => found.includes(status));
};

test('in a cluster that follows every recommendation nothing fails, and the exit code is 0', async () => {
  const { code, json } = await onCluster('posture-good');
  expect(json.findings.filter(({ status }) => status === 'fail')).toEqual([]);
  expect(code).toBe(0);
  for (const check of [
    'api_reachable',
    'api_rights',
    'api_pods',
    'gitaly_config',
    'qos_guaranteed',
    'priority_class',
  ])
    expect([check, worst(json, check)]).toEqual([check, 'pass']);
  // Doctor leaves no watch open; the server notices the end of the connections a moment later.
  await until(() => server.openWatches() === 0);
});

test('settings about clients have the same effect in doctor as in the exporter', async () => {
  const reason = async (...args: readonly string[]): Promise<string> =>
    JSON.stringify((await onCluster('posture-good', '--only=client_retry_window', ...args)).json.findings);
  expect(await reason()).toContain('checks.client-retry-window');
  expect(await reason('--checks.client-retry-window=30s')).not.toContain('checks.client-retry-window');
});

test("the chart's defaults fail, each with Helm values or a kubectl command as its fix", async () => {
  const { code, json } = await onCluster('posture-chart-defaults');
  expect(code).toBe(1);
  for (const check of [
    'qos_guaranteed',
    'priority_class',
    'safe_to_evict',
    'concurrency_limits',
    'three_praefects',
  ])
    expect([check, worst(json, check)]).toEqual([check, 'fail']);
  const failing = json.findings.filter(({ status }) => status === 'fail');
  expect(failing.filter(({ fixes }) => fixes.length === 0)).toEqual([]);
  expect(json.summary['fail']).toBe(failing.length);
});

test('a missing permission fails, and checks that depend on it are unknown, never passed', async () => {
  server.always('poddisruptionbudgets:list', recorded('list-forbidden'));
  const { code, json } = await onCluster('posture-good');
  expect(code).toBe(1);
  expect(worst(json, 'api_rights')).toBe('fail');
  expect(worst(json, 'pdb_present')).toBe('unknown');
});

test('an unreachable API server is one failure, and no check passes because of it', async () => {
  await server.stop();
  const { code, json } = await onCluster('posture-good');
  expect(code).toBe(1);
  expect(worst(json, 'api_reachable')).toBe('fail');
  expect(json.findings.filter(({ status }) => status === 'pass')).toEqual([]);
});

test('a namespace without Gitaly fails, as a misspelled one would otherwise read as healthy', async () => {
  server.load('posture-good', 'at-rest');
  const { code, out } = await doctor([
    `--kubernetes.kubeconfig=${kubeconfig}`,
    '--namespace=gitlab-2',
    '--only=api_pods',
  ]);
  expect(code).toBe(1);
  expect(out).toContain('none with app=gitaly in namespace gitlab-2');
  expect(out).toContain('kubectl get pods -A -l app=gitaly');
});

describe('the selection of checks', () => {
  test('with --only runs these checks and reads nothing else', async () => {
    const { json } = await onCluster('posture-good', '--only=api_rights,qos_guaranteed');
    expect(new Set(json.findings.map(({ check }) => check))).toEqual(
      new Set(['api_rights', 'qos_guaranteed']),
    );
  });

  test('with --skip leaves these out, and they have no effect on the exit code', async () => {
    server.always('poddisruptionbudgets:list', recorded('list-forbidden'));
    const { code, json } = await onCluster('posture-good', '--skip=api_rights');
    expect(code).toBe(0);
    expect(worst(json, 'api_rights')).toBeUndefined();
  });

  test.each([
    ['--only=qos_garanteed', '--only: found "qos_garanteed", expected a check: did you mean qos_guaranteed?'],
    ['--skip=api_right', 'did you mean api_rights?'],
    ['--only=completely-different', 'the checks are web_config, '],
    ['--output=yaml', 'expected one of table, json'],
    ['--namespase=x', 'Did you mean --namespace?'],
  ])('with %s is rejected', async (arg, message) => {
    const { code, err, out } = await doctor([arg]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(message);
  });
});

describe('doctor without Kubernetes', () => {
  test('fails when there is nothing to check', async () => {
    const { code, out } = await doctor([]);
    expect(code).toBe(2);
    expect(out).toContain('No checks were run');
    expect(out).toContain('kubernetes.enabled is false');
  });

  async function metricsServer(page: string, text: string | Buffer = pageBytes(page)): Promise<string> {
    const http = createServer((_request, response) => {
      response.setHeader('Content-Type', 'text/plain; version=0.0.4');
      response.end(text);
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => void http.close());
    return `127.0.0.1:${(http.address() as AddressInfo).port}`;
  }

  test('checks servers, their configuration and the web configuration', async () => {
    const gitaly = await metricsServer('19/after.gitaly-2');
    const praefect = await metricsServer('19/after.praefect-1');
    const host = testHost(
      {
        '/etc/gitaly.toml':
          '[[concurrency]]\nrpc = "/gitaly.SmartHTTPService/PostUploadPackWithSidechannel"\nmax_per_repo = 3\n',
      },
      {},
      100,
    );
    const code = await main(
      [
        'doctor',
        '--output=json',
        `--gitaly.target=good=${gitaly}`,
        `--gitaly.target=praefects=${praefect}`,
        '--gitaly.target=away=127.0.0.1:1',
        `--praefect.target=${praefect}`,
        '--gitaly.config-file=good=/etc/gitaly.toml',
        '--gitaly.config-file=away=/etc/none.toml',
        '--web.config.file=/nowhere/web.yml',
      ],
      host,
    );
    const { findings } = JSON.parse(host.out()) as Json;
    expect(code).toBe(1);
    expect(
      findings
        .filter(({ check }) => ['servers_reachable', 'gitaly_config', 'web_config'].includes(check))
        .map(({ check, status, subject, detail }) => [check, status, subject, detail]),
    ).toEqual([
      ['web_config', 'fail', '', expect.stringContaining('/nowhere/web.yml')],
      ['servers_reachable', 'pass', 'Gitaly good', expect.stringMatching(/\/metrics in \d+ ms$/)],
      [
        'servers_reachable',
        'fail',
        'Gitaly praefects',
        expect.stringContaining('is a Praefect, not a Gitaly: list it in praefect.target'),
      ],
      ['servers_reachable', 'fail', 'Gitaly away', expect.stringContaining('nothing listens there')],
      ['servers_reachable', 'pass', expect.stringMatching(/^Praefect /), expect.anything()],
      ['gitaly_config', 'fail', '', expect.stringContaining('/etc/none.toml does not exist')],
      ['gitaly_config', 'pass', '', '/etc/gitaly.toml, of good'],
    ]);
    expect(findings.find(({ check }) => check === 'concurrency_limits')).toMatchObject({ status: 'pass' });
  });

  test('fails for a server whose page the exporter does not use: with too many series', async () => {
    const lines = Array.from(
      { length: 101 },
      (_, at) => `gitaly_concurrency_limiting_in_progress{grpc_service="gitaly.S",grpc_method="M${at}"} 1\n`,
    );
    const gitaly = await metricsServer('', lines.join(''));
    const { out } = await doctor([
      '--output=json',
      `--gitaly.target=${gitaly}`,
      '--gitaly.scrape.max-series=100',
    ]);
    const { findings } = JSON.parse(out) as Json;
    expect(findings.find(({ check }) => check === 'servers_reachable')).toMatchObject({
      status: 'fail',
      detail: expect.stringContaining('more than 100 samples of interest'),
    });
  });

  test('reports invalid database settings as a finding, next to the other findings', async () => {
    const { code, out } = await doctor([
      '--praefect.database.url=postgres://u@h/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem',
      '--output=json',
    ]);
    const { findings } = JSON.parse(out) as Json;
    expect(code).toBe(1);
    expect(findings).toMatchObject([
      { check: 'database_settings', status: 'fail', detail: expect.stringContaining('/nowhere/ca.pem') },
    ]);
  });
});

describe('doctor', () => {
  test('at --timeout prints the findings so far, and a note that some checks were not reached', async () => {
    server.load('posture-good', 'at-rest');
    server.always('pods:list', 'hang');
    const { code, out } = await doctor([
      `--kubernetes.kubeconfig=${kubeconfig}`,
      '--namespace=gitlab',
      '--skip=servers_reachable',
      '--timeout=1s',
      '--output=json',
    ]);
    const json = JSON.parse(out) as Json;
    expect(json.notes).toContain('Checks that were not reached in time (--timeout).');
    expect(worst(json, 'api_rights')).toBe('unknown');
    expect(
      json.findings.filter(({ check, status }) => check === 'qos_guaranteed' && status === 'pass'),
    ).toEqual([]);
    expect(code).toBe(1);
  });

  test('at --timeout has exit code 1, even if no check failed', async () => {
    server.load('posture-good', 'at-rest');
    server.always('pods:list', 'hang');
    const { code, out } = await doctor([
      `--kubernetes.kubeconfig=${kubeconfig}`,
      '--namespace=gitlab',
      '--only=qos_guaranteed',
      '--timeout=1s',
      '--output=json',
    ]);
    const json = JSON.parse(out) as Json;
    expect(json.summary).toMatchObject({ fail: 0, pass: 0 });
    expect(code).toBe(1);
  });

  test('ends immediately on a signal', async () => {
    server.always('*', 'hang');
    const host = testHost({}, {}, 100);
    const ended = main(['doctor', `--kubernetes.kubeconfig=${kubeconfig}`, '--namespace=gitlab'], host);
    while (server.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
    host.signals.emit('SIGTERM');
    expect(await ended).toBe(2);
    expect(host.err()).toContain('doctor was interrupted');
  });

  test('on a terminal prints a table, without colors when NO_COLOR is set', async () => {
    server.load('posture-good', 'at-rest');
    const shown = async (env: Record<string, string>, isTTY: boolean): Promise<string> => {
      const host = testHost({}, env, 80);
      await main(
        ['doctor', `--kubernetes.kubeconfig=${kubeconfig}`, '--namespace=gitlab', '--only=api_pods'],
        {
          ...host,
          stdout: { ...host.stdout, isTTY },
        },
      );
      return host.out();
    };
    // biome-ignore lint/suspicious/noControlCharactersInRegex: ANSI colors begin with it
    const colors = /\u001b\[/;
    expect(await shown({}, true)).toMatch(colors);
    expect(await shown({ NO_COLOR: '1' }, true)).not.toMatch(colors);
    expect(await shown({ TERM: 'dumb' }, true)).not.toMatch(colors);
    expect(await shown({}, false)).toMatch(
      /^1 check: 1 passed\n\nKubernetes API\nok {7}api_pods {2}3: gitlab\//,
    );
  });
});

describe('right-sizing from Prometheus', () => {
  test.each([
    [['--prometheus-ca-file=/ca.pem'], 'the flags --prometheus-* need --prometheus-url'],
    [['--prometheus-url=http://p:9090', '--prometheus-cert-file=/c.pem'], 'go together: set both or neither'],
    [['--prometheus-url=http://me:SENTINEL@p:9090'], 'its value (not shown) has a user'],
    [['--prometheus-url=p:9090'], 'start it with https:// or http://'],
    [['--prometheus-url=http://p:9090', '--prometheus-days=15'], 'from 1 to 14'],
  ])('%j is a usage error', async (args, message) => {
    const { code, err } = await doctor(args);
    expect(code).toBe(2);
    expect(err.replaceAll(/\s+/g, ' ')).toContain(message);
  });

  test('an unreachable Prometheus fails its check, and the message has the fix', async () => {
    const args = ['--prometheus-url=http://127.0.0.1:1', '--only=prometheus_history', '--output=json'];
    const { code, out } = await doctor(args);
    expect(code).toBe(1);
    expect((JSON.parse(out) as Json).findings).toMatchObject([
      {
        check: 'prometheus_history',
        status: 'fail',
        detail: expect.stringMatching(/^http:\/\/127\.0\.0\.1:1 refused the connection/),
        fixes: [{ kind: 'text', text: expect.stringContaining('--prometheus-url') }],
      },
    ]);
  });
});
