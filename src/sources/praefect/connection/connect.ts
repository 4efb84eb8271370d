/** One attempt to connect and log in as sslmode says, within a deadline; and how long to wait after a failed one. */
import pg from 'pg';
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import { createDeadline, onAbort } from '../../../lib/abort.ts';
import { createBackoff } from '../../../lib/backoff.ts';
import type { Clock } from '../../../lib/clock.ts';
import { errorMessageOf } from '../../../lib/errors.ts';
import { durationText } from '../../../lib/format.ts';
import { outsideText } from '../../../lib/outside-text.ts';
import type { Secret } from '../../../lib/secret.ts';
import { faultOf } from './failures.ts';
import { type DatabaseFault, type DatabaseResult, faulty, succeeded } from './fault.ts';
import { createSession, type OpenedConnection, type Session } from './session.ts';
import { type Encryption, encryptionsFor, mayFallBack } from './tls.ts';
import { DriverStream, openTransport, type Transport } from './transport.ts';

/** Connects within connection.connectTimeoutMs and the signal, whichever ends first. */
export async function connect(
  connection: DatabaseConnection,
  applicationName: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<DatabaseResult<Session>> {
  const started = clock.monotonic();
  const deadline = createDeadline(clock, connection.connectTimeoutMs, signal);
  try {
    let earlier: DatabaseFault | undefined;
    for (const encryption of encryptionsFor(connection)) {
      const opened = await attempt(encryption);
      if (opened.ok) return succeeded(createSession(opened.value, connection, clock));
      if (deadline.signal.aborted || !mayFallBack(opened.fault)) return faulty(joined(earlier, opened.fault));
      earlier = joined(earlier, opened.fault);
    }
    return faulty(earlier ?? { reason: 'internal', found: 'no kind of connection was tried' });
  } finally {
    deadline.release();
  }

  async function attempt(encryption: Encryption): Promise<DatabaseResult<OpenedConnection>> {
    let step = 'connecting';
    const onStep = (next: string): void => {
      step = next;
    };
    const noResponse = (): DatabaseResult<never> =>
      faulty({
        reason: 'timeout',
        found: `no response within ${durationText(clock.monotonic() - started)} while ${step}`,
        fix: 'check for a firewall that drops packets, a server or pooler that hangs or is full, and a deadline that is too short',
      });
    const transport = await openTransport(connection, encryption, deadline.signal, onStep);
    if (!transport.ok) return deadline.signal.aborted ? noResponse() : transport;
    const { socket } = transport.value;
    const unsubscribe = onAbort(deadline.signal, () => socket.destroy());
    const opened = await logIn(connection, transport.value, applicationName, onStep);
    unsubscribe();
    if (!deadline.signal.aborted) return opened;
    socket.destroy();
    return noResponse();
  }
}

/** With sslmode allow and prefer, both attempts count: the last fault, and the one before it. */
const joined = (earlier: DatabaseFault | undefined, last: DatabaseFault): DatabaseFault =>
  earlier === undefined ? last : { ...last, found: `${last.found} (first attempt: ${earlier.found})` };

/** Logs in on an open socket. Has no deadline of its own: when the socket is destroyed, each step fails. */
async function logIn(
  connection: DatabaseConnection,
  { socket, isEncrypted }: Transport,
  applicationName: string,
  onStep: (step: string) => void,
): Promise<DatabaseResult<OpenedConnection>> {
  let passwordFault: DatabaseFault | undefined;
  const secrets: Secret[] = [];
  const stream = new DriverStream(socket);
  const client = withoutDriverVariables(
    () =>
      new pg.Client({
        host: connection.host,
        port: connection.port,
        user: connection.user,
        database: connection.database,
        application_name: applicationName,
        // Always a function: with undefined pg would read PGPASSWORD and ~/.pgpass by rules of its own.
        password: async () => {
          const password = await readPassword(connection);
          if (password.ok) {
            secrets.push(password.value);
            return password.value.reveal();
          }
          passwordFault = password.fault;
          throw new Error(password.fault.found);
        },
        ssl: false, // the socket is encrypted already, where it should be
        sslnegotiation: 'postgres', // or PGSSLNEGOTIATION would count
        stream: () => stream,
        types: { getTypeParser: parserFor as typeof pg.types.getTypeParser },
      }),
  );
  client.on('error', () => undefined);
  let backendKey = { processId: 0, secret: 0 };
  client.connection.on('backendKeyData', (message: { processID: number; secretKey: number }) => {
    backendKey = { processId: message.processID, secret: message.secretKey };
  });
  try {
    onStep('logging in');
    await client.connect();
    onStep('reading the server version');
    const { rows } = await client.query<{ version: string; pid: number }>(
      // Before any SET: what the role's search_path finds does not count here either.
      "SELECT pg_catalog.current_setting('server_version') AS version, pg_catalog.pg_backend_pid() AS pid",
    );
    const facts = {
      encrypted: isEncrypted,
      // Debian appends its package version in parentheses.
      serverVersion: outsideText(rows[0]?.version.split(' ')[0] ?? '', secrets, 40),
      // A server names its own process in BackendKeyData; a pooler that multiplexes has to invent a number.
      pooler: rows[0]?.pid === backendKey.processId ? 'none' : 'pgbouncer',
    } as const;
    return succeeded({ client, stream, facts, backendKey, secrets });
  } catch (error) {
    socket.destroy();
    return faulty(passwordFault ?? stream.violation() ?? faultOf(error, { user: connection.user, secrets }));
  }
}

/**
 * Creates a client without the variables that pg reads where an option is empty and then sends in the startup
 * message: the configuration alone counts, and PgBouncer rejects startup parameters that it does not know. pg reads
 * them in its constructor, so nothing else in the process can notice.
 */
function withoutDriverVariables(create: () => pg.Client): pg.Client {
  const { PGOPTIONS: options, PGREPLICATION: replication } = process.env;
  delete process.env['PGOPTIONS'];
  delete process.env['PGREPLICATION'];
  try {
    return create();
  } finally {
    if (options !== undefined) process.env['PGOPTIONS'] = options;
    if (replication !== undefined) process.env['PGREPLICATION'] = replication;
  }
}

async function readPassword({ password, user }: DatabaseConnection): Promise<DatabaseResult<Secret>> {
  try {
    const secret = await password();
    if (secret !== undefined && secret.reveal() !== '') return succeeded(secret);
    return faulty({
      reason: 'authentication',
      found: `the server requires a password for "${user}", and none is configured`,
      fix: 'set one in a password file, PGPASSFILE or PGPASSWORD',
    });
  } catch (error) {
    return faulty({
      reason: 'authentication',
      found: `the password cannot be read: ${errorMessageOf(error)}`,
    });
  }
}

/** OIDs of pg_type.dat, which never change. */
const boolOid = 16;
const numberOids: ReadonlySet<number> = new Set([
  21, // int2
  23, // int4
  26, // oid
  700, // float4
  701, // float8
]);

const asNumber = (text: string): number => Number(text);
const asBoolean = (text: string): boolean => text === 't';
const asText = (text: string): string => text;

/**
 * pg calls it for each column of a result: what fits a JavaScript number exactly becomes one, everything else but
 * booleans stays PostgreSQL's text. Set per connection, since pg's own parsers are global and make local-time Dates of
 * UTC timestamps.
 */
function parserFor(oid: number): (text: string) => number | boolean | string {
  if (numberOids.has(oid)) return asNumber;
  return oid === boolOid ? asBoolean : asText;
}

/** How long the database has been unreachable, and when to try again. */
interface Outage {
  /** Why no attempt may be made now; undefined when one may. */
  blocked(): DatabaseFault | undefined;
  attemptFailed(fault: DatabaseFault): void;
  /** Ends the outage. Returns its duration in milliseconds, or undefined if there was none. */
  end(): number | undefined;
}

/** @param random from 0 up to 1, as Math.random */
export function createOutage(clock: Clock, random: () => number): Outage {
  const backoff = createBackoff({ firstMs: 500, maxMs: 10_000, random });
  let since: { readonly now: number; readonly monotonic: number } | undefined;
  let nextAt = 0;
  let last: DatabaseFault | undefined;
  return {
    blocked() {
      const waitMs = nextAt - clock.monotonic();
      if (since === undefined || last === undefined || waitMs <= 0) return undefined;
      const time = new Date(since.now).toISOString().replace(/\.\d+Z$/, 'Z');
      const note = `unreachable since ${time}, next attempt in ${durationText(waitMs)}`;
      return { ...last, found: `${last.found} (${note})` };
    },
    attemptFailed(fault) {
      since ??= { now: clock.now(), monotonic: clock.monotonic() };
      last = fault;
      nextAt = clock.monotonic() + backoff.next();
    },
    end() {
      const downMs = since && clock.monotonic() - since.monotonic;
      since = undefined;
      backoff.reset();
      return downMs;
    },
  };
}
