import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { createServer as createNetServer } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import bcrypt from 'bcrypt';
import { codeOf } from '../../../src/lib/errors.ts';
import { defaultLimits, listen } from '../../../src/server/listener.ts';
import { openWebConfig } from '../../../src/server/web-config/source.ts';
import { hasTool, testWith } from '../../support/tools.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { type Folder, makeFolder } from '../support/folder.ts';
import { basic, ownMetrics, send, type TestResponse, until, withServer } from '../support/harness.ts';

const hash = (password: string) => bcrypt.hashSync(password, 4);
const users = (...entries: [string, string][]) =>
  `basic_auth_users:\n${entries.map(([name, password]) => `  ${name}: ${hash(password)}\n`).join('')}`;

let folder: Folder;
let certificates: Certificates;
beforeAll(() => {
  folder = makeFolder();
  if (hasTool('openssl')) certificates = makeCertificates();
});
afterAll(() => {
  folder.remove();
  certificates?.remove();
});
let files = 0;
const write = (text: string) => folder.write(`reload-${files++}.yml`, text);

describe('a change of the web configuration file', () => {
  test('of users or headers applies from the next request on', async () => {
    const file = write(users(['alice', 'one']));
    await withServer({ webConfigFile: file }, async ({ url, log }) => {
      const status = async (user: string, password: string) =>
        (await send(`${url}/metrics`, { headers: basic(user, password) })).status;
      expect(await status('alice', 'one')).toBe(200);
      writeFileSync(file, users(['alice', 'two'], ['bob', 'three']));
      expect(await status('alice', 'one')).toBe(401);
      expect(await status('alice', 'two')).toBe(200);
      expect(await status('bob', 'three')).toBe(200);
      writeFileSync(
        file,
        `${users(['bob', 'three'])}http_server_config:\n  headers: { X-Frame-Options: sameorigin, Content-Security-Policy: "" }\n`,
      );
      expect(await status('alice', 'two')).toBe(401);
      const { headers } = await send(url, { headers: basic('bob', 'three') });
      expect(headers['x-frame-options']).toBe('sameorigin');
      expect(headers['content-security-policy']).toBeUndefined();
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(log.filter((line) => line.includes('web configuration reloaded'))).toHaveLength(2);
    });
  });

  test.each<[string, (file: string) => void]>([
    ['cannot be parsed', (file) => writeFileSync(file, 'basic_auth_users: [')],
    ['has an unknown key', (file) => writeFileSync(file, `${users(['alice', 'one'])}foo: 1`)],
    ['is missing', (file) => rmSync(file)],
    // For a moment, when a program truncates the file before writing it.
    ['is empty', (file) => writeFileSync(file, '')],
    ['has no users', (file) => writeFileSync(file, 'http_server_config: { http2: true }')],
  ])('to one that %s rejects all requests until it is fixed, except /-/healthy', async (_what, spoil) => {
    const good = users(['alice', 'one']);
    const file = write(good);
    await withServer({ webConfigFile: file }, async ({ url, log, server }) => {
      const headers = basic('alice', 'one');
      expect((await send(`${url}/metrics`, { headers })).status).toBe(200);
      spoil(file);
      for (const path of ['/metrics', '/', '/api/v1/status', '/nothing']) {
        const response = await send(`${url}${path}`, { headers });
        expect(response.status).toBe(500);
        expect(response.body).toBe(
          'The web configuration file is invalid, so every request is rejected; see the exporter log.\n',
        );
      }
      expect((await send(`${url}/-/healthy`)).status).toBe(200);
      expect((await send(`${url}/-/ready`)).status).toBe(503);
      expect(ownMetrics(server)).toMatchObject({
        'scrape_rejected_total web_config': 1,
        web_config_last_reload_success: 0,
      });
      expect(log.filter((line) => line.includes('rejecting all requests'))).toHaveLength(1);
      expect(log.join()).toContain(file);
      writeFileSync(file, good);
      expect((await send(`${url}/metrics`, { headers })).status).toBe(200);
      expect(ownMetrics(server)['web_config_last_reload_success']).toBe(1);
    });
  });

  test('is detected by the bytes of the file, however quickly changes follow each other', async () => {
    const one = users(['alice', 'one']);
    const two = users(['alice', 'two']);
    expect(one).toHaveLength(two.length);
    const file = write(one);
    await withServer({ webConfigFile: file }, async ({ url }) => {
      for (let i = 0; i < 20; i++) {
        writeFileSync(file, i % 2 === 0 ? two : one);
        expect(
          (await send(`${url}/metrics`, { headers: basic('alice', i % 2 === 0 ? 'two' : 'one') })).status,
        ).toBe(200);
      }
    });
  });

  test('is detected when the file is replaced by a rename, as Kubernetes does', async () => {
    const file = write(users(['alice', 'one']));
    await withServer({ webConfigFile: file }, async ({ url }) => {
      renameSync(write(users(['alice', 'two'])), file);
      expect((await send(url, { headers: basic('alice', 'two') })).status).toBe(200);
    });
  });

  test('that sets a rate limit rejects requests beyond it, but never /-/healthy', async () => {
    const file = write('rate_limit: { interval: 1h, burst: 2 }');
    await withServer({ webConfigFile: file }, async ({ url, server }) => {
      const statuses = [];
      for (let i = 0; i < 4; i++) statuses.push((await send(`${url}/metrics`)).status);
      expect(statuses).toEqual([200, 200, 429, 429]);
      expect((await send(`${url}/-/healthy`)).status).toBe(200);
      expect(ownMetrics(server)['scrape_rejected_total rate']).toBe(2);
      writeFileSync(file, '{}');
      expect((await send(`${url}/metrics`)).status).toBe(200);
    });
  });
});

