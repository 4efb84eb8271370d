/**
 * Cases that are not recorded: pods that are replaced twice or never, and containers that terminate in between.
 */
import { describe, expect, test } from '@jest/globals';
import type {
  Condition,
  KubeEvent,
  Pod,
  StatefulSet,
} from '../../../../src/sources/kubernetes/objects/types.ts';
import { causeOf, noEvidence } from '../../../../src/sources/kubernetes/rotation/cause.ts';
import { createFakeStores } from '../support.ts';
import { loaded, readyPod, recordOver } from './support.ts';

const second = 1000;
const t0 = Date.parse('2026-11-23T01:00:00Z');

const found = readyPod();
const yes = (since: number, reason = ''): Condition => ({ status: 'True', reason, since });
const no = (since: number, reason = ''): Condition => ({ status: 'False', reason, since });

/** A Ready pod that was created a day ago. */
const old: Pod = {
  ...found,
  createdAt: t0 - 86_400 * second,
  startTime: t0 - 86_400 * second,
  conditions: { ...found.conditions, Ready: yes(t0 - 86_000 * second) },
};

const deleted = (pod: Pod, at: number, graceSeconds = 30): Pod => ({
  ...pod,
  deletion: { requestedAt: at, graceSeconds },
});

const pending = (uid: string, at: number): Pod => ({
  ...old,
  ...{ uid, createdAt: at, startTime: undefined, node: '', phase: 'Pending', conditions: {} },
  containers: old.containers.map((each) => ({
    ...each,
    ...{ started: false, state: { kind: 'waiting', reason: 'ContainerCreating' } as const },
  })),
  initContainers: old.initContainers.map((each) => ({
    ...each,
    state: { kind: 'waiting', reason: 'PodInitializing' } as const,
  })),
});

/** The pod, Ready `after` milliseconds after its creation, with equal steps. */
function ready(pod: Pod, after: number): Pod {
  const step = (n: number): number => pod.createdAt + (after * n) / 5;
  return {
    ...old,
    ...{ uid: pod.uid, createdAt: pod.createdAt, startTime: step(1), node: 'lab-node-3' },
    conditions: {
      PodScheduled: yes(step(1)),
      PodReadyToStartContainers: yes(step(2)),
      Initialized: yes(step(3)),
      ContainersReady: yes(step(5)),
      Ready: yes(step(5)),
    },
    containers: old.containers.map((each) => ({ ...each, state: { kind: 'running', startedAt: step(4) } })),
  };
}

/** A record with one Ready pod. */
function atRest(pod: Pod = old) {
  const { statefulSets, nodes } = loaded('rotate-delete').stores;
  const stores = createFakeStores();
  stores.statefulSets.list(statefulSets.all());
  stores.nodes.list(nodes.all());
  stores.pods.list([pod]);
  return recordOver(stores);
}

const oomKilled = {
  ...{ reason: 'OOMKilled', exitCode: 137 },
  ...{ startedAt: t0 - 80_000 * second, finishedAt: t0 },
};

describe('a pod that is replaced more than once', () => {
  test('is one rotation, from the first deletion to Ready, with the phases of the last replacement', () => {
    const { stores, record, rotated } = atRest();
    const [second1, third] = [pending('b', t0 + 2 * second), pending('c', t0 + 20 * second)];
    stores.pods.put(deleted(old, t0), t0);
    stores.pods.remove(deleted(old, t0), t0 + 2 * second);
    stores.pods.put(second1, t0 + 2 * second);
    stores.pods.put(deleted(second1, t0 + 10 * second), t0 + 10 * second);
    stores.pods.remove(deleted(second1, t0 + 10 * second), t0 + 20 * second);
    stores.pods.put(third, t0 + 20 * second);
    expect(record.ongoing()).toMatchObject([{ startedAt: t0, phase: 'scheduling', cause: 'deleted' }]);
    stores.pods.put(ready(third, 10 * second), t0 + 30 * second);
    expect(record.last()).toMatchObject([
      { cause: 'deleted', fromNode: 'lab-node-2', seconds: { terminating: 10, total: 30 } },
    ]);
    expect(rotated()).toBe(1);
  });
});

