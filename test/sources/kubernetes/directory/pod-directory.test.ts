import { describe, expect, test } from '@jest/globals';
import { createPodDirectory } from '../../../../src/sources/kubernetes/directory/pod-directory.ts';
import { imageTag } from '../../../../src/sources/kubernetes/directory/pod-list.ts';
import { chartComponentOf } from '../../../../src/sources/kubernetes/gitaly-objects.ts';
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
  const directory = createPodDirectory(stores, {
    node: options.node,
    componentOf: chartComponentOf,
    clock,
  });
  const notified: number[] = [];
  directory.subscribe(() => notified.push(directory.pods().pods.length));
  return {
    clock,
    ...stores,
    directory,
    notified,
    names: () => directory.pods().pods.map(({ name }) => name),
  };
}

test("the directory has Gitaly's pods of this node, with the versions of the node and the IDs of the containers", () => {
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
        containers: [{ name: 'gitaly', id: expect.stringMatching(/^[0-9a-f]{64}$/), running: true }],
      },
    ],
  });
});

test("without the node's name the directory has all of Gitaly's pods, and none of Praefect's", () => {
  expect(opened().names()).toEqual(['gl-gitaly-default-0', 'gl-gitaly-default-1', 'gl-gitaly-default-2']);
});

test("Gitaly's container is called gitaly, whatever its name, and a sidecar as in the API", () => {
  const { directory, pods: store } = opened({ node: pod.node });
  const of = (name: string, image: string) => pod.containers.map((each) => ({ ...each, name, image }));
  const containers = [
    ...of('server', 'registry.example.com/gitaly:v18.4.0'),
    ...of('proxy', 'istio/proxyv2:1'),
  ];
  store.add({ ...pod, containers });
  const [found] = directory.pods().pods;
  expect(found?.containers.map(({ name }) => name)).toEqual(['gitaly', 'proxy']);
  expect(found?.version).toBe('v18.4.0');
});

test('a deleted pod is kept for a minute, also next to its replacement', async () => {
  const { clock, pods: store, names, notified } = opened();
  store.remove(pod.uid);
  store.add({ ...pod, uid: 'new' });
  expect(names().filter((name) => name === pod.name)).toHaveLength(2);
  expect(notified).toEqual([3, 4]);
  await clock.advance(59_999);
  expect(names()).toHaveLength(4);
  await clock.advance(1);
  expect(names()).toHaveLength(3);
});

test('a container counts as running only in a pod that is running, not terminating and not deleted', () => {
  const { directory, pods: store } = opened({ node: pod.node });
  const running = () =>
    directory.pods().pods.flatMap(({ containers }) => containers.map((each) => each.running));
  expect(running()).toEqual([true]);
  store.add({ ...pod, deletion: { requestedAt: 0, graceSeconds: 30 } });
  expect(running()).toEqual([undefined]);
  store.add({ ...pod, phase: 'Failed' });
  expect(running()).toEqual([undefined]);
  store.add({
    ...pod,
    containers: pod.containers.map((each) => ({
      ...each,
      state: { kind: 'waiting', reason: 'CrashLoopBackOff' },
    })),
  });
  expect(running()).toEqual([undefined]);
  store.add(pod);
  store.remove(pod.uid);
  expect(running()).toEqual([undefined]);
});

test('a pod that was deleted during a gap of the watch is kept for a minute too', async () => {
  const { clock, pods: store, names, notified } = opened();
  store.relist(pods.filter(({ uid }) => uid !== pod.uid));
  expect(names()).toHaveLength(3);
  expect(notified).toEqual([3]);
  await clock.advance(60_000);
  expect(names()).toEqual(['gl-gitaly-default-1', 'gl-gitaly-default-2']);
});

test('listeners are notified when a summary changes, and only then', () => {
  const { pods: store, nodes: nodeStore, notified, directory } = opened();
  store.add({ ...pod, conditions: {}, annotations: { x: 'y' } });
  nodeStore.add({ ...nodeOfPod, conditions: {}, unschedulable: true });
  store.add({ ...named(pods, 'gl-praefect-0'), qosClass: 'BestEffort' });
  expect(notified).toEqual([]);
  nodeStore.add({ ...nodeOfPod, runtimeVersion: 'containerd://2.2.0' });
  expect(notified).toEqual([3]);
  expect(directory.pods().pods[0]?.runtimeVersion).toBe('containerd://2.2.0');
  const restarted = pod.containers.map((each) => ({ ...each, id: 'cri-o://abc' }));
  store.add({ ...pod, containers: restarted });
  expect(notified).toEqual([3, 3]);
  expect(directory.pods().pods[0]?.containers).toEqual([{ name: 'gitaly', id: 'abc', running: true }]);
});

