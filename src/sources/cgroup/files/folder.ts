/** One cgroup: its files, opened when first read, and kept open as far as the limit on descriptors allows. */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, realpathSync } from 'node:fs';
import {
  coresOf,
  countNumbers,
  keyedNumbers,
  type Lines,
  malformed,
  pressureTotals,
  singleLimit,
  singleNumber,
} from './parse.ts';
import {
  type CgroupFolder,
  type CgroupLimit,
  type FileError,
  type FileReading,
  fileErrorOf,
  type ReadFailure,
} from './reading.ts';

/** What all cgroups of one root share. */
export interface Shared {
  readonly root: string;
  /** One byte longer than the longest file, so that a longer file is detected. */
  readonly buffer: Buffer;
  readonly maxFileBytes: number;
  readonly maxDescriptors: number;
  /** How many are kept open now. */
  descriptors: number;
  monotonic(): number;
  isKernel(): boolean;
  /** Counts it. */
  fail(reason: ReadFailure): Failed;
  forget(folder: CgroupFolder): void;
}

type Failed = Extract<FileReading<never>, { kind: 'failed' }>;
type Without = Exclude<FileReading<never>, { kind: 'value' }>;

const absent: Without = Object.freeze({ kind: 'absent' });
const removed: Without = Object.freeze({ kind: 'removed' });
const unlimited: CgroupLimit = Object.freeze({ kind: 'unlimited' });

/**
 * O_NONBLOCK so that a named pipe in a simulated tree cannot block the exporter; it does not affect the kernel's files.
 * Node adds O_CLOEXEC itself. O_NOFOLLOW covers the file name only; its directory is compared with its real path.
 */
const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** An absent file is opened again after this long: its controller may have been enabled. */
const absentMs = 60_000;

/** cgroup.procs has one line per process: 1 MiB is over 100,000 processes. */
const maxProcessBytes = 1024 * 1024;

const isPlain = (name: string): boolean =>
  name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0');

/** State of one file. */
interface File {
  /** -1 while it is not open. */
  descriptor: number;
  /** Monotonic milliseconds: until then it counts as absent. */
  absentUntil: number;
}

/** Identifies the directory at a path: another one may be created there later. */
interface Inode {
  readonly ino: number;
  /** 0 on a cgroup file system, which does not reuse inode numbers immediately. */
  readonly bornMs: number;
}

/** The bytes of the keys, computed once per list of keys. */
const patternsOfKeys = new WeakMap<readonly string[], readonly Buffer[]>();
function patternsOf(keys: readonly string[]): readonly Buffer[] {
  let patterns = patternsOfKeys.get(keys);
  if (patterns === undefined) {
    patterns = keys.map((key) => Buffer.from(key));
    patternsOfKeys.set(keys, patterns);
  }
  return patterns;
}

