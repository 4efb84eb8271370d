/**
 * Cgroups that are known to exist and are missing, empty or unreadable: a failure that names them, never an
 * empty success.
 */
import { chmodSync, chownSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { FinderOptions } from '../../../../src/sources/cgroup/discovery/finder.ts';
import type { ConfiguredGitaly, GitalyConfigs } from '../../../../src/sources/cgroup/tree.ts';
import type { KnownPod } from '../../../../src/sources/server-info.ts';
import { createManualClock } from '../../../support/manual-clock.ts';
import {
  asUnprivileged,
  createFolderTree,
  directoryOf,
  type FolderTree,
  finderOf,
  findOnce,
  findWith,
  id,
  knownPod,
  otherUid,
  pauseId,
  sliceOf,
} from './support.ts';

let tree: FolderTree;

beforeEach(() => {
  tree = createFolderTree();
  chmodSync(dirname(tree.root), 0o755);
});

afterEach(() => tree.removeAll());

const burstable = 'kubepods.slice/kubepods-burstable.slice';
const slice = `${burstable}/${sliceOf('kubepods-burstable')}`;
const git = 'gitlab.slice/gitaly/gitaly-77';

const configsOf = (...gitalys: readonly Partial<ConfiguredGitaly>[]): GitalyConfigs => ({
  read: async () => ({
    gitalys: gitalys.map((gitaly) => ({
      name: '/etc/gitaly/config.toml',
      identities: [{ namespace: '', pod: '', node: 'node-1' }],
      mountpoint: '/sys/fs/cgroup',
      hierarchyRoot: 'gitaly',
      count: 10,
      ...gitaly,
    })),
    failures: [],
  }),
});

describe('a directory without access', () => {
  /** A scan by a user without privileges, with this mode of the directory. */
  async function findAt(closed: string, mode: number, options: Partial<FinderOptions> = {}) {
    chmodSync(join(tree.root, closed), mode);
    let found: Awaited<ReturnType<typeof findOnce>> | undefined;
    await asUnprivileged(async () => {
      found = await findOnce(tree.root, options);
    });
    chmodSync(join(tree.root, closed), 0o755);
    if (found === undefined) throw new Error('not found');
    return found;
  }

  test.each([
    // The Linux package creates this directory at each start of Gitaly.
    ['gitlab.slice/gitaly', 0o700],
    ['gitlab.slice/gitaly', 0o711],
    ['gitlab.slice/gitaly', 0o744],
    ['gitlab.slice', 0o700],
    ['gitlab.slice', 0o744],
    [git, 0o700],
    [git, 0o744],
  ])('is named by the failure, with its mode and owner: %s, %o', async (closed, mode) => {
    tree.make(`${git}/repos-0`);
    if (process.geteuid?.() === 0) chownSync(join(tree.root, closed), 998, 998);
    const { failures, isPartial, trees } = await findAt(closed, mode);
    expect(failures.map(({ reason }) => reason)).toEqual(
      closed === git && mode === 0o744 ? [] : ['permission'],
    );
    if (failures.length === 0) return expect(trees).toHaveLength(1);
    expect(trees).toEqual([]);
    expect(isPartial).toBe(true);
    expect(failures[0]?.message).toContain(
      `this user may not read /${closed}: grant read and search permission`,
    );
    expect(failures[0]?.message).toContain(`mode is 0${mode.toString(8)}, its owner UID 998`);
    expect(failures[0]?.message).toContain('CAP_DAC_READ_SEARCH');
  });

  test.each([
    ['kubepods.slice', `${slice}/gitaly/gitaly-1/repos-0`],
    [burstable, `${slice}/gitaly/gitaly-1/repos-0`],
    ['docker', `docker/${id}/gitaly/gitaly-1/repos-0`],
    [`system.slice/docker-${id}.scope`, `system.slice/docker-${id}.scope/gitaly/gitaly-1/repos-0`],
    ['a/b/c/d/e', 'a/b/c/d/e/gitaly/gitaly-1/repos-0'],
  ])('is a failure wherever it is: %s', async (closed, below) => {
    tree.make(below);
    const { failures } = await findAt(closed, 0o700);
    expect(failures).toEqual([
      { reason: 'permission', message: expect.stringContaining(`this user may not read /${closed}: `) },
    ]);
  });

  test('is only a note where all pods of a complete list were found without it', async () => {
    tree.make(`${slice}/cri-containerd-${id}.scope`, 'other.slice/x');
    const complete = await findAt('other.slice', 0o700, { directory: directoryOf([knownPod()]) });
    expect(complete.failures).toEqual([]);
    expect(complete.notes).toEqual([expect.stringContaining('may not read them')]);
    const none = await findAt('other.slice', 0o700, { directory: directoryOf([]) });
    expect([none.failures, none.notes.length]).toEqual([[], 1]);
    tree.make('gitlab.slice/gitaly/gitaly-1/repos-0');
    const named = await findAt('gitlab.slice', 0o700, { directory: directoryOf([knownPod()]) });
    expect(named.failures.map(({ reason }) => reason)).toEqual(['permission']);
    const missing = directoryOf([knownPod(), knownPod({ uid: otherUid })]);
    const incomplete = await findAt('other.slice', 0o700, { directory: missing });
    expect(incomplete.failures).toEqual([
      { reason: 'permission', message: expect.stringContaining('/other.slice') },
    ]);
  });
});

describe('a pod that runs outside of its slice', () => {
  const running: Partial<KnownPod> = { node: 'node-1', containers: [{ name: 'gitaly', id, running: true }] };
  const find = (pod = running) => findOnce(tree.root, { directory: directoryOf([knownPod(pod)]) });
  const idle = () => {
    tree.make(slice);
    tree.write(`${slice}/cgroup.events`, 'populated 0\nfrozen 0\n');
    tree.write(`${slice}/memory.current`, '0\n');
  };

  test("is a failure that names the actual cgroup: the runtime's driver differs from the kubelet's", async () => {
    const stray = `system.slice/${sliceOf('kubepods-burstable')}:cri-containerd:${id}`;
    idle();
    tree.make(stray);
    const { failures, trees } = await find();
    expect(trees.map(({ vacancy }) => vacancy)).toEqual([{ elsewhere: stray }]);
    expect(failures).toEqual([
      {
        reason: 'missing',
        message: expect.stringMatching(
          /the pod runs, but none of its containers is in its slice .*cri-containerd:/,
        ),
      },
    ]);
  });

  test('is a failure also when its containers are not found at all', async () => {
    idle();
    expect((await find()).failures.map(({ reason }) => reason)).toEqual(['missing']);
  });

  test('is a failure also when its pause container is in the slice', async () => {
    tree.make(`${slice}/cri-containerd-${pauseId}.scope`, `system.slice/cri-containerd-${id}.scope`);
    expect((await find()).failures.map(({ reason }) => reason)).toEqual(['missing']);
  });

  test.each<[string, Partial<KnownPod>]>([
    ['its container is not running', { containers: [{ name: 'gitaly', id }] }],
    ['its container has no ID yet', { containers: [{ name: 'gitaly', id: '', running: true }] }],
  ])('is not assumed when %s', async (_, pod) => {
    idle();
    const { failures, trees } = await find({ ...running, ...pod });
    expect([failures, trees.map(({ vacancy }) => vacancy)]).toEqual([[], [undefined]]);
  });

  test('is not assumed when the slice has processes under a name that is not recognized', async () => {
    tree.make(`${slice}/kata_${id.slice(0, 12)}`);
    tree.write(`${slice}/cgroup.events`, 'populated 1\nfrozen 0\n');
    tree.write(`${slice}/memory.current`, '4096\n');
    expect((await find()).failures).toEqual([]);
  });

  test('is a failure also when it has no slice, unless it is on another node', async () => {
    tree.make('kubepods.slice');
    expect((await find()).failures).toEqual([
      { reason: 'missing', message: expect.stringContaining('has no cgroup below') },
    ]);
    const elsewhere = await find({ ...running, node: 'node-2' });
    expect(elsewhere.failures).toEqual([]);
    expect(elsewhere.missing).toEqual([expect.stringContaining('on another node')]);
  });
});

describe("Gitaly's configuration", () => {
  test('sets cgroups that do not exist: a failure that names file, count and place', async () => {
    tree.make('system.slice/gitlab-runsvdir.service');
    const { failures, trees } = await findOnce(tree.root, { configs: configsOf({}) });
    expect(trees).toEqual([]);
    expect(failures).toEqual([
      {
        reason: 'missing',
        message: expect.stringMatching(
          /^\/etc\/gitaly\/config\.toml sets count = 10 .* below .*cgroup, where it belongs into \/gitaly: /,
        ),
      },
    ]);
  });

  test.each<[string, Partial<ConfiguredGitaly>[]]>([
    ['sets no cgroups', [{ count: 0 }]],
    [
      'is of other hosts',
      ['node-2', 'node-3'].map((node) => ({ identities: [{ namespace: '', pod: '', node }] })),
    ],
  ])('that %s does not make their absence a failure', async (_, configs) => {
    expect((await findOnce(tree.root, { configs: configsOf(...configs) })).failures).toEqual([]);
  });

  test('that is unreadable is a failure, as it is unknown whether cgroups must exist', async () => {
    const configs: GitalyConfigs = {
      read: async () => ({ gitalys: [], failures: ['/etc/gitaly/config.toml may not be read'] }),
    };
    const { failures } = await findOnce(tree.root, { configs });
    expect(failures).toEqual([
      {
        reason: 'missing',
        message: expect.stringContaining('unknown: /etc/gitaly/config.toml may not be read'),
      },
    ]);
    tree.make(`${git}/repos-0`);
    expect((await findOnce(tree.root, { configs })).failures).toEqual([]);
  });

  test.each([
    [
      '/sys/fs/cgroup',
      'one/two/three/four/five/six/seven/eight/nine',
      'one/two/three/four/five/six/seven/eight/nine',
    ],
    ['/sys/fs/cgroup', 'my gitaly', 'my gitaly'],
    ['/sys/fs/cgroup/gitlab.slice', '/a/b c/', 'gitlab.slice/a/b c'],
    ['/cgroup', 'with spaces too', 'with spaces too'],
  ])(
    'defines their place, at any depth and under any name: %s %s',
    async (mountpoint, hierarchyRoot, place) => {
      tree.make(`${place}/gitaly-12/repos-0`);
      expect((await findOnce(tree.root)).trees).toEqual([]);
      const { failures, trees } = await findOnce(tree.root, {
        configs: configsOf({ mountpoint, hierarchyRoot }),
      });
      expect(trees.map((found) => found.git?.path)).toEqual([`${place}/gitaly-12`]);
      expect(failures).toEqual([]);
    },
  );

  test('defines which of several Gitalys outside of Kubernetes it belongs to', async () => {
    tree.make('a/gitaly/gitaly-1/repos-0', 'b/gitaly/gitaly-1/repos-0');
    const configs = configsOf({ mountpoint: '/sys/fs/cgroup/a' });
    const { missing, trees } = await findOnce(tree.root, { configs });
    expect(trees.map((found) => found.git?.path)).toEqual(['a/gitaly/gitaly-1']);
    expect(missing).toEqual([expect.stringMatching(/^\/b\/gitaly: more Gitalys /)]);
  });

  test("with fewer buckets than exist was changed after Gitaly's start, and a note explains it", async () => {
    tree.make('gitaly/gitaly-1/repos-0', 'gitaly/gitaly-1/repos-9');
    expect((await findOnce(tree.root, { configs: configsOf({}) })).missing).toEqual([]);
    tree.make('gitaly/gitaly-1/repos-10');
    expect((await findOnce(tree.root, { configs: configsOf({}) })).missing).toEqual([
      expect.stringMatching(/^node-1: repos-10 exists, but .* sets count = 10 /),
    ]);
  });

  test('cannot refer to a cgroup outside the hierarchy', async () => {
    tree.make('x');
    const configs = configsOf({ mountpoint: '/sys/fs/cgroup/../..', hierarchyRoot: '../../../etc' });
    const { failures, trees } = await findOnce(join(tree.root), { configs });
    expect(trees).toEqual([]);
    expect(failures[0]?.message).toContain('where it belongs into /etc');
  });

  test("defines their place in a pod's slice", async () => {
    const deep = `${slice}/a/b/c/d/gitaly-1`;
    tree.make(`${deep}/repos-0`);
    const configs = configsOf({
      hierarchyRoot: 'a/b/c/d',
      identities: [{ namespace: 'gitlab', pod: 'gitlab-gitaly-0', node: 'node-7' }],
    });
    const { trees } = await findOnce(tree.root, { configs, directory: directoryOf([knownPod()]) });
    expect(trees.map((found) => found.git?.path)).toEqual([deep]);
  });

  test('sets cgroups that a pod does not have two minutes after its start: a failure', async () => {
    tree.make(`${slice}/cri-containerd-${id}.scope`);
    const clock = createManualClock();
    const configs = configsOf({
      name: 'ConfigMap gitlab/gl-gitaly',
      identities: [{ namespace: 'gitlab', pod: 'gitlab-gitaly-0', node: 'node-7' }],
    });
    const finder = finderOf(tree.root, { clock, configs, directory: directoryOf([knownPod()]) });
    expect((await findWith(finder)).failures).toEqual([]);
    await clock.advance(119_000);
    expect((await findWith(finder)).failures).toEqual([]);
    await clock.advance(2000);
    expect((await findWith(finder)).failures).toEqual([
      {
        reason: 'missing',
        message: expect.stringMatching(/^gitlab\/gitlab-gitaly-0: ConfigMap .* count = 10/),
      },
    ]);
    tree.make(`${slice}/gitaly/gitaly-1/repos-0`);
    expect((await findWith(finder)).failures).toEqual([]);
  });
});

test.each([
  ['gitlab.slice/gitaly/gitaly-77'],
  [`docker/${id}/gitaly/gitaly-1`],
  [`system.slice/docker-${id}.scope/gitaly/gitaly-1`],
  [`machine.slice/libpod-${id}.scope/container/gitaly/gitaly-1`],
  [`user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope/gitaly/gitaly-1`],
  ['lxc.payload.gitlab/system.slice/gitlab-runsvdir.service/gitaly/gitaly-9'],
  ['system.slice/gitaly.service/cgroups/nested/gitaly/gitaly-9'],
])('a Gitaly of the Linux package, in a container or in a nested unit is found: %s', async (path) => {
  tree.make(`${path}/repos-0`);
  const { failures, trees } = await findOnce(tree.root);
  expect(trees.map((found) => found.git?.path)).toEqual([path]);
  expect(failures).toEqual([]);
});

test('without a Gitaly, a note names the directories that were not searched', async () => {
  tree.make('a/b/c/d/e/f/g/h', 'odd name');
  const { failures, notes, trees } = await findOnce(tree.root);
  expect([trees, failures]).toEqual([[], []]);
  expect(notes).toEqual([expect.stringMatching(/^not searched .* depth or names: .* and 1 more; /)]);
});

test('a search that takes too long is stopped, which is a failure', async () => {
  tree.make('a/b', 'c/d');
  let now = 0;
  const clock = {
    monotonic: () => {
      now += 6000;
      return now;
    },
  };
  const { failures } = await findOnce(tree.root, { clock });
  expect(failures).toEqual([{ reason: 'too_large', message: expect.stringContaining('more cgroups than') }]);
});
