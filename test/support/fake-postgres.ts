/** A server on loopback that speaks PostgreSQL's protocol and can respond as no PostgreSQL does. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

/** One message: its type, the length, and the body. */
export function message(type: string, ...parts: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

export const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
export const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

export const authentication = (kind: number): Buffer => message('R', int32(kind));
export const ready = (): Buffer => message('Z', 'I');
export const complete = (tag = 'SELECT 1'): Buffer => message('C', `${tag}\0`);
/** Columns of type text. */
export const description = (...columns: readonly string[]): Buffer =>
  message(
    'T',
    int16(columns.length),
    ...columns.flatMap((column) => [
      `${column}\0`,
      int32(0),
      int16(0),
      int32(25),
      int16(-1),
      int32(-1),
      int16(0),
    ]),
  );
export const dataRow = (...values: readonly string[]): Buffer =>
  message('D', int16(values.length), ...values.flatMap((value) => [int32(Buffer.byteLength(value)), value]));
export const errorResponse = (sqlState: string, text: string): Buffer =>
  message('E', `SFATAL\0VFATAL\0C${sqlState}\0M${text}\0\0`);

const loggedIn = (): Buffer =>
  Buffer.concat([
    authentication(0),
    message('S', 'server_version\0', '16.4\0'),
    message('K', int32(4711), int32(1)),
    ready(),
  ]);

export interface FakePostgres {
  readonly port: number;
  /** Connections that are open now. */
  open(): number;
  /** Connections that were opened, cancel requests included. */
  connections(): number;
  sentBytes(): number;
  stop(): Promise<void>;
}

export interface FakeOptions {
  /** Responds to a query after those of the login; default: no rows. */
  readonly query?: (sql: string, socket: Socket) => void;
  /** Responds to the startup message and to passwords; default: logged in without a password. */
  readonly login?: (text: string, socket: Socket) => void;
}

export async function startFakePostgres({ query, login }: FakeOptions = {}): Promise<FakePostgres> {
  const sockets = new Set<Socket>();
  let connections = 0;
  let sent = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    connections += 1;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sent += socket.bytesWritten;
      sockets.delete(socket);
    });
    let buffered = Buffer.alloc(0);
    let isStarted = false;
    socket.on('data', (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk]);
      for (;;) {
        const headLength = isStarted ? 5 : 4;
        if (buffered.length < headLength) return;
        const length = buffered.readUInt32BE(headLength - 4) + (isStarted ? 1 : 0);
        if (buffered.length < length) return;
        const type = isStarted ? String.fromCharCode(buffered[0] ?? 0) : '';
        const text = buffered.toString('utf8', headLength, length).replace(/\0$/, '');
        buffered = buffered.subarray(length);
        if (!isStarted || type === 'p') {
          isStarted = true;
          if (login === undefined) socket.write(loggedIn());
          else login(text, socket);
        } else if (type === 'Q') respond(text, socket);
        else if (type === 'X') socket.end();
      }
    });
  });
  function respond(sql: string, socket: Socket): void {
    if (sql.includes('pg_backend_pid'))
      socket.write(
        Buffer.concat([description('version', 'pid'), dataRow('16.4', '4711'), complete(), ready()]),
      );
    else if (sql === '') socket.write(Buffer.concat([message('I'), ready()]));
    else if (query === undefined)
      socket.write(Buffer.concat([description('one'), complete('SELECT 0'), ready()]));
    else query(sql, socket);
  }
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    open: () => sockets.size,
    connections: () => connections,
    sentBytes: () => sent + [...sockets].reduce((sum, socket) => sum + socket.bytesWritten, 0),
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Writes the chunk repeatedly, as fast as the peer reads, until the connection ends. */
export function flood(socket: Socket, chunk: Buffer): void {
  const write = (): void => {
    while (!socket.destroyed && socket.write(chunk));
  };
  socket.on('drain', write);
  write();
}
