import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../../src/lib/clock.ts';
import type { KubeApi } from '../../../../src/sources/kubernetes/api/api.ts';
import { openKubeApi } from '../../../../src/sources/kubernetes/api/open.ts';
import { type Certificates, makeCertificates } from '../../../server/support/certificates.ts';
import { startKubeApi, type TestKubeApi } from '../../../support/kube-api.ts';
import { createManualClock } from '../../../support/manual-clock.ts';
import { hasTool, testWith } from '../../../support/tools.ts';

const pods = '/api/v1/namespaces/gitlab/pods';
const never = new AbortController().signal;
const certificates: Certificates | undefined = hasTool('openssl') ? makeCertificates() : undefined;
afterAll(() => certificates?.remove());

let server: TestKubeApi;
let folder: string;
let opened: KubeApi[];

beforeEach(async () => {
  server = await startKubeApi();
  folder = await mkdtemp(join(tmpdir(), 'kubeconfig-'));
  opened = [];
});
afterEach(async () => {
  for (const api of opened) api.close();
  await server.close();
  await rm(folder, { recursive: true });
});

/** A kubeconfig with one context `main`; `user` is JSON, which is YAML. */
async function kubeconfig(user: object, cluster: object = { server: server.url.origin }, name = 'config') {
  const file = join(folder, name);
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'main',
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user }],
    contexts: [
      { name: 'main', context: { cluster: 'c', user: 'u' } },
      { name: 'other', context: { cluster: 'missing', user: 'u' } },
    ],
  };
  await writeFile(file, JSON.stringify(config));
  return file;
}

function open(
  file: string | undefined,
  options: Partial<Parameters<typeof openKubeApi>[1]> = {},
  context?: string,
): KubeApi {
  const api = openKubeApi(
    { kubeconfig: file, context },
    { clock: systemClock, env: {}, serviceAccountFolder: folder, ...options },
  );
  opened.push(api);
  return api;
}

const firstResponse = async (...args: Parameters<typeof open>) => open(...args).get(pods, {}, never);

const sentCredentials = (): (string | undefined)[] =>
  server.requests.map(({ authorization }) => authorization);

describe('the credentials of a kubeconfig', () => {
  test('may be a token', async () => {
    const kube = open(await kubeconfig({ token: 'abc' }));
    expect(await kube.get(pods, {}, never)).toMatchObject({ ok: true, response: { status: 200 } });
    expect(sentCredentials()).toEqual(['Bearer abc']);
  });

  test('may be user and password', async () => {
    await open(await kubeconfig({ username: 'u', password: 'p' })).get(pods, {}, never);
    expect(sentCredentials()).toEqual([`Basic ${Buffer.from('u:p').toString('base64')}`]);
  });

  test('may be a token file, relative to the kubeconfig, which is read again after a minute', async () => {
    const clock = createManualClock();
    await writeFile(join(folder, 'token'), 'one\n');
    const kube = open(await kubeconfig({ tokenFile: 'token' }), { clock });
    await kube.get(pods, {}, never);
    await writeFile(join(folder, 'token'), 'two\n');
    await kube.get(pods, {}, never);
    await clock.advance(61_000);
    await kube.get(pods, {}, never);
    expect(sentCredentials()).toEqual(['Bearer one', 'Bearer one', 'Bearer two']);
  });

  test('are read from the token file once when a token is rejected', async () => {
    await writeFile(join(folder, 'token'), 'old');
    const kube = open(await kubeconfig({ tokenFile: 'token' }));
    await kube.get(pods, {}, never);
    await writeFile(join(folder, 'token'), 'new');
    server.requireToken('new');
    const results = await Promise.all([1, 2, 3].map(() => kube.get(pods, {}, never)));
    expect(results).toMatchObject([1, 2, 3].map(() => ({ ok: true, response: { status: 200 } })));
    await kube.get(pods, {}, never);
    expect(sentCredentials().at(-1)).toBe('Bearer new');
  });

  test('may be a plugin, which runs once until its token is rejected', async () => {
    const plugin = `
      const fs = require('node:fs');
      const file = process.argv[1];
      const count = fs.existsSync(file) ? Number(fs.readFileSync(file, 'utf8')) + 1 : 1;
      fs.writeFileSync(file, String(count));
      console.log(JSON.stringify({ kind: 'ExecCredential', apiVersion: 'client.authentication.k8s.io/v1', status: { token: 'token-' + count } }));`;
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', plugin, join(folder, 'count')],
    };
    const kube = open(await kubeconfig({ exec }));
    await Promise.all([1, 2, 3].map(() => kube.get(pods, {}, never)));
    expect(sentCredentials()).toEqual(['Bearer token-1', 'Bearer token-1', 'Bearer token-1']);
    server.requireToken('token-2');
    expect(await kube.get(pods, {}, never)).toMatchObject({ ok: true, response: { status: 200 } });
  });

  test('of a plugin that fails are a failure that does not quote the plugin', async () => {
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', 'console.error("hunter2"); process.exit(1)'],
    };
    const result = await open(await kubeconfig({ exec })).get(pods, {}, never);
    expect(result).toMatchObject({
      ok: false,
      failure: { reason: 'authentication', message: expect.stringMatching(/credential plugin/) },
    });
    expect(JSON.stringify(result)).not.toMatch(/hunter2/);
    const missing = { apiVersion: 'client.authentication.k8s.io/v1', command: '/no/such/plugin' };
    expect(await open(await kubeconfig({ exec: missing })).get(pods, {}, never)).toMatchObject({
      failure: { reason: 'authentication', message: expect.stringMatching(/\/no\/such\/plugin/) },
    });
  });
});

