/** A system for tests: an environment, files in memory, and a user. */
import type { Environment, Files, System } from '../../src/config/system.ts';

export interface MemoryFile {
  readonly text: string;
  readonly mode: number;
}

const failure = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

/** Text is a file of mode 0644, `folder` a directory, `code` the error (`EACCES`) of reading it. */
export type MemoryFiles = Readonly<
  Record<string, string | MemoryFile | { readonly folder: true } | { readonly code: string }>
>;

export function memoryFiles(files: MemoryFiles): Files {
  const find = (path: string) => files[path];
  return {
    async readText(path) {
      const file = find(path);
      if (file === undefined) throw failure('ENOENT');
      if (typeof file === 'string') return file;
      if ('folder' in file) throw failure('EISDIR');
      if ('code' in file) throw failure(file.code);
      return file.text;
    },
    async stat(path) {
      const file = find(path);
      if (file === undefined) return undefined;
      if (typeof file !== 'string' && 'code' in file) throw failure(file.code);
      const isFolder = typeof file !== 'string' && 'folder' in file;
      const mode = typeof file !== 'string' && 'mode' in file ? file.mode : 0o644;
      return { isFile: !isFolder, isFolder, mode };
    },
  };
}

export const memorySystem = (files: MemoryFiles = {}, env: Environment = {}): System => ({
  env,
  files: memoryFiles(files),
  home: '/home/exporter',
  osUser: 'exporter',
});
