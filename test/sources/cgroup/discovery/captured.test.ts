import { describe, expect, test } from '@jest/globals';
import type { GitalyTree } from '../../../../src/sources/cgroup/tree.ts';
import {
  burstableUid,
  capturedKernels,
  capturedMoments,
  capturedTree,
  guaranteedUid,
  runcTree,
} from '../../../support/cgroup-fixtures.ts';
import { directoryOf, findOnce, knownPod } from './support.ts';

const ten = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
const slice = 'kubepods.slice/kubepods-pod3f1c8d2a_7b5e_4c0d_9a6f_1e2d3c4b5a69.slice';
const gitalyId = 'e7d5c3b1a9f80716253443526170f9e8d7c6b5a4938271605f4e3d2c1b0a9988';
const pauseId = '5c1e0f6ab3d84792e6f1a0c2b4d6e8f0a1c3e5f7092b4d6f8a0c2e4f6b8d0a1c';
const pause = { path: `${slice}/cri-containerd-${pauseId}.scope`, id: pauseId };
const gitaly = { path: `${slice}/cri-containerd-${gitalyId}.scope`, id: gitalyId };

const sibling: GitalyTree = {
  key: guaranteedUid,
  identity: { namespace: '', pod: guaranteedUid, node: 'node-1' },
  uid: guaranteedUid,
  qosClass: 'Guaranteed',
  driver: 'systemd',
  layout: 'sibling',
  pod: slice,
  containers: [
    { ...pause, name: '5c1e0f6ab3d8', gitaly: undefined },
    { ...gitaly, name: 'e7d5c3b1a9f8', gitaly: undefined },
  ],
  git: { path: `${slice}/gitaly/gitaly-1`, pid: '1', buckets: ten },
  deadGit: [],
};

const burstable =
  'kubepods.slice/kubepods-burstable.slice/kubepods-burstable-poda94be07c_21d3_4f58_8c17_6d0e5f9b2a31.slice';
const scopeId = '0a1b2c3d4e5f60718293a4b5c6d7e8f90817263544536271f0e1d2c3b4a59687';
const scope = `${burstable}/cri-containerd-${scopeId}.scope`;

const nested: GitalyTree = {
  key: burstableUid,
  identity: { namespace: '', pod: burstableUid, node: 'node-1' },
  uid: burstableUid,
  qosClass: 'Burstable',
  driver: 'systemd',
  layout: 'nested',
  pod: burstable,
  containers: [{ path: scope, id: scopeId, name: '0a1b2c3d4e5f', gitaly: true }],
  git: { path: `${scope}/gitaly/gitaly-1`, pid: '1', buckets: ten },
  deadGit: [],
};

describe.each(capturedKernels)('kernel %s', (kernel) => {
  test.each(capturedMoments)('%s, without a directory of pods', async (moment) => {
    const { root, remove } = capturedTree(kernel, moment);
    const { trees, missing, failures } = await findOnce(root);
    expect(trees).toEqual(moment === 'removed' ? [nested] : [sibling, nested]);
    expect(missing).toEqual([
      expect.stringContaining(`${burstableUid}: named by UID, because no source of pods is configured`),
    ]);
    expect(failures).toEqual([]);
    remove();
  });

  test('a listed pod without Git cgroups is kept, with its names; an unlisted one is omitted', async () => {
    const { root, remove } = capturedTree(kernel, 'removed');
    const pod = knownPod({
      uid: guaranteedUid,
      qosClass: 'Guaranteed',
      containers: [{ name: 'gitaly', id: gitalyId }],
    });
    const { trees, missing } = await findOnce(root, { directory: directoryOf([pod]) });
    expect(trees).toEqual([
      {
        ...sibling,
        identity: { namespace: 'gitlab', pod: 'gitlab-gitaly-0', node: 'node-7' },
        layout: 'none',
        containers: [
          { ...pause, name: '5c1e0f6ab3d8', gitaly: false },
          { ...gitaly, name: 'gitaly', gitaly: true },
        ],
        git: undefined,
      },
    ]);
    expect(missing).toEqual([
      expect.stringContaining(`${burstableUid}: Gitaly's cgroups exist, but the pod is not listed`),
    ]);
    remove();
  });
});

test('a slice that runc and systemd created', async () => {
  const { root, remove } = runcTree();
  const { trees } = await findOnce(root);
  expect(trees).toEqual([
    {
      ...nested,
      layout: 'sibling',
      containers: [],
      git: { path: `${burstable}/gitaly/gitaly-1`, pid: '1', buckets: [0, 3] },
    },
  ]);
  remove();
});
