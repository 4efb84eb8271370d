import {
  type ClientHttp2Session,
  connect,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2';
import { connect as tlsConnect } from 'node:tls';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import bcrypt from 'bcrypt';
import type { ScrapeBody } from '../../src/server/scrape.ts';
import { hasTool, testWith } from '../support/tools.ts';
import { type Certificates, makeCertificates } from './support/certificates.ts';
import { type Folder, makeFolder } from './support/folder.ts';
import {
  ask,
  basic,
  latch,
  makeServer,
  metricsBody,
  ownMetrics,
  until,
  withServer,
} from './support/harness.ts';
import { demo } from './support/status-fixtures.ts';

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
const config = (rest = '', tls = '') =>
  folder.write(
    `h2-${files++}.yml`,
    `tls_server_config:\n  cert_file: ${certificates.server.certFile}\n  key_file: ${certificates.server.keyFile}\n${tls}${rest}`,
  );

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  readonly body: string;
}

function send(
  session: ClientHttp2Session,
  path: string,
  headers: Record<string, string> = {},
  body?: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':path': path, ...headers }, { endStream: body === undefined });
    let got: Answer['headers'] = {};
    let text = '';
    stream.on('response', (received) => {
      got = received;
    });
    stream.on('data', (chunk) => {
      text += chunk;
    });
    stream.on('end', () => resolve({ status: got[':status'], headers: got, body: text }));
    stream.on('error', reject);
    if (body !== undefined) stream.end(body);
  });
}

async function withSession(
  url: string,
  body: (session: ClientHttp2Session) => Promise<void>,
  options: object = {},
): Promise<void> {
  const session = connect(url, { ca: certificates.ca.cert, ...options });
  session.on('error', () => undefined);
  try {
    await body(session);
  } finally {
    session.destroy();
  }
}

