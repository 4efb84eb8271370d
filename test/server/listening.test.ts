import { createServer as createNetServer } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { addressUrl, listenProblem } from '../../src/server/address.ts';
import { at, makeServer, send } from './support/harness.ts';

describe('the server', () => {
  test('listens on several addresses, and reports the actual port for port 0', async () => {
    const { server } = makeServer({ listenAddresses: ['127.0.0.1:0', 'localhost:0', ':0'].map(at) });
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
    const { server } = makeServer({ listenAddresses: ['127.0.0.1:0', `127.0.0.1:${port}`].map(at) });
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

  test('does not start with a web configuration file that cannot be read', async () => {
    const { server } = makeServer({ webConfigFile: '/no/such/file.yml' });
    expect(await server.start()).toEqual({
      ok: false,
      problems: ['web.config.file: /no/such/file.yml cannot be read (ENOENT)'],
    });
  });
});

describe('a listen address', () => {
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
