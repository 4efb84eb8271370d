/** Facts from cgroups and the node's files, on captured and written trees. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { cgroupFactsOf } from '../../../src/sources/cgroup/facts.ts';
import { createCgroupFiles } from '../../../src/sources/cgroup/files/files.ts';
import { nodeFactsOf, nsdelegateIn, swapIn } from '../../../src/sources/cgroup/node-facts.ts';
import type { GitalyTree } from '../../../src/sources/cgroup/tree.ts';
import { capturedTree, guaranteedUid } from '../../support/cgroup-fixtures.ts';
import { bytes, type CgroupText, cpuStat, createWrittenTree } from './written-tree.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

const slice = `kubepods.slice/kubepods-pod${guaranteedUid.replaceAll('-', '_')}.slice`;
const tree: GitalyTree = {
  key: guaranteedUid,
  identity: { namespace: 'gitlab', pod: 'gl-gitaly-0', node: 'node-1' },
  uid: guaranteedUid,
  qosClass: 'Guaranteed',
  driver: 'systemd',
  layout: 'sibling',
  pod: slice,
  containers: [],
  git: { path: `${slice}/gitaly/gitaly-1`, pid: '1', buckets: [0, 1, 2, 3] },
  deadGit: [],
};

function facts(changed: Partial<GitalyTree> = {}) {
  const { root, remove } = capturedTree('6.12', 'before');
  const files = createCgroupFiles({ root });
  cleanups.push(() => files.close(), remove);
  const found = cgroupFactsOf({ ...tree, ...changed }, root, files);
  expect(files.openDescriptors()).toBe(0);
  return found;
}

test('the facts of a captured tree are its limits, buckets and owner', () => {
  expect(facts()).toEqual({
    layout: 'sibling',
    podMemoryMax: { value: expect.any(Number) },
    gitMemoryMax: { value: expect.any(Number) },
    enclosingMemoryMax: { value: { path: slice, max: 314_572_800 } },
    bucketMemoryMax: { value: 104_857_600 },
    repositoryCgroups: { value: 4 },
    hasGitRun: { value: false },
    ownerUid: { value: process.getuid?.() },
  });
});

test('on a virtual machine the facts of a pod are not applicable', () => {
  expect(facts({ pod: undefined })).toMatchObject({
    podMemoryMax: { notApplicable: true },
    ownerUid: { notApplicable: true },
  });
});

test('the limit of a removed cgroup is unknown, not `max`', () => {
  expect(facts({ pod: 'kubepods.slice/none' })).toMatchObject({
    podMemoryMax: { unknown: expect.stringContaining('was removed') },
    ownerUid: { unknown: expect.any(String) },
  });
  expect(facts({ git: undefined, layout: 'none' })).toMatchObject({
    layout: 'none',
    gitMemoryMax: { notApplicable: true },
    repositoryCgroups: { notApplicable: true },
  });
});

test("with nested cgroups, the owner is that of the container's scope", () => {
  const container = { path: `${slice}/none.scope`, id: '', name: 'gitaly', gitaly: true };
  expect(facts({ layout: 'nested', containers: [container] }).ownerUid).toEqual({
    unknown: expect.stringContaining('none.scope/cgroup.procs'),
  });
});

describe("the facts of Git's cgroups", () => {
  const git = `${slice}/gitaly/gitaly-1`;
  const scope = `${slice}/cri-containerd-1.scope`;
  const GiB = 2 ** 30;

  /** A pod with a slice of 10 GiB, a container of 4 GiB, and Git cgroups of 8 GiB with a bucket of 2 GiB. */
  function factsOf(
    at: string,
    changes: Readonly<Record<string, CgroupText>> = {},
    changed: Partial<GitalyTree> = {},
  ) {
    const written = createWrittenTree();
    const limits: Readonly<Record<string, number>> = {
      [slice]: 10,
      [scope]: 4,
      [at]: 8,
      [`${at}/repos-0`]: 2,
    };
    for (const path of [...Object.keys(limits), at.slice(0, at.lastIndexOf('/'))].sort())
      written.make(path, {
        ...(limits[path] === undefined ? {} : { 'memory.max': `${limits[path] * GiB}\n` }),
        ...changes[path],
      });
    const files = createCgroupFiles({ root: written.root });
    cleanups.push(() => files.close(), written.remove);
    const container = { path: scope, id: '1', name: 'gitaly', gitaly: true };
    return cgroupFactsOf(
      { ...tree, containers: [container], git: { path: at, pid: '1', buckets: [0] }, ...changed },
      written.root,
      files,
    );
  }

  test('include the lowest limit around gitaly-<pid>, at any level', () => {
    expect(factsOf(git).enclosingMemoryMax).toEqual({ value: { path: slice, max: 10 * GiB } });
    const parent = `${slice}/gitaly`;
    expect(factsOf(git, { [parent]: { 'memory.max': `${GiB}\n` } }).enclosingMemoryMax).toEqual({
      value: { path: parent, max: GiB },
    });
  });

  test('include no limit where none is set, and an unknown one where it is unreadable', () => {
    const max = { 'memory.max': 'max\n' };
    expect(factsOf(git, { [slice]: max }).enclosingMemoryMax).toEqual({ value: { path: '', max: 'max' } });
    expect(factsOf(git, { [slice]: { 'memory.max': 'many\n' } }).enclosingMemoryMax).toEqual({
      unknown: expect.stringContaining('malformed'),
    });
  });

  test("include the container's limit where Git runs inside the container, not where it runs next to it", () => {
    expect(factsOf(git).podMemoryMax).toEqual({ value: 10 * GiB });
    const inside = `${scope}/gitaly/gitaly-1`;
    const noSliceLimit = { [slice]: { 'memory.max': 'max\n' } };
    expect(factsOf(inside, noSliceLimit, { layout: 'nested' })).toMatchObject({
      podMemoryMax: { value: 4 * GiB },
      enclosingMemoryMax: { value: { path: scope, max: 4 * GiB } },
    });
    expect(factsOf(git, noSliceLimit, { layout: 'none', git: undefined }).podMemoryMax).toEqual({
      value: 4 * GiB,
    });
  });

  test.each<[what: string, CgroupText, { value: boolean } | { unknown: unknown }]>([
    ['no CPU time at all', {}, { value: false }],
    // The creation of cgroups is charged to the cgroup above them.
    ['no CPU time, and memory of the kernel', { 'memory.peak': '1048576\n' }, { value: false }],
    ['CPU time, and no process any more', { 'cpu.stat': cpuStat(1200) }, { value: true }],
    ['a process that just started', { 'cgroup.procs': '77\n' }, { value: true }],
    ['no cpu.stat, and memory', { 'cpu.stat': undefined, 'memory.peak': bytes(20) }, { value: true }],
    [
      'neither cpu.stat nor memory.peak',
      { 'cpu.stat': undefined, 'memory.peak': undefined },
      { unknown: expect.stringContaining('neither') },
    ],
  ])('include whether Git ran: %s: %s', (_, changed, hasGitRun) => {
    expect(factsOf(git, { [git]: changed }).hasGitRun).toEqual(hasGitRun);
  });
});

