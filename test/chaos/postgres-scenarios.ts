/**
 * A PostgreSQL that stalls, sends false data, floods, disconnects and repeats the password: hand-written
 * protocol messages.
 */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import {
  authentication,
  complete,
  dataRow,
  description,
  int16,
  int32,
  message,
  ready,
} from '../support/fake-postgres.ts';
import { type Peer, type Scenario, sentinel } from './harness.ts';

const parameter = (name: string, value: string): Buffer => message('S', `${name}\0${value}\0`);
const loggedIn = Buffer.concat([
  authentication(0),
  parameter('server_version', '15.4'),
  parameter('client_encoding', 'UTF8'),
  message('K', int32(1), int32(2)),
  ready(),
]);
const errorOf = (code: string, text: string): Buffer => message('E', `SFATAL\0C${code}\0M${text}\0\0`);
const rowDescription = description('a');

export interface Behavior {
  readonly name: string;
  readonly isSlow?: boolean;
  /** The first message of the client, then each later one (`password`, `query`). */
  startup(socket: Socket): void;
  later?(socket: Socket, data: Buffer): void;
}

/** Writes the chunk until the socket accepts no more. */
function flood(socket: Socket, chunk: Buffer): void {
  const write = (): void => {
    for (let n = 0; n < 256; n++) if (!socket.writable || !socket.write(chunk)) break;
  };
  const timer = setInterval(write, 2);
  socket.on('drain', write).on('close', () => clearInterval(timer));
  write();
}

const logIn = (socket: Socket): void => void socket.write(loggedIn);
const afterLogin = (name: string, later: Behavior['later'], isSlow = false): Behavior => ({
  name,
  startup: logIn,
  ...(later !== undefined && { later }),
  ...(isSlow && { isSlow }),
});

export const behaviors: readonly Behavior[] = [
  { name: 'closes at the start', startup: (socket) => void socket.end() },
  { name: 'resets at the start', startup: (socket) => void socket.resetAndDestroy() },
  { name: 'never responds', isSlow: true, startup: () => undefined },
  { name: 'speaks HTTP', startup: (socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n') },
  { name: 'sends NUL bytes', startup: (socket) => void socket.write(Buffer.alloc(10_000)) },
  { name: 'sends an unknown message', startup: (socket) => void socket.write(message('?', 'x')) },
  {
    name: 'announces a message of 2 GB',
    isSlow: true,
    startup: (socket) => void socket.write(Buffer.concat([Buffer.from('R'), int32(2_147_483_647)])),
  },
  {
    name: 'announces a negative length',
    startup: (socket) => void socket.write(Buffer.concat([Buffer.from('R'), int32(-7)])),
  },
  {
    name: 'rejects the password',
    startup: (socket) => void socket.end(errorOf('28P01', 'password authentication failed')),
  },
  {
    name: 'requests the password in clear text and repeats it',
    startup: (socket) => void socket.write(authentication(3)),
    later: (socket, data) => void socket.end(errorOf('28P01', `no user with ${data.subarray(5).toString()}`)),
  },
  {
    name: 'sends an error of 1 MB',
    startup: (socket) => void socket.end(errorOf('XX000', 'x'.repeat(1_000_000))),
  },
  {
    name: 'sends terminal escapes in its error',
    startup: (socket) => void socket.end(errorOf('XX000', '\u001b[2J\u001b[31mowned\r\nfake log line')),
  },
  { name: 'has too many connections', startup: (socket) => void socket.end(errorOf('53300', 'too many')) },
  { name: 'is shutting down', startup: (socket) => void socket.end(errorOf('57P03', 'shutting down')) },
  {
    name: 'does not have the database',
    startup: (socket) => void socket.end(errorOf('3D000', 'no database')),
  },
  {
    name: 'requests an unknown authentication method',
    startup: (socket) => void socket.write(authentication(99)),
  },
  {
    name: 'sends notices endlessly',
    startup: (socket) => flood(socket, message('N', 'SNOTICE\0C00000\0Mx\0\0')),
  },
  { name: 'sends parameters endlessly', startup: (socket) => flood(socket, parameter('x', 'y')) },
  {
    name: 'sends notices endlessly after the login',
    startup: (socket) => {
      logIn(socket);
      flood(socket, message('N', 'SNOTICE\0C00000\0Mx\0\0'));
    },
  },
  afterLogin('closes at the first query', (socket) => void socket.end()),
  afterLogin('resets at the first query', (socket) => void socket.resetAndDestroy()),
  afterLogin('does not respond to queries', () => undefined, true),
  afterLogin('is ready for the next query without a result', (socket) => void socket.write(ready())),
  afterLogin(
    'ends every query with an error',
    (socket) => void socket.write(Buffer.concat([errorOf('42501', 'denied'), ready()])),
  ),
  afterLogin(
    'returns a column that was not selected',
    (socket) =>
      void socket.write(Buffer.concat([rowDescription, dataRow('1'), complete('SELECT 1'), ready()])),
  ),
  afterLogin(
    'returns no rows where there is always one',
    (socket) => void socket.write(Buffer.concat([rowDescription, complete('SELECT 0'), ready()])),
  ),
  afterLogin(
    'sends rows without a description',
    (socket) => void socket.write(Buffer.concat([dataRow('1'), ready()])),
  ),
  afterLogin('sends rows endlessly', (socket) => {
    socket.write(rowDescription);
    flood(socket, dataRow('x'.repeat(1000)));
  }),
  afterLogin('sends a row of 900 MB', (socket) => {
    socket.write(rowDescription);
    socket.write(Buffer.concat([Buffer.from('D'), int32(900_000_010), int16(1), int32(900_000_000)]));
    flood(socket, Buffer.alloc(65_536, 'x'));
  }),
  afterLogin(
    'disconnects within a row',
    (socket) => void socket.end(Buffer.concat([rowDescription, dataRow('1').subarray(0, 8)])),
  ),
  afterLogin(
    'sends COPY data where rows are expected',
    (socket) =>
      void socket.write(
        Buffer.concat([message('H', Buffer.from([0]), int16(0)), message('d', 'x'), message('c'), ready()]),
      ),
  ),
  afterLogin(
    'terminates the session',
    (socket) => void socket.end(errorOf('57P01', 'terminating connection')),
  ),
];

/** @param next the behavior of the next connection */
export async function faultyPostgres(next: () => Behavior): Promise<Peer> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const { startup, later } = next();
    let isStarted = false;
    socket
      .on('error', () => undefined)
      .on('close', () => sockets.delete(socket))
      .on('data', (data) => {
        // An SSLRequest or CancelRequest is 8 or 16 bytes; TLS is declined.
        if (!isStarted && data.length === 8) return void socket.write('N');
        if (!isStarted && data.length === 16) return void socket.end();
        if (isStarted) later?.(socket, data);
        else startup(socket);
        isStarted = true;
      });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    flags: [
      `--praefect.database.url=postgres://exporter:${sentinel}@127.0.0.1:${port}/praefect?sslmode=prefer`,
      '--praefect.database.connect-timeout=2s',
      '--praefect.database.statement-timeout=2s',
    ],
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

export const postgresScenarios: readonly Scenario[] = behaviors.map((behavior) => ({
  name: `PostgreSQL ${behavior.name}`,
  ...(behavior.isSlow === true && { isSlow: true }),
  start: () => faultyPostgres(() => behavior),
  expected: {
    collector: 'praefect_database',
    outcome: 'failed',
    absent: [
      'praefect_db_up 1',
      'praefect_db_repositories',
      'praefect_db_storage_healthy',
      'praefect_db_replication_jobs',
    ],
  },
}));
