/** A TCP proxy between the exporter and a server: it can fall silent, as a dead host or a firewall does. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface TestProxy {
  readonly port: number;
  /** From now on it accepts and swallows everything, and forwards nothing; open connections stay open. */
  fallSilent(): void;
  /** Forwards what arrives from now on. */
  speak(): void;
  /** Connections from clients that are open now, and that there were in all. */
  open(): number;
  total(): number;
  /** Bytes that went to clients. */
  bytesOut(): number;
  close(): Promise<void>;
}

export async function startProxy(target: { host: string; port: number }): Promise<TestProxy> {
  let silent = false;
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
        if (silent) return;
        count(chunk.length);
        // Back-pressure passes through.
        if (!to.write(chunk)) {
          from.pause();
          to.once('drain', () => from.resume());
        }
      });
      from.on('close', () => {
        sockets.delete(from);
        if (!silent) to.destroy();
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
    fallSilent() {
      silent = true;
    },
    speak() {
      silent = false;
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

/** A server that accepts, and answers each client's n-th packet with the n-th of these bytes, then nothing. */
export async function startMute(
  ...answers: readonly Buffer[]
): Promise<{ readonly port: number; open(): number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let next = 0;
    socket.on('data', () => {
      const answer = answers[next];
      next += 1;
      if (answer !== undefined) socket.write(answer);
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