describe('a pod that is not replaced', () => {
  const scaledTo = (stores: ReturnType<typeof createFakeStores>, replicas: number): void => {
    const set = stores.statefulSets.all().find(({ name }) => name === 'gl-gitaly-default') as StatefulSet;
    stores.statefulSets.put({ ...set, replicas }, t0);
  };

  test('because its StatefulSet was scaled down has no rotation, and no ongoing one', () => {
    const { stores, record, rotated } = atRest();
    scaledTo(stores, 1);
    stores.pods.put(deleted(old, t0), t0);
    expect(record.ongoing()).toEqual([]);
    stores.pods.remove(deleted(old, t0), t0 + second);
    expect(record.ongoing()).toEqual([]);
    // Scaled up much later: a new pod, not a rotation.
    scaledTo(stores, 3);
    const next = pending('b', t0 + 3600 * second);
    stores.pods.put(next, t0 + 3600 * second);
    expect(record.ongoing()).toMatchObject([{ isNew: true, startedAt: t0 + 3600 * second }]);
    stores.pods.put(ready(next, 10 * second), t0 + 3610 * second);
    expect([rotated(), record.last(), record.ongoing()]).toEqual([0, [], []]);
  });

  test('loses its rotation when the scaling arrives after the deletion', () => {
    const { stores, record } = atRest();
    stores.pods.put(deleted(old, t0), t0);
    stores.pods.remove(deleted(old, t0), t0 + second);
    expect(record.ongoing()).toMatchObject([{ missing: true, phase: 'scheduling', node: '' }]);
    scaledTo(stores, 1);
    expect(record.ongoing()).toEqual([]);
  });

  test('is expected to be replaced while StatefulSets are not current', () => {
    const { stores, record } = atRest();
    scaledTo(stores, 1);
    stores.statefulSets.setCurrent(false);
    stores.pods.put(deleted(old, t0), t0);
    expect(record.ongoing()).toHaveLength(1);
  });

  test('is compared with the replicas from the first ordinal of the StatefulSet on', () => {
    const { stores, record } = atRest();
    const set = stores.statefulSets.all().find(({ name }) => name === 'gl-gitaly-default') as StatefulSet;
    stores.statefulSets.put({ ...set, replicas: 1, ordinalsStart: 1 }, t0);
    stores.pods.put(deleted(old, t0), t0);
    expect(record.ongoing()).toHaveLength(1);
  });

  test('because its ordinal is below the first one of the StatefulSet has no ongoing rotation', () => {
    const { stores, record } = atRest();
    const set = stores.statefulSets.all().find(({ name }) => name === 'gl-gitaly-default') as StatefulSet;
    // As when a set is moved to another cluster pod by pod: spec.ordinals.start follows.
    stores.statefulSets.put({ ...set, replicas: 1, ordinalsStart: 2 }, t0);
    stores.pods.put(deleted(old, t0), t0);
    stores.pods.remove(deleted(old, t0), t0 + second);
    expect(record.ongoing()).toEqual([]);
  });

  test('although its StatefulSet has it as a replica has an ongoing rotation without a time limit', () => {
    const { stores, record } = atRest();
    stores.pods.put(deleted(old, t0), t0);
    stores.pods.remove(deleted(old, t0), t0 + second);
    stores.pods.list([], t0 + 60 * second);
    expect(record.ongoing()).toMatchObject([{ startedAt: t0, missing: true }]);
  });

  test('and is missing in a list has an ongoing rotation since that list', () => {
    const { stores, record } = atRest();
    stores.pods.list([], t0);
    expect(record.ongoing()).toMatchObject([{ startedAt: t0, missing: true, cause: 'unknown' }]);
  });

  test('because no StatefulSet owns it has no rotation', () => {
    const { stores, record } = atRest({ ...old, owner: undefined });
    stores.pods.remove({ ...old, owner: undefined }, t0);
    expect(record.ongoing()).toEqual([]);
  });
});

