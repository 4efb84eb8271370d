/** What no recording has: pods that come back twice, never, or not at all, and containers that end in between. */
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
/** Some whole second. */
const t0 = Date.parse('2026-11-23T01:00:00Z');

const found = readyPod();
const yes = (since: number, reason = ''): Condition => ({ status: 'True', reason, since });
const no = (since: number, reason = ''): Condition => ({ status: 'False', reason, since });

/** A Ready pod, made a day ago. */
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
    ...{ ready: false, started: false, state: { kind: 'waiting', reason: 'ContainerCreating' } as const },
  })),
  initContainers: old.initContainers.map((each) => ({
    ...each,
    state: { kind: 'waiting', reason: 'PodInitializing' } as const,
  })),
});

/** Ready `after` milliseconds after it was made, each step a fifth of that. */
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

/** A record whose pod is there and Ready. */
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
  test('is one rotation, from the first deletion to the Ready of the last, with the phases of the last', () => {
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

describe('a pod that does not come back', () => {
  const scaledTo = (stores: ReturnType<typeof createFakeStores>, replicas: number): void => {
    const set = stores.statefulSets.all().find(({ name }) => name === 'gl-gitaly-default') as StatefulSet;
    stores.statefulSets.put({ ...set, replicas }, t0);
  };

  test('because its StatefulSet was scaled down is no rotation, and none that goes on', () => {
    const { stores, record, rotated } = atRest();
    scaledTo(stores, 1);
    stores.pods.put(deleted(old, t0), t0);
    expect(record.ongoing()).toEqual([]);
    stores.pods.remove(deleted(old, t0), t0 + second);
    expect(record.ongoing()).toEqual([]);
    // Up again, much later: a new pod and nothing else.
    scaledTo(stores, 3);
    const next = pending('b', t0 + 3600 * second);
    stores.pods.put(next, t0 + 3600 * second);
    expect(record.ongoing()).toMatchObject([{ isNew: true, startedAt: t0 + 3600 * second }]);
    stores.pods.put(ready(next, 10 * second), t0 + 3610 * second);
    expect([rotated(), record.last(), record.ongoing()]).toEqual([0, [], []]);
  });

  test('is forgotten when the scaling is heard of after the deletion', () => {
    const { stores, record } = atRest();
    stores.pods.put(deleted(old, t0), t0);
    stores.pods.remove(deleted(old, t0), t0 + second);
    expect(record.ongoing()).toMatchObject([{ missing: true, phase: 'scheduling', node: '' }]);
    scaledTo(stores, 1);
    expect(record.ongoing()).toEqual([]);
  });

  test('is held to come back while nothing is known of StatefulSets', () => {
    const { stores, record } = atRest();
    scaledTo(stores, 1);
    stores.statefulSets.setCurrent(false);
    stores.pods.put(deleted(old, t0), t0);
    expect(record.ongoing()).toHaveLength(1);
  });

  test('counts its ordinal from where the StatefulSet does', () => {
    const { stores, record } = atRest();
    const set = stores.statefulSets.all().find(({ name }) => name === 'gl-gitaly-default') as StatefulSet;
    stores.statefulSets.put({ ...set, replicas: 1, ordinalsStart: 1 }, t0);
    stores.pods.put(deleted(old, t0), t0);
    expect(record.ongoing()).toHaveLength(1);
  });

  test('though it should, goes on for as long as it takes', () => {
    const { stores, record } = atRest();
    stores.pods.put(deleted(old, t0), t0);
    stores.pods.remove(deleted(old, t0), t0 + second);
    stores.pods.list([], t0 + 60 * second);
    expect(record.ongoing()).toMatchObject([{ startedAt: t0, missing: true }]);
  });

  test('and that was found missing by a list, has been away since then at the latest', () => {
    const { stores, record } = atRest();
    stores.pods.list([], t0);
    expect(record.ongoing()).toMatchObject([{ startedAt: t0, missing: true, cause: 'unknown' }]);
  });

  test('and that no StatefulSet owns never will', () => {
    const { stores, record } = atRest({ ...old, owner: undefined });
    stores.pods.remove({ ...old, owner: undefined }, t0);
    expect(record.ongoing()).toEqual([]);
  });
});

test('a deletion by force, of which nothing is seen but its end, is timed from there', () => {
  const { stores, record } = atRest();
  const next = pending('b', t0);
  stores.pods.remove(old, t0);
  stores.pods.put(next, t0);
  stores.pods.put(ready(next, 10 * second), t0 + 10 * second);
  expect(record.last()).toMatchObject([{ cause: 'deleted', seconds: { terminating: 0, total: 10 } }]);
});

describe('no rotation', () => {
  const unready = (at: number): Pod => ({
    ...old,
    conditions: { ...old.conditions, Ready: no(at, 'ContainersNotReady'), ContainersReady: no(at) },
  });

  test('is a readiness probe that fails for a while', () => {
    const { stores, record, rotated } = atRest();
    stores.pods.put(unready(t0), t0);
    expect(record.ongoing()).toEqual([]);
    stores.pods.put({ ...old, conditions: { ...old.conditions, Ready: yes(t0 + second) } }, t0 + second);
    expect(rotated()).toBe(0);
  });

  test('is a sidecar that is restarted while the pod stays Ready', () => {
    const sidecar = { ...(old.initContainers[0] as Pod['initContainers'][number]), sidecar: true };
    const before = { ...old, initContainers: [sidecar] };
    const { stores, rotated } = atRest(before);
    stores.pods.put(
      { ...before, initContainers: [{ ...sidecar, restartCount: 1, lastTermination: oomKilled }] },
      t0,
    );
    expect(rotated()).toBe(0);
  });

  test('is an object that could not be read for a while', () => {
    const { stores, record, rotated } = atRest();
    stores.pods.list([]);
    stores.pods.list([old]);
    expect([rotated(), record.ongoing()]).toEqual([0, []]);
  });

  test('is a pod of Praefect', () => {
    const { stores, record, rotated } = atRest({ ...old, labels: { app: 'praefect' } });
    stores.pods.put(deleted({ ...old, labels: { app: 'praefect' } }, t0), t0);
    expect([rotated(), record.ongoing()]).toEqual([0, []]);
  });

  const lost = (at: number): Pod => ({ ...old, conditions: { ...old.conditions, Ready: no(at) } });

  test('is a node that was lost and is back before its pods were deleted; it goes on while it lasts', () => {
    const { stores, record, rotated } = atRest();
    stores.pods.put(lost(t0), t0);
    expect(record.ongoing()).toMatchObject([{ cause: 'node_lost', phase: 'terminating', startedAt: t0 }]);
    stores.pods.put({ ...old, conditions: { ...old.conditions, Ready: yes(t0 + 60_000) } }, t0 + 60_000);
    expect([rotated(), record.ongoing()]).toEqual([0, []]);
  });

  test('but one that was lost and has restarted its containers is a rotation by the loss of the node', () => {
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

describe('a container that ended', () => {
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

  test('and is back, all in a gap, is timed by what the kubelet wrote', () => {
    const { stores, record, count } = atRest();
    stores.pods.list([restarted(t0 + 5 * second)]);
    expect(record.last()).toMatchObject([{ cause: 'container_restart', seconds: { total: 5 } }]);
    expect(count(old.name, 'container_restart')).toBe(1);
  });

  test('before the exporter came is still away since it ended, and total from there', () => {
    const stores = createFakeStores();
    const { record } = recordOver(stores);
    const away: Pod = {
      ...restarted(t0),
      conditions: { ...old.conditions, Ready: no(t0), ContainersReady: no(t0) },
      containers: old.containers.map((each) => ({
        ...each,
        ...{
          state: { kind: 'waiting', reason: 'CrashLoopBackOff' } as const,
          lastTermination: oomKilled,
          ready: false,
        },
      })),
    };
    stores.statefulSets.list(loaded('rotate-delete').stores.statefulSets.all());
    stores.pods.list([away]);
    expect(record.ongoing()).toMatchObject([{ cause: 'container_restart', startedAt: t0, isNew: false }]);
    stores.pods.put(restarted(t0 + 60 * second), t0 + 60 * second);
    expect(record.last()).toMatchObject([{ cause: 'container_restart', seconds: { total: 60 } }]);
  });
});

describe('a pod that is on its way when the exporter comes', () => {
  const event = (uid: string): KubeEvent => {
    const [first] = loaded('rotate-delete').stores.events.all();
    if (first === undefined) throw new Error('the recording has changed');
    const about = { kind: 'Pod', namespace: old.namespace, name: old.name, uid };
    return { ...first, uid: `event-${uid}`, reason: 'Killing', about };
  };
  const coming = (events: readonly KubeEvent[]) => {
    const stores = createFakeStores();
    const made = recordOver(stores);
    stores.statefulSets.list(loaded('rotate-delete').stores.statefulSets.all());
    stores.events.list(events);
    stores.pods.list([pending('b', t0)]);
    expect(made.record.ongoing()).toMatchObject([{ startedAt: t0, isNew: true, cause: 'unknown' }]);
    stores.pods.put(ready(pending('b', t0), 10 * second), t0 + 10 * second);
    return made;
  };

  test('is a rotation, of unknown cause and without total, when events tell of the one before it', () => {
    const { record, count } = coming([event('a')]);
    expect(count(old.name, 'unknown')).toBe(1);
    expect(record.last()[0]?.seconds).toEqual({ scheduling: 2, volume: 2, init: 2 });
  });

  test('is none when it was seen to be made: a StatefulSet that is scaled up again', () => {
    const stores = createFakeStores();
    const { rotated } = recordOver(stores);
    stores.statefulSets.list(loaded('rotate-delete').stores.statefulSets.all());
    stores.events.list([event('a')]);
    stores.pods.list([]);
    stores.pods.put(pending('b', t0), t0);
    stores.pods.put(ready(pending('b', t0), 10 * second), t0 + 10 * second);
    expect(rotated()).toBe(0);
  });

  test('is none when nothing tells that there was one before it', () => {
    expect(coming([event('b')]).rotated()).toBe(0);
  });
});

describe('the cause', () => {
  const evidence = noEvidence('rev-1');
  const next = { ...old, labels: { ...old.labels, 'controller-revision-hash': 'rev-2' } };
  test.each([
    ['preemption', { disruption: 'PreemptionByScheduler', deleted: true }],
    ['node_lost', { disruption: 'DeletionByPodGC', deleted: true }],
    ['node_lost', { disruption: 'DeletionByTaintManager', lost: true, deleted: true }],
    // Somebody has set a NoExecute taint by hand.
    ['node_drained', { disruption: 'DeletionByTaintManager', drained: true, deleted: true }],
    ['unknown', { disruption: 'DeletionByTaintManager', deleted: true }],
    ['eviction_api', { disruption: 'EvictionByEvictionAPI', deleted: true }],
    ['node_drained', { disruption: 'EvictionByEvictionAPI', drained: true, deleted: true }],
    ['eviction_pressure', { disruption: 'TerminationByKubelet', statusReason: 'Evicted' }],
    ['node_drained', { disruption: 'TerminationByKubelet', statusReason: 'Terminated' }],
    ['preemption', { disruption: 'TerminationByKubelet', statusReason: 'Preempting' }],
    ['eviction_pressure', { disruption: 'TerminationByKubelet' }],
    // Kubernetes before 1.26 has no DisruptionTarget.
    ['eviction_pressure', { statusReason: 'Evicted' }],
    ['node_lost', { lost: true, deleted: true }],
    ['deleted', { deleted: true }],
    ['unknown', {}],
  ] as const)('is %s for %o', (cause, seen) => {
    const same = { ...old, labels: { ...old.labels, 'controller-revision-hash': 'rev-1' } };
    expect(causeOf({ ...evidence, ...seen }, same, [])).toBe(cause);
  });

  test('is a roll-out when the new pod is of another revision, unless the API says otherwise', () => {
    expect(causeOf({ ...evidence, deleted: true }, next, [])).toBe('rollout');
    expect(causeOf(evidence, next, [])).toBe('rollout');
    expect(causeOf({ ...evidence, disruption: 'PreemptionByScheduler' }, next, [])).toBe('preemption');
  });
});
