import { createServer as createNetServer } from 'node:net';
import { describe, expect, test } from '@jest/globals';
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

  test('reports all problems of its settings at once', async () => {
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
