import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { afterAll, test as anyTest, beforeAll, describe, expect } from '@jest/globals';
import { subjectAlternativeNames } from '../../../src/server/web-config/tls.ts';
import { hasTool, testWith } from '../../support/tools.ts';
import { type Certificates, makeCertificates, type Pair } from '../support/certificates.ts';
import { type Folder, makeFolder } from '../support/folder.ts';
import {
  makeServer,
  ownMetrics,
  rawConnection,
  send,
  type TestResponse,
  withServer,
} from '../support/harness.ts';

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
/** A web configuration file with the server's certificate and these lines in its TLS section. */
const config = (tls: readonly string[] = [], rest = ''): string => {
  const { certFile, keyFile } = certificates.server;
  const lines = [`cert_file: ${certFile}`, `key_file: ${keyFile}`, ...tls]
    .map((line) => `  ${line}\n`)
    .join('');
  return folder.write(`web-${files++}.yml`, `tls_server_config:\n${lines}${rest}`);
};
const as = (pair: Pair) => ({ cert: pair.cert, key: pair.key });

/** The response, or the code of the error. */
const outcome = (url: string, options: object = {}): Promise<TestResponse | string> =>
  send(url, { ca: certificates.ca.cert, ...options }).catch(
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );

/** The negotiated protocol and cipher, or the code of the error. */
const handshake = (port: number, options: ConnectionOptions): Promise<string> =>
  new Promise((resolve) => {
    const socket: TLSSocket = tlsConnect(
      { port, host: '127.0.0.1', ca: certificates.ca.cert, ...options },
      () => {
        const { name } = socket.getCipher();
        resolve(`${socket.getProtocol()} ${name}`);
        socket.destroy();
      },
    );
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  });

