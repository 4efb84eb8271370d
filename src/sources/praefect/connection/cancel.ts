/**
 * Asks the server to stop what runs for a connection that we no longer wait for: closing the socket alone does
 * not, a server notices that only when it writes. On a connection of its own, encrypted as the first one was
 * (the key would otherwise be there for all to read), bounded, and without telling anybody when it fails:
 * statement_timeout is what stops the server in the end.
 */
import { once } from 'node:events';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import type { Clock } from '../../../lib/clock.ts';
import { limit } from './limit.ts';
import type { Login } from './login.ts';
import { openTransport } from './transport.ts';

/** CancelRequest: length 16, 80877102, the backend's number and its key (PostgreSQL documentation, 54.7). */
export async function cancelRunning(
  { transport, backendKey }: Login,
  connection: DatabaseConnection,
  clock: Clock,
  withinMs: number,
): Promise<void> {
  const bounds = limit(clock, withinMs);
  try {
    const opened = await openTransport(connection, transport.encrypted ? 'tls' : 'plain', bounds.signal);
    if (!opened.ok) return;
    const { socket } = opened.value;
    const request = Buffer.alloc(16);
    request.writeInt32BE(16, 0);
    request.writeInt32BE(80877102, 4);
    request.writeInt32BE(backendKey.process, 8);
    request.writeInt32BE(backendKey.secret, 12);
    try {
      socket.write(request);
      socket.resume();
      // The server closes when it has passed the request on.
      await once(socket, 'close', { signal: bounds.signal });
    } finally {
      socket.destroy();
    }
  } catch {
    // Reset, or out of time: nothing more can be done.
  } finally {
    bounds.release();
  }
}
