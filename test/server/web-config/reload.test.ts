import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { connect as tlsConnect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import bcrypt from 'bcrypt';
import { hasTool, testWith } from '../../support/tools.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { type Folder, makeFolder } from '../support/folder.ts';
import { type Answer, ask, basic, ownMetrics, withServer } from '../support/harness.ts';

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
  test('holds from the next request on: users, headers, rate', async () => {
    const file = write(users(['alice', 'one']));
    await withServer({ webConfigFile: file }, async ({ url, log }) => {
      const status = async (user: string, password: string) =>
        (await ask(`${url}/metrics`, { headers: basic(user, password) })).status;
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
      const { headers } = await ask(url, { headers: basic('bob', 'three') });
      expect(headers['x-frame-options']).toBe('sameorigin');
      expect(headers['content-security-policy']).toBeUndefined();
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(log.filter((line) => line.includes('were read again'))).toHaveLength(2);
    });
  });

  test.each<[string, (file: string) => void]>([
    ['cannot be parsed', (file) => writeFileSync(file, 'basic_auth_users: [')],
    ['has an unknown key', (file) => writeFileSync(file, `${users(['alice', 'one'])}foo: 1`)],
    ['is gone', (file) => rmSync(file)],
    // What a writer leaves for a moment who empties the file before filling it.
    ['is empty', (file) => writeFileSync(file, '')],
    ['lets everybody in', (file) => writeFileSync(file, 'http_server_config: { http2: true }')],
  ])('that %s refuses everybody until it is mended, and /-/healthy nobody', async (_what, spoil) => {
    const good = users(['alice', 'one']);
    const file = write(good);
    await withServer({ webConfigFile: file }, async ({ url, log, server }) => {
      const headers = basic('alice', 'one');
      expect((await ask(`${url}/metrics`, { headers })).status).toBe(200);
      spoil(file);
      for (const path of ['/metrics', '/', '/api/v1/status', '/nothing']) {
        const answer = await ask(`${url}${path}`, { headers });
        expect(answer.status).toBe(500);
        expect(answer.body).toBe(
          'The web configuration file is wrong; the log says where. Nobody is let in until it is mended.\n',
        );
      }
      expect((await ask(`${url}/-/healthy`)).status).toBe(200);
      expect((await ask(`${url}/-/ready`)).status).toBe(503);
      expect(ownMetrics(server)).toMatchObject({
        'scrape_rejected_total web_config': 1,
        web_config_last_reload_success: 0,
      });
      expect(log.filter((line) => line.includes('everybody is refused'))).toHaveLength(1);
      expect(log.join()).toContain(file);
      writeFileSync(file, good);
      expect((await ask(`${url}/metrics`, { headers })).status).toBe(200);
      expect(ownMetrics(server)['web_config_last_reload_success']).toBe(1);
    });
  });

  test('is seen however quickly one follows another, by its bytes and not by its time', async () => {
    const one = users(['alice', 'one']);
    const two = users(['alice', 'two']);
    expect(one).toHaveLength(two.length);
    const file = write(one);
    await withServer({ webConfigFile: file }, async ({ url }) => {
      for (let i = 0; i < 20; i++) {
        writeFileSync(file, i % 2 === 0 ? two : one);
        expect(
          (await ask(`${url}/metrics`, { headers: basic('alice', i % 2 === 0 ? 'two' : 'one') })).status,
        ).toBe(200);
      }
    });
  });

  test('is seen when a symbolic link is moved over, as Kubernetes does', async () => {
    const file = write(users(['alice', 'one']));
    await withServer({ webConfigFile: file }, async ({ url }) => {
      renameSync(write(users(['alice', 'two'])), file);
      expect((await ask(url, { headers: basic('alice', 'two') })).status).toBe(200);
    });
  });

  test('that limits the rate refuses the requests beyond it, but never the health', async () => {
    const file = write('rate_limit: { interval: 1h, burst: 2 }');
    await withServer({ webConfigFile: file }, async ({ url, server }) => {
      const statuses = [];
      for (let i = 0; i < 4; i++) statuses.push((await ask(`${url}/metrics`)).status);
      expect(statuses).toEqual([200, 200, 429, 429]);
      expect((await ask(`${url}/-/healthy`)).status).toBe(200);
      expect(ownMetrics(server)['scrape_rejected_total rate']).toBe(2);
      writeFileSync(file, '{}');
      expect((await ask(`${url}/metrics`)).status).toBe(200);
    });
  });
});

