/**
 * A socket to the server, encrypted or not, up to the point where PostgreSQL's own protocol begins.
 *
 * pg could upgrade to TLS by itself, but knows neither prefer nor allow, turns every refusal into one sentence,
 * and keeps the socket out of reach. Here each step has its own finding, and one signal ends them all.
 */
import { once } from 'node:events';
import * as net from 'node:net';
import * as tls from 'node:tls';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import { type Finding, found, type Result, succeeded } from './finding.ts';
import { messageOf, systemFinding } from './system-errors.ts';
import { type Attempt, tlsOptions } from './tls.ts';

export interface Transport {
  readonly socket: net.Socket;
  readonly encrypted: boolean;
}

/** SSLRequest: length 8, then 80877103 in place of a protocol version (PostgreSQL documentation, 54.7). */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/**
 * Connects. When the signal aborts, the socket is destroyed and the finding says in which step it was;
 * `onStep` hears of each step as it begins.
 */
export async function openTransport(
  connection: DatabaseConnection,
  attempt: Attempt,
  signal: AbortSignal,
  onStep: (step: string) => void = () => undefined,
): Promise<Result<Transport>> {
  const options = attempt === 'tls' ? await tlsOptions(connection) : undefined;
  if (options?.ok === false) return options;

  onStep('connecting');
  const socket = new net.Socket();
  socket.on('error', () => undefined); // what matters is told by the step that waits
  const connected = await step(socket, signal, async () => {
    socket.connect({ ...addressOf(connection), autoSelectFamilyAttemptTimeout: 1000 });
    await once(socket, 'connect', { signal });
  });
  if (!connected.ok) return connected;
  socket.setNoDelay(true);
  // An idle connection that a firewall forgot, or whose host died, is noticed between questions.
  socket.setKeepAlive(true, 30_000);
  if (options === undefined) return succeeded({ socket, encrypted: false });

  onStep('asking for TLS');
  const reply = await step(socket, signal, async () => {
    socket.write(sslRequest);
    await once(socket, 'readable', { signal });
    return socket.read(1) as Buffer | null;
  });
  if (!reply.ok) return reply;
  const refusal = refusalOf(reply.value?.toString('latin1'), socket.readableLength);
  if (refusal !== undefined) {
    socket.destroy();
    return found(refusal);
  }

  onStep('agreeing on TLS');
  return step(socket, signal, async () => {
    const secured = tls.connect({ ...options.value, socket });
    secured.on('error', () => undefined);
    // The socket below is closed with it, and the other way round.
    secured.once('close', () => socket.destroy());
    await once(secured, 'secureConnect', { signal });
    return { socket: secured, encrypted: true };
  });
}

const addressOf = ({ host, port }: DatabaseConnection): net.SocketConnectOpts =>
  host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port };

function refusalOf(reply: string | undefined, more: number): Finding | undefined {
  if (reply === 'S' && more === 0) return undefined;
  // Bytes behind the S would be taken for part of the encrypted conversation (CVE-2021-23222).
  if (reply === 'S')
    return { reason: 'tls', found: 'the server sent data before TLS began: somebody is in between' };
  if (reply === 'N')
    return {
      reason: 'tls',
      found: 'the server does not offer TLS',
      mend: 'switch it on there (ssl = on, or client_tls_sslmode of PgBouncer), or use sslmode=prefer',
    };
  if (reply === undefined)
    return { reason: 'refused', found: 'the server closed the connection when asked for TLS' };
  return {
    reason: 'tls',
    found: `the answer to the request for TLS was ${JSON.stringify(reply)}, neither yes nor no`,
    mend: 'check that PostgreSQL or PgBouncer listens at this address',
  };
}

/** One step of connecting; whatever ends it badly destroys the socket. */
async function step<T>(socket: net.Socket, signal: AbortSignal, work: () => Promise<T>): Promise<Result<T>> {
  try {
    signal.throwIfAborted();
    return succeeded(await work());
  } catch (error) {
    socket.destroy();
    if (signal.aborted) return found({ reason: 'timeout', found: 'no answer in time' });
    return found(systemFinding(error) ?? { reason: 'refused', found: messageOf(error) });
  }
}