test('a forced deletion without a grace period is timed from the DELETED event', () => {
  const { stores, record } = atRest();
  const next = pending('b', t0);
  stores.pods.remove(old, t0);
  stores.pods.put(next, t0);
  stores.pods.put(ready(next, 10 * second), t0 + 10 * second);
  expect(record.last()).toMatchObject([{ cause: 'deleted', seconds: { terminating: 0, total: 10 } }]);
});

describe('no rotation is caused by', () => {
  const unready = (at: number): Pod => ({
    ...old,
    conditions: { ...old.conditions, Ready: no(at, 'ContainersNotReady'), ContainersReady: no(at) },
  });

  test('a readiness probe that fails temporarily', () => {
    const { stores, record, rotated } = atRest();
    stores.pods.put(unready(t0), t0);
    expect(record.ongoing()).toEqual([]);
    stores.pods.put({ ...old, conditions: { ...old.conditions, Ready: yes(t0 + second) } }, t0 + second);
    expect(rotated()).toBe(0);
  });

  test('a sidecar that restarts while the pod stays Ready', () => {
    const sidecar = { ...(old.initContainers[0] as Pod['initContainers'][number]), sidecar: true };
    const before = { ...old, initContainers: [sidecar] };
    const { stores, rotated } = atRest(before);
    stores.pods.put(
      { ...before, initContainers: [{ ...sidecar, restartCount: 1, lastTermination: oomKilled }] },
      t0,
    );
    expect(rotated()).toBe(0);
  });

  test('an object that is malformed temporarily', () => {
    const { stores, record, rotated } = atRest();
    stores.pods.list([]);
    stores.pods.list([old]);
    expect([rotated(), record.ongoing()]).toEqual([0, []]);
  });

  test('a Praefect pod', () => {
    const { stores, record, rotated } = atRest({ ...old, labels: { app: 'praefect' } });
    stores.pods.put(deleted({ ...old, labels: { app: 'praefect' } }, t0), t0);
    expect([rotated(), record.ongoing()]).toEqual([0, []]);
  });

  const lost = (at: number): Pod => ({ ...old, conditions: { ...old.conditions, Ready: no(at) } });

  test('a node that is lost temporarily, even if a rotation is in progress', () => {
    const { stores, record, rotated } = atRest();
    stores.pods.put(lost(t0), t0);
    expect(record.ongoing()).toMatchObject([{ cause: 'node_lost', phase: 'terminating', startedAt: t0 }]);
    stores.pods.put({ ...old, conditions: { ...old.conditions, Ready: yes(t0 + 60_000) } }, t0 + 60_000);
    expect([rotated(), record.ongoing()]).toEqual([0, []]);
  });

  test('a lost node whose containers do not restart: with restarts it is a rotation with cause node_lost', () => {
    const { stores, record } = atRest();
    stores.pods.put(lost(t0), t0);
    const restarted = {
      ...old,
      containers: old.containers.map((each) => ({ ...each, restartCount: 1, lastTermination: oomKilled })),
    };
    const waiting = {
      ...restarted,
      conditions: { ...old.conditions, Ready: no(t0), ContainersReady: no(t0 + 50_000) },
    };
    stores.pods.put(waiting, t0 + 50_000);
    stores.pods.put(
      { ...restarted, conditions: { ...old.conditions, Ready: yes(t0 + 60_000) } },
      t0 + 60_000,
    );
    expect(record.last()).toMatchObject([{ cause: 'node_lost', seconds: { total: 60 } }]);
  });
});

