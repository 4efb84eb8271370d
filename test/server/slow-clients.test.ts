import { describe, expect, test } from '@jest/globals';
import { rawConnection, send, withServer } from './support/harness.ts';

const limits = {
  headersTimeoutMs: 150,
  requestTimeoutMs: 200,
  keepAliveTimeoutMs: 100,
  checkingIntervalMs: 20,
};

describe('a slow or hostile client', () => {
  test('that sends nothing is disconnected', async () => {
    await withServer({ limits }, async ({ port }) => {
      expect(await rawConnection(port).received).toMatch(/^(HTTP\/1\.1 408 |$)/);
    });
  });

  test('that never completes its header is disconnected, even if it keeps writing', async () => {
    await withServer({ limits }, async ({ port, url }) => {
      const { socket, received } = rawConnection(port);
      socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n');
      const drip = setInterval(() => socket.write('X-A: b\r\n'), 20);
      expect(await received).toMatch(/^HTTP\/1\.1 408 /);
      clearInterval(drip);
      expect((await send(`${url}/metrics`)).status).toBe(200);
    });
  });

  test('that never completes its body is disconnected', async () => {
    const reload = () => new Promise<never>(() => undefined);
    await withServer({ limits, reload }, async ({ port }) => {
      const { socket, received } = rawConnection(port);
      socket.write('POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc');
      expect(await received).toMatch(/^(HTTP\/1\.1 408 |$)/);
    });
  });

  test('that keeps an idle connection open is disconnected', async () => {
    await withServer(
      { limits: { ...limits, headersTimeoutMs: 60_000, requestTimeoutMs: 60_000 } },
      async ({ port }) => {
        const { socket, received } = rawConnection(port);
        socket.write('GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n');
        expect(await received).toMatch(/^HTTP\/1\.1 200 /);
      },
    );
  });

  test('with a header of more than 16 KiB gets 431', async () => {
    await withServer({}, async ({ url }) => {
      expect((await send(`${url}/metrics`, { headers: { 'x-large': 'x'.repeat(20_000) } })).status).toBe(431);
    });
  });

  test('that does not speak HTTP gets 400, and nothing is logged', async () => {
    await withServer({}, async ({ port, log }) => {
      const { socket, received } = rawConnection(port);
      socket.write('SSH-2.0-OpenSSH\r\n\r\n');
      expect(await received).toMatch(/^HTTP\/1\.1 400 /);
      expect(log).toEqual([]);
    });
  });

  test('is rejected beyond the maximum number of connections', async () => {
    await withServer({ limits: { maxConnections: 2 } }, async ({ port, url }) => {
      const open = [rawConnection(port), rawConnection(port)];
      for (const { socket } of open) socket.write('GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n');
      await Promise.all(open.map(({ socket }) => new Promise((resolve) => socket.once('data', resolve))));
      await expect(send(`${url}/metrics`)).rejects.toMatchObject({
        code: expect.stringMatching(/ECONNRESET|EPIPE/),
      });
      for (const { socket } of open) socket.destroy();
    });
  });
});
