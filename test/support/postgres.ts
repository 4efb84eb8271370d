/**
 * A real PostgreSQL for a test file: `const server = await startPostgres()` in beforeAll, `server.stop()` in
 * afterAll. It has its own port and folder, and is removed however the tests end.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from '../../demo/address.ts';
import type { DatabaseConnection } from '../../src/config/database-connection.ts';
import { Secret } from '../../src/lib/secret.ts';

import { createServerProcess } from './postgres-server.ts';

export { loadCapture, praefectCapture, praefectSchema } from './praefect-fixtures.ts';
export { freePort };

export interface TestPostgresOptions {
  /** Default 18. */
  readonly version?: 15 | 18;
  /** Settings as in postgresql.conf: `['log_statement=all', 'ssl=on']`. */
  readonly config?: readonly string[];
  /** Files written into the data folder before the start, mode 600: `pg_hba.conf`, `server.key`. */
  readonly files?: Readonly<Record<string, string>>;
}

export interface TestPostgres {
  readonly host: string;
  readonly port: number;
  /** Contains the Unix socket too. */
  readonly folder: string;
  readonly superuser: { readonly user: string; readonly password: string };
  /** A new database with a unique name, with `sql` (any number of statements) run in it. */
  createDatabase(sql?: string): Promise<TestDatabase>;
  /** An open connection of a superuser; closed by stop(). */
  client(database?: string): Promise<pg.Client>;
  /** Sends SIGSTOP to the server and all its processes: it accepts connections and does not respond. */
  pause(): void;
  resume(): void;
  /** A fast shutdown (connections get 57P01) that keeps the data, and a new start on the same port. */
  restart(): Promise<void>;
  shutdown(): Promise<void>;
  start(): Promise<void>;
  /**
   * A restart as a hot standby without a primary: pg_is_in_recovery(), and no client can write. It cannot be
   * promoted back.
   */
  becomeStandby(): Promise<void>;
  /** Sends SIGKILL to all processes, as when a machine loses power; `start` runs it again. */
  kill(): Promise<void>;
  /** The server's log so far. */
  log(): string;
  /** Ends the server and removes its data. May be called twice. */
  stop(): Promise<void>;
}

export interface TestDatabase {
  readonly name: string;
  /** As superuser over TCP without TLS; spread it to change parts: `{ ...connection, user: 'reader' }`. */
  readonly connection: DatabaseConnection;
  client(): Promise<pg.Client>;
}

const superuser = { user: 'postgres', password: 'superuser-password' } as const;
const host = '127.0.0.1';

/** For temporary data: no waiting for a disk. `mmap`: shared memory is in the folder and is removed with it. */
const fastAndDisposable = [
  'fsync=off',
  'full_page_writes=off',
  'dynamic_shared_memory_type=mmap',
  'max_wal_size=4GB',
  'shared_buffers=64MB',
  'log_line_prefix=%m [%p] %a ',
];

