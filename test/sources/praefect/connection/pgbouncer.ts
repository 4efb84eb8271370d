/** A real PgBouncer in front of a test server. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../../../demo/address.ts';
import type { TestDatabase, TestPostgres } from '../../../support/postgres.ts';

export interface PgBouncer {
  readonly port: number;
  log(): string;
  stop(): Promise<void>;
}

/**
 * @param users name -> password, for clients and for PgBouncer's own logins on the server.
 * @param settings lines of [pgbouncer], in addition to the defaults here: transaction mode, one server
 * connection per pool.
 */
export async function startPgBouncer(
  server: TestPostgres,
  databases: readonly TestDatabase[],
  users: Readonly<Record<string, string>>,
  settings: Readonly<Record<string, string>> = {},
  files: Readonly<Record<string, string>> = {},
): Promise<PgBouncer> {
  const folder = mkdtempSync(join(tmpdir(), 'gitaly-exporter-pgbouncer-'));
  const port = await freePort();
  const all = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'scram-sha-256',
    auth_file: join(folder, 'users.txt'),
    pool_mode: 'transaction',
    default_pool_size: '1',
    server_login_retry: '1',
    ...settings,
  };
  const lines = [
    '[databases]',
    ...databases.map(({ name }) => `${name} = host=${server.host} port=${server.port}`),
    `gone = host=127.0.0.1 port=1`,
    '[pgbouncer]',
    ...Object.entries(all).map(([name, value]) => `${name} = ${value.replaceAll('$folder', folder)}`),
  ];
  const written = {
    'pgbouncer.ini': `${lines.join('\n')}\n`,
    'users.txt': Object.entries(users)
      .map(([name, password]) => `"${name}" "${password}"\n`)
      .join(''),
    ...files,
  };
  for (const [name, text] of Object.entries(written)) writeFileSync(join(folder, name), text);
  // PgBouncer refuses to run as root: then it runs as the server's user.
  const isRoot = process.getuid?.() === 0;
  const { uid, gid } = statSync(server.folder);
  if (isRoot)
    for (const path of [folder, ...Object.keys(written).map((name) => join(folder, name))])
      chownSync(path, uid, gid);
  chmodSync(folder, 0o700);
  const child = spawn('pgbouncer', [join(folder, 'pgbouncer.ini')], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(isRoot ? { uid, gid } : {}),
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      log += chunk;
    });
  }
  const ended = once(child, 'exit');
  while (!log.includes('process up')) {
    if (child.exitCode !== null) throw new Error(`PgBouncer did not start:\n${log}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return {
    port,
    log: () => log,
    async stop() {
      child.kill('SIGKILL');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
