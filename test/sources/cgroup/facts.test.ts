/** Facts from cgroups and the node's files, on captured and written trees. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import { cgroupFactsOf, nodeFactsOf, nsdelegateIn, swapIn } from '../../../src/sources/cgroup/facts.ts';
import { createCgroupFiles } from '../../../src/sources/cgroup/files/files.ts';
import type { GitalyTree } from '../../../src/sources/cgroup/tree.ts';
import { capturedTree, guaranteedUid } from '../../support/cgroup-fixtures.ts';

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
  const node = (files: Readonly<Record<string, string>>, texts: Readonly<Record<string, string>> = {}) =>
    nodeFactsOf({
      node: 'node-1',
      root: folder(files),
      trees: [],
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
      { 'cgroup.controllers': 'cpu pids\n' },
      { value: 'hybrid' },
      { unknown: expect.stringContaining('neither kubepods.slice nor kubepods') },
    ],
    [{ 'unified/cgroup.controllers': '', 'memory/cgroup.procs': '' }, { value: 'hybrid' }, expect.anything()],
    [{ 'memory/cgroup.procs': '' }, { value: 'v1' }, expect.anything()],
    [{ 'some-file': '' }, { unknown: expect.stringContaining('is not cgroup v2') }, expect.anything()],
  ])('with the files %j are its cgroup version and driver', async (files, cgroupVersion, cgroupDriver) => {
    expect(await node(files)).toMatchObject({ node: 'node-1', cgroupVersion, cgroupDriver });
  });

  test('are unknown where files of /proc cannot be read', async () => {
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
