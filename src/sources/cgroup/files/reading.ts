/** The result of reading a file of a cgroup: a closed union, so that a failure is never taken for a number. */
import { codeOf } from '../../../lib/errors.ts';

/** Why a read failed: the values of gitaly_exporter_cgroup_read_failures_total{reason}. */
export const readFailures = [
  'permission', // EACCES, EPERM
  'too_many_open_files', // EMFILE, ENFILE
  'malformed', // empty, letters, negative, over 2^63-1, or longer than any kernel writes
  'io', // any other error of the kernel
] as const;
export type ReadFailure = (typeof readFailures)[number];

export type FileReading<T> =
  | { readonly kind: 'value'; readonly value: T }
  /** This kernel, or the controllers enabled for this cgroup, have no such file. */
  | { readonly kind: 'absent' }
  /** The cgroup was removed: ENODEV on an open descriptor, ENOENT of the directory itself. */
  | { readonly kind: 'removed' }
  | FailedReading;

export interface FailedReading {
  readonly kind: 'failed';
  readonly reason: ReadFailure;
}

/** The value, or undefined for any other kind of reading. */
export const knownOf = <T>(reading: FileReading<T>): T | undefined =>
  reading.kind === 'value' ? reading.value : undefined;

/** A limit: a number, or `max` for none. */
export type CgroupLimit = { readonly kind: 'unlimited' } | { readonly kind: 'limit'; readonly value: number };

/**
 * One cgroup, whose files are read through descriptors kept open, at position 0. Every method returns without waiting
 * (the kernel generates the files in memory), never throws, and counts its failures in the CgroupFiles that opened it.
 */
export interface CgroupFolder {
  /** Relative to the root. */
  readonly path: string;
  /** A file with one number: memory.current, memory.peak, pids.current. */
  number(file: string): FileReading<number>;
  /** A file with one number or `max`: memory.max, pids.max. */
  limit(file: string): FileReading<CgroupLimit>;
  /** cpu.max in cores: quota / period. */
  cores(): FileReading<CgroupLimit>;
  /**
   * Lines of `key number`: memory.stat, memory.events(.local), cpu.stat, cgroup.events. Only the given keys are read;
   * those that the kernel does not have are missing in the result. A malformed line omits its key, and is counted once.
   */
  keyed<Key extends string>(
    file: string,
    keys: readonly Key[],
  ): FileReading<Readonly<Partial<Record<Key, number>>>>;
  /** Totals of *.pressure in microseconds. `full` is missing where the kernel has no such line. */
  pressure(
    resource: 'cpu' | 'memory' | 'io',
  ): FileReading<{ readonly some?: number; readonly full?: number }>;
  /** The number of lines of cgroup.procs, including zeros for processes of another PID namespace. */
  processes(): FileReading<number>;
  close(): void;
}

/** Opens cgroups below one root, with a common limit on open descriptors and a common count of failures. */
export interface CgroupFiles {
  /** Opens no file yet: each is opened when first read. Close it when its cgroup is removed. */
  folder(path: string): CgroupFolder;
  /** Since the start, by reason. */
  failures(): Readonly<Record<ReadFailure, number>>;
  openDescriptors(): number;
  close(): void;
}

/** `missing`: the name, or a directory on the way to it. `dead`: an open descriptor of a removed cgroup. */
export type FileError = 'missing' | 'dead' | 'unsupported' | ReadFailure;

const fileErrors: Readonly<Record<string, FileError>> = {
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

/** What an error of the kernel means for a file of a cgroup. */
export const fileErrorOf = (thrown: unknown): FileError => fileErrors[codeOf(thrown) ?? ''] ?? 'io';