describe('over HTTP/2', () => {
  test('everything is answered as over HTTP/1', async () => {
    const actions = {
      start: async () => ({ ok: true, message: 'set off' }),
      end: async () => ({ ok: true, message: 'ended' }),
    };
    const api = [
      {
        path: 'buckets/:bucket',
        handle: async ({ params, query }: { params: object; query: object }) => ({ json: { params, query } }),
      },
    ];
    await withServer(
      { webConfigFile: config(), status: () => demo, demo: actions, api },
      async ({ url, log }) => {
        await withSession(url, async (session) => {
          expect(await send(session, '/metrics')).toMatchObject({
            status: 200,
            body: metricsBody,
            headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
          });
          expect(await send(session, '/')).toMatchObject({
            status: 200,
            body: expect.stringContaining('</html>'),
          });
          expect(await send(session, '/-/healthy')).toMatchObject({ status: 200, body: 'Healthy.\n' });
          expect(await send(session, '/metrics', { ':method': 'HEAD' })).toMatchObject({
            status: 200,
            body: '',
            headers: { 'content-length': String(metricsBody.length) },
          });
          expect(await send(session, '/nothing')).toMatchObject({ status: 404 });
          expect(await send(session, '/metrics', { ':method': 'DELETE' })).toMatchObject({
            status: 405,
            headers: { allow: 'GET, HEAD' },
          });
          expect(await send(session, '/api/v1/%zz')).toMatchObject({ status: 404 });
          expect(JSON.parse((await send(session, '/api/v1/buckets/repos-1?a=b')).body)).toEqual({
            params: { bucket: 'repos-1' },
            query: { a: 'b' },
          });
          expect(await send(session, '/demo/incidents/x', { ':method': 'POST' }, '')).toMatchObject({
            status: 303,
            headers: { location: '../../' },
          });
          expect(
            await send(
              session,
              '/demo/incidents/x',
              { ':method': 'POST', origin: 'https://evil.example' },
              '',
            ),
          ).toMatchObject({ status: 403 });
          expect(
            await send(session, '/demo/incidents/x', { ':method': 'POST', origin: url }, ''),
          ).toMatchObject({ status: 303 });
          const { headers } = await send(session, '/');
          expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'x-frame-options': 'deny' });
          expect(headers['x-powered-by']).toBeUndefined();
        });
        expect(log).toEqual([]);
      },
    );
  });

  test('many scrapes share a connection, and the limit in flight holds', async () => {
    const gate = latch();
    const exposition = async (): Promise<ScrapeBody> => {
      await gate.promise;
      return { contentType: 'text/plain', body: Buffer.alloc(300_000, 'x') };
    };
    await withServer(
      { webConfigFile: config(), exposition, maxRequestsInFlight: 5 },
      async ({ url, server }) => {
        await withSession(url, async (session) => {
          const all = Array.from({ length: 8 }, () => send(session, '/metrics'));
          await until(() => ownMetrics(server)['scrape_rejected_total concurrency'] === 3);
          gate.open();
          const answers = await Promise.all(all);
          expect(answers.map(({ status }) => status).sort()).toEqual([
            200, 200, 200, 200, 200, 503, 503, 503,
          ]);
          expect(answers.filter(({ body }) => body.length === 300_000)).toHaveLength(5);
          await until(() => ownMetrics(server)['scrapes_in_flight'] === 0);
        });
      },
    );
  });

  test('a client that goes away frees its place', async () => {
    const aborted = latch();
    const exposition = (_headers: unknown, _ms: number, signal: AbortSignal) =>
      new Promise<ScrapeBody>((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          aborted.open();
          reject(signal.reason);
        });
      });
    await withServer({ webConfigFile: config(), exposition }, async ({ url, server, log }) => {
      await withSession(url, async (session) => {
        session.request({ ':path': '/metrics' }).on('error', () => undefined);
        await until(() => ownMetrics(server)['scrapes_in_flight'] === 1);
        session.destroy();
        await aborted.promise;
        await until(() => ownMetrics(server)['scrapes_in_flight'] === 0);
      });
      expect(log).toEqual([]);
    });
  });

  test('users and client certificates are asked for', async () => {
    const users = `basic_auth_users:\n  alice: ${bcrypt.hashSync('one', 4)}\n`;
    const { ca, client, foreignClient } = certificates;
    const file = config(
      users,
      `  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ${ca.certFile}\n  client_allowed_sans: [prometheus.example]\n`,
    );
    await withServer({ webConfigFile: file }, async ({ url }) => {
      await withSession(
        url,
        async (session) => {
          expect(await send(session, '/metrics')).toMatchObject({ status: 401 });
          expect(await send(session, '/metrics', basic('alice', 'two'))).toMatchObject({ status: 401 });
          expect(await send(session, '/metrics', basic('alice', 'one'))).toMatchObject({ status: 200 });
        },
        { cert: client.cert, key: client.key },
      );
      await withSession(
        url,
        async (session) => {
          const answer = send(session, '/metrics', basic('alice', 'one'));
          expect(
            await answer.then(
              ({ status }) => status,
              () => undefined,
            ),
          ).toBeUndefined();
        },
        { cert: foreignClient.cert, key: foreignClient.key },
      );
      await withSession(
        url,
        async (session) => {
          expect(await send(session, '/metrics', basic('alice', 'one'))).toMatchObject({ status: 403 });
        },
        { cert: certificates.otherClient.cert, key: certificates.otherClient.key },
      );
    });
  });

  test('a body that nobody reads does no harm', async () => {
    const reload = { enabled: true, hint: '', run: async () => ({ ok: true, message: 'Reloaded.' }) };
    await withServer({ webConfigFile: config(), reload }, async ({ url }) => {
      await withSession(url, async (session) => {
        expect(await send(session, '/-/reload', { ':method': 'POST' }, 'x'.repeat(30_000))).toMatchObject({
          status: 200,
        });
        expect(await send(session, '/-/healthy')).toMatchObject({ status: 200 });
      });
    });
  });

  test('stopping lets a scrape in flight finish', async () => {
    const gate = latch();
    const exposition = async (): Promise<ScrapeBody> => {
      await gate.promise;
      return { contentType: 'text/plain', body: 'up 1\n' };
    };
    const { server } = makeServer({ webConfigFile: config(), exposition });
    const started = await server.start();
    if (!started.ok) throw new Error(started.problems.join());
    await withSession(started.addresses[0]!.url, async (session) => {
      const scrape = send(session, '/metrics');
      await until(() => ownMetrics(server)['scrapes_in_flight'] === 1);
      const stopped = server.stop();
      gate.open();
      expect(await scrape).toMatchObject({ status: 200, body: 'up 1\n' });
      await stopped;
    });
  });

  test('is offered beside HTTP/1, and not at all when it is switched off', async () => {
    const agreed = (port: number): Promise<string | false | null> =>
      new Promise((resolve, reject) => {
        const socket = tlsConnect(
          { port, host: '127.0.0.1', ca: certificates.ca.cert, ALPNProtocols: ['h2', 'http/1.1'] },
          () => {
            resolve(socket.alpnProtocol);
            socket.destroy();
          },
        );
        socket.on('error', reject);
      });
    await withServer({ webConfigFile: config() }, async ({ port, url }) => {
      expect(await agreed(port)).toBe('h2');
      expect((await ask(`${url}/metrics`, { ca: certificates.ca.cert })).body).toBe(metricsBody);
    });
    await withServer(
      { webConfigFile: config('http_server_config: { http2: false }') },
      async ({ port, url }) => {
        expect(await agreed(port)).toBe('http/1.1');
        expect((await ask(`${url}/metrics`, { ca: certificates.ca.cert })).body).toBe(metricsBody);
      },
    );
  });

  test('an idle or silent connection is cut off', async () => {
    const limits = {
      inactivityTimeoutMs: 200,
      headersTimeoutMs: 100,
      checkingIntervalMs: 20,
      handshakeTimeoutMs: 100,
    };
    await withServer({ webConfigFile: config(), limits }, async ({ port }) => {
      for (const ALPNProtocols of [['h2'], ['http/1.1']]) {
        const socket = tlsConnect({ port, host: '127.0.0.1', ca: certificates.ca.cert, ALPNProtocols });
        socket.on('error', () => undefined);
        socket.resume();
        await new Promise((resolve) => socket.once('close', resolve));
      }
    });
  });
});