describe('the facts of the node', () => {
  function folder(files: Readonly<Record<string, string>>): string {
    const made = mkdtempSync(join(tmpdir(), 'gitaly-exporter-node-'));
    cleanups.push(() => rmSync(made, { recursive: true }));
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(made, path)), { recursive: true });
      writeFileSync(join(made, path), text);
    }
    return made;
  }
  const node = (
    files: Readonly<Record<string, string>>,
    texts: Readonly<Record<string, string>> = {},
    trees: readonly GitalyTree[] = [],
  ) =>
    nodeFactsOf({
      node: 'node-1',
      root: folder(files),
      trees,
      proc: '/proc',
      readText: async (file) => {
        const text = texts[file];
        if (text === undefined) throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' });
        return text;
      },
    });

  test.each<[Readonly<Record<string, string>>, unknown, unknown]>([
    [
      { 'cgroup.controllers': 'cpu memory pids\n', 'kubepods.slice/cgroup.procs': '' },
      { value: 'v2' },
      { value: 'systemd' },
    ],
    [{ 'cgroup.controllers': 'memory\n', 'kubepods/x': '' }, { value: 'v2' }, { value: 'cgroupfs' }],
    [
      // The kubelet uses systemd, the container runtime does not.
      {
        'cgroup.controllers': 'memory\n',
        'kubepods.slice/kubepods-pod1.slice/cgroup.procs': '',
        'system.slice/kubepods-pod1.slice:cri-containerd:12ab/cgroup.procs': '7\n',
      },
      { value: 'v2' },
      { value: 'mixed' },
    ],
    [
      { 'cgroup.controllers': 'memory\n', 'kubepods.slice/cgroup.procs': '', 'kubepods/x': '' },
      { value: 'v2' },
      { unknown: expect.stringContaining('both kubepods.slice and kubepods') },
    ],
    [
      { 'cgroup.controllers': 'cpu pids\n' },
      { value: 'hybrid' },
      { unknown: expect.stringContaining('neither kubepods.slice nor kubepods') },
    ],
    [{ 'unified/cgroup.controllers': '', 'memory/cgroup.procs': '' }, { value: 'hybrid' }, expect.anything()],
    [{ 'memory/cgroup.procs': '' }, { value: 'v1' }, expect.anything()],
    [{ 'some-file': '' }, { unknown: expect.stringContaining('is not cgroup v2') }, expect.anything()],
  ])(
    'with the files %j include the cgroup version and the driver',
    async (files, cgroupVersion, cgroupDriver) => {
      expect(await node(files)).toMatchObject({ node: 'node-1', cgroupVersion, cgroupDriver });
    },
  );

  test("include the driver of Gitaly's pods, also next to a folder of another driver", async () => {
    const both = { 'cgroup.controllers': 'memory\n', 'kubepods.slice/x': '', 'kubepods/x': '' };
    expect(await node(both, {}, [tree])).toMatchObject({ cgroupDriver: { value: 'systemd' } });
    expect(await node(both, {}, [{ ...tree, driver: 'cgroupfs' }])).toMatchObject({
      cgroupDriver: { value: 'cgroupfs' },
    });
    expect(await node(both, {}, [tree, { ...tree, driver: 'cgroupfs' }])).toMatchObject({
      cgroupDriver: { value: 'mixed' },
    });
  });

  test('include the memory of the node', async () => {
    const meminfo = 'MemTotal:       16310000 kB\nMemFree:         1000 kB\n';
    expect(await node({}, { '/proc/meminfo': meminfo })).toMatchObject({
      memoryBytes: { value: 16_310_000 * 1024 },
    });
    expect(await node({}, { '/proc/meminfo': 'MemTotal: many\n' })).toMatchObject({
      memoryBytes: { unknown: '/proc/meminfo cannot be read' },
    });
  });

  test('are unknown where files of /proc are unreadable', async () => {
    expect(await node({})).toMatchObject({
      nsdelegate: { unknown: '/proc/self/mountinfo cannot be read' },
      swapBytes: { unknown: '/proc/swaps cannot be read' },
      runcVersion: { unknown: expect.any(String) },
    });
  });

  test.each([
    // systemd's own mount, and the same file system bound read-only into a pod.
    ['/sys/fs/cgroup', true],
    ['/host/sys/fs/cgroup', true],
    ['/host/sys/fs/cgroup/below', true],
    ['/with space', false],
  ])('include nsdelegate of the file system at %s: %s', (root, value) => {
    const mountinfo = [
      '25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw',
      '30 25 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot',
      '31 1 0:26 / /host/sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot',
      '32 1 0:27 / /with\\040space ro - cgroup2 cgroup2 rw',
      '',
    ].join('\n');
    expect(nsdelegateIn(mountinfo, root)).toEqual({ value });
    expect(nsdelegateIn(mountinfo, '/elsewhere')).toEqual({ unknown: expect.stringContaining('/elsewhere') });
    expect(nsdelegateIn('garbage\n - \n', root)).toHaveProperty('unknown');
  });

  test.each([
    ['Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n', { value: 0 }],
    [
      'Filename Type Size Used Priority\n/dev/sda2                               partition\t8388604\t\t0\t\t-2\n/swap\\040file file\t1024\t0\t-3\n',
      { value: (8_388_604 + 1024) * 1024 },
    ],
    ['', { unknown: expect.any(String) }],
    ['Filename\nsomething else\n', { unknown: expect.any(String) }],
  ])('include the swap in %j', (text, swap) => {
    expect(swapIn(text)).toEqual(swap);
  });
});

