/** What reading one file of a cgroup may give: a closed union, so that nobody takes a failure for a number. */

/** Why a reading failed. Closed: it is a label of gitaly_exporter_cgroup_read_failures_total{reason}. */
export const readFailures = [
  'permission', // EACCES, EPERM
  'too_many_open_files', // EMFILE, ENFILE: no descriptor was left
  'malformed', // empty, letters, negative, over 2^63-1, or longer than any kernel writes
  'io', // any other error of the kernel's
] as const;
export type ReadFailure = (typeof readFailures)[number];

export type FileReading<T> =
  | { readonly kind: 'value'; readonly value: T }
  /** This kernel, or this cgroup's controllers, have no such file. */
  | { readonly kind: 'absent' }
  /** The cgroup was removed: ENODEV on a kept descriptor, ENOENT of the directory itself. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'failed'; readonly reason: ReadFailure };

/** The value, or undefined for whatever else it is. */
export const knownOf = <T>(reading: FileReading<T>): T | undefined =>
  reading.kind === 'value' ? reading.value : undefined;

/** A limit: a number, or `max`, which is no limit. */
export type CgroupLimit = { readonly kind: 'unlimited' } | { readonly kind: 'limit'; readonly value: number };

/**
 * One cgroup whose files are read through kept descriptors, at position 0. Every method answers at once (the files
 * are made by the kernel in memory), never throws, and counts its failures by reason with whoever made the folder.
 */
export interface CgroupFolder {
  /** Relative to the root. */
  readonly path: string;
  /** A file of one number: memory.current, memory.peak, pids.current. */
  number(file: string): FileReading<number>;
  /** A file of one number or `max`: memory.max, pids.max. */
  limit(file: string): FileReading<CgroupLimit>;
  /** cpu.max: cores that may be used, quota / period. */
  cores(): FileReading<CgroupLimit>;
  /**
   * Lines of `key number`: memory.stat, memory.events(.local), cpu.stat, cgroup.events. Keys that the kernel does
   * not have are absent from the map, those that are not asked for as well. A line that is malformed loses that
   * key alone, counted once.
   */
  keyed<Key extends string>(
    file: string,
    keys: readonly Key[],
  ): FileReading<Readonly<Partial<Record<Key, number>>>>;
  /** *.pressure: totals in microseconds. `full` is absent where the kernel has no such line. */
  pressure(
    resource: 'cpu' | 'memory' | 'io',
  ): FileReading<{ readonly some?: number; readonly full?: number }>;
  /** Lines of cgroup.procs, a foreign PID namespace's zeros included. */
  processes(): FileReading<number>;
  close(): void;
}

/** Opens folders below one root; shares one budget of descriptors among them, and counts failures. */
export interface CgroupFiles {
  /** Opens nothing yet: each file is opened at its first reading. Close it when its cgroup is gone. */
  folder(path: string): CgroupFolder;
  /** How often each reason has happened since the start. */
  failures(): Readonly<Record<ReadFailure, number>>;
  /** For tests and self-metrics. */
  openDescriptors(): number;
  close(): void;
}
