/** One cgroup: its files, opened when first read, and kept open as far as the limit on descriptors allows. */
import { closeSync, constants, fstatSync, lstatSync, openSync, realpathSync } from 'node:fs';
import {
  type ReadBuffer,
  type Take,
  takeCores,
  takeKeyed,
  takeLimit,
  takeNumber,
  takePressure,
  takeProcesses,
  wantedOf,
} from './contents.ts';
import {
  type CgroupFolder,
  type CgroupLimit,
  type FileError,
  type FileReading,
  fileErrorOf,
} from './reading.ts';

/** What all cgroups of one root share. */
export interface Shared extends ReadBuffer {
  readonly root: string;
  readonly maxDescriptors: number;
  /** How many are kept open now. */
  descriptors: number;
  monotonic(): number;
  /** A small number for the name of a file, the same in all cgroups; undefined where it leads elsewhere. */
  slotOf(file: string): number | undefined;
  isKernel(): boolean;
  forget(folder: CgroupFolder): void;
}

type Without = Exclude<FileReading<never>, { kind: 'value' }>;

const absent: Without = Object.freeze({ kind: 'absent' });
const removed: Without = Object.freeze({ kind: 'removed' });

/**
 * O_NONBLOCK so that a named pipe in a simulated tree cannot block the exporter; it does not affect the kernel's files.
 * Node adds O_CLOEXEC itself. O_NOFOLLOW covers the file name only; its directory is compared with its real path.
 */
const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** An absent file is opened again after this long: its controller may have been enabled. */
const absentMs = 60_000;

/**
 * The files of a cgroup are read one after the other: where they are opened with each read, the directory is not
 * compared each time, which costs as much as opening a file.
 */
const comparedMs = 50;

export const isPlain = (name: string): boolean =>
  name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0');

/** Identifies the directory at a path: another one may be created there later. */
interface Inode {
  readonly ino: number;
  /** 0 on a cgroup file system, which does not reuse inode numbers immediately. */
  readonly bornMs: number;
}

export const createCgroupFolder = (shared: Shared, path: string): CgroupFolder => new Folder(shared, path);

/**
 * A class with its descriptors in one small array, as the state of thousands of cgroups is not in the processor's caches:
 * as closures with a Map of files, it took 1.2 times as long to read them.
 */
class Folder implements CgroupFolder {
  readonly path: string;
  readonly #shared: Shared;
  /** By the file's slot, -1 while it is not open. */
  readonly #descriptors: number[] = [];
  /** By the file's name, monotonic milliseconds: until then it counts as absent. */
  #absentUntil: Map<string, number> | undefined;
  #inode: Inode | undefined;
  /** Monotonic milliseconds. */
  #comparedAt = 0;
  #isClosed = false;

  constructor(shared: Shared, path: string) {
    this.#shared = shared;
    this.path = path;
  }

  number(file: string): FileReading<number> {
    return this.#read(file, takeNumber, undefined);
  }

  limit(file: string): FileReading<CgroupLimit> {
    return this.#read(file, takeLimit, undefined);
  }

  cores(): FileReading<CgroupLimit> {
    return this.#read('cpu.max', takeCores, undefined);
  }

  keyed<Key extends string>(
    file: string,
    keys: readonly Key[],
  ): FileReading<Readonly<Partial<Record<Key, number>>>> {
    return this.#read(file, takeKeyed<Key>, wantedOf(keys));
  }

  pressure(
    resource: 'cpu' | 'memory' | 'io',
  ): FileReading<{ readonly some?: number; readonly full?: number }> {
    return this.#read(`${resource}.pressure`, takePressure, undefined);
  }

  processes(): FileReading<number> {
    return this.#read('cgroup.procs', takeProcesses, undefined);
  }

  close(): void {
    this.#forget();
    this.#isClosed = true;
    this.#shared.forget(this);
  }