describe('TLS', () => {
  test('uses the certificate of the file, and the URL of the server is https', async () => {
    await withServer({ webConfigFile: config() }, async ({ url, port }) => {
      expect(url).toMatch(/^https:/);
      expect(await outcome(`${url}/metrics`)).toMatchObject({ status: 200 });
      expect(await handshake(port, {})).toMatch(/^TLSv1\.3 /);
      expect(await handshake(port, { maxVersion: 'TLSv1.2' })).toMatch(
        /^TLSv1\.2 ECDHE-ECDSA-AES128-GCM-SHA256$/,
      );
      expect(
        await handshake(port, { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }),
      ).toMatch(/ALERT_PROTOCOL_VERSION/);
    });
  });

  test('rejects plain HTTP, with one log line', async () => {
    await withServer({ webConfigFile: config() }, async ({ port, url, log }) => {
      for (let i = 0; i < 3; i++) {
        const { socket, received } = rawConnection(port);
        socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
        expect(await received).not.toContain('200');
      }
      expect(await outcome(`${url}/metrics`)).toMatchObject({ status: 200 });
      expect(log.filter((line) => line.includes('TLS handshake'))).toHaveLength(1);
      expect(log[0]).toContain('ERR_SSL_HTTP_REQUEST');
    });
  });

  test('accepts certificate and key in the file itself', async () => {
    const indent = (pem: string) => pem.trim().replace(/^/gm, '    ');
    const { cert, key } = certificates.server;
    const file = folder.write(
      'inline.yml',
      `tls_server_config:\n  cert: |\n${indent(cert)}\n  key: |\n${indent(key)}\n`,
    );
    await withServer({ webConfigFile: file }, async ({ url }) => {
      expect(await outcome(`${url}/metrics`)).toMatchObject({ status: 200 });
    });
  });

  test('resolves paths relative to the file', async () => {
    folder.write('relative.crt', certificates.server.cert);
    folder.write('relative.key', certificates.server.key);
    const file = folder.write(
      'relative.yml',
      'tls_server_config: { cert_file: relative.crt, key_file: ./relative.key }',
    );
    await withServer({ webConfigFile: file }, async ({ url }) => {
      expect(await outcome(`${url}/metrics`)).toMatchObject({ status: 200 });
    });
  });

  test('negotiates only the versions, suites and curves of the file', async () => {
    const legacy = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    await withServer({ webConfigFile: config(['min_version: TLS13']) }, async ({ port }) => {
      expect(await handshake(port, { maxVersion: 'TLSv1.2' })).toMatch(/ALERT_PROTOCOL_VERSION/);
    });
    await withServer({ webConfigFile: config(['max_version: TLS12']) }, async ({ port }) => {
      expect(await handshake(port, {})).toMatch(/^TLSv1\.2 /);
    });
    await withServer({ webConfigFile: config(['min_version: TLS10']) }, async ({ port }) => {
      expect(await handshake(port, legacy)).toMatch(/^TLSv1\.1 /);
      expect(await handshake(port, {})).toMatch(/^TLSv1\.3 /);
    });
    const suites =
      'cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]';
    const client = {
      maxVersion: 'TLSv1.2',
      ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305',
    } as const;
    await withServer({ webConfigFile: config([suites]) }, async ({ port }) => {
      expect(await handshake(port, client)).toBe('TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305');
      expect(await handshake(port, { ...client, ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' })).toMatch(
        /HANDSHAKE_FAILURE/,
      );
      expect(await handshake(port, {})).toMatch(/^TLSv1\.3 /);
    });
    await withServer(
      { webConfigFile: config([suites, 'prefer_server_cipher_suites: false']) },
      async ({ port }) => {
        expect(await handshake(port, client)).toBe('TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256');
      },
    );
    await withServer(
      { webConfigFile: config(['curve_preferences: [CurveP256, CurveP384]']) },
      async ({ port }) => {
        expect(await handshake(port, { ecdhCurve: 'P-384' })).toMatch(/^TLSv1\.3 /);
        expect(await handshake(port, { ecdhCurve: 'X25519' })).toMatch(/HANDSHAKE_FAILURE/);
      },
    );
  });

  test('does not start with invalid certificates or keys, and names the file', async () => {
    const { server, otherCa, client } = certificates;
    const garbage = folder.write('garbage.pem', 'SENTINEL');
    const broken = folder.write(
      'broken.pem',
      '-----BEGIN CERTIFICATE-----\nSENTINEL\n-----END CERTIFICATE-----\n',
    );
    const section = (pair: { cert: string; key: string }, more = '') =>
      folder.write(
        `bad-${files++}.yml`,
        `tls_server_config:\n  cert_file: ${pair.cert}\n  key_file: ${pair.key}\n${more}`,
      );
    const ca = (file: string) =>
      `  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ${file}\n`;
    const good = { cert: server.certFile, key: server.keyFile };
    const cases: [string, string][] = [
      [
        section({ ...good, cert: '/no/such.crt' }),
        'tls_server_config.cert_file (/no/such.crt) cannot be read (ENOENT)',
      ],
      [
        section({ ...good, key: '/no/such.key' }),
        'tls_server_config.key_file (/no/such.key) cannot be read (ENOENT)',
      ],
      [section({ ...good, key: folder.path }), `key_file (${folder.path}) cannot be read (EISDIR)`],
      [section({ ...good, cert: garbage }), `cert_file (${garbage}) contains no PEM certificate`],
      [section({ ...good, key: garbage }), `key_file (${garbage}) contains no PEM private key`],
      [
        section({ ...good, key: otherCa.keyFile }),
        `key_file (${otherCa.keyFile}) is not the key of tls_server_config.cert_file`,
      ],
      [section(good, ca('/no/such-ca.crt')), 'client_ca_file (/no/such-ca.crt) cannot be read (ENOENT)'],
      [section(good, ca(garbage)), `client_ca_file (${garbage}) does not consist of PEM certificates`],
      [section(good, ca(broken)), `client_ca_file (${broken}) does not consist of PEM certificates`],
      [section(good, ca(client.keyFile)), 'does not consist of PEM certificates'],
    ];
    for (const [webConfigFile, words] of cases) {
      const { server, lines } = makeServer({ webConfigFile });
      const started = await server.start();
      const problems = started.ok ? '' : started.problems.join('\n');
      expect(problems).toContain(words);
      expect(problems + lines.join()).not.toContain('SENTINEL');
    }
  });
});

describe('client certificates', () => {
  const ca = () => `client_ca_file: ${certificates.ca.certFile}`;

  test('are not requested with NoClientCert', async () => {
    await withServer({ webConfigFile: config(['client_auth_type: NoClientCert']) }, async ({ url }) => {
      expect(await outcome(url)).toMatchObject({ status: 200 });
      expect(await outcome(url, as(certificates.foreignClient))).toMatchObject({ status: 200 });
    });
  });

  test('are optional and not verified with RequestClientCert', async () => {
    await withServer({ webConfigFile: config(['client_auth_type: RequestClientCert']) }, async ({ url }) => {
      expect(await outcome(url)).toMatchObject({ status: 200 });
      expect(await outcome(url, as(certificates.foreignClient))).toMatchObject({ status: 200 });
    });
  });

  test('are required but not verified with RequireAnyClientCert', async () => {
    await withServer(
      { webConfigFile: config(['client_auth_type: RequireAnyClientCert']) },
      async ({ url, server }) => {
        expect(await outcome(`${url}/metrics`)).toMatchObject({
          status: 403,
          body: 'Forbidden: a client certificate is required.\n',
        });
        expect(await outcome(`${url}/-/healthy`)).toMatchObject({ status: 403 });
        expect(await outcome(url, as(certificates.foreignClient))).toMatchObject({ status: 200 });
        expect(ownMetrics(server)['scrape_rejected_total client_certificate']).toBe(1);
      },
    );
  });

  test('are optional and verified with VerifyClientCertIfGiven', async () => {
    await withServer(
      { webConfigFile: config(['client_auth_type: VerifyClientCertIfGiven', ca()]) },
      async ({ url }) => {
        expect(await outcome(url)).toMatchObject({ status: 200 });
        expect(await outcome(url, as(certificates.client))).toMatchObject({ status: 200 });
        expect(await outcome(url, as(certificates.foreignClient))).toMatchObject({
          status: 403,
          body: expect.stringContaining('not from the configured CA'),
        });
      },
    );
  });

  test('are required and verified with RequireAndVerifyClientCert', async () => {
    await withServer(
      { webConfigFile: config(['client_auth_type: RequireAndVerifyClientCert', ca()]) },
      async ({ url }) => {
        expect(await outcome(url, as(certificates.client))).toMatchObject({ status: 200 });
        expect(await outcome(url)).toMatch(/ALERT|ECONNRESET/);
        expect(await outcome(url, as(certificates.foreignClient))).toMatch(/ALERT|ECONNRESET|UNKNOWN_CA/);
      },
    );
  });

  for (const sans of [
    ['prometheus.example'],
    ['spiffe://example/prometheus'],
    ['2001:0db8:0:0::1'],
    ['other.example', 'prometheus.example'],
  ]) {
    test(`must have an allowed name with client_allowed_sans [${sans}]`, async () => {
      const type = 'client_auth_type: RequireAndVerifyClientCert';
      const file = config([type, ca(), `client_allowed_sans: ${JSON.stringify(sans)}`]);
      await withServer({ webConfigFile: file }, async ({ url }) => {
        expect(await outcome(url, as(certificates.client))).toMatchObject({ status: 200 });
        const words = expect.stringContaining('allowed subject alternative names');
        expect(await outcome(url, as(certificates.otherClient))).toMatchObject({ status: 403, body: words });
      });
    });
  }
});

describe('the subject alternative names of a certificate', () => {
  anyTest.each<[string, string[]]>([
    ['', []],
    ['DNS:a.example, DNS:b.example', ['a.example', 'b.example']],
    ['URI:spiffe://a/b, email:ops@a.example', ['spiffe://a/b', 'ops@a.example']],
    ['IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1', ['192.0.2.1', '2001:db8::1']],
    ['othername:UPN::x, DNS:a.example', ['a.example']],
    ['DirName:CN = x, DNS:a.example', ['a.example']],
    // A client can put such values into its certificate, to imitate several names.
    ['DNS:"evil.example, DNS:good.example"', ['evil.example, DNS:good.example']],
    ['DNS:"a\\", DNS:good.example"', ['a", DNS:good.example']],
    ['URI:"http://x/\\u002c DNS:good.example", DNS:b', ['http://x/, DNS:good.example', 'b']],
  ])('are parsed from %s', (text, names) => {
    expect(subjectAlternativeNames(text)).toEqual(names);
  });
});