describe('users that were added later', () => {
  test('cannot be taken away again without a restart either', async () => {
    const file = write('');
    await withServer({ webConfigFile: file }, async ({ url }) => {
      expect((await ask(url)).status).toBe(200);
      writeFileSync(file, users(['alice', 'one']));
      expect((await ask(url)).status).toBe(401);
      writeFileSync(file, '');
      expect((await ask(url)).status).toBe(500);
      expect((await ask(url, { headers: basic('alice', 'one') })).status).toBe(500);
      writeFileSync(file, users(['bob', 'two']));
      expect((await ask(url, { headers: basic('bob', 'two') })).status).toBe(200);
    });
  });
});

describe('a change that concerns TLS', () => {
  const withOpenssl = testWith('openssl');

  const tlsSection = (...more: string[]) => {
    const { certFile, keyFile } = certificates.server;
    return `tls_server_config:\n${[`cert_file: ${certFile}`, `key_file: ${keyFile}`, ...more].map((line) => `  ${line}\n`).join('')}`;
  };
  const outcome = (url: string, options: object = {}): Promise<Answer | string> =>
    ask(url, { ca: certificates.ca.cert, ...options }).catch(
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
    'a renewed certificate is shown from the next connection on; half of a pair leaves the old one',
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

  withOpenssl(
    'another authority lets in its clients and no longer those of the one before, on old connections as well',
    async () => {
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
    },
  );

  withOpenssl('a stricter client_auth_type asks for a certificate from the next connection on', async () => {
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
  });

  withOpenssl('what would ask less of clients, or no encryption, needs a restart', async () => {
    const strict = tlsSection(...ca(certificates.ca), 'client_allowed_sans: [prometheus.example]');
    const looser: [string, string][] = [
      [tlsSection(), 'client_auth_type is now NoClientCert'],
      [tlsSection('client_auth_type: RequireAnyClientCert'), 'client_auth_type is now RequireAnyClientCert'],
      [tlsSection(...ca(certificates.ca)), 'client_allowed_sans is gone'],
      ['{}', 'tls_server_config is gone'],
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

  withOpenssl('http2 that is switched waits for a restart, and says so', async () => {
    const file = write(tlsSection());
    await withServer({ webConfigFile: file }, async ({ url, log, server }) => {
      writeFileSync(file, `${tlsSection()}http_server_config: { http2: false }\n`);
      expect(await outcome(url)).toMatchObject({ status: 200 });
      expect(log.join()).toContain('http2 was changed');
      expect(ownMetrics(server)['web_config_last_reload_success']).toBe(0);
      writeFileSync(file, tlsSection());
      expect(await outcome(url)).toMatchObject({ status: 200 });
      expect(ownMetrics(server)['web_config_last_reload_success']).toBe(1);
    });
  });

  withOpenssl('TLS that is added while plain HTTP is served waits for a restart, and says so', async () => {
    const file = write(users(['alice', 'one']));
    await withServer({ webConfigFile: file }, async ({ url, log, server }) => {
      writeFileSync(file, tlsSection() + users(['alice', 'two']));
      expect((await ask(url, { headers: basic('alice', 'two') })).status).toBe(200);
      expect((await ask(url, { headers: basic('alice', 'one') })).status).toBe(401);
      expect(log.join()).toContain('it begins with the next start');
      expect(ownMetrics(server)['web_config_last_reload_success']).toBe(0);
    });
  });
});