export function createCgroupFolder(shared: Shared, path: string): CgroupFolder {
  const files = new Map<string, File>();
  const { buffer } = shared;
  const isSafe = path === '' || path.split('/').every(isPlain);
  const directory = path === '' ? shared.root : `${shared.root}/${path}`;
  let inode: Inode | undefined;
  let isClosed = false;

  function drop(file: File): void {
    if (file.descriptor < 0) return;
    close(file.descriptor);
    file.descriptor = -1;
    shared.descriptors--;
  }

  /** The cgroup was removed or replaced: all state is that of the old one. */
  function forget(): void {
    for (const file of files.values()) drop(file);
    files.clear();
    inode = undefined;
  }

  function markRemoved(): Without {
    forget();
    return removed;
  }

  /** False when the path leads through a symbolic link. A cgroup file system has none; a simulated tree may. */
  function isFreeOfLinks(): boolean {
    const root = realpathSync.native(shared.root);
    return realpathSync.native(directory) === (path === '' ? root : `${root === '/' ? '' : root}/${path}`);
  }

  /** Whether the directory is still the one whose files were opened. Throws the kernel's error. */
  function compareDirectory(): boolean {
    const { ino, birthtimeMs } = lstatSync(directory);
    const now: Inode = { ino, bornMs: shared.isKernel() ? 0 : birthtimeMs };
    inode ??= now;
    return now.ino === inode.ino && now.bornMs === inode.bornMs;
  }

  function isSameDirectory(): boolean {
    try {
      return compareDirectory();
    } catch {
      return false;
    }
  }

  /** The file's descriptor, or the reading that takes its place. */
  function open(file: string): number | Without {
    try {
      const isKnown = inode !== undefined && shared.isKernel();
      if (!isKnown && !isFreeOfLinks()) return shared.fail('io');
      if (!compareDirectory()) return markRemoved();
      const descriptor = openSync(`${directory}/${file}`, flags);
      if (shared.isKernel() || fstatSync(descriptor).isFile()) return descriptor;
      // A pipe, a socket or a device in a simulated tree.
      close(descriptor);
      return shared.fail('io');
    } catch (error) {
      const found = fileErrorOf(error);
      return found === 'missing' && !isSameDirectory() ? markRemoved() : withoutOf(found);
    }
  }

  function withoutOf(error: FileError): Without {
    switch (error) {
      case 'missing':
      case 'unsupported':
        return absent;
      case 'dead':
        return markRemoved();
      default:
        return shared.fail(error);
    }
  }

  /** Reads with `take`, and turns errors of the kernel into readings. */
  function read<T>(name: string, take: (descriptor: number) => FileReading<T>): FileReading<T> {
    if (isClosed) return removed;
    let file = files.get(name);
    if (file === undefined) {
      if (!isSafe || !isPlain(name)) return shared.fail('io');
      file = { descriptor: -1, absentUntil: Number.NEGATIVE_INFINITY };
      files.set(name, file);
    }
    if (file.descriptor >= 0) {
      const error = tryKept(file.descriptor);
      if (error === undefined) {
        try {
          return take(file.descriptor);
        } catch (thrown) {
          const found = fileErrorOf(thrown);
          if (found !== 'dead') return afterError(file, found);
        }
      }
      // The cgroup was removed, or only this file: its controller was disabled, or a simulation replaced it.
      drop(file);
      if (!isSameDirectory()) return markRemoved();
    } else if (file.absentUntil > shared.monotonic()) return absent;
    return openAndRead(name, file, take);
  }

  /** Outside a cgroup file system a removed file could be read through its descriptor forever. */
  function tryKept(descriptor: number): 'dead' | undefined {
    if (shared.isKernel()) return undefined;
    try {
      return fstatSync(descriptor).nlink === 0 ? 'dead' : undefined;
    } catch {
      return 'dead';
    }
  }

  function openAndRead<T>(
    name: string,
    file: File,
    take: (descriptor: number) => FileReading<T>,
  ): FileReading<T> {
    const descriptor = open(name);
    if (typeof descriptor !== 'number') {
      if (descriptor.kind === 'absent') file.absentUntil = shared.monotonic() + absentMs;
      return descriptor;
    }
    const isKept = shared.descriptors < shared.maxDescriptors;
    if (isKept) {
      file.descriptor = descriptor;
      shared.descriptors++;
    }
    try {
      return take(descriptor);
    } catch (thrown) {
      return afterError(file, fileErrorOf(thrown));
    } finally {
      if (!isKept) close(descriptor);
    }
  }

  /** After a read error the next read opens the file again. */
  function afterError(file: File, error: FileError): Without {
    drop(file);
    const without = withoutOf(error);
    if (without.kind === 'absent') file.absentUntil = shared.monotonic() + absentMs;
    return without;
  }

  /** Reads the whole file in one call, as the kernel generates it. A file that is too long counts as empty: malformed. */
  function fill(descriptor: number): number {
    const length = readSync(descriptor, buffer, 0, buffer.length, 0);
    return length > shared.maxFileBytes ? 0 : length;
  }

  const takeNumber = (descriptor: number): FileReading<number> => {
    const value = singleNumber(buffer, fill(descriptor));
    return value === malformed ? shared.fail('malformed') : { kind: 'value', value };
  };

  const limitOf = (value: number): FileReading<CgroupLimit> => {
    if (value === malformed) return shared.fail('malformed');
    return {
      kind: 'value',
      value: value === Number.POSITIVE_INFINITY ? unlimited : { kind: 'limit', value },
    };
  };

  const linesOf = <Key extends string>(
    lines: Lines<Key> | undefined,
  ): FileReading<Readonly<Partial<Record<Key, number>>>> => {
    if (lines === undefined) return shared.fail('malformed');
    for (let counted = 0; counted < lines.malformed; counted++) shared.fail('malformed');
    return { kind: 'value', value: lines.values };
  };

  const takeProcesses = (descriptor: number): FileReading<number> => {
    let count: ReturnType<typeof countNumbers> = { lines: 0, isOpen: false };
    let at = 0;
    while (count !== undefined && at <= maxProcessBytes) {
      const length = readSync(descriptor, buffer, 0, buffer.length, at);
      if (length === 0)
        return count.isOpen ? shared.fail('malformed') : { kind: 'value', value: count.lines };
      count = countNumbers(buffer, length, count);
      at += length;
    }
    return shared.fail('malformed');
  };

  const folder: CgroupFolder = {
    path,
    number: (file) => read(file, takeNumber),
    limit: (file) => read(file, (descriptor) => limitOf(singleLimit(buffer, fill(descriptor)))),
    cores: () => read('cpu.max', (descriptor) => limitOf(coresOf(buffer, fill(descriptor)))),
    keyed(file, keys) {
      const patterns = patternsOf(keys);
      return read(file, (descriptor) => linesOf(keyedNumbers(buffer, fill(descriptor), keys, patterns)));
    },
    pressure: (resource) =>
      read(`${resource}.pressure`, (descriptor) => linesOf(pressureTotals(buffer, fill(descriptor)))),
    processes: () => read('cgroup.procs', takeProcesses),
    close() {
      forget();
      isClosed = true;
      shared.forget(folder);
    },
  };
  return folder;
}

function close(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch {
    // Closed either way.
  }
}
