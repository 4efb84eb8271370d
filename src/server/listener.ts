/** One listening address, HTTP or HTTPS: timeouts, TLS reloads and graceful shutdown. */

import { once } from 'node:events';
import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type RequestListener,
  type ServerOptions,
} from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ListenAddress } from '../config/kinds/listen-address.ts';
import { listenProblem } from './address.ts';
import type { LoadedTls, WebConfigSource, WebConfigState } from './web-config/source.ts';

/** How long and how much a client may take, so that a slow or hostile one cannot block the server. */
export interface HttpLimits {
  /** From the start of a connection or request to the end of the request's header. */
  readonly headersTimeoutMs: number;
  /** To the end of the request's body. */
  readonly requestTimeoutMs: number;
  /** How long an idle connection stays open. Above Prometheus' default interval, so that scrapes reuse one. */
  readonly keepAliveTimeoutMs: number;
  /** How often Node checks the three timeouts above. */
  readonly checkingIntervalMs: number;
  readonly handshakeTimeoutMs: number;
  /** A connection without a byte in either direction is closed: the client has stopped reading. */
  readonly inactivityTimeoutMs: number;
  readonly maxHeaderBytes: number;
  /** No route expects more than a form without fields. */
  readonly maxBodyBytes: number;
  readonly maxConnections: number;
  /** For scrapes whose header names no timeout: Prometheus' default scrape_timeout. */
  readonly defaultScrapeTimeoutMs: number;
  /** Upper bound of the timeout that a scrape's header names. Its connection is closed then in any case. */
  readonly maxScrapeTimeoutMs: number;
  /** How long stop() waits for requests in flight. */
  readonly stopMs: number;
}

export const defaultLimits: HttpLimits = Object.freeze({
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 20_000,
  keepAliveTimeoutMs: 75_000,
  checkingIntervalMs: 2_000,
  handshakeTimeoutMs: 10_000,
  inactivityTimeoutMs: 150_000,
  maxHeaderBytes: 16 * 1024,
  maxBodyBytes: 16 * 1024,
  maxConnections: 1024,
  defaultScrapeTimeoutMs: 10_000,
  maxScrapeTimeoutMs: 120_000,
  stopMs: 10_000,
});

export interface Listener {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  /** The actual port where the address has port 0. */
  readonly port: number;
  /** Stops accepting and closes idle connections. Resolves when all are closed, at the latest after `limitMs`. */
  stop(limitMs: number): Promise<void>;
  closeIdleConnections(): void;
}

type ListenResult =
  | { readonly ok: true; readonly listener: Listener }
  | { readonly ok: false; readonly problem: string };

interface ListenOptions {
  readonly address: ListenAddress;
  readonly webConfig: WebConfigSource;
  readonly limits: HttpLimits;
  readonly handle: RequestListener;
  readonly onError: (error: Error, what: 'handshake' | 'socket') => void;
}

const rebindRetryMs = 1000;

/** Whether TLS is used is decided here, once. Certificates and client authentication follow the file. */
export async function listen(options: ListenOptions): Promise<ListenResult> {
  const { address, webConfig, limits, handle, onError } = options;
  const state = webConfig.last();
  if (!state.ok) return state;
  const connections = new Set<Socket>();
  let isStopping = false;
  let { tls } = state.loaded;
  let server = createServer(tls);
  let bound: AddressInfo;
  try {
    bound = await bind(server, address.host, address.port);
  } catch (error) {
    return { ok: false, problem: listenProblem(address, error) };
  }
  const unsubscribe = webConfig.subscribe(applyReload);
  // Another address may already have received a request, and with it a reload.
  applyReload(webConfig.last());

  function createServer(withTls: LoadedTls | undefined): HttpServer | HttpsServer {
    const created = withTls ? createTlsServer(withTls, limits, handle) : createPlainServer(limits, handle);
    created.maxConnections = limits.maxConnections;
    // Before the listener that starts the handshake, so that it uses the files as they are now.
    if (withTls !== undefined) created.prependListener('connection', () => webConfig.current());
    created.on('connection', (socket: Socket) => {
      connections.add(socket);
      socket.once('close', () => connections.delete(socket));
      // The call of current() above has just replaced this server.
      if (created !== server) socket.destroy();
    });
    created.on('tlsClientError', (error: Error) => onError(error, 'handshake'));
    created.on('error', (error: Error) => {
      if (created.listening) onError(error, 'socket');
    });
    return created;
  }

  function applyReload(reloaded: WebConfigState): void {
    const next = reloaded.ok ? reloaded.loaded.tls : undefined;
    if (tls === undefined || next === undefined || next === tls) return;
    const isOtherType = next.config.clientAuthType !== tls.config.clientAuthType;
    const isOtherCa = next.material.clientCa !== tls.material.clientCa;
    tls = next;
    if (isOtherType) void replaceServer(next);
    else (server as HttpsServer).setSecureContext(next.options);
    // They were verified by rules that no longer apply. Clients reconnect by themselves.
    if (isOtherType || isOtherCa) destroyConnections();
  }

  /** Node has no documented way to change how a server requests client certificates: it takes a new one. */
  async function replaceServer(next: LoadedTls): Promise<void> {
    const replacement = createServer(next);
    server.close();
    server = replacement;
    while (server === replacement && !isStopping) {
      try {
        await bind(replacement, bound.address, bound.port);
        if (isStopping || server !== replacement) replacement.close();
        return;
      } catch (error) {
        onError(error as Error, 'socket');
        await sleep(rebindRetryMs, undefined, { ref: false });
      }
    }
  }

  function destroyConnections(): void {
    for (const socket of connections) socket.destroy();
  }

  function stop(limitMs: number): Promise<void> {
    isStopping = true;
    unsubscribe();
    return new Promise((resolve) => {
      const timer = setTimeout(destroyConnections, limitMs);
      server.close(() => {
        clearTimeout(timer);
        resolve();
      });
      server.closeIdleConnections();
    });
  }

  return {
    ok: true,
    listener: {
      scheme: tls === undefined ? 'http' : 'https',
      host: bound.address,
      port: bound.port,
      stop,
      closeIdleConnections: () => server.closeIdleConnections(),
    },
  };
}

/** Rejects with the error of the operating system. */
async function bind(server: HttpServer, host: string | undefined, port: number): Promise<AddressInfo> {
  server.listen({ port, ...(host === undefined ? {} : { host }) });
  await once(server, 'listening');
  return server.address() as AddressInfo;
}

const createPlainServer = (limits: HttpLimits, handle: RequestListener): HttpServer =>
  createHttpServer(httpOptions(limits), handle).setTimeout(limits.inactivityTimeoutMs);

/** The handshake enforces what it can of client_auth_type. Access control checks all of it at each request. */
const createTlsServer = (
  { config, options }: LoadedTls,
  limits: HttpLimits,
  handle: RequestListener,
): HttpsServer =>
  createHttpsServer(
    {
      ...httpOptions(limits),
      ...options,
      handshakeTimeout: limits.handshakeTimeoutMs,
      requestCert: config.clientAuthType !== 'NoClientCert',
      rejectUnauthorized: config.clientAuthType === 'RequireAndVerifyClientCert',
    },
    handle,
  ).setTimeout(limits.inactivityTimeoutMs);

const httpOptions = (limits: HttpLimits): ServerOptions => ({
  headersTimeout: limits.headersTimeoutMs,
  requestTimeout: limits.requestTimeoutMs,
  keepAliveTimeout: limits.keepAliveTimeoutMs,
  connectionsCheckingInterval: limits.checkingIntervalMs,
  maxHeaderSize: limits.maxHeaderBytes,
});
