/**
 * A connected socket to the server, encrypted or not, up to the point where PostgreSQL's own protocol begins; the
 * same socket as a stream for pg; and the cancel request, which needs a socket of its own.
 *
 * pg could connect and upgrade to TLS by itself, but it knows neither prefer nor allow, reports every refusal with
 * one message, and its cancel request is never encrypted. Here each step has its own fault, and one signal ends all.
 */
import { once } from 'node:events';
import * as net from 'node:net';
import { Duplex } from 'node:stream';
import * as tls from 'node:tls';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import { createDeadline, unlessAborted } from '../../../lib/abort.ts';
import type { Clock } from '../../../lib/clock.ts';
import { errorMessageOf } from '../../../lib/errors.ts';
import { outsideText } from '../../../lib/outside-text.ts';
import type { ResponseBounds } from '../database.ts';
import { type DatabaseFault, type DatabaseResult, faulty, succeeded, systemFault } from './fault.ts';
import { createResponseGuard } from './response-guard.ts';
import { type Encryption, tlsOptions } from './tls.ts';

export interface Transport {
  readonly socket: net.Socket;
  readonly isEncrypted: boolean;
}

/** SSLRequest: length 8, then 80877103 in place of a protocol version (PostgreSQL documentation, 54.7). */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/**
 * Connects. When the signal aborts, the socket is destroyed and the result is a fault.
 *
 * @param onStep called with the name of each step as it begins
 */
export async function openTransport(
  connection: DatabaseConnection,
  encryption: Encryption,
  signal: AbortSignal,
  onStep: (step: string) => void = () => undefined,
): Promise<DatabaseResult<Transport>> {
  // Reading a certificate never ends when its file is a FIFO.
  onStep('reading the certificates');
  const options = encryption === 'tls' ? await unlessAborted(tlsOptions(connection), signal) : undefined;
  if (encryption === 'tls' && options === undefined)
    return faulty({ reason: 'timeout', found: 'no response in time' });
  if (options?.ok === false) return options;

  onStep('connecting');
  const socket = new net.Socket();
  socket.on('error', () => undefined); // the step that waits reports it
  const connected = await step(socket, signal, async () => {
    socket.connect({ ...socketAddress(connection), autoSelectFamilyAttemptTimeout: 1000 });
    await once(socket, 'connect', { signal });
  });
  if (!connected.ok) return connected;
  socket.setNoDelay(true);
  // Detects, between queries, a connection that a firewall dropped or whose host died.
  socket.setKeepAlive(true, 30_000);
  if (options === undefined) return succeeded({ socket, isEncrypted: false });

  onStep('requesting TLS');
  const reply = await step(socket, signal, async () => {
    socket.write(sslRequest);
    await once(socket, 'readable', { signal });
    return socket.read(1) as Buffer | null;
  });
  if (!reply.ok) return reply;
  const refusal = tlsRefusal(reply.value?.toString('latin1'), socket.readableLength);
  if (refusal !== undefined) {
    socket.destroy();
    return faulty(refusal);
  }

  onStep('negotiating TLS');
  return step(socket, signal, async () => {
    const secured = tls.connect({ ...options.value, socket });
    secured.on('error', () => undefined);
    // Each of the two sockets closes the other.
    secured.once('close', () => socket.destroy());
    await once(secured, 'secureConnect', { signal });
    return { socket: secured, isEncrypted: true };
  });
}

const socketAddress = ({ host, port }: DatabaseConnection): net.SocketConnectOpts =>
  host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port };

/** @param bufferedBytes bytes that arrived after the reply */
function tlsRefusal(reply: string | undefined, bufferedBytes: number): DatabaseFault | undefined {
  if (reply === 'S' && bufferedBytes === 0) return undefined;
  // Bytes after the S would be taken for part of the encrypted session (CVE-2021-23222).
  if (reply === 'S')
    return {
      reason: 'tls',
      found: 'the server sent unencrypted data before TLS began: possibly a man in the middle',
    };
  if (reply === 'N')
    return {
      reason: 'tls',
      found: 'the server does not offer TLS',
      fix: 'enable it there (ssl = on, or client_tls_sslmode of PgBouncer), or use sslmode=prefer',
    };
  if (reply === undefined)
    return { reason: 'refused', found: 'the server closed the connection after the request for TLS' };
  return {
    reason: 'tls',
    found: `the response to the request for TLS was ${JSON.stringify(reply)}, expected S or N`,
    fix: 'check that PostgreSQL or PgBouncer listens at this address',
  };
}

