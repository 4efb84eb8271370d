import { describe, expect, test } from '@jest/globals';
import { systemClock } from '../../src/lib/clock.ts';
import type { ApiRoute } from '../../src/server/api.ts';
import { latch, metricsBody, send, until, withServer } from './support/harness.ts';
import { demo, now, starting } from './support/status-fixtures.ts';

describe('the server', () => {
  test('serves /metrics with the bytes and the content type of the exposition', async () => {
    await withServer({}, async ({ url }) => {
      const { status, headers, body } = await send(`${url}/metrics`);
      expect(status).toBe(200);
      expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
      expect(headers['content-length']).toBe(String(metricsBody.length));
      expect(headers['vary']).toBe('Accept, Accept-Encoding');
      expect(body).toBe(metricsBody);
    });
  });

  test('sends several chunks and the content encoding of the exposition', async () => {
    const exposition = async () => ({
      contentType: 'application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores',
      contentEncoding: 'gzip',
      body: [Buffer.from('one '), Buffer.from('two '), Buffer.from('three')],
    });
    await withServer({ exposition }, async ({ url }) => {
      const { headers, body } = await send(`${url}/metrics?name=x`);
      expect(headers['content-type']).toBe(
        'application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores',
      );
      expect(headers['content-encoding']).toBe('gzip');
      expect(headers['content-length']).toBe('13');
      expect(body).toBe('one two three');
    });
  });

  test('serves the metrics at the configured telemetry path', async () => {
    await withServer({ telemetryPath: '/deep/prom' }, async ({ url }) => {
      expect((await send(`${url}/deep/prom`)).body).toBe(metricsBody);
      expect((await send(`${url}/metrics`)).status).toBe(404);
      expect((await send(url)).body).toContain('href="deep/prom"');
    });
    await withServer({ telemetryPath: '/' }, async ({ url }) => {
      expect((await send(`${url}/`)).body).toBe(metricsBody);
    });
  });

  test('is healthy before the first run of the collectors, and ready only after it', async () => {
    let ready = false;
    const options = {
      status: () => starting,
      ready: () => ({ ready, reason: 'praefect_mirror has not run yet.' }),
    };
    await withServer(options, async ({ url }) => {
      expect(await send(`${url}/-/healthy`)).toMatchObject({ status: 200, body: 'Healthy.\n' });
      expect(await send(`${url}/-/ready`)).toMatchObject({
        status: 503,
        body: 'Not ready. praefect_mirror has not run yet.\n',
      });
      ready = true;
      expect(await send(`${url}/-/ready`)).toMatchObject({ status: 200, body: 'Ready.\n' });
    });
  });

  test('serves the whole page, small and with a policy that allows its style and script', async () => {
    await withServer({ clock: { ...systemClock, now: () => now } }, async ({ url }) => {
      const { status, headers, body } = await send(url);
      expect(status).toBe(200);
      expect(headers['content-type']).toBe('text/html; charset=utf-8');
      expect(body).toContain('No problems detected');
      expect(body.length).toBeLessThan(50_000);
      expect(headers['content-security-policy']).toMatch(
        /^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; connect-src 'self'; .*frame-ancestors 'none'/,
      );
    });
  });

  test('serves the same content as JSON at /api/v1/status', async () => {
    await withServer({ status: () => demo }, async ({ url }) => {
      const { headers, body } = await send(`${url}/api/v1/status`);
      expect(headers['content-type']).toBe('application/json; charset=utf-8');
      const json = JSON.parse(body);
      // The fixture's times are long past: a collector that claims to be ok is stale here too.
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

  test('serves the API routes of other modules under /api/v1/', async () => {
    const bucket: ApiRoute = {
      path: 'buckets/:bucket',
      handle: async ({ params, query }) => ({ json: { params, query } }),
    };
    const missing: ApiRoute = {
      path: 'missing',
      handle: async () => ({ status: 404, json: { error: 'none' } }),
    };
    await withServer({ api: [bucket, missing] }, async ({ url }) => {
      expect(JSON.parse((await send(`${url}/api/v1/buckets/repos-7?a=1&b=x%20y`)).body)).toEqual({
        params: { bucket: 'repos-7' },
        query: { a: '1', b: 'x y' },
      });
      expect((await send(`${url}/api/v1/missing`)).status).toBe(404);
      expect((await send(`${url}/api/v1/buckets/x`, { method: 'DELETE' })).status).toBe(405);
    });
  });

  test('limits the API requests in flight', async () => {
    const gate = latch();
    let started = 0;
    const slow: ApiRoute = {
      path: 'slow',
      async handle() {
        started += 1;
        await gate.promise;
        return { json: 'done' };
      },
    };
    await withServer({ api: [slow], maxRequestsInFlight: 2 }, async ({ url }) => {
      const first = [send(`${url}/api/v1/slow`), send(`${url}/api/v1/slow`)];
      await until(() => started === 2);
      expect((await send(`${url}/api/v1/slow`)).status).toBe(503);
      gate.open();
      expect((await Promise.all(first)).map(({ status }) => status)).toEqual([200, 200]);
      expect((await send(`${url}/api/v1/slow`)).status).toBe(200);
    });
  });
});

describe('every request', () => {
  test.each(['/metrics', '/', '/-/healthy', '/-/ready', '/api/v1/status'])(
    'with HEAD %s gets the response of GET without the body',
    async (path) => {
      await withServer({}, async ({ url }) => {
        const [get, head] = [await send(`${url}${path}`), await send(`${url}${path}`, { method: 'HEAD' })];
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
  ])('with %s %s gets 405 and the allowed methods', async (method, path, allow) => {
    await withServer({}, async ({ url }) => {
      const { status, headers, body } = await send(`${url}${path}`, { method });
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
  ])('for %s gets 404 with a fixed text', async (path) => {
    await withServer({}, async ({ url }) => {
      const { status, headers, body } = await send(`${url}${path}`);
      expect(status).toBe(404);
      expect(headers['content-type']).toBe('text/plain; charset=utf-8');
      expect(body).toBe('Not found. The page at / links to the other paths.\n');
    });
  });

  test('with a malformed path gets 400', async () => {
    await withServer({ api: [{ path: ':x', handle: async () => ({ json: 1 }) }] }, async ({ url, log }) => {
      expect(await send(`${url}/api/v1/%zz`)).toMatchObject({ status: 400, body: 'Bad request.\n' });
      expect(log).toEqual([]);
    });
  });

  test.each(['/', '/metrics', '/nothing', '/-/healthy', '/api/v1/status'])(
    'for %s gets the security headers and no X-Powered-By',
    async (path) => {
      await withServer({}, async ({ url }) => {
        const { headers } = await send(`${url}${path}`);
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

  test('that causes an internal error gets no details of it, which are in the log', async () => {
    const options = {
      status: () => {
        throw new Error('SENTINEL in a stack');
      },
    };
    await withServer(options, async ({ url, log }) => {
      for (const path of ['/', '/api/v1/status']) {
        const { status, body } = await send(`${url}${path}`);
        expect(status).toBe(500);
        expect(body).not.toContain('SENTINEL');
      }
      expect(log.join('\n')).toContain('SENTINEL in a stack');
      expect((await send(`${url}/metrics`)).status).toBe(200);
    });
  });
});