test('a pod that the store hides because it is malformed keeps its name until it is deleted', async () => {
  const { clock, pods: store, names } = opened();
  store.set({ malformed: [`gitlab/${pod.name}`] });
  store.relist(pods.filter(({ uid }) => uid !== pod.uid));
  await clock.advance(60_000);
  expect(names()).toHaveLength(3);
  store.set({ malformed: [] });
  store.relist(pods.filter(({ uid }) => uid !== pod.uid));
  await clock.advance(60_000);
  expect(names()).toHaveLength(2);
});

test('a malformed successor of a deleted pod does not bring it back', async () => {
  const { clock, names, pods: store } = opened({ node: pod.node });
  store.remove(pod.uid);
  store.set({ malformed: [`${pod.namespace}/${pod.name}`] });
  store.relist(pods.filter(({ uid }) => uid !== pod.uid));
  await clock.advance(60_000);
  expect(names()).not.toContain(pod.name);
});

test('an event of one pod or node reads that pod, or that node and its pods, alone', () => {
  const nameOf = ({ labels }: Pick<Pod, 'labels'>) => labels['statefulset.kubernetes.io/pod-name'];
  const read: (string | undefined)[] = [];
  const nodeStore = testStore(nodes);
  let nodeLists = 0;
  const stores = {
    pods: testStore(pods),
    nodes: {
      ...nodeStore,
      all() {
        nodeLists += 1;
        return nodeStore.all();
      },
    },
  };
  createPodDirectory(stores, {
    node: undefined,
    componentOf(workload) {
      read.push(nameOf(workload));
      return chartComponentOf(workload);
    },
    clock: createManualClock(),
  });
  read.length = 0;
  stores.pods.add({ ...pod, qosClass: 'Burstable' });
  expect(read).toEqual([pod.name]);
  read.length = 0;
  nodeLists = 0;
  stores.nodes.add({ ...nodeOfPod, kernelVersion: '6.13.0' });
  const onNode = pods.filter((each) => each.node === pod.node).map(nameOf);
  expect(onNode.length).toBeLessThan(pods.length);
  expect(read.toSorted()).toEqual(onNode.toSorted());
  expect(nodeLists).toBe(0);
});

test('a pod is listed when it is scheduled, and the IDs of its containers when they are created', () => {
  const waiting = { ...pod, node: '', containers: pod.containers.map((each) => ({ ...each, id: '' })) };
  const { pods: store, names, directory } = opened({ pods: [waiting] });
  expect(names()).toEqual([]);
  store.add({ ...waiting, node: pod.node });
  expect(directory.pods().pods[0]?.containers).toEqual([{ name: 'gitaly', id: '' }]);
});

test('without the permission to list nodes, the versions are empty', () => {
  const { directory } = opened({ nodes: [] });
  expect(directory.pods().pods[0]).toMatchObject({ name: pod.name, runtimeVersion: '', kernelVersion: '' });
});

describe('the list is marked as incomplete', () => {
  const failure = { reason: 'refused', message: 'the API server refuses the connection' } as const;

  test('while the watch is not current', () => {
    const { pods: store, directory, names } = opened();
    store.set({ current: false, failure });
    expect(directory.pods().failure).toEqual(failure);
    // The known pods are kept, so that their cgroups keep their names.
    expect(names()).toHaveLength(3);
  });

  test('before the first list', () => {
    const { pods: store, directory } = opened({ pods: [] });
    store.set({ current: false, lastEventAt: undefined });
    expect(directory.pods().failure?.message).toContain('have not been listed');
  });

  test('when the watch is disconnected for more than 30 seconds, not at each reconnection', async () => {
    const { clock, pods: store, directory } = opened();
    store.set({ failure, lastEventAt: clock.now() });
    await clock.advance(30_000);
    expect(directory.pods().failure).toBeUndefined();
    await clock.advance(1);
    expect(directory.pods().failure).toEqual(failure);
  });
});

test('after close there are no subscriptions', () => {
  const { pods: store, nodes: nodeStore, directory } = opened();
  directory.close();
  expect([store.listeners(), nodeStore.listeners()]).toEqual([0, 0]);
});

test('the pods of a lost node are listed until they are removed', () => {
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
