/** From libpq's parameters of any source to a `DatabaseConnection`: defaults, TLS, and the source of the password. */

import { parseDuration } from '../../lib/format.ts';
import type { DatabaseConnection } from '../database-connection.ts';
import {
  bad,
  type Checked,
  good,
  originText,
  problemAt,
  quotedValue,
  type SettingProblem,
} from '../problem.ts';
import type { System } from '../system.ts';
import type { Parameter, Parameters } from './keywords.ts';
import type { PassfileKey } from './passfile.ts';
import { chosenPassfile, givenPassword, noPassword, type PasswordSource, usualPassfile } from './password.ts';
import { resolveTls } from './tls.ts';

/** The exporter's own settings, which take precedence over an address. */
export interface Overrides {
  readonly user: string | undefined;
  readonly connectTimeoutMs: number | undefined;
  /** The password of password-file, or undefined. */
  readonly passwordFile: PasswordSource | undefined;
  readonly passfile: string | undefined;
  /** Rereads a password that the address contains, if it can be reread. */
  readonly rereadPassword: PasswordSource | undefined;
}

export interface ResolvedConnection {
  readonly connection: DatabaseConnection;
  /** The source of the password, for people. */
  readonly password: string;
}

const defaultPort = 5432;
const defaultConnectTimeoutMs = 10_000;
/** Where Debian's and the Linux package's PostgreSQL put their socket; libpq's default folder depends on its build. */
const socketFolder = '/var/run/postgresql';

/** Reports every problem together. Reads certificates and password files, but connects to nothing. */
export async function resolveConnection(
  parameters: Parameters,
  overrides: Overrides,
  system: System,
): Promise<Checked<ResolvedConnection>> {
  const problems: SettingProblem[] = [];
  const host = await readHost(parameters.host, system, problems);
  const port = readPort(parameters.port, problems);
  const user = overrides.user ?? parameters.user?.value ?? system.osUser;
  if (user === '') {
    problems.push({ where: undefined, message: 'no database user is set: set praefect.database.user' });
  }
  const database = parameters.dbname?.value ?? user;
  const connectTimeoutMs =
    overrides.connectTimeoutMs ?? readConnectTimeout(parameters.connect_timeout, problems);
  const tls = await resolveTls(parameters, host, system);
  if (!tls.ok) problems.push(...tls.problems);

  const password = passwordSource(
    parameters,
    overrides,
    { host: passfileHost(host), port, database, user },
    system,
  );
  await password.read().catch((error: unknown) => {
    problems.push({
      where: undefined,
      message: error instanceof Error ? error.message : 'the password cannot be read',
    });
  });
  if (!tls.ok || problems.length > 0) return bad(...problems);
  const connection = {
    host,
    port,
    database,
    user,
    password: password.read,
    ssl: tls.value,
    connectTimeoutMs,
  };
  return good({ connection: Object.freeze(connection), password: password.description });
}

/** libpq's order is the given password, then the passfile; our password-file takes precedence over both. */
function passwordSource(
  { password, user, passfile }: Parameters,
  overrides: Overrides,
  key: PassfileKey,
  system: System,
): PasswordSource {
  if (overrides.passwordFile !== undefined) return overrides.passwordFile;
  if (overrides.passfile !== undefined) return chosenPassfile(overrides.passfile, key, system.files);
  // A password next to another user's name belongs to that user.
  const others = overrides.user !== undefined && user !== undefined && overrides.user !== user.value;
  if (password !== undefined && !others) {
    return overrides.rereadPassword ?? givenPassword(password.value, originText(password.origin));
  }
  if (passfile !== undefined) return chosenPassfile(passfile.value, key, system.files);
  return system.home === '' ? noPassword : usualPassfile(system.home, key, system.files);
}

async function readHost(
  host: Parameter | undefined,
  system: System,
  problems: SettingProblem[],
): Promise<string> {
  if (host === undefined) {
    const sockets = await system.files.stat(socketFolder).catch(() => undefined);
    return sockets?.isFolder === true ? socketFolder : 'localhost';
  }
  if (host.value.includes(',')) {
    problems.push(problemAt(host.origin, 'host: several hosts are not supported; set the one to monitor'));
  } else if (/\s/.test(host.value)) {
    problems.push(
      problemAt(
        host.origin,
        `host: found ${quotedValue(host.value)}, expected a name, an address, or the directory of a socket`,
      ),
    );
  }
  return host.value;
}

function readPort(port: Parameter | undefined, problems: SettingProblem[]): number {
  if (port === undefined) return defaultPort;
  const value = /^\d{1,5}$/.test(port.value) ? Number(port.value) : 0;
  if (value > 0 && value <= 65_535) return value;
  problems.push(
    problemAt(port.origin, `port: found ${quotedValue(port.value)}, expected a number from 1 to 65535`),
  );
  return defaultPort;
}

/** Whole seconds, as in libpq; 0 and less mean no limit to libpq, and our default limit here. */
function readConnectTimeout(timeout: Parameter | undefined, problems: SettingProblem[]): number {
  if (timeout === undefined) return defaultConnectTimeoutMs;
  const seconds = /^-?\d{1,6}$/.test(timeout.value) ? Number(timeout.value) : undefined;
  if (seconds !== undefined) return seconds > 0 ? seconds * 1000 : defaultConnectTimeoutMs;
  const hint =
    parseDuration(timeout.value) === undefined
      ? ''
      : '; durations with a unit belong in praefect.database.connect-timeout';
  const message = `connect_timeout: found ${quotedValue(timeout.value)}, expected whole seconds${hint}`;
  problems.push(problemAt(timeout.origin, message));
  return defaultConnectTimeoutMs;
}

const passfileHost = (host: string): string => (host === socketFolder || host === '' ? 'localhost' : host);