describe('users that were added by a reload', () => {
  test('cannot be removed again without a restart', async () => {
    const file = write('');
    await withServer({ webConfigFile: file }, async ({ url }) => {
      expect((await send(url)).status).toBe(200);
      writeFileSync(file, users(['alice', 'one']));
      expect((await send(url)).status).toBe(401);
      writeFileSync(file, '');
      expect((await send(url)).status).toBe(500);
      expect((await send(url, { headers: basic('alice', 'one') })).status).toBe(500);
      writeFileSync(file, users(['bob', 'two']));
      expect((await send(url, { headers: basic('bob', 'two') })).status).toBe(200);
    });
  });
});

describe('a change of TLS', () => {
  const withOpenssl = testWith('openssl');

  const tlsSection = (...more: string[]) => {
    const { certFile, keyFile } = certificates.server;
    return `tls_server_config:\n${[`cert_file: ${certFile}`, `key_file: ${keyFile}`, ...more].map((line) => `  ${line}\n`).join('')}`;
  };
  const outcome = (url: string, options: object = {}): Promise<TestResponse | string> =>
    send(url, { ca: certificates.ca.cert, ...options }).catch(
      (error: NodeJS.ErrnoException) => error.code ?? error.message,
    );
  const serial = (port: number): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = tlsConnect({ port, host: '127.0.0.1', ca: certificates.ca.cert }, () => {
        resolve(socket.getPeerCertificate().serialNumber);
        socket.destroy();
      });
      socket.on('error', reject);
    });
  const ca = (pair: { certFile: string }) => [
    'client_auth_type: RequireAndVerifyClientCert',
    `client_ca_file: ${pair.certFile}`,
  ];

  withOpenssl(
    'to a renewed certificate applies from the next connection on, and half of a pair leaves the old one in use',
    async () => {
      const { server: old, renewedServer: renewed } = certificates;
      const certFile = folder.write('renewed.crt', old.cert);
      const keyFile = folder.write('renewed.key', old.key);
      const file = write(`tls_server_config:\n  cert_file: ${certFile}\n  key_file: ${keyFile}\n`);
      await withServer({ webConfigFile: file }, async ({ port, url, log, server }) => {
        const first = await serial(port);
        writeFileSync(certFile, renewed.cert);
        expect(await serial(port)).toBe(first);
        expect(await outcome(url)).toMatchObject({ status: 200 });
        expect(ownMetrics(server)['web_config_last_reload_success']).toBe(0);
        expect(log.join()).toContain('is not the key of');
        writeFileSync(keyFile, renewed.key);
        const second = await serial(port);
        expect(second).not.toBe(first);
        expect(ownMetrics(server)['web_config_last_reload_success']).toBe(1);
      });
    },
  );

  withOpenssl('to another client CA admits its clients only, on old connections as well', async () => {
    const file = write(tlsSection(...ca(certificates.ca)));
    await withServer({ webConfigFile: file }, async ({ url }) => {
      const { client, foreignClient } = certificates;
      const agent = new Agent({
        keepAlive: true,
        maxSockets: 1,
        ca: certificates.ca.cert,
        cert: client.cert,
        key: client.key,
      });
      expect(await outcome(url, { agent })).toMatchObject({ status: 200 });
      writeFileSync(file, tlsSection(...ca(certificates.otherCa)));
      expect(await outcome(url, { agent })).toMatch(/ALERT|ECONNRESET|socket hang up/);
      expect(await outcome(url, { agent })).toMatch(/ALERT|ECONNRESET|socket hang up/);
      expect(await outcome(url, { cert: foreignClient.cert, key: foreignClient.key })).toMatchObject({
        status: 200,
      });
      agent.destroy();
    });
  });

  withOpenssl(
    'to a stricter client_auth_type requires a certificate from the next connection on',
    async () => {
      const file = write(tlsSection());
      await withServer({ webConfigFile: file }, async ({ url }) => {
        const { client } = certificates;
        const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: certificates.ca.cert });
        expect(await outcome(url, { agent })).toMatchObject({ status: 200 });
        writeFileSync(file, tlsSection(...ca(certificates.ca)));
        expect(await outcome(url, { agent })).toMatch(/ALERT|ECONNRESET|socket hang up/);
        expect(await outcome(url)).toMatch(/ALERT|ECONNRESET|socket hang up/);
        expect(await outcome(url, { cert: client.cert, key: client.key })).toMatchObject({ status: 200 });
        agent.destroy();
      });
    },
  );

  withOpenssl('to another client_auth_type retries when the address is in use at that moment', async () => {
    const file = write(tlsSection());
    const opened = openWebConfig(file);
    if (!opened.ok) throw new Error(opened.problem);
    const webConfig = opened.value;
    const errors: (string | undefined)[] = [];
    const listening = await listen({
      address: { configured: '127.0.0.1:0', host: '127.0.0.1', port: 0 },
      webConfig,
      limits: defaultLimits,
      handle: (_request, response) => response.end('served'),
      onError: (error, what) => {
        if (what === 'socket') errors.push(codeOf(error));
      },
    });
    if (!listening.ok) throw new Error(listening.problem);
    const { port, stop } = listening.listener;
    const url = `https://127.0.0.1:${port}/`;
    const { client } = certificates;
    expect(await outcome(url)).toMatchObject({ body: 'served' });

    writeFileSync(file, tlsSection(...ca(certificates.ca)));
    webConfig.current();
    const other = createNetServer();
    await new Promise<void>((resolve) => other.listen(port, resolve));
    await until(() => errors.length > 0);
    expect(errors).toEqual(['EADDRINUSE']);
    await new Promise((resolve) => other.close(resolve));
    await until(async () => typeof (await outcome(url, client)) !== 'string');
    expect(await outcome(url)).toMatch(/ALERT|ECONNRESET|socket hang up/);

    await stop(0);
    expect(await outcome(url, client)).toBe('ECONNREFUSED');
  });

  withOpenssl('that would loosen access or disable encryption needs a restart', async () => {
    const strict = tlsSection(...ca(certificates.ca), 'client_allowed_sans: [prometheus.example]');
    const looser: [string, string][] = [
      [tlsSection(), 'client_auth_type is now NoClientCert'],
      [tlsSection('client_auth_type: RequireAnyClientCert'), 'client_auth_type is now RequireAnyClientCert'],
      [tlsSection(...ca(certificates.ca)), 'client_allowed_sans was removed'],
      ['{}', 'tls_server_config was removed'],
    ];
    const { client } = certificates;
    for (const [text, words] of looser) {
      const file = write(strict);
      await withServer({ webConfigFile: file }, async ({ url, log }) => {
        expect(await outcome(url, { cert: client.cert, key: client.key })).toMatchObject({ status: 200 });
        writeFileSync(file, text);
        expect(await outcome(url, { cert: client.cert, key: client.key })).toMatchObject({ status: 500 });
        expect(log.join()).toContain(words);
        expect(log.join()).toContain('restart the exporter');
      });
    }
  });

  withOpenssl('that adds TLS to plain HTTP needs a restart, and logs that', async () => {
    const file = write(users(['alice', 'one']));
    await withServer({ webConfigFile: file }, async ({ url, log, server }) => {
      writeFileSync(file, tlsSection() + users(['alice', 'two']));
      expect((await send(url, { headers: basic('alice', 'two') })).status).toBe(200);
      expect((await send(url, { headers: basic('alice', 'one') })).status).toBe(401);
      expect(log.join()).toContain('restart the exporter to enable it');
      expect(ownMetrics(server)['web_config_last_reload_success']).toBe(0);
    });
  });
});
