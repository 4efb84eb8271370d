import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  createFolderTree,
  directoryOf,
  type FolderTree,
  findOnce,
  id,
  knownPod,
  otherUid,
  pauseId,
  sliceOf,
  uid,
} from './support.ts';

let tree: FolderTree;

beforeEach(() => {
  tree = createFolderTree();
});

afterEach(() => tree.removeAll());

const burstable = 'kubepods.slice/kubepods-burstable.slice';

describe('a pod is found', () => {
  test.each([
    ['Guaranteed', 'systemd', `kubepods.slice/${sliceOf('kubepods')}`],
    ['Burstable', 'systemd', `${burstable}/${sliceOf('kubepods-burstable')}`],
    ['BestEffort', 'systemd', `kubepods.slice/kubepods-besteffort.slice/${sliceOf('kubepods-besteffort')}`],
    ['Guaranteed', 'cgroupfs', `kubepods/pod${uid}`],
    ['Burstable', 'cgroupfs', `kubepods/burstable/pod${uid}`],
    ['BestEffort', 'cgroupfs', `kubepods/besteffort/pod${uid}`],
    // kind
    [
      'Burstable',
      'systemd',
      `kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/${sliceOf('kubelet-kubepods-burstable')}`,
    ],
    // kind, seen from its host
    [
      'Guaranteed',
      'systemd',
      `system.slice/docker-${pauseId}.scope/kubelet.slice/kubelet-kubepods.slice/${sliceOf('kubelet-kubepods')}`,
    ],
    ['Burstable', 'cgroupfs', `kubelet/kubepods/burstable/pod${uid}`],
    // k3s without root
    [
      'Burstable',
      'cgroupfs',
      `user.slice/user-1000.slice/user@1000.service/k3s.service/kubepods/burstable/pod${uid}`,
    ],
  ])('for %s, %s: %s', async (qosClass, driver, pod) => {
    tree.make(`${pod}/cri-containerd-${id}.scope`, `${pod}/gitaly/gitaly-1/repos-0`);
    const { trees } = await findOnce(tree.root);
    expect(trees).toEqual([expect.objectContaining({ key: uid, qosClass, driver, pod, layout: 'sibling' })]);
  });

  test('with the hash that a static pod has as its UID', async () => {
    const hash = 'd41d8cd98f00b204e9800998ecf8427e';
    tree.make(`${burstable}/kubepods-burstable-pod${hash}.slice/gitaly/gitaly-1/repos-0`);
    expect((await findOnce(tree.root)).trees).toEqual([expect.objectContaining({ uid: hash })]);
  });

  test('by the QoS class of the API where its folder is in another one', async () => {
    tree.make(`${burstable}/${sliceOf('kubepods-burstable')}`);
    const directory = directoryOf([knownPod({ qosClass: 'Guaranteed' })]);
    expect((await findOnce(tree.root, { directory })).trees).toEqual([
      expect.objectContaining({ qosClass: 'Guaranteed' }),
    ]);
  });

  test('in the folder with content where a change of the cgroup driver left two', async () => {
    tree.make(
      `kubepods/burstable/pod${uid}`,
      `${burstable}/${sliceOf('kubepods-burstable')}/gitaly/gitaly-1/repos-0`,
    );
    tree.make(
      `kubepods/burstable/pod${otherUid}/gitaly/gitaly-1/repos-0`,
      `${burstable}/${sliceOf('kubepods-burstable', otherUid)}`,
    );
    expect((await findOnce(tree.root)).trees.map(({ driver }) => driver)).toEqual(['systemd', 'cgroupfs']);
  });
});

