/**
 * Reads over HTTP from outside: bounded in bytes and time, settling whatever the server does, failures as values.
 *
 * Redirects are never followed, so that credentials reach no other host. HTTP/1.1 only: on one HTTP/2 connection a lost
 * peer would end all watches, and none could be closed alone with certainty.
 */
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as requestHttp,
} from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { pipeline } from 'node:stream';
import type { SecureContextOptions } from 'node:tls';
import { createGunzip } from 'node:zlib';
import { createDeadline, onAbort, unlessAborted } from '../abort.ts';
import type { Clock } from '../clock.ts';
import { durationText } from '../format.ts';
import type { Secret } from '../secret.ts';
import { connectionFailure, HttpError, type HttpFailure, type HttpHints, httpFailure } from './failure.ts';

export interface HttpCredentials {
  readonly tls: Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> & {
    /** Expected in the server's certificate in place of the URL's host. */
    readonly servername?: string;
    /** Absent or true: the server's certificate is verified. */
    readonly rejectUnauthorized?: boolean;
  };
  /** Of the header Authorization. */
  readonly authorization: Secret | undefined;
}

export interface HttpRequest {
  readonly url: URL;
  /** To connect to in place of what the URL's host resolves to; TLS still verifies the URL's host. */
  readonly address?: string | undefined;
  readonly lookup?: LookupFunction;
  readonly headers: Readonly<Record<string, string>>;
  readonly credentials: HttpCredentials;
  /** Makes the connections in place of the client, for a way through a proxy. */
  readonly agent?: HttpAgent | undefined;
}

/** Milliseconds count from the start of the request. Undefined is no limit. */
export interface HttpLimits {
  /** Until the connection is there, with its TLS handshake. */
  readonly connectMs?: number | undefined;
  /** Until the head of the response has arrived. */
  readonly headMs?: number | undefined;
  /** Until the body has been read. */
  readonly totalMs?: number | undefined;
}

/** Undefined is no limit. */
export interface BodyLimits {
  /** Both as received and after decompression. */
  readonly maxBytes?: number | undefined;
  /** From now to the last byte. */
  readonly withinMs?: number | undefined;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** The end of the body is marked by its length, its last chunk, or the end of gzip, so that a cut is noticed. */
  readonly hasMarkedEnd: boolean;
  /** Decompressed. Throws HttpError. Read it once, or close the response. */
  body(limits?: BodyLimits): AsyncIterable<Uint8Array>;
  /** Ends the response early, and its connection with it. Idempotent. */
  close(): void;
}

export type HttpResult =
  | { readonly ok: true; readonly response: HttpResponse }
  | { readonly ok: false; readonly failure: HttpFailure };

export interface HttpClient {
  /**
   * Resolves with the head of the response, whatever its status. Never rejects, and settles at its limits or when the
   * signal aborts, whatever the server does. Limits and signal hold for the body as well.
   */
  get(request: HttpRequest, limits: HttpLimits, signal: AbortSignal): Promise<HttpResult>;
  /** Closes idle connections. */
  close(): void;
}

export interface HttpClientOptions {
  readonly clock: Clock;
  /** Reuses connections and keeps at most four idle ones. Default: a connection for each request. */
  readonly keepAlive?: boolean;
  readonly hints?: HttpHints;
}

/** TCP's keep-alive finds a peer that is gone within half a minute. */
const tcpKeepAliveMs = 15_000;

export function createHttpClient({ clock, keepAlive = false, hints = {} }: HttpClientOptions): HttpClient {
  // An agent distinguishes certificates: a connection that was opened with others is not reused.
  const agents = keepAlive
    ? {
        http: new HttpAgent({ keepAlive, maxFreeSockets: 4 }),
        https: new HttpsAgent({ keepAlive, maxFreeSockets: 4 }),
      }
    : undefined;

  /** The head of the response, once more if a kept connection turned out to be closed: a new one shows the truth. */
  async function send(request: HttpRequest, exchange: Exchange): Promise<IncomingMessage> {
    const agent = request.agent ?? agents?.[isTls(request.url) ? 'https' : 'http'];
    for (;;) {
      if (exchange.signal().aborted) throw new Error('aborted');
      const sent = startRequest(request, agent ?? false);
      try {
        return await responseTo(sent, exchange);
      } catch (error) {
        if (!sent.reusedSocket || error instanceof HttpError) throw error;
      }
    }
  }

  return {
    async get(request, limits, signal) {
      const exchange = createExchange(request, limits, { clock, hints, signal });
      try {
        return { ok: true, response: responseOf(await send(request, exchange), exchange) };
      } catch (error) {
        const failure = exchange.explain(error);
        exchange.end();
        return { ok: false, failure };
      }
    },
    close() {
      for (const { freeSockets } of Object.values(agents ?? {}))
        for (const socket of Object.values(freeSockets).flat()) socket?.destroy();
    },
  };
}

