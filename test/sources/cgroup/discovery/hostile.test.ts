import { chmodSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  bucketOf,
  containerIdOf,
  gitalyPidOf,
  isSearchable,
  kubepodsDriverOf,
  podUidOf,
} from '../../../../src/sources/cgroup/discovery/names.ts';
import { createCgroupFiles } from '../../../../src/sources/cgroup/files/files.ts';
import { anyText } from '../../../support/any-text.ts';
import {
  asUnprivileged,
  createFolderTree,
  directoryOf,
  type FolderTree,
  findOnce,
  knownPod,
  sliceOf,
  uid,
} from './support.ts';

let tree: FolderTree;

beforeEach(() => {
  tree = createFolderTree();
});

afterEach(() => tree.removeAll());

const pod = `kubepods.slice/${sliceOf('kubepods')}`;
const git = `${pod}/gitaly/gitaly-1`;

/** Similar to the real names, and any string. */
const names = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('repos-', 'gitaly-', 'repos', 'pod', 'kubepods-pod', 'cri-containerd-', ''),
      fc.oneof(
        fc.nat().map(String),
        fc.bigInt().map(String),
        fc.string(),
        fc.constantFrom('01', '-1', '1-x', '1\n', '１'),
      ),
      fc.constantFrom('', '.slice', '.scope', '\n', ' '),
    )
    .map((parts) => parts.join('')),
  anyText(),
);

describe('names of cgroups', () => {
  test('are accepted only in the forms that Gitaly and the kubelet create', () => {
    fc.assert(
      fc.property(names, (name) => {
        const bucket = bucketOf(name);
        if (bucket !== undefined) expect(name).toBe(`repos-${bucket}`);
        const pid = gitalyPidOf(name);
        if (pid !== undefined) expect(name).toBe(`gitaly-${Number(pid)}`);
        const id = containerIdOf(name);
        if (id !== undefined) expect(id).toMatch(/^[0-9a-f]{12,64}$/);
        for (const driver of ['systemd', 'cgroupfs'] as const)
          expect(podUidOf(name, 'kubepods.slice', driver) ?? uid).toMatch(/^[0-9a-f-]{32,36}$/);
        if (isSearchable(name) || kubepodsDriverOf(name) !== undefined)
          expect(name).toMatch(/^[!-~]{1,200}$/);
      }),
      { numRuns: 2000 },
    );
  });

  test.each(['.', '..', '', 'a/b', 'a\n', 'a b', 'ä', 'a\0', 'x'.repeat(201)])(
    'are not searched: %j',
    (name) => {
      expect(isSearchable(name)).toBe(false);
    },
  );

  test.each([
    [`kubepods-pod${uid}.slice`, 'systemd'],
    [`kubepods-pod${uid.replaceAll('-', '_').toUpperCase()}.slice`, 'systemd'],
    [`other-pod${uid.replaceAll('-', '_')}.slice`, 'systemd'],
    [`kubepods-pod${uid.replaceAll('-', '_')}.scope`, 'systemd'],
    ['kubepods-pod.slice', 'systemd'],
    [`pod${uid.replaceAll('-', '_')}`, 'cgroupfs'],
    [`pod${uid}.slice`, 'cgroupfs'],
    [`pod${uid}\n`, 'cgroupfs'],
  ] as const)('are not pods: %j', (name, driver) => {
    expect(podUidOf(name, driver === 'systemd' ? 'kubepods.slice' : 'kubepods', driver)).toBeUndefined();
  });
});