describe('the configuration of the client', () => {
  test('is merged from the files in KUBECONFIG, of which the first takes precedence', async () => {
    const first = await kubeconfig({ token: 'first' }, undefined, 'a');
    const second = await kubeconfig({ token: 'second' }, undefined, 'b');
    await open(undefined, { env: { KUBECONFIG: `${first}:${second}` } }).get(pods, {}, never);
    expect(sentCredentials()).toEqual(['Bearer first']);
  });

  test.each<[string, () => ReturnType<typeof firstResponse>, RegExp]>([
    [
      'no configuration',
      () => firstResponse(undefined),
      /neither kubernetes.kubeconfig, KUBECONFIG nor HOME is set/,
    ],
    ['a missing file', () => firstResponse('/no/config'), /kubeconfig \/no\/config does not exist/],
    ['a folder', () => firstResponse(folder), /cannot be read \(EISDIR\)/],
    [
      'an unknown context',
      async () => firstResponse(await kubeconfig({ token: 'secret' }), {}, 'nope'),
      /kubernetes.context is nope, .* are: main, other/,
    ],
    [
      'a context without a cluster',
      async () => firstResponse(await kubeconfig({}), {}, 'other'),
      /no cluster for its context other/,
    ],
    [
      'an address of another host without TLS',
      async () => firstResponse(await kubeconfig({ token: 'secret' }, { server: 'http://10.0.0.1:8080' })),
      /without TLS only an address of this host/,
    ],
    [
      'an invalid address',
      async () => firstResponse(await kubeconfig({}, { server: 'nonsense' })),
      /not an http/,
    ],
  ])('fails with an explanation for %s', async (_name, run, message) => {
    const result = await run();
    expect(result).toMatchObject({ ok: false, failure: { message: expect.stringMatching(message) } });
    expect(JSON.stringify(result)).not.toMatch(/secret/);
  });

  test.each(['', 'not: [yaml', '{"clusters":[{"name":"secret"}]}', '[]'])(
    'fails without quoting a file with %j',
    async (text) => {
      const file = join(folder, 'config');
      await writeFile(file, text);
      const result = await firstResponse(file);
      expect(result.ok).toBe(false);
      expect(JSON.stringify(result)).not.toMatch(/secret/);
    },
  );
});

