/** The HTTP client against raw servers: limits in each phase, reuse of connections, and endless responses. */
import { Agent } from 'node:http';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../src/lib/clock.ts';
import {
  createHttpClient,
  type HttpClientOptions,
  type HttpRequest,
  type HttpResult,
} from '../../../src/lib/http/client.ts';
import type { HttpDeadlines } from '../../../src/lib/http/exchange.ts';
import { HttpError } from '../../../src/lib/http/failure.ts';
import { Secret } from '../../../src/lib/secret.ts';
import { head, type RawServer, rawServer } from '../../support/raw-server.ts';
import { until } from '../../support/until.ts';

const servers: RawServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function serve(respond: (socket: Socket) => void): Promise<RawServer> {
  const server = await rawServer(respond);
  servers.push(server);
  return server;
}

const never = new AbortController().signal;
const anonymous = { tls: {}, authorization: undefined };
const client = (options: Partial<HttpClientOptions> = {}) =>
  createHttpClient({ clock: systemClock, ...options });

interface Get extends Partial<HttpRequest> {
  readonly limits?: HttpDeadlines;
  readonly signal?: AbortSignal;
}

function get(
  url: string,
  { limits = {}, signal = never, ...request }: Get = {},
  from = client(),
): Promise<HttpResult> {
  return from.get({ url: new URL(url), headers: {}, credentials: anonymous, ...request }, limits, signal);
}

/** `reason: message` of a failed request. */
const failureText = (result: HttpResult): string =>
  result.ok ? `HTTP ${result.response.status}` : `${result.failure.reason}: ${result.failure.message}`;

async function textOf(
  result: HttpResult,
  ...limits: Parameters<(HttpResult & { ok: true })['response']['body']>
) {
  if (!result.ok) return failureText(result);
  try {
    let text = '';
    for await (const chunk of result.response.body(...limits)) text += Buffer.from(chunk).toString();
    return text;
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    return failureText({ ok: false, failure: error.failure });
  }
}

const ok = `${head('Content-Length: 2')}ok`;

describe('a limit', () => {
  test('on the connection ends the lookup of a name that never resolves', async () => {
    const result = await get('http://gitaly.example/', {
      lookup: () => undefined,
      limits: { connectMs: 50 },
    });
    expect(failureText(result)).toBe('timeout: has a name that did not resolve within 50 ms');
  });

  test('on the connection ends a TLS handshake that never completes', async () => {
    const { port } = await serve(() => undefined);
    const result = await get(`https://127.0.0.1:${port}/`, { limits: { connectMs: 50 } });
    expect(failureText(result)).toBe('timeout: did not accept the connection within 50 ms');
  });

  test('ends a request for which Node emits no event', async () => {
    const agent = new Agent();
    agent.createConnection = () => undefined as unknown as Socket;
    const result = await get('http://127.0.0.1:1/', { agent, limits: { headMs: 50 } });
    expect(failureText(result)).toBe('timeout: did not accept the connection within 50 ms');
  });

  test('on the headers ends a request to a server that accepts the connection and sends nothing', async () => {
    const { port, open } = await serve(() => undefined);
    const result = await get(`http://127.0.0.1:${port}/`, { limits: { connectMs: 1000, headMs: 50 } });
    expect(failureText(result)).toBe('timeout: sent no response within 50 ms');
    await until(() => open() === 0);
  });

  test.each([
    ['of the whole', { totalMs: 50 }, {}],
    ['of the body', {}, { withinMs: 50 }],
  ])('%s ends a body that never ends', async (_, limits, bodyLimits) => {
    const { port, open } = await serve((socket) => socket.write(head('Content-Length: 500')));
    const result = await get(`http://127.0.0.1:${port}/`, { limits });
    expect(await textOf(result, bodyLimits)).toBe('timeout: sent no complete response within 50 ms');
    await until(() => open() === 0);
  });

  test('on bytes ends a gzip header that never ends and decompresses to nothing', async () => {
    const { port, open } = await serve((socket) => {
      // FNAME: a file name without its terminator.
      socket.write(head('Content-Encoding: gzip', 'Content-Length: 10000000'));
      socket.write(Buffer.concat([Buffer.from('1f8b0808000000000003', 'hex'), Buffer.alloc(500_000, 'x')]));
    });
    const result = await get(`http://127.0.0.1:${port}/`);
    expect(await textOf(result, { maxBytes: 100_000 })).toBe('too_large: sent more than 100000 bytes');
    await until(() => open() === 0);
  });

  test('on the headers does not end a body that takes longer', async () => {
    const { port } = await serve((socket) => {
      socket.write(head('Content-Length: 2'));
      setTimeout(() => socket.write('ok'), 100);
    });
    const result = await get(`http://127.0.0.1:${port}/`, { limits: { connectMs: 50, headMs: 50 } });
    expect(await textOf(result)).toBe('ok');
  });
});

