/** `gitaly-exporter healthcheck` against a running server. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { main } from '../../../src/cli/main.ts';
import { type Certificates, makeCertificates } from '../../server/support/certificates.ts';
import { withServer } from '../../server/support/harness.ts';
import { testHost } from '../host.ts';

async function healthcheck(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const host = testHost();
  const code = await main(['healthcheck', ...args], host);
  return { code, out: host.out(), err: host.err() };
}

describe('a health check without a web configuration', () => {
  test('succeeds when the server responds', () =>
    withServer({}, async ({ port }) => {
      expect(await healthcheck(`--web.listen-address=127.0.0.1:${port}`)).toEqual({
        code: 0,
        out: `http://127.0.0.1:${port}/-/healthy is healthy\n`,
        err: '',
      });
    }));

  test('has exit code 1 when one of two addresses is not served', () =>
    withServer({}, async ({ port }) => {
      const { code, out, err } = await healthcheck(
        `--web.listen-address=127.0.0.1:${port}`,
        '--web.listen-address=127.0.0.1:9',
      );
      expect({ code, out }).toEqual({ code: 1, out: `http://127.0.0.1:${port}/-/healthy is healthy\n` });
      expect(err).toMatch(
        /^gitaly-exporter: http:\/\/127\.0\.0\.1:9\/-\/healthy refused the connection: .*\n$/,
      );
    }));

  test('rejects port 0', async () => {
    expect(await healthcheck('--web.listen-address=127.0.0.1:0')).toMatchObject({ code: 2, out: '' });
  });
});

describe('a health check with a web configuration', () => {
  let certificates: Certificates;
  let webConfigFile: string;
  const tls = (more: string) =>
    `tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n${more}`;

  beforeAll(() => {
    certificates = makeCertificates();
    webConfigFile = join(certificates.folder, 'web.yml');
  });
  afterAll(() => certificates.remove());

  test.each([
    [
      'TLS and users',
      'basic_auth_users:\n  prometheus: $2y$04$abcdefghijklmnopqrstuuKxxyMBm9ByI9SDMNdyCIxo3ZzUMHmZi\n',
      'is healthy',
    ],
    [
      'any client certificate',
      '  client_auth_type: RequireAnyClientCert\n',
      'responds, and requires a client certificate',
    ],
    [
      'a verified client certificate',
      '  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n',
      'responds, and requires a client certificate',
    ],
  ])('%s', async (_, more, text) => {
    writeFileSync(webConfigFile, tls(more));
    await withServer({ webConfigFile }, async ({ port }) => {
      const args = [`--web.listen-address=127.0.0.1:${port}`, `--web.config.file=${webConfigFile}`];
      const healthy = { code: 0, out: `https://127.0.0.1:${port}/-/healthy ${text}\n`, err: '' };
      expect(await healthcheck(...args)).toEqual(healthy);
      // As when the file is being written: the server still responds, with the TLS settings from its start.
      writeFileSync(webConfigFile, 'tls_server_config:\n  cert_');
      expect(await healthcheck(...args)).toMatchObject({ code: 0, err: '' });
    });
  });

  test('fails at a server of another scheme', async () => {
    writeFileSync(webConfigFile, tls(''));
    await withServer({}, async ({ port }) => {
      const args = [`--web.listen-address=127.0.0.1:${port}`, `--web.config.file=${webConfigFile}`];
      expect(await healthcheck(...args)).toMatchObject({ code: 1, out: '' });
    });
  });
});
