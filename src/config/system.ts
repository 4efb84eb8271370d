/** What the configuration reads besides its arguments: environment, files, user. Passed as an argument, for tests. */
import { stat } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { codeOf } from '../lib/errors.ts';
import { type ReadText, readTextFile } from '../lib/files.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Files {
  readonly readText: ReadText;
  /** Follows links; undefined when the path does not exist. Otherwise rejects as node:fs does. */
  stat(
    path: string,
  ): Promise<{ readonly isFile: boolean; readonly isFolder: boolean; readonly mode: number } | undefined>;
}

export interface System {
  readonly env: Environment;
  readonly files: Files;
  /** Our user's home folder, for libpq's default files. */
  readonly home: string;
  /** Our user's name: libpq's default for the database's user. */
  readonly osUser: string;
}

export const systemFiles: Files = {
  readText: (path) => readTextFile(path),
  async stat(path) {
    try {
      const found = await stat(path);
      return { isFile: found.isFile(), isFolder: found.isDirectory(), mode: found.mode };
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
      throw error;
    }
  },
};

export function hostSystem(env: Environment = process.env): System {
  return { env, files: systemFiles, home: homeFolder(), osUser: userName() };
}

/** A user id without a name has no home, unless HOME is set; libpq's default files are then not found. */
function homeFolder(): string {
  try {
    return homedir();
  } catch {
    return '/nonexistent';
  }
}

/** A container's user id often has no name; then the database user must be configured. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return '';
  }
}