describe('the fact that a process was in the buckets', () => {
  function ran(bucket: CgroupText, parent: CgroupText = {}) {
    const written = createWrittenTree();
    const files = createCgroupFiles({ root: written.root });
    cleanups.push(() => files.close(), written.remove);
    written.make('gitaly/gitaly-1', parent);
    written.make('gitaly/gitaly-1/repos-0', bucket);
    const git = { path: 'gitaly/gitaly-1', pid: '1', buckets: [0] };
    return cgroupFactsOf({ ...tree, pod: undefined, git }, written.root, files).hasGitRun;
  }

  test.each<[string, boolean, CgroupText, CgroupText]>([
    ['the peak of each is 0', false, {}, {}],
    [
      'the peak of each is 0, and creating them is charged to gitaly-<pid>',
      false,
      {},
      { 'memory.peak': '4096\n' },
    ],
    [
      'the peak of each is 0, regardless of its CPU time',
      false,
      { 'cpu.stat': cpuStat(9) },
      { 'cpu.stat': cpuStat(9) },
    ],
    ['a peak is above 0', true, { 'memory.peak': '4096\n' }, {}],
    ['the kernel has no peaks, and no CPU time', false, { 'memory.peak': undefined }, {}],
    ['the kernel has no peaks, but CPU time', true, { 'memory.peak': undefined }, { 'cpu.stat': cpuStat(9) }],
  ])('is derived: %s: %s', (_, expected, bucket, parent) => {
    expect(ran(bucket, parent)).toEqual({ value: expected });
  });

  test('is unknown where no file is readable', () => {
    const none = { 'memory.peak': undefined, 'cpu.stat': undefined, 'cgroup.procs': undefined };
    expect(ran(none, none)).toEqual({ unknown: expect.stringContaining('can be read') });
  });
});