test('of hostile folders, links and files, only exact names are accepted', async () => {
  tree.make(`${git}/repos-0`, `${git}/repos-99999`);
  for (const name of [
    'repos-01',
    'repos-100000',
    'repos-999999999999',
    'repos--1',
    'repos-1 ',
    'repos-2\n',
    'repos-٣',
    'repos-',
    'x'.repeat(250),
  ])
    tree.make(`${git}/${name}`);
  for (const name of ['gitaly-1-x', 'gitaly-01', 'gitaly-0', 'gitaly-', 'gitaly-99999999999', 'gitaly-7\n'])
    tree.make(`${pod}/gitaly/${name}/repos-0`);
  writeFileSync(join(tree.root, git, 'repos-6'), '');
  symlinkSync('repos-0', join(tree.root, git, 'repos-5'));
  symlinkSync('gitaly-1', join(tree.root, pod, 'gitaly/gitaly-2'));
  symlinkSync('/', join(tree.root, pod, 'root'));
  symlinkSync('..', join(tree.root, pod, 'up'));
  symlinkSync('kubepods.slice', join(tree.root, 'x-kubepods.slice'));
  symlinkSync('.', join(tree.root, 'loop'));
  tree.make('we\nird/gitaly-1/repos-0', `kubepods.slice/kubepods-pod${uid}.slice/gitaly/gitaly-1/repos-0`);
  const { trees, missing, failures } = await findOnce(tree.root);
  expect(trees.map(({ key, git: current, deadGit }) => [key, current, deadGit])).toEqual([
    [uid, { path: git, pid: '1', buckets: [0, 99999] }, []],
  ]);
  expect(failures).toEqual([]);
  expect(missing.join().includes('\n')).toBe(false);
});

test('a pod with thousands of cgroups is scanned up to a limit, and reported if it is Gitaly', async () => {
  tree.make(`${git}/repos-0`);
  const hash = 'f'.repeat(32);
  const bomb = `kubepods.slice/${sliceOf('kubepods', hash)}`;
  tree.make(...Array.from({ length: 600 }, (_, n) => `${bomb}/d${n}`));
  const unlisted = await findOnce(tree.root);
  expect(unlisted.trees.map(({ key }) => key)).toEqual([uid]);
  expect(unlisted.failures).toEqual([]);
  const directory = directoryOf([knownPod(), knownPod({ uid: hash })]);
  const listed = await findOnce(tree.root, { directory });
  expect(listed.trees.map(({ key }) => key)).toEqual([uid, hash]);
  expect(listed.failures).toEqual([
    {
      reason: 'too_large',
      message: expect.stringContaining(`/${bomb} contains more cgroups than the exporter reads`),
    },
  ]);
});

test('an unreadable folder is reported, and the rest is found', async () => {
  const closed = `kubepods.slice/${sliceOf('kubepods', 'e'.repeat(32))}`;
  tree.make(`${git}/repos-0`, `${closed}/gitaly`);
  tree.write(`${git}/repos-0/memory.current`, '1\n');
  chmodSync(dirname(tree.root), 0o755);
  chmodSync(join(tree.root, closed), 0o000);
  chmodSync(join(tree.root, git, 'repos-0/memory.current'), 0o000);
  const files = createCgroupFiles({ root: tree.root });
  await asUnprivileged(async () => {
    const { trees, failures } = await findOnce(tree.root);
    expect(trees.map(({ key }) => key)).toEqual([uid]);
    expect(failures).toEqual([
      {
        reason: 'permission',
        message: expect.stringContaining(`this user may not read /${closed}: grant`),
      },
    ]);
    const folder = files.folder(`${git}/repos-0`);
    expect(folder.number('memory.current')).toEqual({ kind: 'failed', reason: 'permission' });
    expect(folder.number('memory.peak')).toEqual({ kind: 'absent' });
    expect(files.folder(`${closed}/gitaly`).number('memory.peak')).toEqual({
      kind: 'failed',
      reason: 'permission',
    });
    expect(files.failures().permission).toBe(2);
  });
  files.close();
  chmodSync(join(tree.root, closed), 0o755);
});

test('a name with control characters is made printable in the notes', async () => {
  tree.make('evil\n\u202e.slice/gitaly-8/repos-0');
  const { notes } = await findOnce(tree.root);
  expect(notes.join()).toContain('/evil .slice');
});
