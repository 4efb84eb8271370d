/** One listening socket: HTTP, HTTPS, or HTTPS with HTTP/2, with its timeouts, reloads and graceful stop. */
import { createServer as createHttpServer, type Server as HttpServer, type ServerOptions } from 'node:http';
import { createSecureServer, type Http2SecureServer } from 'node:http2';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { AnyRequest, AnyResponse } from './exchange.ts';
import type { Limits } from './limits.ts';
import { type ListenAddress, listenProblem } from './listen-address.ts';
import type { LoadedTls, WebConfigSource, WebConfigState } from './web-config/source.ts';

export interface ListeningSocket {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  /** The real one, where the address said 0. */
  readonly port: number;
  /** Accepts nobody any more and closes idle connections; resolves when all are closed, at the latest at the limit. */
  stop(limitMs: number): Promise<void>;
  /** Closes connections on which nothing is being answered. */
  closeIdle(): void;
}

export type Listening =
  | { readonly ok: true; readonly socket: ListeningSocket }
  | { readonly ok: false; readonly problem: string };

export interface SocketOptions {
  readonly address: ListenAddress;
  readonly webConfig: WebConfigSource;
  readonly limits: Limits;
  readonly handle: (request: AnyRequest, response: AnyResponse) => void;
  /** A handshake failed, or an error befell the listening socket itself. */
  readonly onError: (error: Error, what: 'handshake' | 'socket') => void;
}

type AnyServer = HttpServer | HttpsServer | Http2SecureServer;

/** Whether TLS and HTTP/2 are spoken is settled here; certificates and who is let in follow the file later. */
export function listen(options: SocketOptions): Promise<Listening> {
  const { address, webConfig, limits, handle, onError } = options;
  const state = webConfig.last();
  if (!state.ok) return Promise.resolve(state);
  const { tls, config } = state.loaded;

  const connections = new Set<Socket>();
  const server = createAnyServer(tls, config.http2, limits, handle);
  server.maxConnections = limits.maxConnections;
  if (tls !== undefined) followReloads(server as HttpsServer, tls, webConfig, connections);
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  server.on('tlsClientError', (error: Error) => onError(error, 'handshake'));

  // HTTP/2's server has it as well, but not in its types.
  const closeIdle = () => (server as HttpServer).closeIdleConnections();
  const stop = (limitMs: number) =>
    new Promise<void>((resolve) => {
      const force = setTimeout(() => {
        for (const socket of connections) socket.destroy();
      }, limitMs);
      server.close(() => {
        clearTimeout(force);
        resolve();
      });
      closeIdle();
    });

  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException) =>
      resolve({ ok: false, problem: listenProblem(address, error) });
    server.once('error', failed);
    server.listen(
      { port: address.port, ...(address.host === undefined ? {} : { host: address.host }) },
      () => {
        server.off('error', failed);
        server.on('error', (error: Error) => onError(error, 'socket'));
        const bound = server.address() as AddressInfo;
        const scheme = tls === undefined ? 'http' : 'https';
        resolve({ ok: true, socket: { scheme, host: bound.address, port: bound.port, stop, closeIdle } });
      },
    );
  });
}

function createAnyServer(
  tls: LoadedTls | undefined,
  http2: boolean,
  limits: Limits,
  handle: (request: AnyRequest, response: AnyResponse) => void,
): AnyServer {
  const http: ServerOptions = {
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: limits.checkingIntervalMs,
    maxHeaderSize: limits.maxHeaderBytes,
  };
  if (tls === undefined) {
    return createHttpServer(http, handle).setTimeout(limits.inactivityTimeoutMs);
  }
  const secure = {
    ...http,
    ...tls.options,
    ...clientAuthOptions(tls),
    handshakeTimeout: limits.handshakeTimeoutMs,
  };
  if (!http2) return createHttpsServer(secure, handle).setTimeout(limits.inactivityTimeoutMs);
  const settings = { maxConcurrentStreams: 100, maxHeaderListSize: limits.maxHeaderBytes };
  return createSecureServer({ ...secure, allowHTTP1: true, settings }, handle).setTimeout(
    limits.inactivityTimeoutMs,
  );
}

interface ClientAuth {
  requestCert: boolean;
  rejectUnauthorized: boolean;
}

/** What the handshake itself can enforce; the gate does the rest, and all of it again at each request. */
const clientAuthOptions = ({ config }: LoadedTls): ClientAuth => ({
  requestCert: config.clientAuthType !== 'NoClientCert',
  rejectUnauthorized: config.clientAuthType === 'RequireAndVerifyClientCert',
});

/** Each handshake is made with certificate, authority and client_auth_type as the files are at that moment. */
function followReloads(
  server: HttpsServer,
  first: LoadedTls,
  webConfig: WebConfigSource,
  connections: ReadonlySet<Socket>,
): void {
  let inForce = first;
  const follow = (state: WebConfigState) => {
    const now = state.ok ? state.loaded.tls : undefined;
    if (now === undefined || now === inForce) return;
    const otherClients =
      now.material.clientCa !== inForce.material.clientCa ||
      now.config.clientAuthType !== inForce.config.clientAuthType;
    inForce = now;
    server.setSecureContext(now.options);
    // Not in Node's documentation, but read at each connection since version 0.5; a test watches over it, and
    // the gate turns away whoever should have been asked for a certificate and was not.
    Object.assign(server as unknown as ClientAuth, clientAuthOptions(now));
    // These were checked against what no longer counts. Clients connect again by themselves.
    if (otherClients) for (const socket of connections) socket.destroy();
  };
  const unsubscribe = webConfig.subscribe(follow);
  server.once('close', unsubscribe);
  // Ahead of the listener that begins the handshake.
  server.prependListener('connection', () => webConfig.current());
}
