/** Addresses on the loopback. */
import { once } from 'node:events';
import { createServer } from 'node:net';

const loopback = '127.0.0.1';

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const port = await portIfFree(0);
  if (port === undefined) throw new Error(`${loopback} has no free port`);
  return port;
}

/** `127.0.0.1:9656`, or a free port, with a line for people, while that one is in use. */
export async function chooseAddress(port: number, log: (line: string) => void): Promise<string> {
  const free = await portIfFree(port);
  if (free !== undefined) return `${loopback}:${free}`;
  log(`port ${port} is in use, using a free port`);
  return `${loopback}:${await freePort()}`;
}

async function portIfFree(port: number): Promise<number | undefined> {
  const probe = createServer().listen(port, loopback);
  try {
    await once(probe, 'listening');
  } catch {
    return undefined;
  }
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  return typeof address === 'object' && address !== null ? address.port : undefined;
}
