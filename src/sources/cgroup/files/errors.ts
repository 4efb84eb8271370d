/** What the kernel's errors mean for a file of a cgroup. */
import type { ReadFailure } from './reading.ts';

/** `missing`: the name, or a folder on the way to it. `dead`: an open descriptor of what was removed. */
export type FileError = 'missing' | 'dead' | 'unsupported' | ReadFailure;

const errors: Readonly<Record<string, FileError>> = {
  ENOENT: 'missing',
  ENOTDIR: 'missing',
  ENODEV: 'dead',
  // *.pressure with psi=0, cgroup.procs of a threaded cgroup.
  EOPNOTSUPP: 'unsupported',
  ENOTSUP: 'unsupported',
  EACCES: 'permission',
  EPERM: 'permission',
  EMFILE: 'too_many_open_files',
  ENFILE: 'too_many_open_files',
};

/** By its shape, not its class: under jest Node's own errors are of another realm. */
export const codeOf = (thrown: unknown): string | undefined =>
  typeof thrown === 'object' && thrown !== null && 'code' in thrown && typeof thrown.code === 'string'
    ? thrown.code
    : undefined;

export const fileErrorOf = (thrown: unknown): FileError => errors[codeOf(thrown) ?? ''] ?? 'io';