describe('a response', () => {
  test.each([
    ['with the headers of an upgrade', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'],
    ['without them', ''],
  ])('of HTTP 101 is a failure: %s', async (_, headers) => {
    const { port, open } = await serve((socket) =>
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headers}\r\n`),
    );
    expect(failureText(await get(`http://127.0.0.1:${port}/`))).toBe(
      'http_status: switched protocols (HTTP 101), which was not requested',
    );
    await until(() => open() === 0);
  });

  test('that only offers an upgrade is read', async () => {
    const offer = head('Upgrade: h2c', 'Connection: Upgrade', 'Content-Length: 2');
    const { port } = await serve((socket) => socket.write(`${offer}ok`));
    expect(await textOf(await get(`http://127.0.0.1:${port}/`))).toBe('ok');
  });

  test('that redirects is returned, and the other host gets no request and no credentials', async () => {
    const other = await serve((socket) => socket.end(ok));
    const { port } = await serve((socket) =>
      socket.end(
        `HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:${other.port}/\r\nContent-Length: 0\r\n\r\n`,
      ),
    );
    const result = await get(`http://127.0.0.1:${port}/`, {
      credentials: { tls: {}, authorization: new Secret('Bearer SENTINEL') },
    });
    expect(failureText(result)).toBe('HTTP 302');
    expect(await textOf(result)).toBe('');
    expect(other.requests).toEqual([]);
  });

  test('that is closed or abandoned early leaves no connection open', async () => {
    const { port, open } = await serve((socket) => socket.write(`${head('Content-Length: 500')}begin`));
    const closed = await get(`http://127.0.0.1:${port}/`);
    if (!closed.ok) throw new Error(closed.failure.message);
    closed.response.close();
    closed.response.close();
    const abandoned = await get(`http://127.0.0.1:${port}/`);
    if (!abandoned.ok) throw new Error(abandoned.failure.message);
    for await (const _ of abandoned.response.body()) break;
    await until(() => open() === 0);
  });

  test('is canceled by the signal, before the request and while the body is read', async () => {
    const { port, open } = await serve((socket) => socket.write(`${head('Content-Length: 500')}begin`));
    const stop = new AbortController();
    const result = await get(`http://127.0.0.1:${port}/`, { signal: stop.signal });
    const text = textOf(result);
    stop.abort();
    const canceled = 'timeout: was not read completely: the read was canceled';
    expect(await text).toBe(canceled);
    expect(failureText(await get(`http://127.0.0.1:${port}/`, { signal: stop.signal }))).toBe(canceled);
    await until(() => open() === 0);
  });
});

describe('a kept connection', () => {
  test('is reused, and replaced by a new one when the server has closed it', async () => {
    let connections = 0;
    const { port } = await serve((socket) => {
      connections += 1;
      socket.write(ok);
      if (connections > 1) return;
      socket.on('data', (data) => {
        // The third request on the connection finds it closed.
        if (String(data).includes('/third')) socket.destroy();
        else socket.write(ok);
      });
    });
    const keeping = client({ keepAlive: true });
    for (const path of ['first', 'second', 'third'])
      expect(await textOf(await get(`http://127.0.0.1:${port}/${path}`, {}, keeping))).toBe('ok');
    expect(connections).toBe(2);
    keeping.close();
  });

  test('is closed with the client', async () => {
    const { port, open } = await serve((socket) => socket.write(ok));
    const keeping = client({ keepAlive: true });
    expect(await textOf(await get(`http://127.0.0.1:${port}/`, {}, keeping))).toBe('ok');
    expect(open()).toBe(1);
    keeping.close();
    await until(() => open() === 0);
  });
});

test('a failure quotes no credentials, even if they are invalid', async () => {
  const { port } = await serve((socket) => socket.end(ok));
  const result = await get(`http://127.0.0.1:${port}/`, {
    credentials: { tls: {}, authorization: new Secret('Bearer SENT\nINEL') },
  });
  expect(failureText(result)).toBe(
    'authentication: was sent nothing: the credentials have invalid characters (ERR_INVALID_CHAR)',
  );
});

test('a hint is appended to failures of its kind', async () => {
  const { port } = await serve((socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n'));
  const hinting = client({ hints: { not_http: 'check the port' } });
  expect(failureText(await get(`http://127.0.0.1:${port}/`, {}, hinting))).toMatch(
    /^parse: does not speak HTTP \(HPE_\w+\): check the port$/,
  );
});
