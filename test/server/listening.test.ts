import { createServer as createNetServer } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { ask, makeServer } from './support/harness.ts';

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
