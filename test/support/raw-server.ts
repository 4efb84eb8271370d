/** A raw HTTP server for responses that no well-behaved server sends. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

export interface RawServer {
  readonly port: number;
  /** Bytes that clients received, as far as the kernel accepted them. */
  sent(): number;
  /** Connections that are open now. */
  open(): number;
  /** The first bytes of each connection: the head of its request. */
  readonly requests: readonly string[];
  stop(): Promise<void>;
}

/** @param respond writes the response of a connection */
export async function rawServer(respond: (socket: Socket) => void): Promise<RawServer> {
  const sockets = new Set<Socket>();
  const requests: string[] = [];
  let sent = 0;
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => {
      sent += socket.bytesWritten;
      sockets.delete(socket);
    });
    socket.on('error', () => undefined);
    socket.once('data', (head) => {
      requests.push(String(head));
      respond(socket);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    sent: () => sent + [...sockets].reduce((sum, socket) => sum + socket.bytesWritten, 0),
    open: () => sockets.size,
    requests,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** The head of a response. */
export const head = (...headers: readonly string[]): string =>
  ['HTTP/1.1 200 OK', 'Content-Type: text/plain; version=0.0.4', ...headers, '', ''].join('\r\n');
