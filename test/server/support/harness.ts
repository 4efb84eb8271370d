/** A real server on a free port that serves fixtures, and clients for it. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { connect, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { type ListenAddress, listenAddress } from '../../../src/config/kinds/listen-address.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import type { Log } from '../../../src/lib/log.ts';
import { createServer, type Server, type ServerOptions } from '../../../src/server/server.ts';
import { healthy } from './status-fixtures.ts';

export interface Running {
  readonly server: Server;
  readonly port: number;
  readonly url: string;
  /** Everything logged so far, one line each, with all fields in util.inspect's format. */
  readonly log: readonly string[];
}

export function recordingLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const add = (level: string) => (fields: object, message: string) => {
    lines.push(`${level} ${message} ${inspect(fields, { depth: 10 })}`);
  };
  return { log: { debug: add('debug'), info: add('info'), warn: add('warn'), error: add('error') }, lines };
}

/** A listen address as a setting has it. */
export function at(configured: string): ListenAddress {
  const read = listenAddress().read({ form: 'text', text: configured, origin: { source: 'default' } }, '');
  if (!read.ok) throw new Error(configured);
  return read.value;
}

export const metricsBody = '# HELP up x\n# TYPE up gauge\nup 1\n';

export function makeServer(more: Partial<ServerOptions> = {}): { server: Server; lines: string[] } {
  const { log, lines } = recordingLog();
  const server = createServer({
    listenAddresses: [at('127.0.0.1:0')],
    clock: systemClock,
    log,
    exposition: async () => ({ contentType: 'text/plain; version=0.0.4; charset=utf-8', body: metricsBody }),
    status: () => healthy,
    ready: () => ({ ready: true }),
    ...more,
  });
  return { server, lines };
}

/** Runs the body against a started server, which is stopped in any case. */
export async function withServer(
  more: Partial<ServerOptions>,
  body: (running: Running) => Promise<void>,
): Promise<void> {
  const { server, lines } = makeServer(more);
  const started = await server.start();
  if (!started.ok) throw new Error(started.problems.join('\n'));
  const address = started.addresses[0]!;
  try {
    await body({ server, port: address.port, url: address.url.replace(/\/$/, ''), log: lines });
  } finally {
    await server.stop(0);
  }
}

export interface TestResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface SendOptions extends Omit<RequestOptions, 'headers'> {
  readonly ALPNProtocols?: readonly string[];
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** Sends one request, on its own connection unless an agent is given. */
export function send(url: string, { body, ...options }: SendOptions = {}): Promise<TestResponse> {
  const make = url.startsWith('https:') ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = make(url, { agent: false, ...options }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

export const basic = (user: string, password: string): Record<string, string> => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
});

/** A raw connection; `received` resolves with everything received when the server closes it. */
export function rawConnection(port: number): { socket: Socket; received: Promise<string> } {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => undefined);
  return { socket, received: new Promise((resolve) => socket.on('close', () => resolve(text))) };
}

/** Waits until the condition is true; throws after the limit. */
export async function until(condition: () => boolean | Promise<boolean>, limitMs = 5000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not true within ${limitMs} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A promise that is resolved from outside. */
export function latch<T = void>(): { promise: Promise<T>; open: (value: T) => void } {
  let open: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

/** The server's own metrics as `name{labels}` -> value. */
export function ownMetrics(server: Server): Record<string, number> {
  const values: Record<string, number> = {};
  for (const family of server.families()) {
    if (!('samples' in family)) continue;
    for (const { labelValues, value } of family.samples) {
      values[[family.metric.name.replace('gitaly_exporter_', ''), ...labelValues].join(' ')] = value;
    }
  }
  return values;
}
