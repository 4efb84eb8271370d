import { describe, expect, jest, test } from '@jest/globals';
import { ask, rawConnection, withServer } from './support/harness.ts';
import { demo } from './support/status-fixtures.ts';

describe('what changes something', () => {
  const reload = (ok: boolean) => ({
    enabled: true,
    hint: '',
    run: async () => ({ ok, message: ok ? 'Reloaded.' : 'config.yml: line 3: wrong' }),
  });

  test('/-/reload is forbidden unless it is switched on, and then says what came of it', async () => {
    await withServer({}, async ({ url }) => {
      expect((await ask(`${url}/-/reload`, { method: 'POST' })).status).toBe(403);
    });
    const off = { enabled: false, hint: 'start with --web.enable-lifecycle', run: reload(true).run };
    await withServer({ reload: off }, async ({ url }) => {
      const { status, body } = await ask(`${url}/-/reload`, { method: 'POST' });
      expect(status).toBe(403);
      expect(body).toContain('--web.enable-lifecycle');
    });
    await withServer({ reload: reload(true) }, async ({ url }) => {
      expect(await ask(`${url}/-/reload`, { method: 'POST' })).toMatchObject({
        status: 200,
        body: 'Reloaded.\n',
      });
      expect((await ask(`${url}/-/reload`, { method: 'PUT' })).status).toBe(200);
    });
    await withServer({ reload: reload(false) }, async ({ url }) => {
      expect(await ask(`${url}/-/reload`, { method: 'POST' })).toMatchObject({
        status: 500,
        body: 'config.yml: line 3: wrong\n',
      });
    });
  });

  test("the demo's buttons set off and end an incident, and lead back to the page", async () => {
    const start = jest.fn(async (name: string) => ({ ok: name === 'storage-dies', message: name }));
    const end = jest.fn(async () => ({ ok: true, message: 'ended' }));
    await withServer({ status: () => demo, demo: { start, end } }, async ({ url }) => {
      expect((await ask(url)).body).toContain('action="demo/incidents/praefect-cut-off"');
      expect(
        await ask(`${url}/demo/incidents/storage-dies`, {
          method: 'POST',
          headers: { 'content-length': '0' },
        }),
      ).toMatchObject({
        status: 303,
        headers: { location: '../../' },
      });
      expect(
        (await ask(`${url}/demo/incidents/storage-dies/end`, { method: 'POST' })).headers['location'],
      ).toBe('../../../');
      expect((await ask(`${url}/demo/incidents/unheard-of`, { method: 'POST' })).status).toBe(409);
      expect(start.mock.calls).toEqual([['storage-dies'], ['unheard-of']]);
      expect(end).toHaveBeenCalledTimes(1);
    });
  });

  test.each<[string, Record<string, string>, number]>([
    ['curl', {}, 200],
    ['our own page', { 'sec-fetch-site': 'same-origin', origin: 'http://proxied.example' }, 200],
    ['the address bar', { 'sec-fetch-site': 'none' }, 200],
    ['a page of another site', { 'sec-fetch-site': 'cross-site' }, 403],
    ['a sister site', { 'sec-fetch-site': 'same-site' }, 403],
    ['an older browser, our own page', { origin: 'HOST' }, 200],
    ['an older browser, another site', { origin: 'http://evil.example' }, 403],
    ['a sandboxed frame', { origin: 'null' }, 403],
    ['an origin that is none', { origin: '://' }, 403],
  ])('is accepted or not from %s', async (_who, headers, status) => {
    await withServer({ reload: reload(true) }, async ({ url }) => {
      const given = headers['origin'] === 'HOST' ? { origin: url } : headers;
      expect((await ask(`${url}/-/reload`, { method: 'POST', headers: given })).status).toBe(status);
    });
  });

  test('a body that is too large, or of unknown length, is refused and the connection closed', async () => {
    await withServer({ reload: reload(true) }, async ({ url, port }) => {
      const large = await ask(`${url}/-/reload`, { method: 'POST', body: 'x'.repeat(20_000) });
      expect(large.status).toBe(413);
      expect(large.headers['connection']).toBe('close');
      const { socket, received } = rawConnection(port);
      socket.write('POST /-/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
      expect(await received).toMatch(/^HTTP\/1\.1 411 /);
    });
  });
});