/** What a request waits for, which says most about a timeout. */
type Phase = 'lookup' | 'connect' | 'head' | 'body';

const timeoutText: Readonly<Record<Phase, string>> = {
  lookup: 'has a name that did not resolve',
  connect: 'did not accept the connection',
  head: 'sent no response',
  body: 'sent no complete response',
};

/** One request and its response: the phase it is in, under its limits. */
interface Exchange {
  readonly hints: HttpHints;
  /** Aborts at the nearest limit that still holds, and with the caller's signal. */
  signal(): AbortSignal;
  /** Ends the limits of earlier phases. */
  enter(phase: Phase): void;
  /** Adds a limit that counts from now. */
  limit(ms: number): void;
  /** Why the exchange failed, with this error or at a limit. */
  explain(error: unknown): HttpFailure;
  end(): void;
}

function createExchange(
  { url }: HttpRequest,
  { connectMs, headMs, totalMs }: HttpLimits,
  {
    clock,
    hints,
    signal,
  }: { readonly clock: Clock; readonly hints: HttpHints; readonly signal: AbortSignal },
): Exchange {
  const total = createDeadline(clock, totalMs, signal);
  const head = createDeadline(clock, headMs, total.signal);
  const connect = createDeadline(clock, connectMs, head.signal);
  let phase: Phase = isIP(hostOf(url)) === 0 ? 'lookup' : 'connect';
  let nearest = connect;
  const limits = [
    { deadline: total, ms: totalMs },
    { deadline: head, ms: headMs },
    { deadline: connect, ms: connectMs },
  ];
  return {
    hints,
    signal: () => nearest.signal,
    enter(next) {
      phase = next;
      if (next === 'lookup' || next === 'connect') return;
      connect.release();
      if (next === 'body') head.release();
      nearest = next === 'body' ? total : head;
    },
    limit(ms) {
      nearest = createDeadline(clock, ms, nearest.signal);
      limits.push({ deadline: nearest, ms });
    },
    explain(error) {
      const timedOut = limits.find(({ deadline }) => deadline.isTimedOut());
      if (timedOut !== undefined) {
        const within = durationText(timedOut.ms ?? 0);
        return httpFailure('timeout', `${timeoutText[phase]} within ${within}`, hints);
      }
      if (signal.aborted) return httpFailure('canceled', 'was not read completely: the read was canceled');
      return connectionFailure(error, hints);
    },
    end() {
      for (const { deadline } of limits) deadline.release();
    },
  };
}

const isTls = ({ protocol }: URL): boolean => protocol === 'https:';

const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1');

function startRequest(request: HttpRequest, agent: HttpAgent | false): ClientRequest {
  const { url, address, lookup, credentials } = request;
  const host = hostOf(url);
  const { authorization, tls } = credentials;
  const options = {
    host: address ?? host,
    port: url.port || (isTls(url) ? 443 : 80),
    path: `${url.pathname}${url.search}`,
    agent,
    ...(lookup === undefined ? {} : { lookup }),
    headers: {
      Host: url.host,
      'User-Agent': 'gitaly-exporter',
      ...request.headers,
      ...(authorization === undefined ? {} : { Authorization: authorization.reveal() }),
    },
  };
  if (!isTls(url)) return requestHttp(options);
  // An agent for a proxy sets the server's name by itself.
  const servername = request.agent === undefined ? { servername: isIP(host) === 0 ? host : '' } : {};
  return requestHttps({ ...servername, ...options, ...tls });
}

