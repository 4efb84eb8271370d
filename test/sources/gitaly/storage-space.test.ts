/** Free space of the storages of a virtual machine, by the paths in config.toml. */
import { mkdtempSync, rmSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, expect, test } from '@jest/globals';
import { type StatFs, storageSpace } from '../../../src/sources/gitaly/storage-space.ts';

const { signal } = new AbortController();
const folder = mkdtempSync(`${tmpdir()}/storage-space-`);
afterAll(() => rmSync(folder, { recursive: true }));

const fileSystem = { bsize: 4096, blocks: 1000, bavail: 900, files: 100, ffree: 90 };
const failing =
  (code: string): StatFs =>
  async () =>
    Promise.reject(Object.assign(new Error(code), { code }));

test('is that of the file system of the path', async () => {
  const found = await storageSpace([folder], (path) => statfs(path), signal);
  const { bavail, blocks, bsize } = await statfs(folder);
  expect(found).toMatchObject({ value: { capacityBytes: blocks * bsize } });
  expect('value' in found && found.value.availableBytes / (bavail * bsize)).toBeCloseTo(1, 1);
});

test('is that of the fullest of several storages', async () => {
  const statFs: StatFs = async (path) =>
    path === '/mnt/git' ? { ...fileSystem, bavail: 10, files: 0, ffree: 0 } : fileSystem;
  expect(await storageSpace(['/var/opt/gitlab/git-data', '/mnt/git'], statFs, signal)).toEqual({
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
  expect(await storageSpace(paths, statFs, signal)).toEqual({ unknown: expect.stringContaining(why) });
});

test('is unknown where one of the file systems fails or does not respond', async () => {
  const statFs: StatFs = (path) =>
    path === '/mnt/git' ? failing('ENODEV')(path) : Promise.resolve(fileSystem);
  expect(await storageSpace(['/srv', '/mnt/git'], statFs, signal)).toEqual({
    unknown: expect.stringContaining('ENODEV'),
  });
  const hanging: StatFs = () => new Promise(() => undefined);
  expect(await storageSpace(['/srv'], hanging, AbortSignal.abort())).toEqual({
    unknown: expect.stringContaining('did not respond in time'),
  });
});
