/** A TCP proxy between the exporter and a server. It can stop forwarding, as a dead host, or add latency. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface TestProxy {
  readonly port: number;
  /** Discards all data from now on; open connections stay open. */
  stopForwarding(): void;
  /** Forwards data from now on. */
  resumeForwarding(): void;
  /** Connections from clients: open now, and in total. */
  open(): number;
  total(): number;
  /** Bytes sent to clients. */
  bytesOut(): number;
  close(): Promise<void>;
}

/** @param latencyMs added to each direction, so a round trip takes twice as long */
export async function startProxy(target: { host: string; port: number }, latencyMs = 0): Promise<TestProxy> {
  let isStopped = false;
  let total = 0;
  let bytesOut = 0;
  const sockets = new Set<Socket>();
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    total += 1;
    clients.add(client);
    client.on('close', () => clients.delete(client));
    const upstream = connect(target);
    const forward = (from: Socket, to: Socket, count: (bytes: number) => void): void => {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('data', (chunk) => {
        if (isStopped) return;
        count(chunk.length);
        if (latencyMs > 0) {
          setTimeout(() => to.destroyed || to.write(chunk), latencyMs);
          return;
        }
        // Forwards back-pressure too.
        if (!to.write(chunk)) {
          from.pause();
          to.once('drain', () => from.resume());
        }
      });
      from.on('close', () => {
        sockets.delete(from);
        if (!isStopped) to.destroy();
      });
    };
    forward(client, upstream, () => undefined);
    forward(upstream, client, (bytes) => {
      bytesOut += bytes;
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    stopForwarding() {
      isStopped = true;
    },
    resumeForwarding() {
      isStopped = false;
    },
    open: () => clients.size,
    total: () => total,
    bytesOut: () => bytesOut,
    async close() {
      for (const socket of [...sockets, ...clients]) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A server that responds to the n-th packet of each client with the n-th of these replies, then with nothing. */
export async function startUnresponsive(
  ...replies: readonly Buffer[]
): Promise<{ readonly port: number; open(): number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let next = 0;
    socket.on('data', () => {
      const reply = replies[next];
      next += 1;
      if (reply !== undefined) socket.write(reply);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    open: () => sockets.size,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