describe("Gitaly's cgroups in its pod", () => {
  const pod = `${burstable}/${sliceOf('kubepods-burstable')}`;
  const scope = `${pod}/cri-containerd-${id}.scope`;
  test.each([
    ['sibling', `${pod}/gitaly/gitaly-1`],
    ['sibling', `${pod}/gitaly-1`],
    ['sibling', `${pod}/gitlab.com/git/gitaly-17`],
    ['nested', `${scope}/gitaly/gitaly-1`],
    ['nested', `${scope}/gitaly-1`],
    ['nested', `${scope}/container/gitaly/gitaly-1`],
  ])('%s: %s', async (layout, git) => {
    tree.make(scope, `${git}/repos-0`, `${git}/repos-12`);
    const { trees } = await findOnce(tree.root);
    expect(trees).toEqual([
      expect.objectContaining({
        layout,
        git: { path: git, pid: git.split('-').at(-1), buckets: [0, 12] },
        containers: [
          { path: scope, id, name: id.slice(0, 12), gitaly: layout === 'nested' ? true : undefined },
        ],
      }),
    ]);
  });

  test('are not searched deeper', async () => {
    tree.make(`${pod}/a/b/c/d/gitaly-1/repos-0`);
    expect((await findOnce(tree.root)).trees).toEqual([]);
  });
});

describe('a container', () => {
  const pod = `${burstable}/${sliceOf('kubepods-burstable')}`;
  test.each([
    [`cri-containerd-${id}.scope`, true],
    [`crio-${id}.scope`, true],
    [`docker-${id}.scope`, true],
    [`crio-${id}`, true],
    [id, true],
    [`crio-conmon-${id}.scope`, false],
    [`crio-conmon-${id}`, false],
    ['deadbeefdeadbeef', false],
    [`cri-containerd-${id}x.scope`, false],
    ['gitaly', false],
    ['init.scope', false],
  ])('is recognized by the name of its scope: %s: %s', async (name, isContainer) => {
    tree.make(`${pod}/${name}`, `${pod}/gitaly/gitaly-1/repos-0`);
    const [found] = (await findOnce(tree.root)).trees;
    expect(found?.containers.map(({ path }) => path)).toEqual(isContainer ? [`${pod}/${name}`] : []);
  });

  test.each([
    [
      'by its name',
      [
        { name: 'gitaly', id },
        { name: 'logger', id: pauseId },
      ],
      ['logger', false],
      ['gitaly', true],
    ],
    [
      'not one that the API does not list',
      [{ name: 'gitaly', id }],
      [pauseId.slice(0, 12), false],
      ['gitaly', true],
    ],
    [
      'the only one, regardless of its name',
      [{ name: 'git', id }],
      [pauseId.slice(0, 12), false],
      ['git', true],
    ],
    [
      'undecided while the API does not list its newest container',
      [
        { name: 'gitaly', id: 'f'.repeat(64) },
        { name: 'logger', id: pauseId },
      ],
      ['logger', false],
      [id.slice(0, 12), undefined],
    ],
    [
      'undecided while it has no ID',
      [{ name: 'gitaly', id: '' }],
      [pauseId.slice(0, 12), undefined],
      [id.slice(0, 12), undefined],
    ],
    [
      'undecided when none of several has its name',
      [
        { name: 'a', id },
        { name: 'b', id: pauseId },
      ],
      ['b', undefined],
      ['a', undefined],
    ],
  ])("is Gitaly's: %s", async (_, containers, pause, gitaly) => {
    tree.make(`${pod}/cri-containerd-${id}.scope`, `${pod}/cri-containerd-${pauseId}.scope`);
    const directory = directoryOf([knownPod({ containers })]);
    const [found] = (await findOnce(tree.root, { directory })).trees;
    expect(found?.containers.map(({ name, gitaly: is }) => [name, is])).toEqual([pause, gitaly]);
  });
});