  /** Reads with `take`, and turns errors of the kernel into readings. */
  #read<T, Keys>(name: string, take: Take<T, Keys>, keys: Keys): FileReading<T> {
    if (this.#isClosed) return removed;
    const slot = this.#shared.slotOf(name);
    if (slot === undefined) return this.#shared.fail('io');
    const descriptor = this.#descriptors[slot] ?? -1;
    if (descriptor >= 0) {
      if (this.#shared.isKernel() || isLinked(descriptor)) {
        try {
          return take(this.#shared, descriptor, keys);
        } catch (thrown) {
          const found = fileErrorOf(thrown);
          if (found !== 'dead') return this.#afterError(name, slot, found);
        }
      }
      // The cgroup was removed, or only this file: its controller was disabled, or a simulation replaced it.
      this.#drop(slot);
      if (!this.#isSameDirectory()) return this.#markRemoved();
    } else if ((this.#absentUntil?.get(name) ?? 0) > this.#shared.monotonic()) return absent;
    return this.#openAndRead(name, slot, take, keys);
  }

  #openAndRead<T, Keys>(name: string, slot: number, take: Take<T, Keys>, keys: Keys): FileReading<T> {
    const shared = this.#shared;
    const descriptor = this.#open(name);
    if (typeof descriptor !== 'number') return this.#keepAbsence(name, descriptor);
    const isKept = shared.descriptors < shared.maxDescriptors;
    if (isKept) {
      while (this.#descriptors.length <= slot) this.#descriptors.push(-1);
      this.#descriptors[slot] = descriptor;
      shared.descriptors++;
    }
    try {
      return take(shared, descriptor, keys);
    } catch (thrown) {
      return this.#afterError(name, slot, fileErrorOf(thrown));
    } finally {
      if (!isKept) close(descriptor);
    }
  }

  /** The file's descriptor, or the reading that takes its place. */
  #open(file: string): number | Without {
    const shared = this.#shared;
    try {
      const isKnown = this.#inode !== undefined && shared.isKernel();
      if (!isKnown && !(this.#isSafe() && this.#isFreeOfLinks())) return shared.fail('io');
      const isCurrent = isKnown && shared.monotonic() - this.#comparedAt < comparedMs;
      if (!isCurrent && !this.#compareDirectory()) return this.#markRemoved();
      const descriptor = openSync(`${this.#directory()}/${file}`, flags);
      if (shared.isKernel() || fstatSync(descriptor).isFile()) return descriptor;
      // A pipe, a socket or a device in a simulated tree.
      close(descriptor);
      return shared.fail('io');
    } catch (error) {
      const found = fileErrorOf(error);
      return found === 'missing' && !this.#isSameDirectory() ? this.#markRemoved() : this.#withoutOf(found);
    }
  }

  #isSafe(): boolean {
    return this.path === '' || this.path.split('/').every(isPlain);
  }

  #directory(): string {
    return this.path === '' ? this.#shared.root : `${this.#shared.root}/${this.path}`;
  }

  /** False when the path leads through a symbolic link. A cgroup file system has none; a simulated tree may. */
  #isFreeOfLinks(): boolean {
    const root = realpathSync.native(this.#shared.root);
    const expected = this.path === '' ? root : `${root === '/' ? '' : root}/${this.path}`;
    return realpathSync.native(this.#directory()) === expected;
  }

  /** Whether the directory is still the one whose files were opened. Throws the kernel's error. */
  #compareDirectory(): boolean {
    const { ino, birthtimeMs } = lstatSync(this.#directory());
    const now: Inode = { ino, bornMs: this.#shared.isKernel() ? 0 : birthtimeMs };
    this.#inode ??= now;
    this.#comparedAt = this.#shared.monotonic();
    return now.ino === this.#inode.ino && now.bornMs === this.#inode.bornMs;
  }

  #isSameDirectory(): boolean {
    try {
      return this.#compareDirectory();
    } catch {
      return false;
    }
  }

  /** After a read error the next read opens the file again. */
  #afterError(name: string, slot: number, error: FileError): Without {
    this.#drop(slot);
    return this.#keepAbsence(name, this.#withoutOf(error));
  }

  #keepAbsence(name: string, without: Without): Without {
    if (without.kind === 'absent') {
      this.#absentUntil ??= new Map();
      this.#absentUntil.set(name, this.#shared.monotonic() + absentMs);
    }
    return without;
  }

  #withoutOf(error: FileError): Without {
    switch (error) {
      case 'missing':
      case 'unsupported':
        return absent;
      case 'dead':
        return this.#markRemoved();
      default:
        return this.#shared.fail(error);
    }
  }

  #markRemoved(): Without {
    this.#forget();
    return removed;
  }

  /** The cgroup was removed or replaced: all state is that of the old one. */
  #forget(): void {
    for (let slot = 0; slot < this.#descriptors.length; slot++) this.#drop(slot);
    this.#absentUntil = undefined;
    this.#inode = undefined;
  }

  #drop(slot: number): void {
    const descriptor = this.#descriptors[slot] ?? -1;
    if (descriptor < 0) return;
    close(descriptor);
    this.#descriptors[slot] = -1;
    this.#shared.descriptors--;
  }
}

/** Outside a cgroup file system a removed file could be read through its descriptor forever. */
function isLinked(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).nlink > 0;
  } catch {
    return false;
  }
}

function close(descriptor: number): void {
  try {
    closeSync(descriptor);
  } catch {
    // Closed either way.
  }
}
