import { createServer as createNetServer } from 'node:net';
import { describe, expect, jest, test } from '@jest/globals';
import { systemClock } from '../../src/runtime/clock.ts';
import type { ApiRoute } from '../../src/server/routes.ts';
import { ask, latch, makeServer, metricsBody, rawConnection, until, withServer } from './support/harness.ts';
import { demo, now, starting } from './support/status-fixtures.ts';

describe('the server answers', () => {
  test('/metrics with the bytes and the type of the exposition', async () => {
    await withServer({}, async ({ url }) => {
      const { status, headers, body } = await ask(`${url}/metrics`);
      expect(status).toBe(200);
      expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
      expect(headers['content-length']).toBe(String(metricsBody.length));
      expect(headers['vary']).toBe('Accept, Accept-Encoding');
      expect(body).toBe(metricsBody);
    });
  });

  test('/metrics in several pieces and encoded, as the exposition gives them', async () => {
    const exposition = async () => ({
      contentType: 'application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores',
      contentEncoding: 'gzip',
      body: [Buffer.from('one '), Buffer.from('two '), Buffer.from('three')],
    });
    await withServer({ exposition }, async ({ url }) => {
      const { headers, body } = await ask(`${url}/metrics?name=x`);
      expect(headers['content-type']).toBe(
        'application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores',
      );
      expect(headers['content-encoding']).toBe('gzip');
      expect(headers['content-length']).toBe('13');
      expect(body).toBe('one two three');
    });
  });

  test('elsewhere when the telemetry path is another', async () => {
    await withServer({ telemetryPath: '/deep/prom' }, async ({ url }) => {
      expect((await ask(`${url}/deep/prom`)).body).toBe(metricsBody);
      expect((await ask(`${url}/metrics`)).status).toBe(404);
      expect((await ask(url)).body).toContain('href="deep/prom"');
    });
    await withServer({ telemetryPath: '/' }, async ({ url }) => {
      expect((await ask(`${url}/`)).body).toBe(metricsBody);
    });
  });

  test('/-/healthy although nothing has been read, and /-/ready only then', async () => {
    let ready = false;
    const options = {
      status: () => starting,
      ready: () => ({ ready, reason: 'praefect_mirror has not run yet.' }),
    };
    await withServer(options, async ({ url }) => {
      expect(await ask(`${url}/-/healthy`)).toMatchObject({ status: 200, body: 'Healthy.\n' });
      expect(await ask(`${url}/-/ready`)).toMatchObject({
        status: 503,
        body: 'Not ready. praefect_mirror has not run yet.\n',
      });
      ready = true;
      expect(await ask(`${url}/-/ready`)).toMatchObject({ status: 200, body: 'Ready.\n' });
    });
  });

  test('the page, complete, small and with a policy that fits it', async () => {
    await withServer({ clock: { ...systemClock, now: () => now } }, async ({ url }) => {
      const { status, headers, body } = await ask(url);
      expect(status).toBe(200);
      expect(headers['content-type']).toBe('text/html; charset=utf-8');
      expect(body).toContain('Nothing is wrong');
      expect(body.length).toBeLessThan(50_000);
      expect(headers['content-security-policy']).toMatch(
        /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; connect-src 'self'; .*frame-ancestors 'none'/,
      );
    });
  });

  test('/api/v1/status with the same as JSON', async () => {
    await withServer({ status: () => demo }, async ({ url }) => {
      const { headers, body } = await ask(`${url}/api/v1/status`);
      expect(headers['content-type']).toBe('application/json; charset=utf-8');
      const json = JSON.parse(body);
      // The fixture's times are long past: what calls itself ok must not pass for it here either.
      expect(json).toMatchObject({ program: demo.program, target: demo.target, verdict: 'warning' });
      expect(json.collectors[0]).toMatchObject({
        name: 'praefect_probe',
        state: 'stale',
        intervalSeconds: 5,
        readAt: '2026-03-01T03:12:02.000Z',
      });
      expect(json.incidents[0]).toMatchObject({ name: 'storage-dies', running: true });
    });
  });

  test("other rooms' questions under /api/v1/", async () => {
    const bucket: ApiRoute = {
      path: 'buckets/:bucket',
      handle: async ({ params, query }) => ({ json: { params, query } }),
    };
    const missing: ApiRoute = {
      path: 'missing',
      handle: async () => ({ status: 404, json: { error: 'none' } }),
    };
    await withServer({ api: [bucket, missing] }, async ({ url }) => {
      expect(JSON.parse((await ask(`${url}/api/v1/buckets/repos-7?a=1&b=x%20y`)).body)).toEqual({
        params: { bucket: 'repos-7' },
        query: { a: '1', b: 'x y' },
      });
      expect((await ask(`${url}/api/v1/missing`)).status).toBe(404);
      expect((await ask(`${url}/api/v1/buckets/x`, { method: 'DELETE' })).status).toBe(405);
    });
  });

  test('no more of those at once than the limit', async () => {
    const gate = latch();
    let asked = 0;
    const slow: ApiRoute = {
      path: 'slow',
      async handle() {
        asked += 1;
        await gate.promise;
        return { json: 'done' };
      },
    };
    await withServer({ api: [slow], maxRequestsInFlight: 2 }, async ({ url }) => {
      const first = [ask(`${url}/api/v1/slow`), ask(`${url}/api/v1/slow`)];
      await until(() => asked === 2);
      expect((await ask(`${url}/api/v1/slow`)).status).toBe(503);
      gate.open();
      expect((await Promise.all(first)).map(({ status }) => status)).toEqual([200, 200]);
      expect((await ask(`${url}/api/v1/slow`)).status).toBe(200);
    });
  });
});

