import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createCgroupFiles } from '../../../../src/sources/cgroup/files/files.ts';
import type { CgroupFiles, CgroupFolder, FileReading } from '../../../../src/sources/cgroup/files/reading.ts';

let root: string;
let files: CgroupFiles;
let folder: CgroupFolder;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'cgroup-fuzz-'));
  mkdirSync(join(root, 'pod'));
  files = createCgroupFiles({ root });
  folder = files.folder('pod');
});

afterAll(() => {
  files.close();
  rmSync(root, { recursive: true, force: true });
});

/** A slow and simple reference parser; undefined for malformed content. */
const decimal = /^(0|[1-9]\d*)$/;
const numberOf = (text: string): number | undefined =>
  decimal.test(text) && BigInt(text) < 2n ** 63n ? Number(text) : undefined;

const lineOf = (text: string): string | undefined =>
  text.endsWith('\n') && text.length <= 65_536 ? text.slice(0, -1) : undefined;

function keyedOf(text: string, keys: readonly string[]): Record<string, number> | undefined {
  if (text.length > 65_536) return undefined;
  const lines = text.split('\n').slice(0, -1);
  const cutOff = text.split('\n').at(-1) ?? '';
  const found = Object.fromEntries(
    keys.flatMap((key) => {
      const isOf = (line: string): boolean => line === key || line.startsWith(`${key} `);
      const [line, ...more] = lines.filter(isOf);
      const value = line?.startsWith(`${key} `) ? numberOf(line.slice(key.length + 1)) : undefined;
      return value === undefined || more.length > 0 || isOf(cutOff) ? [] : [[key, value]];
    }),
  );
  const isSome = [...lines, cutOff].some((line) =>
    keys.some((key) => line === key || line.startsWith(`${key} `)),
  );
  return isSome || lines.some((line) => /^\S+ \d+$/.test(line)) ? found : undefined;
}

function totalsOf(text: string): Record<string, number> | undefined {
  const found: Record<string, number> = {};
  if (text.length > 65_536) return undefined;
  for (const kind of ['some', 'full']) {
    const form = new RegExp(`^${kind} avg10=\\S+ avg60=\\S+ avg300=\\S+ total=\\S+$`);
    const values = text
      .split('\n')
      .slice(0, -1)
      .filter((line) => form.test(line))
      .map((line) => numberOf(line.slice(line.lastIndexOf('=') + 1)))
      .filter((value) => value !== undefined);
    if (values.length > 1) return undefined;
    if (values[0] !== undefined) found[kind] = values[0];
  }
  return Object.keys(found).length > 0 ? found : undefined;
}

const readingOf = <T>(value: T | undefined): FileReading<T> =>
  value === undefined ? { kind: 'failed', reason: 'malformed' } : { kind: 'value', value };

const limitOf = (value: number | undefined) =>
  readingOf(
    value === undefined ? undefined : value === Infinity ? { kind: 'unlimited' } : { kind: 'limit', value },
  );

const coresOf = (text: string): number | undefined => {
  const [quota = '', period = '', ...more] = (lineOf(text) ?? '').split(' ');
  const length = numberOf(period);
  const used = quota === 'max' ? Infinity : numberOf(quota);
  return more.length > 0 || !length || used === undefined ? undefined : used / length;
};

const keys = ['oom', 'oom_kill', 'oom_group_kill', 'max'] as const;
const digits = fc.oneof(
  fc.nat().map(String),
  fc.bigInt({ min: 0n, max: 2n ** 64n }).map(String),
  fc.constantFrom('0', '00', '-1', '', 'max', '9223372036854775807', '9223372036854775808', 'x', '1 ', ' 1'),
);
const line = fc.oneof(
  digits,
  fc
    .tuple(fc.constantFrom(...keys, 'low', 'oom_', 'some', 'full'), digits)
    .map(([key, value]) => `${key} ${value}`),
  fc
    .tuple(fc.constantFrom('some', 'full'), digits)
    .map(([kind, value]) => `${kind} avg10=0.00 avg60=1.00 avg300=0.10 total=${value}`),
  fc.tuple(digits, digits).map(([quota, period]) => `${quota} ${period}`),
  fc.string(),
);
/** Content similar to the kernel's, truncated anywhere, and arbitrary bytes. */
const bytes = fc.oneof(
  fc
    .tuple(fc.array(line, { maxLength: 6 }), fc.nat({ max: 400 }), fc.boolean())
    .map(([lines, cut, whole]) => {
      const text = Buffer.from(lines.map((each) => `${each}\n`).join(''));
      return whole ? text : text.subarray(0, cut);
    }),
  fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
  fc.constantFrom(65_535, 65_536, 65_537, 70_000).map((length) => Buffer.alloc(length, '1\n')),
);

describe('any content of a file is read correctly or is a failure, for', () => {
  const name = 'file';
  const path = (file: string): string => join(root, 'pod', file);
  const check = (file: string, read: (text: string) => void): void =>
    fc.assert(
      fc.property(bytes, (content) => {
        writeFileSync(path(file), content);
        read(content.toString('latin1'));
      }),
      { numRuns: 500 },
    );

  test('a number', () => {
    check(name, (text) => expect(folder.number(name)).toEqual(readingOf(numberOf(lineOf(text) ?? ''))));
  });

  test('a limit', () => {
    check(name, (text) =>
      expect(folder.limit(name)).toEqual(
        limitOf(lineOf(text) === 'max' ? Infinity : numberOf(lineOf(text) ?? '')),
      ),
    );
  });

  test('cores', () => {
    check('cpu.max', (text) => expect(folder.cores()).toEqual(limitOf(coresOf(text))));
  });

  test('keys', () => {
    check(name, (text) => expect(folder.keyed(name, keys)).toEqual(readingOf(keyedOf(text, keys))));
  });

  test('pressure', () => {
    check('io.pressure', (text) => expect(folder.pressure('io')).toEqual(readingOf(totalsOf(text))));
  });

  test('processes', () => {
    check('cgroup.procs', (text) => {
      const isWhole =
        text === '' ||
        (text.endsWith('\n') &&
          text
            .split('\n')
            .slice(0, -1)
            .every((pid) => /^\d+$/.test(pid)));
      expect(folder.processes()).toEqual(readingOf(isWhole ? text.split('\n').length - 1 : undefined));
    });
  });

  test('the count of failures', () => {
    const before = files.failures().malformed;
    writeFileSync(path(name), 'oom 1\noom_kill x\n');
    folder.keyed(name, keys);
    folder.number(name);
    expect(files.failures().malformed).toBe(before + 2);
    expect(files.openDescriptors()).toBe(4);
  });
});
