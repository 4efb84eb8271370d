/** The faults of an HTTP peer, as bytes on a socket: the same for Gitaly's pages and the Kubernetes API. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';

export interface HttpFault {
  readonly name: string;
  /** Waits for a deadline. */
  readonly isSlow?: boolean;
  /** Called with the head of each request, which may contain Authorization. */
  respond(socket: Socket, head: string): void;
}

const crlf = '\r\n';
const response = (status: string, headers: Readonly<Record<string, string>>, body = ''): string =>
  [
    `HTTP/1.1 ${status}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '',
    body,
  ].join(crlf);
const plain = (status: string, body: string, headers: Readonly<Record<string, string>> = {}): string =>
  response(
    status,
    { 'Content-Type': 'text/plain', 'Content-Length': String(Buffer.byteLength(body)), ...headers },
    body,
  );

/** Writes until the socket accepts no more, at most 100 times per second, until the peer closes. */
function flood(socket: Socket, chunk: Buffer | string): void {
  const write = (): void => {
    for (let n = 0; n < 64; n++) if (!socket.writable || !socket.write(chunk)) break;
  };
  const timer = setInterval(write, 5);
  socket.on('drain', write).on('close', () => clearInterval(timer));
  write();
}

let bomb: Buffer | undefined;
/** 100 MB of zeros, compressed once: it takes half a second of the measured process. */
const gzipBomb = (): Buffer => (bomb ??= gzipSync(Buffer.alloc(100 * 1024 * 1024)));

const statuses = [
  '204 No Content',
  '301 Moved Permanently',
  '302 Found',
  '304 Not Modified',
  '307 Temporary Redirect',
  '401 Unauthorized',
  '403 Forbidden',
  '404 Not Found',
  '405 Method Not Allowed',
  '410 Gone',
  '418 I am a teapot',
  '429 Too Many Requests',
  '500 Internal Server Error',
  '502 Bad Gateway',
  '503 Service Unavailable',
  '504 Gateway Timeout',
  '599 Odd',
];

export const httpFaults: readonly HttpFault[] = [
  ...statuses.map(
    (status): HttpFault => ({
      name: `status ${status}`,
      respond: (socket) =>
        void socket.end(
          plain(status, 'no', { Location: 'http://127.0.0.1:1/elsewhere', 'Retry-After': '99999999' }),
        ),
    }),
  ),
  { name: 'closes after the request', respond: (socket) => void socket.end() },
  { name: 'resets after the request', respond: (socket) => void socket.resetAndDestroy() },
  {
    name: 'switches protocols (101)',
    respond: (socket) =>
      void socket.write(response('101 Switching Protocols', { Upgrade: 'websocket', Connection: 'Upgrade' })),
  },
  {
    name: 'switches protocols without naming one',
    respond: (socket) => void socket.write(response('101 Switching Protocols', {})),
  },
  { name: 'never responds', isSlow: true, respond: () => undefined },
  {
    name: 'stops in the status line',
    isSlow: true,
    respond: (socket) => void socket.write('HTTP/1.1 20'),
  },
  {
    name: 'stops after the headers',
    isSlow: true,
    respond: (socket) => void socket.write(response('200 OK', { 'Content-Length': '1000' })),
  },
  {
    name: 'sends one byte per second',
    isSlow: true,
    respond(socket) {
      socket.write(response('200 OK', { 'Content-Length': '100000' }));
      const timer = setInterval(() => socket.write('#'), 1000);
      socket.on('close', () => clearInterval(timer));
    },
  },
  {
    name: 'sends 100-continue endlessly',
    isSlow: true,
    respond: (socket) => flood(socket, 'HTTP/1.1 100 Continue\r\n\r\n'),
  },
  {
    name: 'sends headers endlessly',
    respond(socket) {
      socket.write('HTTP/1.1 200 OK\r\n');
      flood(socket, `X-${'a'.repeat(100)}: b\r\n`);
    },
  },
  {
    name: 'sends a header of 10 MB',
    respond: (socket) => void socket.write(`HTTP/1.1 200 OK\r\nX-Large: ${'a'.repeat(10_000_000)}\r\n\r\n`),
  },
  {
    name: 'sends a body endlessly',
    respond(socket) {
      socket.write(response('200 OK', { 'Content-Type': 'text/plain' }));
      flood(socket, Buffer.alloc(65_536, 'a 1\n'));
    },
  },
  {
    name: 'sends chunks endlessly',
    respond(socket) {
      socket.write(response('200 OK', { 'Transfer-Encoding': 'chunked' }));
      flood(socket, `ffff\r\n${'a'.repeat(65_535)}\r\n`);
    },
  },
  {
    name: 'sends a broken chunk size',
    respond: (socket) =>
      void socket.end(`${response('200 OK', { 'Transfer-Encoding': 'chunked' })}zz\r\nabc\r\n`),
  },
  {
    name: 'announces more bytes than it sends',
    respond: (socket) => void socket.end(response('200 OK', { 'Content-Length': '1000' }, 'up 1\n')),
  },
  {
    name: 'announces 1 TB',
    respond: (socket) => void socket.end(response('200 OK', { 'Content-Length': '1099511627776' }, 'up 1\n')),
  },
  {
    name: 'sends two values of Content-Length',
    respond: (socket) =>
      void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nup 1\n'),
  },
  {
    name: 'sends a negative Content-Length',
    respond: (socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nup 1\n'),
  },
  {
    name: 'sends a gzip bomb',
    respond(socket) {
      const body = gzipBomb();
      socket.write(response('200 OK', { 'Content-Encoding': 'gzip', 'Content-Length': String(body.length) }));
      socket.end(body);
    },
  },
  {
    name: 'sends garbage as gzip',
    respond: (socket) => void socket.end(plain('200 OK', 'not gzip', { 'Content-Encoding': 'gzip' })),
  },
  {
    name: 'truncates its gzip',
    respond(socket) {
      const whole = gzipSync('up 1\n'.repeat(1000));
      socket.write(response('200 OK', { 'Content-Encoding': 'gzip' }));
      socket.end(whole.subarray(0, whole.length - 8));
    },
  },
  {
    name: 'uses an encoding that was not offered',
    respond: (socket) => void socket.end(plain('200 OK', 'up 1\n', { 'Content-Encoding': 'br' })),
  },
  { name: 'sends another protocol', respond: (socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n') },
  { name: 'sends HTTP/0.9', respond: (socket) => void socket.end('<html>up 1</html>') },
  { name: 'sends NUL bytes', respond: (socket) => void socket.end(Buffer.alloc(10_000)) },
  {
    name: 'sends random bytes',
    respond: (socket) =>
      void socket.end(Buffer.from(Array.from({ length: 4096 }, (_, n) => (n * 7919) % 256))),
  },
  {
    name: 'sends a TLS alert',
    respond: (socket) => void socket.end(Buffer.from([0x15, 3, 3, 0, 2, 2, 40])),
  },
  {
    name: 'sends a login page',
    respond: (socket) =>
      void socket.end(
        plain('200 OK', '<!doctype html><title>Sign in</title>', { 'Content-Type': 'text/html' }),
      ),
  },
  { name: 'sends an empty body', respond: (socket) => void socket.end(plain('200 OK', '')) },
  {
    name: 'repeats the request in its error',
    respond: (socket, head) => void socket.end(plain('403 Forbidden', `you sent ${head}`.repeat(2000))),
  },
];

/** A server that serves every request to `isFaulty` paths with the fault. Its port, and how to stop it. */
export async function faultyServer(
  fault: HttpFault,
  healthy?: (head: string) => string | undefined,
): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    let head = '';
    socket.on('data', (data) => {
      head += data.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      const request = head;
      head = '';
      const good = healthy?.(request);
      if (good === undefined) fault.respond(socket, request);
      else socket.write(good);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
