import { connect as tlsConnect } from 'node:tls';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import bcrypt from 'bcrypt';
import { hasTool, testWith } from '../support/tools.ts';
import { type Certificates, makeCertificates } from './support/certificates.ts';
import { type Folder, makeFolder } from './support/folder.ts';
import { basic, metricsBody, ownMetrics, send, withServer } from './support/harness.ts';

const test = testWith('openssl');
let certificates: Certificates;
let folder: Folder;
beforeAll(() => {
  folder = makeFolder();
  if (hasTool('openssl')) certificates = makeCertificates();
});
afterAll(() => {
  folder.remove();
  certificates?.remove();
});

let files = 0;
const configText = (rest = '', tls = ''): string =>
  `tls_server_config:\n  cert_file: ${certificates.server.certFile}\n  key_file: ${certificates.server.keyFile}\n${tls}${rest}`;
const config = (rest = '', tls = ''): string => folder.write(`h2-${files++}.yml`, configText(rest, tls));
const http2Key = (value: boolean): string => `http_server_config: { http2: ${value} }\n`;

/** The protocol that a client gets which offers these, or the code of the error. */
const negotiate = (port: number, ALPNProtocols: string[]): Promise<string | false | null> =>
  new Promise((resolve) => {
    const socket = tlsConnect({ port, host: '127.0.0.1', ca: certificates.ca.cert, ALPNProtocols }, () => {
      resolve(socket.alpnProtocol);
      socket.destroy();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });

const http2Lines = (log: readonly string[]): readonly string[] =>
  log.filter((line) => line.includes('HTTP/2'));

describe('the key http2 of the web configuration', () => {
  const cases: readonly [string, string, number][] = [
    ['not set', '', 0],
    ['false', http2Key(false), 0],
    ['true', http2Key(true), 1],
  ];
  for (const [value, text, lines] of cases)
    test(`is accepted when ${value}: HTTP/1.1 is served, with ${lines} log lines`, async () => {
      await withServer({ webConfigFile: config(text) }, async ({ port, url, log, server }) => {
        expect(await send(`${url}/metrics`, { ca: certificates.ca.cert })).toMatchObject({
          status: 200,
          body: metricsBody,
        });
        expect(http2Lines(log)).toHaveLength(lines);
        expect(log).toHaveLength(lines);
        expect(ownMetrics(server)['web_config_last_reload_success']).toBe(1);
        expect(await negotiate(port, ['h2', 'http/1.1'])).toBe('http/1.1');
      });
    });

  test('is accepted without TLS too', async () => {
    await withServer({ webConfigFile: folder.write('plain.yml', http2Key(true)) }, async ({ url, log }) => {
      expect((await send(`${url}/metrics`)).status).toBe(200);
      expect(http2Lines(log)).toHaveLength(1);
    });
  });

  test('is logged once, when a reload sets it, and leaves the reload successful', async () => {
    const file = config();
    await withServer({ webConfigFile: file }, async ({ url, log, server }) => {
      const status = async () => (await send(`${url}/metrics`, { ca: certificates.ca.cert })).status;
      for (const value of [false, true, false, true]) {
        folder.write(file.slice(folder.path.length + 1), configText(http2Key(value)));
        expect(await status()).toBe(200);
        expect(ownMetrics(server)['web_config_last_reload_success']).toBe(1);
      }
      expect(http2Lines(log)).toEqual([
        expect.stringMatching(/^info HTTP\/2 is not supported, serving HTTP\/1\.1 /),
      ]);
    });
  });

  test('does not exempt a client that offers HTTP/2 from users and client certificates', async () => {
    const users = `basic_auth_users:\n  alice: ${bcrypt.hashSync('one', 4)}\n`;
    const { ca, client, otherClient, foreignClient } = certificates;
    const file = config(
      users + http2Key(true),
      `  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ${ca.certFile}\n  client_allowed_sans: [prometheus.example]\n`,
    );
    await withServer({ webConfigFile: file }, async ({ url }) => {
      const status = (pair: { cert: string; key: string }, password?: string): Promise<number | undefined> =>
        send(`${url}/metrics`, {
          ca: ca.cert,
          cert: pair.cert,
          key: pair.key,
          ALPNProtocols: ['h2', 'http/1.1'],
          headers: password === undefined ? {} : basic('alice', password),
        }).then(
          (response) => response.status,
          () => undefined,
        );
      expect(await status(client)).toBe(401);
      expect(await status(client, 'two')).toBe(401);
      expect(await status(client, 'one')).toBe(200);
      expect(await status(foreignClient, 'one')).toBeUndefined();
      expect(await status(otherClient, 'one')).toBe(403);
    });
  });
});

describe('a TLS connection', () => {
  test('fails for a client that offers only HTTP/2', async () => {
    await withServer({ webConfigFile: config() }, async ({ port }) => {
      expect(await negotiate(port, ['h2'])).toMatch(/NO_APPLICATION_PROTOCOL|ECONNRESET/);
    });
  });

  test('without a request is closed', async () => {
    const limits = {
      inactivityTimeoutMs: 200,
      headersTimeoutMs: 100,
      checkingIntervalMs: 20,
      handshakeTimeoutMs: 100,
    };
    await withServer({ webConfigFile: config(), limits }, async ({ port }) => {
      for (const ALPNProtocols of [['h2', 'http/1.1'], ['http/1.1']]) {
        const socket = tlsConnect({ port, host: '127.0.0.1', ca: certificates.ca.cert, ALPNProtocols });
        socket.on('error', () => undefined);
        socket.resume();
        await new Promise((resolve) => socket.once('close', resolve));
      }
    });
  });
});