/** One step of connecting; a failure destroys the socket. */
async function step<T>(
  socket: net.Socket,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<DatabaseResult<T>> {
  try {
    signal.throwIfAborted();
    return succeeded(await work());
  } catch (error) {
    socket.destroy();
    if (signal.aborted) return faulty({ reason: 'timeout', found: 'no response in time' });
    return faulty(systemFault(error) ?? { reason: 'refused', found: outsideText(errorMessageOf(error)) });
  }
}

/**
 * A connected socket for pg's `stream` option. pg expects a stream that it connects itself, so `connect` only reports
 * that it is done.
 *
 * pg's parser throws inside the `data` event when the peer speaks another protocol or requires an unknown kind of
 * authentication; uncaught, that would end the process. Here it closes the connection. So does a response beyond its
 * bounds, before any of it is collected.
 */
export class DriverStream extends Duplex {
  readonly #socket: net.Socket;
  readonly #guard = createResponseGuard();
  #violation: DatabaseFault | undefined;

  constructor(socket: net.Socket) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    socket.on('data', (chunk) => {
      if (this.#violation !== undefined) return;
      this.#violation = this.#guard.check(chunk);
      if (this.#violation !== undefined) this.destroy(new Error(this.#violation.found));
      else if (!this.push(chunk)) socket.pause();
    });
    socket.pause();
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  /** Bounds of the response to the statement that is sent next. */
  expect(bounds: ResponseBounds): void {
    this.#guard.expect(bounds);
  }

  /** Bytes of the response to that statement that have arrived. */
  responseBytes(): number {
    return this.#guard.bytes();
  }

  /** Why the stream was destroyed, if the server sent more than was expected. */
  violation(): DatabaseFault | undefined {
    return this.#violation;
  }

  connect(): this {
    process.nextTick(() => this.emit('connect'));
    return this;
  }

  /** openTransport has set it already. */
  setNoDelay(): this {
    return this;
  }

  override emit(event: string | symbol, ...values: unknown[]): boolean {
    if (event !== 'data' && event !== 'readable') return super.emit(event, ...values);
    try {
      return super.emit(event, ...values);
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(errorMessageOf(error)));
      return true;
    }
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, encoding, done);
  }

  override _final(done: () => void): void {
    if (this.#socket.destroyed) done();
    else this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }
}

export interface BackendKey {
  readonly processId: number;
  readonly secret: number;
}

/**
 * Makes the server cancel what runs for a connection: closing the socket alone does not stop it, a server notices
 * that only when it writes. The request is encrypted if the connection was, since anyone who reads the key could use
 * it. Best effort within `timeoutMs`, errors are ignored: statement_timeout stops the server in the end.
 */
export async function cancelBackend(
  connection: DatabaseConnection,
  isEncrypted: boolean,
  key: BackendKey,
  clock: Clock,
  timeoutMs: number,
): Promise<void> {
  const deadline = createDeadline(clock, timeoutMs);
  try {
    const opened = await openTransport(connection, isEncrypted ? 'tls' : 'plain', deadline.signal);
    if (!opened.ok) return;
    const { socket } = opened.value;
    // CancelRequest: length 16, 80877102, process id and key (PostgreSQL documentation, 54.7).
    const request = Buffer.alloc(16);
    request.writeInt32BE(16, 0);
    request.writeInt32BE(80877102, 4);
    request.writeInt32BE(key.processId, 8);
    request.writeInt32BE(key.secret, 12);
    try {
      socket.write(request);
      socket.resume();
      // The server closes the connection after it has signaled the backend.
      await once(socket, 'close', { signal: deadline.signal });
    } finally {
      socket.destroy();
    }
  } catch {
    // Connection reset, or the deadline.
  } finally {
    deadline.release();
  }
}
