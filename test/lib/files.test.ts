/** Reads of a path that may be something other than a file: each ends within its limits on bytes and time. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readErrorText, readTextFile, readTextFileSync, whyUnreadable } from '../../src/lib/files.ts';

let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'files-'));
  writeFileSync(join(folder, 'text'), 'gitaly ä\n');
  writeFileSync(join(folder, 'large'), 'x'.repeat(200_000));
  symlinkSync('text', join(folder, 'link'));
  execFileSync('mkfifo', [join(folder, 'pipe')]);
});

afterAll(() => rmSync(folder, { recursive: true }));

const readers = [
  [
    'readTextFile',
    (path: string, maxBytes?: number) => readTextFile(path, maxBytes === undefined ? {} : { maxBytes }),
  ],
  [
    'readTextFileSync',
    async (path: string, maxBytes?: number) =>
      readTextFileSync(path, maxBytes === undefined ? {} : { maxBytes }),
  ],
] as const;

describe.each(readers)('%s', (_name, read) => {
  const errorOf = (path: string, maxBytes?: number): Promise<unknown> =>
    read(path, maxBytes).then(
      () => undefined,
      (error: unknown) => error,
    );

  test('returns the text of a file, also through a symbolic link', async () => {
    expect(await read(join(folder, 'text'))).toBe('gitaly ä\n');
    expect(await read(join(folder, 'link'))).toBe('gitaly ä\n');
    expect((await read(join(folder, 'large'))).length).toBe(200_000);
  });

  test('reads a file of the kernel, which has the size 0', async () => {
    expect(await read('/proc/self/mountinfo')).toContain('/proc');
  });

  test.each([
    ['pipe', 'named pipe, not a regular file'],
    ['/dev/zero', 'device, not a regular file'],
    ['/dev/urandom', 'device, not a regular file'],
  ])('fails immediately at %s', async (name, expected) => {
    const path = name.startsWith('/') ? name : join(folder, name);
    expect(readErrorText(await errorOf(path))).toBe(expected);
    expect(whyUnreadable(await errorOf(path))).toBe(`cannot be read (${expected})`);
  });

  test('fails at a file that exceeds the limit on bytes', async () => {
    expect(readErrorText(await errorOf(join(folder, 'large'), 100_000))).toBe('larger than 98 KiB');
  });

  test('fails at a directory, a missing file and a socket', async () => {
    expect(whyUnreadable(await errorOf(folder))).toBe('is a directory, not a file');
    expect(whyUnreadable(await errorOf(join(folder, 'none')))).toBe('does not exist');
    const server = createServer().listen(join(folder, 'socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    expect(whyUnreadable(await errorOf(join(folder, 'socket')))).toBe('cannot be read (ENXIO)');
    await new Promise((resolve) => server.close(resolve));
  });
});

test('readTextFileSync does not follow a symbolic link when that is disabled', () => {
  expect(() => readTextFileSync(join(folder, 'link'), { noFollow: true })).toThrow('ELOOP');
});

test('readTextFile fails at its deadline', async () => {
  const started = performance.now();
  const path = join(folder, 'sparse');
  writeFileSync(path, '');
  truncateSync(path, 512 * 1024 ** 2);
  const read = readTextFile(path, { maxBytes: 1024 ** 3, timeoutMs: 1 });
  await expect(read).rejects.toThrow('no response within 1 ms');
  expect(performance.now() - started).toBeLessThan(1000);
});
