/** TLS with a private CA and a client certificate, and credentials from a file that changes. */
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer as createHttp } from 'node:http';
import { createServer, type ServerOptions } from 'node:https';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../src/lib/clock.ts';
import { systemResolve } from '../../../src/sources/gitaly/resolve.ts';
import { readPage } from '../../../src/sources/gitaly/scrape.ts';
import type { TargetAccess } from '../../../src/sources/gitaly/target.ts';
import { type Certificates, makeCertificates } from '../../server/support/certificates.ts';
import { hasTool, testWith } from '../../support/tools.ts';
import { anonymousAccess } from './support.ts';

const testWithOpenssl = testWith('openssl');
const certificates: Certificates | undefined = hasTool('openssl') ? makeCertificates() : undefined;
afterAll(() => certificates?.remove());
const made = (): Certificates => certificates!;

interface Running {
  readonly port: number;
  /** The Authorization header of each request. */
  readonly shown: (string | undefined)[];
  close(): void;
}

const running: Running[] = [];
afterEach(() => {
  for (const each of running.splice(0)) each.close();
});

async function serve(tls?: ServerOptions): Promise<Running> {
  const shown: (string | undefined)[] = [];
  const respond: Parameters<typeof createHttp>[1] = (request, response) => {
    shown.push(request.headers.authorization);
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': 5 }).end('up 1\n');
  };
  const server = tls === undefined ? createHttp(respond) : createServer(tls, respond);
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const found = { port: (server.address() as { port: number }).port, shown, close: () => server.close() };
  running.push(found);
  return found;
}

async function read(url: string, access: TargetAccess, address?: string): Promise<string> {
  const result = await readPage(
    {
      component: 'gitaly',
      url: new URL(url),
      identity: { namespace: '', pod: '', node: 'x' },
      access,
      ...(address === undefined ? {} : { address }),
    },
    {
      timeoutMs: 10_000,
      maxBytes: 1000,
      maxSamples: 10,
      wanted: new Set(['up']),
      prefixes: [],
      clock: systemClock,
      resolve: systemResolve,
      readText: (path) => readFile(path, 'utf8'),
      signal: new AbortController().signal,
    },
  );
  return result.ok ? 'read' : `${result.failure.reason}: ${result.failure.message}`;
}

const tls = (files: TargetAccess['tls']): TargetAccess => ({ ...anonymousAccess, tls: files });

describe('https', () => {
  testWithOpenssl('a server with a certificate of the configured authority is read', async () => {
    const { ca, server } = made();
    const { port } = await serve({ cert: server.cert, key: server.key });
    expect(await read(`https://localhost:${port}/`, tls({ caFile: ca.certFile }))).toBe('read');
    expect(await read(`https://127.0.0.1:${port}/`, tls({ caFile: ca.certFile }))).toBe('read');
  });

  testWithOpenssl('a certificate of another authority or for another name is rejected', async () => {
    const { ca, otherCa, server } = made();
    const { port } = await serve({ cert: server.cert, key: server.key });
    expect(await read(`https://localhost:${port}/`, anonymousAccess)).toMatch(
      /^tls: failed the TLS handshake: unable to/,
    );
    expect(await read(`https://localhost:${port}/`, tls({ caFile: otherCa.certFile }))).toMatch(
      /^tls: failed the TLS handshake/,
    );
    const other = `https://gitaly.example:${port}/`;
    expect(await read(other, tls({ caFile: ca.certFile }), '127.0.0.1')).toBe(
      'tls: failed the TLS handshake: its certificate is for another name (ERR_TLS_CERT_ALTNAME_INVALID): gitaly.scrape.tls.server-name sets the name to expect',
    );
    expect(await read(other, tls({ caFile: ca.certFile, serverName: 'localhost' }), '127.0.0.1')).toBe(
      'read',
    );
  });

  testWithOpenssl(
    'a server that requires a client certificate gets the configured one, and rejects another',
    async () => {
      const { ca, server, client, foreignClient } = made();
      const { port } = await serve({
        ...{ cert: server.cert, key: server.key, ca: ca.cert },
        ...{ requestCert: true, rejectUnauthorized: true },
      });
      const url = `https://localhost:${port}/`;
      const show = ({ certFile, keyFile }: typeof client) => tls({ caFile: ca.certFile, certFile, keyFile });
      expect(await read(url, show(client))).toBe('read');
      expect(await read(url, show(foreignClient))).not.toBe('read');
      expect(await read(url, tls({ caFile: ca.certFile }))).not.toBe('read');
    },
  );

  testWithOpenssl(
    'TLS files are read for each scrape, so that a renewed authority needs no restart',
    async () => {
      const { folder, ca, otherCa, server } = made();
      const { port } = await serve({ cert: server.cert, key: server.key });
      const caFile = join(folder, 'scrape-ca.pem');
      await writeFile(caFile, otherCa.cert);
      expect(await read(`https://localhost:${port}/`, tls({ caFile }))).toMatch(/^tls: /);
      await writeFile(caFile, ca.cert);
      expect(await read(`https://localhost:${port}/`, tls({ caFile }))).toBe('read');
      await writeFile(caFile, 'no certificate\n');
      expect(await read(`https://localhost:${port}/`, tls({ caFile }))).toMatch(/^tls: /);
      expect(await read(`https://localhost:${port}/`, tls({ caFile: join(folder, 'gone') }))).toBe(
        `permission: the CA file ${join(folder, 'gone')} cannot be read (ENOENT)`,
      );
    },
  );

  test('a server without TLS fails', async () => {
    const { port } = await serve();
    expect(await read(`https://127.0.0.1:${port}/`, anonymousAccess)).toEqual(
      expect.stringMatching(/^tls: does not speak TLS \(.*\): write http:\/\/ if that is intended$/),
    );
  });
});

describe('credentials', () => {
  testWithOpenssl(
    'user:password is sent as basic, one word as a bearer token, read for each scrape',
    async () => {
      const credentialsFile = join(made().folder, 'credentials');
      const server = await serve();
      const access: TargetAccess = { ...anonymousAccess, credentialsFile };
      for (const line of ['exporter:Pass:wörd\n', 'eyJhbGciOi.J9_-~+/=', 'other:one\r\n']) {
        await writeFile(credentialsFile, line);
        expect(await read(`http://127.0.0.1:${server.port}/`, access)).toBe('read');
      }
      expect(server.shown).toEqual([
        `Basic ${Buffer.from('exporter:Pass:wörd').toString('base64')}`,
        'Bearer eyJhbGciOi.J9_-~+/=',
        `Basic ${Buffer.from('other:one').toString('base64')}`,
      ]);
    },
  );

  testWithOpenssl(
    'an invalid credentials file is a failure that does not quote it, and nothing is sent',
    async () => {
      const credentialsFile = join(made().folder, 'bad-credentials');
      const server = await serve();
      for (const text of ['', '\n', 'SENTINEL\nSENTINEL', 'SENTINEL TOKEN', 'a:SENT\nINEL', 'SENTIÑEL']) {
        await writeFile(credentialsFile, text);
        const failure = await read(`http://127.0.0.1:${server.port}/`, {
          ...anonymousAccess,
          credentialsFile,
        });
        expect(failure).toBe(
          `authentication: the credentials file ${credentialsFile} has neither user:password nor a token on one line`,
        );
      }
      expect(server.shown).toEqual([]);
    },
  );
});