describe('a container that terminated', () => {
  const restarted = (at: number): Pod => ({
    ...old,
    conditions: { ...old.conditions, Ready: yes(at) },
    containers: old.containers.map((each) => ({
      ...each,
      ...{
        restartCount: 1,
        lastTermination: oomKilled,
        state: { kind: 'running', startedAt: at - second } as const,
      },
    })),
  });

  test('and was restarted within a gap is timed by the times that the kubelet reports', () => {
    const { stores, record, count } = atRest();
    stores.pods.list([restarted(t0 + 5 * second)]);
    expect(record.last()).toMatchObject([{ cause: 'container_restart', seconds: { total: 5 } }]);
    expect(count(old.name, 'container_restart')).toBe(1);
  });

  test('before the exporter started has a rotation that started with the termination', () => {
    const stores = createFakeStores();
    const { record } = recordOver(stores);
    const unavailable: Pod = {
      ...restarted(t0),
      conditions: { ...old.conditions, Ready: no(t0), ContainersReady: no(t0) },
      containers: old.containers.map((each) => ({
        ...each,
        ...{
          state: { kind: 'waiting', reason: 'CrashLoopBackOff' } as const,
          lastTermination: oomKilled,
        },
      })),
    };
    stores.statefulSets.list(loaded('rotate-delete').stores.statefulSets.all());
    stores.pods.list([unavailable]);
    expect(record.ongoing()).toMatchObject([{ cause: 'container_restart', startedAt: t0, isNew: false }]);
    stores.pods.put(restarted(t0 + 60 * second), t0 + 60 * second);
    expect(record.last()).toMatchObject([{ cause: 'container_restart', seconds: { total: 60 } }]);
  });
});

describe('a pod that is starting when the exporter starts', () => {
  const event = (uid: string): KubeEvent => {
    const [first] = loaded('rotate-delete').stores.events.all();
    if (first === undefined) throw new Error('the recording has changed');
    const about = { kind: 'Pod', namespace: old.namespace, name: old.name, uid };
    return { ...first, uid: `event-${uid}`, reason: 'Killing', about };
  };
  const started = (events: readonly KubeEvent[]) => {
    const stores = createFakeStores();
    const made = recordOver(stores);
    stores.statefulSets.list(loaded('rotate-delete').stores.statefulSets.all());
    stores.events.list(events);
    stores.pods.list([pending('b', t0)]);
    expect(made.record.ongoing()).toMatchObject([{ startedAt: t0, isNew: true, cause: 'unknown' }]);
    stores.pods.put(ready(pending('b', t0), 10 * second), t0 + 10 * second);
    return made;
  };

  test('is in a rotation of unknown cause and without a total when there are events about its predecessor', () => {
    const { record, count } = started([event('a')]);
    expect(count(old.name, 'unknown')).toBe(1);
    expect(record.last()[0]?.seconds).toEqual({ scheduling: 2, volume: 2, init: 2 });
  });

  test('is not in a rotation when its creation was seen: its StatefulSet was scaled up', () => {
    const stores = createFakeStores();
    const { rotated } = recordOver(stores);
    stores.statefulSets.list(loaded('rotate-delete').stores.statefulSets.all());
    stores.events.list([event('a')]);
    stores.pods.list([]);
    stores.pods.put(pending('b', t0), t0);
    stores.pods.put(ready(pending('b', t0), 10 * second), t0 + 10 * second);
    expect(rotated()).toBe(0);
  });

  test('is not in a rotation without events about a predecessor', () => {
    expect(started([event('b')]).rotated()).toBe(0);
  });
});

