import { describe, expect, jest, test } from '@jest/globals';
import { rawConnection, send, withServer } from './support/harness.ts';
import { demo } from './support/status-fixtures.ts';

describe('a request that changes something', () => {
  const reload = (ok: boolean) => async () => ({
    ok,
    message: ok ? 'Reloaded.' : 'config.yml: line 3: wrong',
  });

  test('to /-/reload gets 403 unless it is enabled, and otherwise the result', async () => {
    await withServer({}, async ({ url }) => {
      const { status, body } = await send(`${url}/-/reload`, { method: 'POST' });
      expect(status).toBe(403);
      expect(body).toContain('web.enable-reload');
    });
    await withServer({ reload: reload(true) }, async ({ url }) => {
      expect(await send(`${url}/-/reload`, { method: 'POST' })).toMatchObject({
        status: 200,
        body: 'Reloaded.\n',
      });
      expect((await send(`${url}/-/reload`, { method: 'PUT' })).status).toBe(200);
    });
    await withServer({ reload: reload(false) }, async ({ url }) => {
      expect(await send(`${url}/-/reload`, { method: 'POST' })).toMatchObject({
        status: 500,
        body: 'config.yml: line 3: wrong\n',
      });
    });
  });

  test('from a button of the demo starts or ends an incident, and leads back to the page', async () => {
    const start = jest.fn(async (name: string) => ({ ok: name === 'storage-dies', message: name }));
    const end = jest.fn(async () => ({ ok: true, message: 'ended' }));
    await withServer({ status: () => demo, demo: { start, end } }, async ({ url }) => {
      expect((await send(url)).body).toContain('action="demo/incidents/praefect-cut-off"');
      expect(
        await send(`${url}/demo/incidents/storage-dies`, {
          method: 'POST',
          headers: { 'content-length': '0' },
        }),
      ).toMatchObject({
        status: 303,
        headers: { location: '../../#incident-storage-dies' },
      });
      expect(
        (await send(`${url}/demo/incidents/storage-dies/end`, { method: 'POST' })).headers['location'],
      ).toBe('../../../#verdict');
      expect((await send(`${url}/demo/incidents/unknown`, { method: 'POST' })).status).toBe(409);
      expect(start.mock.calls).toEqual([['storage-dies'], ['unknown']]);
      expect(end).toHaveBeenCalledTimes(1);
    });
  });

  test.each<[string, Record<string, string>, number]>([
    ['curl', {}, 200],
    ['a name that DNS could point here', { host: 'evil.example' }, 403],
    [
      'a rebound name, as a browser sends it',
      { host: 'evil.example:9656', 'sec-fetch-site': 'same-origin', origin: 'http://evil.example:9656' },
      403,
    ],
    ['an address', { host: '10.0.0.5:9656' }, 200],
    ['an IPv6 address', { host: '[fd00::1]:9656' }, 200],
    ['localhost', { host: 'localhost:9656' }, 200],
    ['a Kubernetes Service', { host: 'gitaly-exporter.monitoring.svc.cluster.local:9656' }, 200],
    ['the exporter’s page', { 'sec-fetch-site': 'same-origin', origin: 'http://proxied.example' }, 200],
    ['the address bar', { 'sec-fetch-site': 'none' }, 200],
    ['a page of another site', { 'sec-fetch-site': 'cross-site' }, 403],
    ['another subdomain', { 'sec-fetch-site': 'same-site' }, 403],
    ['an older browser, the exporter’s page', { origin: 'HOST' }, 200],
    ['an older browser, another site', { origin: 'http://evil.example' }, 403],
    ['a sandboxed frame', { origin: 'null' }, 403],
    ['an invalid origin', { origin: '://' }, 403],
  ])('from %s is accepted or rejected', async (_origin, headers, status) => {
    await withServer({ reload: reload(true) }, async ({ url }) => {
      const given = headers['origin'] === 'HOST' ? { origin: url } : headers;
      expect((await send(`${url}/-/reload`, { method: 'POST', headers: given })).status).toBe(status);
    });
  });

  test('with a body that is too large or of unknown length is rejected, and the connection closed', async () => {
    await withServer({ reload: reload(true) }, async ({ url, port }) => {
      const large = await send(`${url}/-/reload`, { method: 'POST', body: 'x'.repeat(20_000) });
      expect(large.status).toBe(413);
      expect(large.headers['connection']).toBe('close');
      const { socket, received } = rawConnection(port);
      socket.write('POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
      expect(await received).toMatch(/^HTTP\/1\.1 411 /);
    });
  });
});