test('nothing is read before the first request, and an invalid configuration is read again at the next', async () => {
  const file = join(folder, 'config');
  const kube = open(file);
  expect(kube.server).toBe('the API server');
  expect(await kube.get(pods, {}, never)).toMatchObject({
    ok: false,
    failure: { message: expect.stringContaining('does not exist') },
  });
  expect(await kube.stream(pods, {}, never)).toMatchObject({ ok: false });
  await kubeconfig({ token: 'abc' });
  const results = await Promise.all([kube.get(pods, {}, never), kube.get(pods, {}, never)]);
  expect(results).toMatchObject([{ response: { status: 200 } }, { response: { status: 200 } }]);
  expect(kube.server).toBe(server.url.origin);
});

describe('TLS', () => {
  const withOpenssl = testWith('openssl');
  let tls: Server | undefined;
  afterEach(() => {
    tls?.closeAllConnections();
    tls?.close();
  });

  async function listen(): Promise<string> {
    tls = createServer(
      {
        key: certificates!.server.key,
        cert: certificates!.server.cert,
        ca: certificates!.ca.cert,
        requestCert: true,
        rejectUnauthorized: false,
      },
      (request, response) =>
        response.end(
          JSON.stringify({
            authorization: request.headers.authorization,
            certificate: (request.socket as TLSSocket).getPeerCertificate().subject?.CN,
          }),
        ),
    );
    await new Promise<void>((resolve) => tls?.listen(0, '127.0.0.1', resolve));
    return String((tls.address() as AddressInfo).port);
  }

  withOpenssl('a pod uses its service account', async () => {
    const port = await listen();
    await writeFile(join(folder, 'token'), 'of-the-pod\n');
    await writeFile(join(folder, 'ca.crt'), certificates!.ca.cert);
    const env = {
      KUBERNETES_SERVICE_HOST: '127.0.0.1',
      KUBERNETES_SERVICE_PORT: port,
      KUBECONFIG: '/no/such',
    };
    const kube = open(undefined, { env });
    expect(await kube.get(pods, {}, never)).toMatchObject({
      ok: true,
      // A token that the server repeats is removed from its responses.
      response: { body: '{"authorization":"Bearer <secret>"}' },
    });
    // Without the token file: a failure that names the file, not a request without a token.
    await rm(join(folder, 'token'));
    const clock = createManualClock();
    await writeFile(join(folder, 'token'), 'x');
    const later = open(undefined, { env, clock });
    await later.get(pods, {}, never);
    await rm(join(folder, 'token'));
    await clock.advance(61_000);
    expect(await later.get(pods, {}, never)).toMatchObject({
      ok: false,
      failure: { reason: 'authentication', message: expect.stringContaining(join(folder, 'token')) },
    });
    await writeFile(join(folder, 'token'), 'y');
    expect(await later.get(pods, {}, never)).toMatchObject({
      response: { body: '{"authorization":"Bearer y"}' },
    });
  });

  withOpenssl('client certificates are read again when they are renewed', async () => {
    const port = await listen();
    const { ca, client, otherClient } = certificates!;
    const cluster = { server: `https://127.0.0.1:${port}`, 'certificate-authority': ca.certFile };
    const user = { 'client-certificate': 'client.crt', 'client-key': 'client.key' };
    const write = async (pair: typeof client) => {
      await writeFile(join(folder, 'client.crt'), pair.cert);
      await writeFile(join(folder, 'client.key'), pair.key);
    };
    await write(client);
    const clock = createManualClock();
    const kube = open(await kubeconfig(user, cluster), { clock });
    expect(await kube.get(pods, {}, never)).toMatchObject({ response: { body: '{"certificate":"client"}' } });
    await write(otherClient);
    await clock.advance(61_000);
    expect(await kube.get(pods, {}, never)).toMatchObject({
      response: { body: '{"certificate":"other-client"}' },
    });
  });

  withOpenssl('an unexpected certificate authority is a failure', async () => {
    const port = await listen();
    const kube = open(await kubeconfig({ token: 'a' }, { server: `https://127.0.0.1:${port}` }));
    expect(await kube.get(pods, {}, never)).toMatchObject({
      ok: false,
      failure: { reason: 'tls', message: expect.stringMatching(/certificate authority/) },
    });
  });
});
