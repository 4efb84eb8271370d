/** One cgroup: its files, opened when first read, kept while the budget allows it. */
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, realpathSync } from 'node:fs';
import { type FileError, fileErrorOf } from './errors.ts';
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
import type { CgroupFolder, CgroupLimit, FileReading, ReadFailure } from './reading.ts';

/** What all folders of one root share. */
export interface Shared {
  readonly root: string;
  /** One byte longer than the longest file, so that a longer one is seen as such. */
  readonly buffer: Buffer;
  readonly maxFileBytes: number;
  readonly maxDescriptors: number;
  /** How many are kept right now. */
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
const gone: Without = Object.freeze({ kind: 'gone' });
const unlimited: CgroupLimit = Object.freeze({ kind: 'unlimited' });

/**
 * O_NONBLOCK so that a named pipe in a simulated tree cannot hold us up; the kernel's files do not mind it. Node adds
 * O_CLOEXEC itself. O_NOFOLLOW guards the name alone; the way to it is compared with its real path.
 */
const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** A file that was not there is looked for again after this: a controller may have been enabled meanwhile. */
const absentMs = 60_000;

/** cgroup.procs has a line for each process: 1 MiB is over 100,000 of them. */
const maxProcessBytes = 1024 * 1024;

const isPlain = (name: string): boolean =>
  name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0');

/** What is known of one file. */
interface File {
  /** -1 while none is kept. */
  descriptor: number;
  /** Monotonic ms: until then it is taken for absent. */
  absentUntil: number;
}

/** Which directory a path stood for: another one may be made there. */
interface Inode {
  readonly ino: number;
  /** Only asked where numbers are used again at once. */
  readonly bornMs: number;
}

/** The bytes of keys, made once for each list of keys. */
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

  /** The cgroup went, or another stands in its place: nothing of what is known is true of that. */
  function forget(): void {
    for (const file of files.values()) drop(file);
    files.clear();
    inode = undefined;
  }

  function lose(): Without {
    forget();
    return gone;
  }

  /** Follows no link on the way, whoever made it. A cgroup file system has none; a simulated tree may. */
  function isOnItsPlace(): boolean {
    const root = realpathSync.native(shared.root);
    return realpathSync.native(directory) === (path === '' ? root : `${root === '/' ? '' : root}/${path}`);
  }

  /** Whether the directory is the one whose files were opened, or the first. Throws as the kernel refuses. */
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

  /** Opens the file: its descriptor, or what there is in place of one. */
  function open(file: string): number | Without {
    try {
      const isKnown = inode !== undefined && shared.isKernel();
      if (!isKnown && !isOnItsPlace()) return shared.fail('io');
      if (!compareDirectory()) return lose();
      return openSync(`${directory}/${file}`, flags);
    } catch (error) {
      const found = fileErrorOf(error);
      return found === 'missing' && !isSameDirectory() ? lose() : withoutOf(found);
    }
  }

  function withoutOf(error: FileError): Without {
    switch (error) {
      case 'missing':
      case 'unsupported':
        return absent;
      case 'dead':
        return lose();
      default:
        return shared.fail(error);
    }
  }

  /** Reads with `take`, which returns what it found; its errors of the kernel are sorted here. */
  function read<T>(name: string, take: (descriptor: number) => FileReading<T>): FileReading<T> {
    if (isClosed) return gone;
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
      // The cgroup was removed, or this file alone: its controller was disabled, or a simulation replaced it.
      drop(file);
      if (!isSameDirectory()) return lose();
    } else if (file.absentUntil > shared.monotonic()) return absent;
    return openAndRead(name, file, take);
  }

  /** Outside a kernel's cgroups a removed file can be read for ever: it must not be. */
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

  /** An error in reading: the next reading opens the file anew. */
  function afterError(file: File, error: FileError): Without {
    drop(file);
    const without = withoutOf(error);
    if (without.kind === 'absent') file.absentUntil = shared.monotonic() + absentMs;
    return without;
  }

  /** A whole file at once: the kernel makes it in one piece. What is longer than any reads as empty: malformed. */
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
    // It is closed either way.
  }
}