/** Resolves with the head of the response. Always settles: by its limits, if nothing else happens. */
function responseTo(sent: ClientRequest, exchange: Exchange): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  // Not node:http's own signal: when it aborts between the head and its reader, it throws an uncaught error.
  const abortWith = (signal: AbortSignal): (() => void) =>
    onAbort(signal, () => {
      sent.destroy();
      reject(new Error('aborted'));
    });
  let unsubscribe = abortWith(exchange.signal());
  const enter = (phase: Phase): void => {
    unsubscribe();
    exchange.enter(phase);
    unsubscribe = abortWith(exchange.signal());
  };
  sent.on('socket', (socket) => {
    socket.setKeepAlive(true, tcpKeepAliveMs);
    const isSecure = 'encrypted' in socket;
    const isOpen = isSecure && 'secureConnecting' in socket ? !socket.secureConnecting : !socket.connecting;
    if (isOpen) return enter('head');
    socket.once('lookup', () => enter('connect'));
    socket.once(isSecure ? 'secureConnect' : 'connect', () => enter('head'));
  });
  // Node's events for HTTP 101: without a listener for `upgrade` nothing would ever settle the request. Without the
  // headers of an upgrade it comes as a normal response.
  const rejectUpgrade = (): void => {
    const what = 'switched protocols (HTTP 101), which was not requested';
    reject(new HttpError(httpFailure('upgrade', what, exchange.hints)));
    sent.destroy();
  };
  sent.on('upgrade', (_, socket) => {
    socket.on('error', () => undefined).destroy();
    rejectUpgrade();
  });
  sent.on('response', (incoming) => {
    // Errors go to the reader of the body; after it has gone they are of no interest.
    incoming.on('error', () => undefined);
    if (incoming.statusCode === 101) return rejectUpgrade();
    unsubscribe();
    resolve(incoming);
  });
  // This listener stays, as an error may follow the head.
  sent.on('error', reject);
  sent.on('close', () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
  sent.end();
  return promise.finally(() => unsubscribe());
}

function responseOf(incoming: IncomingMessage, exchange: Exchange): HttpResponse {
  const { statusCode: status = 0, headers } = incoming;
  const encoding = (headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  exchange.enter('body');
  const unsubscribe = onAbort(exchange.signal(), () => void incoming.destroy());
  const close = (): void => {
    unsubscribe();
    exchange.end();
    incoming.destroy();
  };
  return {
    status,
    headers,
    hasMarkedEnd:
      headers['content-length'] !== undefined ||
      headers['transfer-encoding'] !== undefined ||
      encoding === 'gzip',
    body({ maxBytes = Infinity, withinMs } = {}) {
      if (withinMs !== undefined) exchange.limit(withinMs);
      return bodyOf(incoming, { encoding, maxBytes, exchange, close });
    },
    close,
  };
}

interface BodyOptions {
  readonly encoding: string;
  readonly maxBytes: number;
  readonly exchange: Exchange;
  readonly close: () => void;
}

async function* bodyOf(
  incoming: IncomingMessage,
  { encoding, maxBytes, exchange, close }: BodyOptions,
): AsyncGenerator<Uint8Array> {
  async function* bounded(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > maxBytes)
        throw new HttpError(httpFailure('too_large', `sent more than ${maxBytes} bytes`, exchange.hints));
      yield chunk;
    }
  }
  async function* untilAborted(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const chunks = source[Symbol.asyncIterator]();
    for (;;) {
      const next = await unlessAborted(chunks.next(), exchange.signal());
      // A body that was complete when it was aborted seems to end normally.
      if (next === undefined || exchange.signal().aborted) throw new Error('aborted');
      if (next.done === true) return;
      yield next.value;
    }
  }
  try {
    if (encoding !== 'gzip' && encoding !== 'identity')
      throw new HttpError(httpFailure('encoding', 'sent a content encoding that was not requested'));
    const decompressed: AsyncIterable<Uint8Array> =
      encoding === 'identity'
        ? incoming
        : pipeline(incoming, bounded, createGunzip({ chunkSize: 64 * 1024 }), () => undefined);
    yield* bounded(untilAborted(decompressed));
  } catch (error) {
    throw new HttpError(exchange.explain(error));
  } finally {
    close();
  }
}