describe('the cause of a rotation', () => {
  const evidence = noEvidence('rev-1');
  const next = { ...old, labels: { ...old.labels, 'controller-revision-hash': 'rev-2' } };
  test.each([
    ['preemption', { disruption: 'PreemptionByScheduler', deleted: true }],
    ['node_lost', { disruption: 'DeletionByPodGC', deleted: true }],
    ['node_lost', { disruption: 'DeletionByTaintManager', lost: true, deleted: true }],
    // A NoExecute taint that was set manually.
    ['node_drained', { disruption: 'DeletionByTaintManager', drained: true, deleted: true }],
    // The taint was removed before the exporter saw it.
    ['node_drained', { disruption: 'DeletionByTaintManager', deleted: true }],
    ['eviction_api', { disruption: 'EvictionByEvictionAPI', deleted: true }],
    ['node_drained', { disruption: 'EvictionByEvictionAPI', drained: true, deleted: true }],
    ['eviction_pressure', { disruption: 'TerminationByKubelet', statusReason: 'Evicted' }],
    ['node_drained', { disruption: 'TerminationByKubelet', statusReason: 'Terminated' }],
    ['preemption', { disruption: 'TerminationByKubelet', statusReason: 'Preempting' }],
    ['eviction_pressure', { disruption: 'TerminationByKubelet' }],
    // Kubernetes before 1.26 has no DisruptionTarget.
    ['eviction_pressure', { statusReason: 'Evicted' }],
    ['node_lost', { lost: true, deleted: true }],
    ['node_drained', { drained: true, deleted: true, hasConditions: false }],
    // From 1.26 on, an eviction would have the condition.
    ['deleted', { drained: true, deleted: true }],
    ['rollout', { outdated: true, deleted: true }],
    ['deleted', { deleted: true }],
    ['unknown', {}],
  ] as const)('is %s for %o', (cause, seen) => {
    const same = { ...old, labels: { ...old.labels, 'controller-revision-hash': 'rev-1' } };
    expect(causeOf({ ...evidence, ...seen }, same, [])).toBe(cause);
  });

  const about = (reason: string, message = ''): KubeEvent => {
    const [first] = loaded('rotate-delete').stores.events.all();
    if (first === undefined) throw new Error('the recording has changed');
    return { ...first, reason, message };
  };
  test.each([
    ['preemption', 'Preempted', 'by gitlab/other on node n'],
    ['eviction_pressure', 'Evicted', 'The node was low on resource: memory'],
    ['node_lost', 'NodeControllerEviction', 'Marking for deletion Pod'],
    ['node_drained', 'TaintManagerEviction', 'Marking for deletion Pod gitlab/gl-gitaly-0'],
    ['deleted', 'TaintManagerEviction', 'Cancelling deletion of Pod gitlab/gl-gitaly-0'],
  ])('before Kubernetes 1.26 is %s by the event %s: %s', (cause, reason, message) => {
    const same = { ...old, labels: { ...old.labels, 'controller-revision-hash': 'rev-1' } };
    const old125 = { ...evidence, deleted: true, hasConditions: false };
    expect(causeOf(old125, same, [about(reason, message)])).toBe(cause);
  });

  test('is a rollout when the new pod has another revision, unless the API reports another cause', () => {
    expect(causeOf({ ...evidence, deleted: true }, next, [])).toBe('rollout');
    expect(causeOf(evidence, next, [])).toBe('rollout');
    expect(causeOf({ ...evidence, disruption: 'PreemptionByScheduler' }, next, [])).toBe('preemption');
  });
});

