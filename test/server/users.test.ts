import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import bcrypt from 'bcrypt';
import { type Folder, makeFolder } from './support/folder.ts';
import { basic, makeServer, ownMetrics, rawConnection, send, withServer } from './support/harness.ts';
import { starting } from './support/status-fixtures.ts';

const sentinel = 'SENTINEL-correct-horse';
const hash = bcrypt.hashSync(sentinel, 4);

let folder: Folder;
let webConfigFile: string;
beforeAll(() => {
  folder = makeFolder();
  webConfigFile = folder.write('users.yml', `basic_auth_users:\n  alice: ${hash}\n`);
});
afterAll(() => folder.remove());

describe('with users configured', () => {
  test.each([
    ['the right password', basic('alice', sentinel), 200],
    ['a wrong password', basic('alice', 'wrong'), 401],
    ['an unknown user', basic('mallory', sentinel), 401],
    ['no credentials', {}, 401],
    ['another scheme', { authorization: `Bearer ${sentinel}` }, 401],
    ['garbage', { authorization: 'Basic \u00e9' }, 401],
  ])('%s gets the expected status on every path', async (_credentials, headers, status) => {
    await withServer({ webConfigFile }, async ({ url }) => {
      for (const path of ['/metrics', '/', '/api/v1/status']) {
        const response = await send(`${url}${path}`, { headers: headers as Record<string, string> });
        expect(response.status).toBe(status);
        if (status !== 401) continue;
        expect(response.body).toBe('Unauthorized\n');
        expect(response.headers['www-authenticate']).toBe('Basic realm="gitaly-exporter", charset="UTF-8"');
        expect(response.headers['x-content-type-options']).toBe('nosniff');
      }
      const other = await send(`${url}/nothing`, { headers: headers as Record<string, string> });
      expect(other.status).toBe(status === 401 ? 401 : 404);
    });
  });

  test.each([
    '/-/healthy/',
    '/-/healthy/../metrics',
    '/-/healthyx',
    '//-/healthy',
    '/-/%68ealthy',
    '/-/ready/x',
    '/-/healthy;x',
    '/-/reload',
  ])('a path that resembles a public one is not public: %s', async (path) => {
    await withServer({ webConfigFile }, async ({ port }) => {
      const { socket, received } = rawConnection(port);
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      expect(await received).toMatch(/^HTTP\/1\.1 401 /);
    });
  });

  test('the readiness reason is shown only with a valid password', async () => {
    const ready = () => ({ ready: false, reason: 'praefect_mirror has not run yet.' });
    await withServer({ webConfigFile, ready, status: () => starting }, async ({ url }) => {
      expect(await send(`${url}/-/healthy`)).toMatchObject({ status: 200 });
      expect(await send(`${url}/-/ready?x`)).toMatchObject({ status: 503, body: 'Not ready.\n' });
      expect(await send(`${url}/-/ready`, { headers: basic('alice', 'wrong') })).toMatchObject({
        status: 503,
        body: 'Not ready.\n',
      });
      expect(await send(`${url}/-/ready`, { headers: basic('alice', sentinel) })).toMatchObject({
        status: 503,
        body: 'Not ready. praefect_mirror has not run yet.\n',
      });
    });
  });

  test('rejected scrapes are counted, other requests are not', async () => {
    await withServer({ webConfigFile }, async ({ url, server }) => {
      await send(`${url}/metrics`);
      await send(`${url}/`);
      expect(ownMetrics(server)['scrape_rejected_total unauthorized']).toBe(1);
    });
  });

  test('a flood of wrong passwords is rejected, and the right password is admitted, whether it was used before or not', async () => {
    const costly = folder.write(
      'costly.yml',
      `basic_auth_users:\n  alice: ${bcrypt.hashSync(sentinel, 8)}\n  bob: ${bcrypt.hashSync('other', 8)}\n`,
    );
    await withServer({ webConfigFile: costly }, async ({ url }) => {
      expect((await send(`${url}/metrics`, { headers: basic('alice', sentinel) })).status).toBe(200);
      const flood = Array.from({ length: 48 }, (_, i) =>
        send(`${url}/metrics`, { headers: basic('alice', `wrong ${i}`) }),
      );
      expect((await send(`${url}/metrics`, { headers: basic('bob', 'other') })).status).toBe(200);
      expect(new Set((await Promise.all(flood)).map(({ status }) => status))).toEqual(new Set([401]));
      const larger = Array.from({ length: 150 }, (_, i) =>
        send(`${url}/metrics`, { headers: basic('alice', `guess ${i}`) }),
      );
      expect((await send(`${url}/metrics`, { headers: basic('alice', sentinel) })).status).toBe(200);
      const statuses = new Set((await Promise.all(larger)).map(({ status }) => status));
      expect([...statuses].sort()).toEqual([401, 503]);
    });
  });
});

describe('a password or a hash', () => {
  test('appears in no response, metric or log line, even when requests fail', async () => {
    const seen: string[] = [];
    await withServer({ webConfigFile }, async ({ url, port, server, log }) => {
      const attempts = [
        basic('alice', sentinel),
        basic('alice', `${sentinel}x`),
        basic(sentinel, sentinel),
        { authorization: `Basic ${sentinel}` },
      ];
      for (const headers of attempts) {
        for (const path of [
          '/metrics',
          '/',
          '/api/v1/status',
          '/nothing',
          '/-/ready',
          '/api/v1/%zz',
          `/${sentinel}?p=${sentinel}`,
        ]) {
          seen.push(inspect(await send(`${url}${path}`, { headers })));
        }
        seen.push(inspect(await send(`${url}/-/reload`, { method: 'POST', headers })));
      }
      const { socket, received } = rawConnection(port);
      socket.write(`GET / HTTP/1.1\r\nHost: x\r\nAuthorization: ${sentinel}\u0001\r\n\r\n`);
      seen.push(await received);
      folder.write('users.yml', `basic_auth_users:\n  alice: ${sentinel}\n  ${hash}\n`);
      seen.push(inspect(await send(`${url}/metrics`, { headers: basic('alice', sentinel) })));
      expect(log.join()).toContain('not valid YAML');
      folder.write('users.yml', `basic_auth_users:\n  alice: ${sentinel}\n  bob: "${hash} "\n`);
      seen.push(inspect(await send(`${url}/metrics`, { headers: basic('alice', sentinel) })));
      expect(log.join()).toContain('line 2, basic_auth_users.alice: is not a bcrypt hash');
      seen.push(inspect(server, { depth: 10 }), inspect(server.families(), { depth: 10 }), ...log);
    });
    for (const text of ['basic_auth_users: ', 'basic_auth_users:\n - ', 'tls_server_config:\n  key: ', '']) {
      const file = folder.write('bad.yml', `${text}${sentinel}${hash}`);
      const { server, lines } = makeServer({ webConfigFile: file });
      seen.push(inspect(await server.start()), ...lines);
    }
    const all = seen.join('\n');
    expect(all).not.toContain(sentinel);
    expect(all).not.toContain(hash.slice(7));
    expect(all).not.toContain(basic('alice', sentinel)['authorization']?.slice(6));
    folder.write('users.yml', `basic_auth_users:\n  alice: ${hash}\n`);
  });
});
