/** From a socket to a connection that takes questions: logging in with pg, and finding out who answers. */
import pg from 'pg';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import { findingOf } from './failures.ts';
import { type Finding, found, type Result, succeeded } from './finding.ts';
import type { Facts } from './session.ts';
import { messageOf } from './system-errors.ts';
import type { Transport } from './transport.ts';
import { parserFor } from './types.ts';

export interface Login {
  readonly client: pg.Client;
  readonly transport: Transport;
  readonly facts: Facts;
  readonly backendKey: { readonly process: number; readonly secret: number };
}

/** Logs in on an open socket. Bounded by whoever destroys the socket: each step then fails at once. */
export async function logIn(
  connection: DatabaseConnection,
  transport: Transport,
  applicationName: string,
  onStep: (step: string) => void,
): Promise<Result<Login>> {
  let passwordFailed: Finding | undefined;
  const client = new pg.Client({
    host: connection.host,
    port: connection.port,
    user: connection.user,
    database: connection.database,
    // Always a function: with undefined pg would look into PGPASSWORD and ~/.pgpass by rules of its own.
    password: async () => {
      const password = await passwordOf(connection);
      if (password.ok) return password.value;
      passwordFailed = password.finding;
      throw new Error(password.finding.found);
    },
    ssl: false, // the socket is encrypted already, where it is to be
    sslnegotiation: 'postgres', // or PGSSLNEGOTIATION would count
    stream: () => dressedForPg(transport),
    types: { getTypeParser: parserFor as typeof pg.types.getTypeParser },
  });
  sendOnly(client, {
    user: connection.user,
    database: connection.database,
    application_name: applicationName,
  });
  client.on('error', () => undefined);
  const backendKey = { process: 0, secret: 0 };
  client.connection.on('backendKeyData', (message: { processID: number; secretKey: number }) => {
    backendKey.process = message.processID;
    backendKey.secret = message.secretKey;
  });
  try {
    onStep('logging in');
    await client.connect();
    onStep('asking who answers');
    const { rows } = await client.query<{ version: string; pid: number }>(
      "SELECT current_setting('server_version') AS version, pg_backend_pid() AS pid",
    );
    const facts: Facts = {
      encrypted: transport.encrypted,
      // Debian adds words in brackets.
      serverVersion: rows[0]?.version.split(' ')[0] ?? '',
      pooler: rows[0]?.pid === backendKey.process ? 'none' : 'pgbouncer',
    };
    return succeeded({ client, transport, facts, backendKey });
  } catch (error) {
    transport.socket.destroy();
    return found(passwordFailed ?? findingOf(error, connection.user));
  }
}

async function passwordOf({ password, user }: DatabaseConnection): Promise<Result<string>> {
  try {
    const secret = await password();
    if (secret !== undefined && secret.reveal() !== '') return succeeded(secret.reveal());
    return found({
      reason: 'authentication',
      found: `the server wants a password for "${user}", and none is configured`,
      mend: 'give one in a password file, PGPASSFILE or PGPASSWORD',
    });
  } catch (error) {
    return found({ reason: 'authentication', found: `the password could not be had: ${messageOf(error)}` });
  }
}

/**
 * pg expects a socket that it connects itself, and lets exceptions of its parser (another protocol, an
 * unknown kind of authentication) fly into the event loop, where they would end the process.
 */
function dressedForPg({ socket }: Transport): Transport['socket'] {
  const on = socket.on.bind(socket);
  return Object.assign(socket, {
    connect: () => {
      process.nextTick(() => socket.emit('connect'));
      return socket;
    },
    on: (event: string, listener: (...values: unknown[]) => void) =>
      on(event, event === 'data' ? guarded(listener) : listener),
  });

  function guarded(listener: (...values: unknown[]) => void): (...values: unknown[]) => void {
    return (...values) => {
      try {
        listener(...values);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(messageOf(error)));
      }
    };
  }
}

/**
 * What goes into the startup message, and nothing else: pg would add PGOPTIONS and others from the environment,
 * and PgBouncer refuses whatever it does not know there.
 */
function sendOnly(client: pg.Client, parameters: Readonly<Record<string, string>>): void {
  Object.assign(client, { getStartupConf: () => ({ ...parameters }) });
}
