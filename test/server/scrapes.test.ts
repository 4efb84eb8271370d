import { Agent } from 'node:http';
import { describe, expect, test } from '@jest/globals';
import { defaultLimits } from '../../src/server/listener.ts';
import { type ScrapeBody, scrapeTimeoutMs } from '../../src/server/scrape.ts';
import { latch, makeServer, ownMetrics, rawConnection, send, until, withServer } from './support/harness.ts';

const body: ScrapeBody = { contentType: 'text/plain; version=0.0.4', body: 'up 1\n' };

describe('a scrape', () => {
  test('beyond the limit in flight gets 503 and is counted, and the next one is served again', async () => {
    const gate = latch();
    const exposition = async () => {
      await gate.promise;
      return body;
    };
    await withServer({ exposition, maxRequestsInFlight: 3 }, async ({ url, server }) => {
      const first = [1, 2, 3].map(() => send(`${url}/metrics`));
      await until(() => ownMetrics(server)['scrapes_in_flight'] === 3);
      const fourth = await send(`${url}/metrics`);
      expect(fourth).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
      expect(fourth.body).toContain('the limit is 3');
      expect((await send(`${url}/`)).status).toBe(200);
      expect((await send(`${url}/-/healthy`)).status).toBe(200);
      gate.open();
      expect((await Promise.all(first)).map(({ status }) => status)).toEqual([200, 200, 200]);
      await until(() => ownMetrics(server)['scrapes_in_flight'] === 0);
      expect((await send(`${url}/metrics`)).status).toBe(200);
      expect(ownMetrics(server)['scrape_rejected_total concurrency']).toBe(1);
    });
  });

  test('has a counter at 0 for each reason from the start', () => {
    expect(ownMetrics(makeServer().server)).toEqual({
      scrapes_in_flight: 0,
      'scrape_rejected_total concurrency': 0,
      'scrape_rejected_total rate': 0,
      'scrape_rejected_total unauthorized': 0,
      'scrape_rejected_total client_certificate': 0,
      'scrape_rejected_total web_config': 0,
      'scrape_rejected_total timeout': 0,
      'scrape_rejected_total internal': 0,
    });
  });

  test.each([
    [{ 'x-prometheus-scrape-timeout-seconds': '7' }, 6500],
    [{ 'x-prometheus-scrape-timeout-seconds': 'soon' }, 9500],
    [{}, 9500],
  ])('with the headers %j has %d ms', async (headers, ms) => {
    let given = 0;
    const exposition = async (_headers: unknown, timeoutMs: number) => {
      given = timeoutMs;
      return body;
    };
    await withServer({ exposition }, async ({ url }) => {
      await send(`${url}/metrics`, { headers: headers as Record<string, string> });
      expect(given).toBe(ms);
    });
  });

  test('sees its signal abort at the deadline, and what the exposition returns then is still sent', async () => {
    const exposition = (_headers: unknown, _timeoutMs: number, signal: AbortSignal) =>
      new Promise<ScrapeBody>((resolve) =>
        signal.addEventListener('abort', () => resolve({ ...body, body: 'partial 1\n' })),
      );
    await withServer({ exposition, scrapeTimeoutOffsetMs: 1900 }, async ({ url }) => {
      const { status, body: text } = await send(`${url}/metrics`, {
        headers: { 'x-prometheus-scrape-timeout-seconds': '2' },
      });
      expect([status, text]).toEqual([200, 'partial 1\n']);
    });
  });

  test('without a result by its deadline gets 503 before Prometheus disconnects', async () => {
    const exposition = () => new Promise<ScrapeBody>(() => undefined);
    await withServer({ exposition, scrapeTimeoutOffsetMs: 1000 }, async ({ url, server }) => {
      const began = performance.now();
      const { status } = await send(`${url}/metrics`, {
        headers: { 'x-prometheus-scrape-timeout-seconds': '2' },
      });
      expect(status).toBe(503);
      expect(performance.now() - began).toBeLessThan(2000);
      await until(() => ownMetrics(server)['scrapes_in_flight'] === 0);
      expect(ownMetrics(server)['scrape_rejected_total timeout']).toBe(1);
    });
  });

  test.each([
    ['rejects', async () => Promise.reject(new Error('SENTINEL'))],
    [
      'throws',
      () => {
        throw new Error('SENTINEL');
      },
    ],
  ])('whose exposition %s gets 500, and the server keeps serving', async (_how, exposition) => {
    await withServer(
      { exposition: exposition as () => Promise<ScrapeBody> },
      async ({ url, server, log }) => {
        const { status, body: text } = await send(`${url}/metrics`);
        expect(status).toBe(500);
        expect(text).not.toContain('SENTINEL');
        expect(log.join()).toContain('SENTINEL');
        expect((await send(`${url}/-/healthy`)).status).toBe(200);
        await until(() => ownMetrics(server)['scrapes_in_flight'] === 0);
      },
    );
  });

  test('whose client disconnects is no longer in flight, and its signal aborts', async () => {
    const aborted = latch();
    const exposition = (_headers: unknown, _timeoutMs: number, signal: AbortSignal) =>
      new Promise<ScrapeBody>((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          aborted.open();
          reject(signal.reason);
        });
      });
    await withServer({ exposition }, async ({ port, server, log }) => {
      const { socket } = rawConnection(port);
      socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
      await until(() => ownMetrics(server)['scrapes_in_flight'] === 1);
      socket.destroy();
      await aborted.promise;
      await until(() => ownMetrics(server)['scrapes_in_flight'] === 0);
      expect(log).toEqual([]);
      expect(ownMetrics(server)['scrape_rejected_total internal']).toBe(0);
    });
  });

  test('that is read too slowly is disconnected, and is no longer in flight', async () => {
    const exposition = async () => ({ ...body, body: Buffer.alloc(64 * 1024 * 1024, 'x') });
    const limits = { maxScrapeTimeoutMs: 200 };
    await withServer({ exposition, limits, scrapeTimeoutOffsetMs: 0 }, async ({ port, server }) => {
      const { socket, received } = rawConnection(port);
      socket.pause();
      socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
      await until(() => ownMetrics(server)['scrapes_in_flight'] === 1);
      await until(() => ownMetrics(server)['scrapes_in_flight'] === 0);
      socket.resume();
      expect((await received).length).toBeLessThan(64 * 1024 * 1024);
    });
  });
});

