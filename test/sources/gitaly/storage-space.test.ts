/** Free space of the storages of a virtual machine, by the paths in config.toml. */
import { mkdtempSync, rmSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, expect, test } from '@jest/globals';
import { systemClock } from '../../../src/lib/clock.ts';
import { createStorageSpace, type StatFs } from '../../../src/sources/gitaly/storage-space.ts';
import { createManualClock } from '../../support/manual-clock.ts';

const { signal } = new AbortController();
const folder = mkdtempSync(`${tmpdir()}/storage-space-`);
afterAll(() => rmSync(folder, { recursive: true }));

const read = (paths: readonly string[], statFs: StatFs) =>
  createStorageSpace(statFs, systemClock)(paths, signal);
const fileSystem = { bsize: 4096, blocks: 1000, bavail: 900, files: 100, ffree: 90 };
const failing =
  (code: string): StatFs =>
  async () =>
    Promise.reject(Object.assign(new Error(code), { code }));

test('is that of the file system of the path', async () => {
  const found = await read([folder], (path) => statfs(path));
  const { bavail, blocks, bsize } = await statfs(folder);
  expect(found).toMatchObject({ value: { capacityBytes: blocks * bsize } });
  expect('value' in found && found.value.availableBytes / (bavail * bsize)).toBeCloseTo(1, 1);
});

test('is that of the fullest of several storages', async () => {
  const statFs: StatFs = async (path) =>
    path === '/mnt/git' ? { ...fileSystem, bavail: 10, files: 0, ffree: 0 } : fileSystem;
  expect(await read(['/var/opt/gitlab/git-data', '/mnt/git'], statFs)).toEqual({
    value: { capacityBytes: 4_096_000, availableBytes: 40_960, inodes: { value: { total: 100, free: 90 } } },
  });
});

test.each<[string, readonly string[], StatFs]>([
  ['no [[storage]] with a path', [], failing('ENOENT')],
  ['is not absolute', ['git-data'], async () => fileSystem],
  ["of /mnt/git, from Gitaly's config.toml, cannot be read (ENOENT)", ['/mnt/git'], failing('ENOENT')],
  ['cannot be read (EIO)', ['/mnt/git'], failing('EIO')],
  ['may not search the folders above /mnt/git', ['/mnt/git'], failing('EACCES')],
  [
    'more than 100 storages',
    Array.from({ length: 101 }, (_, index) => `/mnt/${index}`),
    async () => fileSystem,
  ],
])('is unknown, with the reason: %s', async (why, paths, statFs) => {
  expect(await read(paths, statFs)).toEqual({ unknown: expect.stringContaining(why) });
});

test('is unknown where one of the file systems fails', async () => {
  const statFs: StatFs = (path) =>
    path === '/mnt/git' ? failing('ENODEV')(path) : Promise.resolve(fileSystem);
  expect(await read(['/srv', '/mnt/git'], statFs)).toEqual({ unknown: expect.stringContaining('ENODEV') });
});

test('one that does not respond is unknown after a limit, and holds one thread until it does', async () => {
  const clock = createManualClock();
  const response = Promise.withResolvers<typeof fileSystem>();
  const calls: string[] = [];
  const space = createStorageSpace((path) => {
    calls.push(path);
    return path === '/mnt/git' ? response.promise : Promise.resolve(fileSystem);
  }, clock);
  const first = space(['/mnt/git', '/srv'], signal);
  await clock.advance(5000);
  expect(await first).toEqual({ unknown: 'the file system of /mnt/git did not respond within 5 s' });
  expect(await space(['/srv'], signal)).toEqual({ unknown: 'the file system of /mnt/git does not respond' });
  expect(calls).toEqual(['/mnt/git']);
  response.resolve(fileSystem);
  await response.promise;
  await Promise.resolve();
  expect(await space(['/mnt/git', '/srv'], signal)).toMatchObject({ value: { capacityBytes: 4_096_000 } });
});
