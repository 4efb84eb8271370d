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
import { onAbort, unlessAborted } from '../abort.ts';
import type { Clock } from '../clock.ts';
import type { Secret } from '../secret.ts';
import { createExchange, type Exchange, type HttpDeadlines, type HttpPhase, hostOf } from './exchange.ts';
import { HttpError, type HttpFailure, type HttpHints, httpFailure } from './failure.ts';

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

/** Undefined is no limit. */
interface BodyLimits {
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

interface HttpClient {
  /**
   * Resolves with the head of the response, whatever its status. Never rejects, and settles at its limits or when the
   * signal aborts, whatever the server does. Limits and signal hold for the body as well.
   */
  get(request: HttpRequest, limits: HttpDeadlines, signal: AbortSignal): Promise<HttpResult>;
  /** Closes idle connections. */
  close(): void;
}

export interface HttpClientOptions {
  readonly clock: Clock;
  /** Reuses connections and keeps at most four idle ones. Default: a connection for each request. */
  readonly keepAlive?: boolean;
  readonly hints?: HttpHints;
}

/** TCP's keep-alive finds a dead peer within half a minute. */
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
      const exchange = createExchange(request.url, limits, { clock, hints, signal });
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

const isTls = ({ protocol }: URL): boolean => protocol === 'https:';

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
  const enter = (phase: HttpPhase): void => {
    unsubscribe();
    exchange.enter(phase);
    unsubscribe = abortWith(exchange.signal());
  };
  sent.on('socket', (socket) => {
    socket.setKeepAlive(true, tcpKeepAliveMs);
    const isSecure = 'encrypted' in socket;
    const isOpen = isSecure && 'secureConnecting' in socket ? !socket.secureConnecting : !socket.connecting;
    if (!socket.connecting) exchange.connected();
    if (isOpen) return enter('head');
    socket.once('connect', exchange.connected);
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
    // Errors go to the reader of the body; after it has ended they do not matter.
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