describe('stopping', () => {
  test('lets a scrape in flight finish, accepts no new connection, and closes idle ones', async () => {
    const gate = latch();
    const exposition = async () => {
      await gate.promise;
      return body;
    };
    const { server } = makeServer({ exposition });
    const started = await server.start();
    if (!started.ok) throw new Error(started.problems.join());
    const { port, url } = started.addresses[0]!;
    const agent = new Agent({ keepAlive: true });
    expect((await send(`${url}-/healthy`, { agent })).status).toBe(200); // leaves an idle connection
    const scrape = send(`${url}metrics`, { agent: new Agent({ keepAlive: true }) });
    await until(() => ownMetrics(server)['scrapes_in_flight'] === 1);

    const stopped = server.stop();
    const again = server.stop();
    await expect(send(`http://127.0.0.1:${port}/-/healthy`)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    gate.open();
    const response = await scrape;
    expect(response).toMatchObject({ status: 200, body: 'up 1\n', headers: { connection: 'close' } });
    await Promise.all([stopped, again]);
    await server.stop();
    agent.destroy();
  });

  test('takes no longer than its limit', async () => {
    const { server } = makeServer({ exposition: () => new Promise<ScrapeBody>(() => undefined) });
    const started = await server.start();
    if (!started.ok) throw new Error(started.problems.join());
    const hanging = send(`${started.addresses[0]!.url}metrics`);
    hanging.catch(() => undefined);
    await until(() => ownMetrics(server)['scrapes_in_flight'] === 1);
    const began = performance.now();
    await server.stop(50);
    expect(performance.now() - began).toBeLessThan(2000);
    await expect(hanging).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('before or during the start leaves no address listening', async () => {
    const { server } = makeServer();
    await server.stop();
    expect(await server.start()).toEqual({
      ok: false,
      problems: ['the server was stopped while it was starting'],
    });
    const other = makeServer().server;
    const starting = other.start();
    await other.stop();
    expect(await starting).toMatchObject({ ok: false });
  });
});

describe('the timeout of a scrape', () => {
  test.each([
    ['10', 9500],
    ['2.5', 2000],
    [' 30 ', 29500],
    ['0.6', 300], // half: the offset would leave almost nothing
    ['0.1', 50],
    ['100000', 120_000],
    // Not a number, or an implausible one: the default of 10 s.
    [undefined, 9500],
    ['', 9500],
    ['0', 9500],
    ['-5', 9500],
    ['1e3', 9500],
    ['NaN', 9500],
    ['Infinity', 9500],
    ['10s', 9500],
    ['0x10', 9500],
    ['99999999999999999999', 9500],
    [['10', '20'], 9500],
  ])('with the header %j is %d ms', (header, ms) => {
    expect(scrapeTimeoutMs(header, 500, defaultLimits)).toBe(ms);
  });
});
