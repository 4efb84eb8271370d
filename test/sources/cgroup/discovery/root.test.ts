import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { cgroupMountOptions } from '../../../../src/sources/cgroup/discovery/root.ts';
import { finderOf, sliceOf } from './support.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cgroup-root-'));
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const write = (files: readonly string[], text = ''): void => {
  for (const file of files) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(
      join(root, file),
      file.endsWith('cgroup.controllers') && text === '' ? 'cpu memory\n' : text,
    );
  }
};

const find = (at = root) => finderOf(at).find(new AbortController().signal);

describe('a root that is not the cgroup v2 of a host fails with the fix', () => {
  test.each([
    ['an empty folder', [], 'is not cgroup v2 (it has no cgroup.controllers)'],
    [
      'cgroup v1',
      ['memory/cgroup.procs', 'cpu,cpuacct/tasks', 'pids/tasks'],
      'is cgroup v1 (found memory, cpu,cpuacct, pids): boot',
    ],
    [
      'hybrid',
      ['memory/cgroup.procs', 'unified/cgroup.controllers'],
      'is a hybrid of cgroup v1 and v2, whose memory is in v1: boot',
    ],
    [
      "v1's memory controller alone",
      ['memory.usage_in_bytes', 'tasks'],
      'is the memory controller of cgroup v1: boot',
    ],
    [
      "a container's own cgroup",
      ['cgroup.controllers', 'cgroup.type', 'init/cgroup.type'],
      "shows only this container's own cgroup: mount the host's /sys/fs/cgroup",
    ],
  ])('%s', async (_, files, message) => {
    write(files);
    expect(await find()).toEqual({
      kind: 'failed',
      reason: 'parse',
      message: expect.stringContaining(`cgroup.root ${root} ${message}`),
    });
  });

  test('the v2 part of a hybrid, and a kernel without the memory controller', async () => {
    write(['cgroup.controllers'], 'cpu io pids\n');
    expect(await find()).toMatchObject({
      message: expect.stringContaining('is cgroup v2 without the memory controller: boot'),
    });
  });

  test('a missing folder, or a file', async () => {
    write(['file'], 'x');
    expect(await find(`${root}/missing`)).toMatchObject({
      reason: 'parse',
      message: expect.stringContaining('does not exist: set it'),
    });
    expect(await find(`${root}/file`)).toMatchObject({
      reason: 'parse',
      message: expect.stringContaining('is not a directory'),
    });
    expect(await find(`${root}/file/below`)).toMatchObject({
      message: expect.stringContaining('does not exist'),
    });
  });

  test('a named pipe in place of its files does not block', async () => {
    spawnSync('mkfifo', [join(root, 'cgroup.controllers')]);
    expect(await find()).toMatchObject({ kind: 'failed' });
  });

  test('a root that is mounted later', async () => {
    const finder = finderOf(root);
    const { signal } = new AbortController();
    expect(await finder.find(signal)).toMatchObject({ kind: 'failed' });
    write(['cgroup.controllers', 'gitaly/gitaly-1/repos-0/cgroup.type']);
    expect(await finder.find(signal)).toMatchObject({ kind: 'found', trees: [{ key: 'host' }] });
  });
});

describe('a part of a cgroup tree as the root', () => {
  test('with kubepods in it (a node of kind) is read as a host', async () => {
    write([
      'cgroup.controllers',
      'cgroup.type',
      `kubelet.slice/kubelet-kubepods.slice/${sliceOf('kubelet-kubepods')}/gitaly/gitaly-1/repos-0/cgroup.type`,
    ]);
    expect(await find()).toMatchObject({ kind: 'found', trees: [{ driver: 'systemd' }] });
  });

  test("with Gitaly's tree in it (a sidecar, or the pod's slice mounted) is shown without a name", async () => {
    write(['cgroup.controllers', 'cgroup.type', 'gitaly/gitaly-1/repos-0/cgroup.type']);
    expect(await find()).toMatchObject({
      kind: 'found',
      trees: [{ key: 'host', git: { path: 'gitaly/gitaly-1' } }],
      missing: [expect.stringContaining('unknown which pod or container it belongs to')],
    });
  });
});

test('a root that is a symbolic link is followed, as /sys/fs/cgroup may be one', async () => {
  write([
    'real/cgroup.controllers',
    `real/kubepods.slice/${sliceOf('kubepods')}/gitaly/gitaly-1/repos-0/cgroup.type`,
  ]);
  symlinkSync('real', join(root, 'link'));
  expect(await find(join(root, 'link'))).toMatchObject({ kind: 'found', trees: [{ layout: 'sibling' }] });
});

const disk = '22 1 254:0 / / rw,relatime - ext4 /dev/vda rw';
const plain = '30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot';
const local = '31 24 0:26 / /host\\040cgroup ro,nosuid - cgroup2 none rw,memory_localevents';
const mounts = [disk, plain, local].join('\n');

describe('the mount option memory_localevents', () => {
  test.each([
    ['/sys/fs/cgroup', mounts, false],
    ['/host cgroup', mounts, true],
    ['/host cgroup/kubepods.slice', mounts, true],
    ['/host cgroups', mounts, false],
    ['/tmp/captured', mounts, false],
    ['/host cgroup', `${mounts}\n40 24 0:9 / /host\\040cgroup rw - tmpfs tmpfs rw`, false],
    ['/sys/fs/cgroup', '', false],
    ['/sys/fs/cgroup', 'garbage - \n- - -', false],
  ])('%s', (root, text, expected) => {
    expect(cgroupMountOptions(text, root)?.includes('memory_localevents') ?? false).toBe(expected);
  });
});