/** Starts a server of its own in about 0.7 s. As root it runs as another user, as PostgreSQL refuses to run as root. */
export async function startPostgres(options: TestPostgresOptions = {}): Promise<TestPostgres> {
  const root = await mkdtemp(join(tmpdir(), 'gitaly-exporter-postgres-'));
  await chmod(root, 0o755); // the user postgres must be able to enter it
  const folder = join(root, 'data');
  const port = await freePort();
  let log = '';
  const server = await createServerProcess({
    version: options.version ?? 18,
    root,
    port,
    ...superuser,
    settings: [
      ...fastAndDisposable,
      `listen_addresses=${host}`,
      `unix_socket_directories=${folder}`,
      ...(options.config ?? []),
    ],
    onLog: (text) => {
      log += text;
    },
  });
  const guard = startGuard(folder, root);
  const clients = new Set<pg.Client>();

  async function start(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const before = log.length;
      const child = await server.start().catch(() => undefined);
      if (child !== undefined) {
        // A test that failed before its stop() must not keep jest from ending: the guard cleans up then.
        child.unref();
        for (const stream of [child.stdout, child.stderr]) (stream as unknown as { unref(): void }).unref();
        return;
      }
      // After a kill the last process releases the shared memory a moment later.
      if (!log.slice(before).includes('shared memory block') || attempt === 50)
        throw new Error(`PostgreSQL did not start:\n${log}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  const postmaster = (): number =>
    Number(readFileSync(join(folder, 'postmaster.pid'), 'utf8').split('\n')[0]);
  let paused: readonly number[] = [];

  async function shutdown(): Promise<void> {
    for (const client of clients) await client.end().catch(() => undefined);
    clients.clear();
    resume();
    server.child()?.ref(); // now its end is expected
    await server.stop();
  }

  function resume(): void {
    for (const pid of paused) sendSignal(pid, 'SIGCONT');
    paused = [];
  }

  async function client(database = 'postgres'): Promise<pg.Client> {
    const opened = new pg.Client({ host, port, database, ...superuser, ssl: false });
    opened.on('error', () => undefined); // here the server is stopped and killed on purpose
    await opened.connect();
    clients.add(opened);
    return opened;
  }

  async function writeOwn(name: string, text: string): Promise<void> {
    const { uid, gid } = await stat(folder);
    await writeFile(join(folder, name), text, { mode: 0o600 });
    await chown(join(folder, name), uid, gid);
  }

  await server.initialise();
  for (const [name, text] of Object.entries(options.files ?? {})) await writeOwn(name, text);
  await start();
  return {
    host,
    port,
    folder,
    superuser,
    client,
    start,
    shutdown,
    resume,
    log: () => log,
    async createDatabase(sql = '') {
      const name = `test_${randomUUID().slice(0, 8)}`;
      const admin = await client();
      await admin.query(`CREATE DATABASE ${name}`);
      await admin.end();
      clients.delete(admin);
      if (sql !== '') {
        const owner = await client(name);
        await owner.query(sql);
        await owner.end();
        clients.delete(owner);
      }
      const connection: DatabaseConnection = {
        host,
        port,
        database: name,
        user: superuser.user,
        password: async () => new Secret(superuser.password),
        ssl: { mode: 'disable' },
        connectTimeoutMs: 5000,
      };
      return { name, connection, client: () => client(name) };
    },
    pause() {
      // The postmaster first, so that it starts no new process.
      sendSignal(postmaster(), 'SIGSTOP');
      paused = [postmaster(), ...childrenOf(postmaster())];
      for (const pid of paused) sendSignal(pid, 'SIGSTOP');
    },
    async restart() {
      await shutdown();
      await start();
    },
    async becomeStandby() {
      await shutdown();
      await writeOwn('standby.signal', '');
      await start();
    },
    async kill() {
      const child = server.child();
      const exited = child === undefined ? Promise.resolve() : once(child, 'exit');
      for (const pid of [...childrenOf(postmaster()), postmaster()]) sendSignal(pid, 'SIGKILL');
      await exited;
      // The next start replaces the lock file of a dead server only when its pid is not in use.
      await rm(join(folder, 'postmaster.pid'), { force: true });
    },
    async stop() {
      await shutdown();
      await rm(root, { recursive: true, force: true });
      guard.kill('SIGKILL'); // last: until then the guard would finish the cleanup if this process ended
    },
  };
}

/**
 * Node's exit handlers do not run on SIGKILL, and jest's sandbox swallows them. So a small shell reads from a pipe
 * that only this process holds open: at the end of the pipe the process has ended, and the shell cleans up.
 */
function startGuard(folder: string, root: string): ChildProcess {
  const script = `
    read -r _
    pid=$(head -n1 "$1/postmaster.pid" 2>/dev/null) || pid=
    if [ -n "$pid" ]; then
      children=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || pgrep -P "$pid")
      kill -CONT "$pid" $children; kill -QUIT "$pid"
      for _ in 1 2 3 4 5; do kill -0 "$pid" || break; sleep 1; done
      kill -KILL "$pid" $children
    fi 2>/dev/null
    rm -rf "$2"`;
  const guard = spawn('sh', ['-c', script, 'postgres-guard', folder, root], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // Ctrl-C at the terminal must not end it before it has cleaned up
  });
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
  return guard;
}

function childrenOf(pid: number): readonly number[] {
  const list =
    process.platform === 'linux'
      ? readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      : execFileSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' });
  return list.split(/\s+/).filter(Boolean).map(Number);
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}
