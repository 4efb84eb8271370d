/** What an open file of a cgroup contains, as readings. */
import { readSync } from 'node:fs';
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
import type { CgroupLimit, FailedReading, FileReading, ReadFailure } from './reading.ts';

/** What all reads share: each is over before the next one begins. */
export interface ReadBuffer {
  /** One byte longer than the longest file, so that a longer file is detected. */
  readonly buffer: Buffer;
  readonly maxFileBytes: number;
  /** Counts it. */
  fail(reason: ReadFailure): FailedReading;
}

/** Takes what a file contains, given the keys that are wanted of it. Throws the kernel's error. */
export type Take<T, Keys = undefined> = (
  shared: ReadBuffer,
  descriptor: number,
  keys: Keys,
) => FileReading<T>;

export interface WantedKeys<Key extends string> {
  readonly keys: readonly Key[];
  /** Their bytes. */
  readonly patterns: readonly Buffer[];
}

/** Computed once per list of keys. */
const wantedByList = new WeakMap<readonly string[], WantedKeys<string>>();
export function wantedOf<Key extends string>(keys: readonly Key[]): WantedKeys<Key> {
  let wanted = wantedByList.get(keys);
  if (wanted === undefined) {
    wanted = { keys, patterns: keys.map((key) => Buffer.from(key)) };
    wantedByList.set(keys, wanted);
  }
  return wanted as WantedKeys<Key>;
}

const unlimited: CgroupLimit = Object.freeze({ kind: 'unlimited' });

/** cgroup.procs has one line per process: 1 MiB is over 100,000 processes. */
const maxProcessBytes = 1024 * 1024;

/** Reads the whole file in one call, as the kernel generates it. A file that is too long counts as empty: malformed. */
function fill({ buffer, maxFileBytes }: ReadBuffer, descriptor: number): number {
  const length = readSync(descriptor, buffer, 0, buffer.length, 0);
  return length > maxFileBytes ? 0 : length;
}

export const takeNumber: Take<number> = (shared, descriptor) => {
  const value = singleNumber(shared.buffer, fill(shared, descriptor));
  return value === malformed ? shared.fail('malformed') : { kind: 'value', value };
};

export const takeLimit: Take<CgroupLimit> = (shared, descriptor) =>
  limitOf(shared, singleLimit(shared.buffer, fill(shared, descriptor)));

export const takeCores: Take<CgroupLimit> = (shared, descriptor) =>
  limitOf(shared, coresOf(shared.buffer, fill(shared, descriptor)));

function limitOf(shared: ReadBuffer, value: number): FileReading<CgroupLimit> {
  if (value === malformed) return shared.fail('malformed');
  return {
    kind: 'value',
    value: value === Number.POSITIVE_INFINITY ? unlimited : { kind: 'limit', value },
  };
}

export const takeKeyed = <Key extends string>(
  shared: ReadBuffer,
  descriptor: number,
  { keys, patterns }: WantedKeys<Key>,
): FileReading<Readonly<Partial<Record<Key, number>>>> =>
  linesOf(shared, keyedNumbers(shared.buffer, fill(shared, descriptor), keys, patterns));

export const takePressure: Take<{ readonly some?: number; readonly full?: number }> = (shared, descriptor) =>
  linesOf(shared, pressureTotals(shared.buffer, fill(shared, descriptor)));

function linesOf<Key extends string>(
  shared: ReadBuffer,
  lines: Lines<Key> | undefined,
): FileReading<Readonly<Partial<Record<Key, number>>>> {
  if (lines === undefined) return shared.fail('malformed');
  for (let counted = 0; counted < lines.malformed; counted++) shared.fail('malformed');
  return { kind: 'value', value: lines.values };
}

export const takeProcesses: Take<number> = (shared, descriptor) => {
  const { buffer } = shared;
  let count: ReturnType<typeof countNumbers> = { lines: 0, isOpen: false };
  let at = 0;
  while (count !== undefined && at <= maxProcessBytes) {
    const length = readSync(descriptor, buffer, 0, buffer.length, at);
    if (length === 0) return count.isOpen ? shared.fail('malformed') : { kind: 'value', value: count.lines };
    count = countNumbers(buffer, length, count);
    at += length;
  }
  return shared.fail('malformed');
};
