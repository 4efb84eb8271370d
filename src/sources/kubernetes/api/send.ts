/**
 * Requests to the API server over connections that are kept: one for each watch, a few for all else.
 *
 * HTTP/1.1 on purpose: on one HTTP/2 connection a lost peer ends all watches at once, and none can be closed alone
 * with certainty. TCP's keep-alive finds a peer that is gone within half a minute; one that is there and silent is
 * found by whoever reads the stream.
 */
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import type { Secret } from '../../../lib/secret.ts';

/** What a request shows for itself. */
export interface Access {
  readonly tls: Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> & {
    readonly servername?: string;
    /** Absent or true: the server's certificate is checked. */
    readonly rejectUnauthorized?: boolean;
  };
  /** Of the header Authorization. */
  readonly authorization: Secret | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** In place of our own connections: the way through a proxy. */
  readonly agent?: HttpAgent;
}

export interface Sender {
  /** Resolves with the head of the answer; rejects with what Node says. The signal ends its body too. */
  send(path: string, access: Access, signal: AbortSignal): Promise<IncomingMessage>;
  /** Closes the connections that nobody uses. */
  close(): void;
}

const keepAliveMs = 15_000;

export function createSender(server: URL): Sender {
  const isTls = server.protocol === 'https:';
  // Knows certificates apart: what was opened with others is not used again.
  const agent = new (isTls ? HttpsAgent : HttpAgent)({ keepAlive: true, maxFreeSockets: 4 });

  function sendOnce(
    path: string,
    access: Access,
    signal: AbortSignal,
    sent: { reused?: boolean },
  ): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const settings = {
      host: server.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: server.port || (isTls ? 443 : 80),
      path: `${server.pathname.replace(/\/$/, '')}${path}`,
      agent: access.agent ?? agent,
      headers: {
        Host: server.host,
        Accept: 'application/json',
        'User-Agent': 'gitaly-exporter',
        ...access.headers,
        ...(access.authorization === undefined ? {} : { Authorization: access.authorization.reveal() }),
      },
    };
    const request = isTls ? requestHttps({ ...settings, ...access.tls }) : requestHttp(settings);
    request.on('socket', (socket) => socket.setKeepAlive(true, keepAliveMs));
    // Not node:http's own signal: one that comes when the answer is there and not yet read throws where nobody is.
    let end = (): void => void request.destroy();
    const abort = (): void => end();
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    request.on('close', () => signal.removeEventListener('abort', abort));
    request.on('response', (response) => {
      end = () => void response.destroy();
      // Whoever reads the body hears of its errors; when nobody does any more they are nobody's.
      response.on('error', () => undefined);
      resolve(response);
    });
    request.on('error', (error) => {
      sent.reused = request.reusedSocket;
      reject(error);
    });
    request.end();
    return promise;
  }

  return {
    async send(path, access, signal) {
      for (;;) {
        const sent: { reused?: boolean } = {};
        try {
          return await sendOnce(path, access, signal, sent);
        } catch (error) {
          // A kept connection that the server closed meanwhile; a new one tells how things stand.
          if (sent.reused !== true || signal.aborted) throw error;
        }
      }
    },
    close() {
      for (const sockets of Object.values(agent.freeSockets))
        for (const socket of sockets ?? []) socket.destroy();
    },
  };
}