describe('whatever is asked', () => {
  test.each(['/metrics', '/', '/-/healthy', '/-/ready', '/api/v1/status'])(
    'HEAD %s is GET without a body',
    async (path) => {
      await withServer({}, async ({ url }) => {
        const [get, head] = [await ask(`${url}${path}`), await ask(`${url}${path}`, { method: 'HEAD' })];
        expect(head.status).toBe(get.status);
        expect(head.body).toBe('');
        expect(head.headers['content-type']).toBe(get.headers['content-type']);
        if (path !== '/' && path !== '/api/v1/status')
          expect(head.headers['content-length']).toBe(get.headers['content-length']);
      });
    },
  );

  test.each<[string, string, string]>([
    ['POST', '/metrics', 'GET, HEAD'],
    ['DELETE', '/', 'GET, HEAD'],
    ['GET', '/-/reload', 'POST, PUT'],
    ['OPTIONS', '/-/healthy', 'GET, HEAD'],
    ['TRACE', '/metrics', 'GET, HEAD'],
  ])('%s %s is 405 and says what is allowed', async (method, path, allow) => {
    await withServer({}, async ({ url }) => {
      const { status, headers, body } = await ask(`${url}${path}`, { method });
      expect(status).toBe(405);
      expect(headers['allow']).toBe(allow);
      expect(body).toContain(allow);
    });
  });

  test.each([
    '/nothing',
    '/METRICS',
    '/metrics/x',
    '/-/',
    '/favicon.ico',
    '/demo/incidents/x',
    '/<script>',
    '//evil.example/',
  ])('%s is 404, in plain words that repeat nothing', async (path) => {
    await withServer({}, async ({ url }) => {
      const { status, headers, body } = await ask(`${url}${path}`);
      expect(status).toBe(404);
      expect(headers['content-type']).toBe('text/plain; charset=utf-8');
      expect(body).toBe('Not found. The page at / links to what there is.\n');
    });
  });

  test('a malformed path is 400', async () => {
    await withServer({ api: [{ path: ':x', handle: async () => ({ json: 1 }) }] }, async ({ url, log }) => {
      expect(await ask(`${url}/api/v1/%zz`)).toMatchObject({ status: 400, body: 'Bad request.\n' });
      expect(log).toEqual([]);
    });
  });

  test.each(['/', '/metrics', '/nothing', '/-/healthy', '/api/v1/status'])(
    '%s carries the security headers and no advertisement',
    async (path) => {
      await withServer({}, async ({ url }) => {
        const { headers } = await ask(`${url}${path}`);
        expect(headers).toMatchObject({
          'x-content-type-options': 'nosniff',
          'x-frame-options': 'deny',
          'referrer-policy': 'same-origin',
          'content-security-policy': expect.stringContaining("default-src 'none'"),
        });
        expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
        expect(headers['x-powered-by']).toBeUndefined();
      });
    },
  );

  test('a fault of our own is told to the log, not to the client', async () => {
    const options = {
      status: () => {
        throw new Error('SENTINEL in a stack');
      },
    };
    await withServer(options, async ({ url, log }) => {
      for (const path of ['/', '/api/v1/status']) {
        const { status, body } = await ask(`${url}${path}`);
        expect(status).toBe(500);
        expect(body).not.toContain('SENTINEL');
      }
      expect(log.join('\n')).toContain('SENTINEL in a stack');
      expect((await ask(`${url}/metrics`)).status).toBe(200);
    });
  });
});

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

describe('listening', () => {
  test('on several addresses at once, with the real port where 0 was asked for', async () => {
    const { server } = makeServer({ listenAddresses: ['127.0.0.1:0', 'localhost:0', ':0'] });
    const started = await server.start();
    expect(started.ok).toBe(true);
    if (!started.ok) return;
    expect(started.addresses.map(({ configured }) => configured)).toEqual([
      '127.0.0.1:0',
      'localhost:0',
      ':0',
    ]);
    for (const { url, port } of started.addresses) {
      expect(port).toBeGreaterThan(0);
      expect((await ask(`${url}metrics`)).status).toBe(200);
    }
    await server.stop();
  });

  test('on a port that is taken fails with address and mend, and leaves nothing open', async () => {
    const other = createNetServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const { server } = makeServer({ listenAddresses: ['127.0.0.1:0', `127.0.0.1:${port}`] });
    const started = await server.start();
    expect(started).toEqual({
      ok: false,
      problems: [
        expect.stringContaining(`web.listen-address: cannot listen on "127.0.0.1:${port}": another process`),
      ],
    });
    await new Promise((resolve) => other.close(resolve));
  });

  test('names everything that is wrong with its settings, not the first alone', async () => {
    const { server } = makeServer({
      listenAddresses: ['9656', '[::1'],
      telemetryPath: '/-/metrics',
      webConfigFile: '/no/such/file.yml',
    });
    const started = await server.start();
    expect(started.ok ? [] : started.problems).toEqual([
      expect.stringContaining('"9656"'),
      expect.stringContaining('"[::1"'),
      expect.stringContaining('web.telemetry-path: "/-/metrics" cannot be served: it is taken'),
      'web.config.file: /no/such/file.yml cannot be read (ENOENT)',
    ]);
  });

  test.each(['metrics', '/a b', '/:x', '/api/v1/x', ''])(
    'a telemetry path of "%s" is refused',
    async (telemetryPath) => {
      expect((await makeServer({ telemetryPath }).server.start()).ok).toBe(false);
    },
  );

  test('on no address is refused', async () => {
    expect(await makeServer({ listenAddresses: [] }).server.start()).toMatchObject({ ok: false });
  });
});
