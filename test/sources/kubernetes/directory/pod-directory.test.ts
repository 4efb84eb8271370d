/** Gitaly's pods as the cgroup room sees them, from the watch. */
import { describe, expect, test } from '@jest/globals';
import { chartComponentOf } from '../../../../src/sources/kubernetes/directory/component.ts';
import { imageTag } from '../../../../src/sources/kubernetes/directory/known-pod.ts';
import { podDirectoryOf } from '../../../../src/sources/kubernetes/directory/pod-directory.ts';
import type { Node, Pod } from '../../../../src/sources/kubernetes/objects/types.ts';
import { createManualClock } from '../../../support/manual-clock.ts';
import { named, recordedNodes, recordedPods, testStore } from './support.ts';

const pods = recordedPods('posture-good', 'at-rest');
const nodes = recordedNodes('posture-good', 'at-rest');
const pod = named(pods, 'gl-gitaly-default-0');
const nodeOfPod = named(nodes, pod.node);

function opened(
  options: { readonly pods?: readonly Pod[]; readonly nodes?: readonly Node[]; readonly node?: string } = {},
) {
  const clock = createManualClock();
  const stores = { pods: testStore(options.pods ?? pods), nodes: testStore(options.nodes ?? nodes) };
  const directory = podDirectoryOf(stores, {
    node: options.node,
    componentOf: chartComponentOf,
    clock,
  });
  const told: number[] = [];
  directory.subscribe(() => told.push(directory.pods().pods.length));
  return { clock, ...stores, directory, told, names: () => directory.pods().pods.map(({ name }) => name) };
}

test("Gitaly's pods of this node, with what the node and the containers are", () => {
  const { directory } = opened({ node: pod.node });
  expect(directory.pods()).toEqual({
    failure: undefined,
    pods: [
      {
        uid: pod.uid,
        namespace: 'gitlab',
        name: 'gl-gitaly-default-0',
        node: pod.node,
        qosClass: 'Guaranteed',
        priorityClass: 'gitlab-gitaly',
        version: 'v18.10.0',
        runtimeVersion: 'containerd://2.1.5',
        kernelVersion: nodeOfPod.kernelVersion,
        containers: [{ name: 'gitaly', id: expect.stringMatching(/^[0-9a-f]{64}$/) }],
      },
    ],
  });
});

test("without the node's name all of Gitaly's pods, and none of Praefect's", () => {
  expect(opened().names()).toEqual(['gl-gitaly-default-0', 'gl-gitaly-default-1', 'gl-gitaly-default-2']);
});

test('a deleted pod stays for a minute, also beside the one that takes its name', async () => {
  const { clock, pods: store, names, told } = opened();
  store.remove(pod.uid);
  store.add({ ...pod, uid: 'new' });
  expect(names().filter((name) => name === pod.name)).toHaveLength(2);
  expect(told).toEqual([3, 4]);
  await clock.advance(59_999);
  expect(names()).toHaveLength(4);
  await clock.advance(1);
  expect(names()).toHaveLength(3);
});

test('one that vanished while nobody watched is gone after a minute, too', async () => {
  const { clock, pods: store, names, told } = opened();
  store.relist(pods.filter(({ uid }) => uid !== pod.uid));
  expect(names()).toHaveLength(3);
  expect(told).toEqual([3]);
  await clock.advance(60_000);
  expect(names()).toEqual(['gl-gitaly-default-1', 'gl-gitaly-default-2']);
});

test('listeners hear of what changes in the answer, and of nothing else', () => {
  const { pods: store, nodes: machines, told, directory } = opened();
  store.add({ ...pod, conditions: {}, annotations: { x: 'y' } });
  machines.add({ ...nodeOfPod, conditions: {}, allocatable: { memory: 1, cpu: 1 } });
  store.add({ ...named(pods, 'gl-praefect-0'), qosClass: 'BestEffort' });
  expect(told).toEqual([]);
  machines.add({ ...nodeOfPod, runtimeVersion: 'containerd://2.2.0' });
  expect(told).toEqual([3]);
  expect(directory.pods().pods[0]?.runtimeVersion).toBe('containerd://2.2.0');
  const restarted = pod.containers.map((each) => ({ ...each, id: 'cri-o://abc' }));
  store.add({ ...pod, containers: restarted });
  expect(told).toEqual([3, 3]);
  expect(directory.pods().pods[0]?.containers).toEqual([{ name: 'gitaly', id: 'abc' }]);
});

test('a pod is listed as soon as it has a node, and its containers as they are made', () => {
  const waiting = { ...pod, node: '', containers: pod.containers.map((each) => ({ ...each, id: '' })) };
  const { pods: store, names, directory } = opened({ pods: [waiting] });
  expect(names()).toEqual([]);
  store.add({ ...waiting, node: pod.node });
  expect(directory.pods().pods[0]?.containers).toEqual([{ name: 'gitaly', id: '' }]);
});

test('without the right to see nodes, versions are empty and pods are there', () => {
  const { directory } = opened({ nodes: [] });
  expect(directory.pods().pods[0]).toMatchObject({ name: pod.name, runtimeVersion: '', kernelVersion: '' });
});

describe('the list may not be whole', () => {
  const failure = { reason: 'refused', message: 'the API server refuses the connection' } as const;

  test('while the watch is not current', () => {
    const { pods: store, directory, names } = opened();
    store.set({ current: false, failure });
    expect(directory.pods().failure).toEqual(failure);
    // What was known stays: a tree that is still there keeps its name.
    expect(names()).toHaveLength(3);
  });

  test('before the first list', () => {
    const { pods: store, directory } = opened({ pods: [] });
    store.set({ current: false, heardAt: undefined });
    expect(directory.pods().failure?.message).toContain('not listed yet');
  });

  test('when the watch is cut for over half a minute, not at each reconnection', async () => {
    const { clock, pods: store, directory } = opened();
    store.set({ failure, heardAt: clock.now() });
    await clock.advance(30_000);
    expect(directory.pods().failure).toBeUndefined();
    await clock.advance(1);
    expect(directory.pods().failure).toEqual(failure);
  });
});

test('closed, it hears nothing more', () => {
  const { pods: store, nodes: machines, directory } = opened();
  directory.close();
  expect([store.listeners(), machines.listeners()]).toEqual([0, 0]);
});

test('a lost node keeps its pods in the list until they are gone', () => {
  for (const moment of ['0-before', '1-unknown', '2-terminating-without-end', '3-node-back']) {
    const { names } = opened({
      pods: recordedPods('node-notready', moment),
      nodes: recordedNodes('node-notready', moment),
    });
    expect(names()).toHaveLength(3);
  }
});

test.each([
  ['registry.gitlab.com/gitlab-org/build/cng/gitaly:v18.10.0', 'v18.10.0'],
  ['localhost:5000/gitaly', ''],
  ['localhost:5000/gitaly:master', 'master'],
  ['gitaly:v18.10.0@sha256:abcdef', 'v18.10.0'],
  ['gitaly@sha256:abcdef', ''],
  ['', ''],
])('the tag of %s is %j', (image, tag) => {
  expect(imageTag(image)).toBe(tag);
});
