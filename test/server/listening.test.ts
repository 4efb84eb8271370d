import { createServer as createNetServer } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { addressUrl, listenProblem, parseListenAddress } from '../../src/server/address.ts';
import { makeServer, send } from './support/harness.ts';

describe('the server', () => {
  test('listens on several addresses, and reports the actual port for port 0', async () => {
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
      expect((await send(`${url}metrics`)).status).toBe(200);
    }
    await server.stop();
  });

  test('does not start when a port is in use, and leaves no other address open', async () => {
    const other = createNetServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    const { server } = makeServer({ listenAddresses: ['127.0.0.1:0', `127.0.0.1:${port}`] });
    const started = await server.start();
    expect(started).toEqual({
      ok: false,
      problems: [
        expect.stringContaining(
          `web.listen-address: cannot listen on "127.0.0.1:${port}": port ${port} is in use by another process`,
        ),
      ],
    });
    await new Promise((resolve) => other.close(resolve));
  });

  test('reports all problems of its settings together', async () => {
    const { server } = makeServer({
      listenAddresses: ['9656', '[::1'],
      telemetryPath: '/-/metrics',
      webConfigFile: '/no/such/file.yml',
    });
    const started = await server.start();
    expect(started.ok ? [] : started.problems).toEqual([
      expect.stringContaining('"9656"'),
      expect.stringContaining('"[::1"'),
      expect.stringContaining('web.telemetry-path: "/-/metrics" is not valid: the server itself uses it'),
      'web.config.file: /no/such/file.yml cannot be read (ENOENT)',
    ]);
  });

  test.each(['metrics', '/a b', '/:x', '/api/v1/x', ''])(
    'does not start with the telemetry path "%s"',
    async (telemetryPath) => {
      expect((await makeServer({ telemetryPath }).server.start()).ok).toBe(false);
    },
  );

  test('does not start without an address', async () => {
    expect(await makeServer({ listenAddresses: [] }).server.start()).toMatchObject({ ok: false });
  });
});

describe('a listen address', () => {
  test.each([
    [':9656', undefined, 9656],
    ['0.0.0.0:9656', '0.0.0.0', 9656],
    ['[::1]:9656', '::1', 9656],
    ['[fe80::1%eth0]:9656', 'fe80::1%eth0', 9656],
    ['localhost:0', 'localhost', 0],
    ['exporter.example:65535', 'exporter.example', 65535],
  ])('%s is parsed', (configured, host, port) => {
    expect(parseListenAddress(configured)).toEqual({ ok: true, value: { configured, host, port } });
  });

  test.each([
    ['9656', 'write :9656'],
    ['http://localhost:9656', 'without a scheme'],
    ['unix:///run/x.sock', 'only TCP is supported'],
    ['localhost', 'write host:port'],
    ['localhost:', 'the port is missing'],
    ['localhost:http', 'write host:port'],
    [':65536', 'at most 65535'],
    ['::1:9656', 'write an IPv6 address as [::1]:9656'],
    ['[::1]', 'write an IPv6 address as [::1]:9656'],
    ['[localhost]:1', 'only an IPv6 address is written in brackets'],
    ['256.0.0.1:1', 'not an IPv4 address'],
    ['', 'write host:port'],
  ])('"%s" is rejected with a fix', (configured, fix) => {
    const parsed = parseListenAddress(configured);
    expect(parsed.ok ? '' : parsed.problem).toContain(`"${configured}"`);
    expect(parsed.ok ? '' : parsed.problem).toContain(fix);
  });

  test.each([
    ['EADDRINUSE', 'another process'],
    ['EACCES', 'above 1023'],
    ['EADDRNOTAVAIL', 'no such address'],
    ['ENOTFOUND', 'does not resolve'],
    ['EMFILE', 'EMFILE'],
  ])('that fails with %s has an explanation', (code, words) => {
    const address = { configured: 'h:80', host: 'h', port: 80 };
    const text = listenProblem(address, Object.assign(new Error('x'), { code }));
    expect(text).toContain('cannot listen on "h:80"');
    expect(text).toContain(words);
  });

  test.each([
    [undefined, 'http://localhost:1/'],
    ['0.0.0.0', 'http://localhost:1/'],
    ['::1', 'http://[::1]:1/'],
    ['db.example', 'http://db.example:1/'],
  ])('with the host %s has the URL %s', (host, url) => {
    expect(addressUrl('http', { configured: '', host, port: 0 }, 1)).toBe(url);
  });
});