describe('the cause of a rotation that is read from the watch', () => {
  const withRevision = (pod: Pod, revision: string): Pod => ({
    ...pod,
    labels: { ...pod.labels, 'controller-revision-hash': revision },
  });
  const current = withRevision(old, 'rev-1');

  test('is a rollout when it was rolled back before its new pod was Ready', () => {
    const { stores, record } = atRest(current);
    const failing = withRevision(pending('b', t0 + 2 * second), 'rev-2');
    const next = withRevision(pending('c', t0 + 60 * second), 'rev-1');
    stores.pods.put(deleted(current, t0), t0);
    stores.pods.remove(deleted(current, t0), t0 + 2 * second);
    stores.pods.put(failing, t0 + 2 * second);
    stores.pods.put(deleted(failing, t0 + 59 * second), t0 + 59 * second);
    stores.pods.remove(deleted(failing, t0 + 59 * second), t0 + 60 * second);
    stores.pods.put(next, t0 + 60 * second);
    stores.pods.put(withRevision(ready(next, 10 * second), 'rev-1'), t0 + 70 * second);
    expect(record.last()).toMatchObject([{ cause: 'rollout', seconds: { total: 70 } }]);
  });

  test('is a rollout when it was rolled back before its new pod was created', () => {
    const { stores, record } = atRest(current);
    const set = stores.statefulSets.all().find(({ name }) => name === 'gl-gitaly-default') as StatefulSet;
    stores.statefulSets.put({ ...set, updateRevision: 'rev-2' }, t0 - second);
    stores.pods.put(deleted(current, t0), t0);
    stores.statefulSets.put({ ...set, updateRevision: 'rev-1' }, t0 + second);
    stores.pods.remove(deleted(current, t0), t0 + 2 * second);
    const next = withRevision(pending('b', t0 + 2 * second), 'rev-1');
    stores.pods.put(next, t0 + 2 * second);
    stores.pods.put(withRevision(ready(next, 10 * second), 'rev-1'), t0 + 12 * second);
    expect(record.last()).toMatchObject([{ cause: 'rollout' }]);
  });

  test('is node_drained by a NoExecute taint that was set by hand, and node_lost without the node', () => {
    const target = { status: 'True', reason: 'DeletionByTaintManager', since: t0 } as const;
    const { stores, record } = atRest(current);
    const node = stores.nodes.all().find(({ name }) => name === current.node);
    if (node === undefined) throw new Error('the recording has changed');
    stores.nodes.put({ ...node, taints: [{ key: 'maintenance', effect: 'NoExecute' }] }, t0 - second);
    const evicted = { ...current, conditions: { ...current.conditions, DisruptionTarget: target } };
    stores.pods.put(deleted(evicted, t0), t0);
    expect(record.ongoing()).toMatchObject([{ cause: 'node_drained', startedAt: t0 }]);
  });

  test('is node_lost when the node object is deleted, with a start and a total', () => {
    const { stores, record } = atRest(current);
    stores.nodes.list(stores.nodes.all().filter(({ name }) => name !== current.node));
    const target = { status: 'True', reason: 'DeletionByPodGC', since: t0 } as const;
    const collected = deleted(
      { ...current, conditions: { ...current.conditions, DisruptionTarget: target } },
      t0,
      0,
    );
    stores.pods.put(collected, t0);
    expect(record.ongoing()).toMatchObject([{ cause: 'node_lost', startedAt: t0 }]);
    stores.pods.remove(collected, t0 + second);
    const next = withRevision(pending('b', t0 + second), 'rev-1');
    stores.pods.put(next, t0 + second);
    stores.pods.put(withRevision(ready(next, 10 * second), 'rev-1'), t0 + 11 * second);
    expect(record.last()).toMatchObject([{ cause: 'node_lost', seconds: { total: 11 } }]);
  });
});

test('after a stall of less than two seconds, arrival times do not count as the times of the events', () => {
  const { stores, record } = atRest();
  // How soon changes arrive without a stall.
  const other = { ...pending('z', t0 - 60 * second), name: 'gl-gitaly-default-0' };
  stores.pods.put(other, t0 - 60 * second + 40);
  const arrived = t0 + 1600;
  stores.pods.put(deleted(old, t0), arrived);
  // The kubelet ends the grace period: at t0 + 1600, which the API server rounds down.
  stores.pods.remove(deleted(old, t0 + second, 0), arrived + 40);
  const next = pending('b', t0 + second);
  stores.pods.put(next, arrived + 45);
  stores.pods.put(ready(next, 10 * second), t0 + 11 * second);
  expect(record.last()).toMatchObject([{ seconds: { terminating: 1, total: 11 } }]);
});