describe('a virtual machine', () => {
  test.each([
    ['gitaly/gitaly-4711'],
    ['gitlab/gitaly/gitaly-4711'],
    ['system.slice/gitaly-4711'],
    [`system.slice/docker-${id}.scope/gitaly/gitaly-4711`],
    ['gitaly-4711'],
  ])('%s', async (git) => {
    tree.make(`${git}/repos-0`, `${git}/repos-3`, 'system.slice/ssh.service', 'user.slice');
    const { trees, missing, failures } = await findOnce(tree.root);
    expect(trees).toEqual([
      {
        key: 'host',
        identity: { namespace: '', pod: '', node: 'node-1' },
        uid: '',
        qosClass: '',
        driver: undefined,
        layout: 'sibling',
        pod: undefined,
        containers: [],
        git: { path: git, pid: '4711', buckets: [0, 3] },
        deadGit: [],
      },
    ]);
    expect([missing, failures]).toEqual([[], []]);
  });

  test('of which several exist without distinct labels is shown once, and a note explains why', async () => {
    tree.make('a/gitaly/gitaly-1/repos-0', 'b/gitaly/gitaly-1/repos-0');
    const { trees, missing } = await findOnce(tree.root);
    expect(trees.map(({ git, deadGit }) => [git?.path, deadGit])).toEqual([['b/gitaly/gitaly-1', []]]);
    expect(missing).toEqual([
      expect.stringMatching(/^\/a\/gitaly: more Gitalys .* only \/b\/gitaly is shown$/),
    ]);
  });

  test('without Git cgroups has no tree, and a note explains why', async () => {
    tree.make('system.slice/gitlab-runsvdir.service', 'gitaly/gitaly-1');
    const { trees, missing } = await findOnce(tree.root);
    expect(trees).toEqual([]);
    expect(missing).toEqual([expect.stringContaining('is [cgroups.repositories] count set')]);
  });
});

describe('the listed pods', () => {
  const gitalyPod = `${burstable}/${sliceOf('kubepods-burstable')}`;
  const other = `${burstable}/${sliceOf('kubepods-burstable', otherUid)}`;

  test('without a directory are those with Git cgroups, by UID', async () => {
    tree.make(`${gitalyPod}/gitaly/gitaly-1/repos-0`, `${other}/gitaly/gitaly-1`);
    const { trees, missing } = await findOnce(tree.root);
    expect(trees.map(({ identity }) => identity)).toEqual([{ namespace: '', pod: uid, node: 'node-1' }]);
    expect(missing).toEqual([expect.stringContaining('set kubernetes.enabled or cgroup.podsFile')]);
  });

  test('with a complete list are those of the list, with or without Git cgroups', async () => {
    tree.make(gitalyPod, `${other}/gitaly/gitaly-1/repos-0`);
    const { trees, missing, failures } = await findOnce(tree.root, { directory: directoryOf([knownPod()]) });
    expect(trees).toEqual([
      expect.objectContaining({
        identity: { namespace: 'gitlab', pod: 'gitlab-gitaly-0', node: 'node-7' },
        layout: 'none',
      }),
    ]);
    expect(missing).toEqual([expect.stringContaining(otherUid)]);
    expect(failures).toEqual([]);
  });

  test('with an incomplete list are those of the list, and by UID those with Git cgroups', async () => {
    tree.make(gitalyPod, `${other}/gitaly/gitaly-1/repos-0`);
    const failure = { reason: 'refused', message: 'the API server cannot be reached' } as const;
    const found = await findOnce(tree.root, { directory: directoryOf([knownPod()], failure) });
    expect(found.trees.map(({ identity }) => identity.pod)).toEqual(['gitlab-gitaly-0', otherUid]);
    expect(found.missing).toEqual([`${otherUid}: named by UID, because the list of pods is incomplete`]);
    expect(found.failures).toEqual([failure]);
  });

  test('with a pod that is not on this host: it has no tree, and a note explains why', async () => {
    tree.make(gitalyPod);
    const directory = directoryOf([knownPod(), knownPod({ uid: otherUid, name: 'gitlab-gitaly-1' })]);
    const { trees, missing } = await findOnce(tree.root, { directory });
    expect(trees.map(({ key }) => key)).toEqual([uid]);
    expect(missing).toEqual([expect.stringMatching(/^gitlab\/gitlab-gitaly-1: listed .* another node$/)]);
  });
});
