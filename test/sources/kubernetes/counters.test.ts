import { describe, expect, test } from '@jest/globals';
import type { Identity } from '../../../src/sources/identity.ts';
import {
  countNodeOoms,
  countRestarts,
  createPodCounters,
  nodeIdentity,
  type RestartReason,
  restartKey,
} from '../../../src/sources/kubernetes/counters.ts';
import type { KubeEvent, Pod, Termination } from '../../../src/sources/kubernetes/objects/types.ts';
import { readyPod } from './rotation/support.ts';
import { createFakeStore, isGitaly, stepsOf } from './support.ts';

const started = Date.parse('2026-11-23T02:00:00Z');
const found = readyPod();

const termination = (reason: string): Termination => ({ reason, exitCode: 1, startedAt: 1, finishedAt: 2 });

/** The pod with this restartCount of its container gitaly, and this reason of its last termination. */
const pod = (uid: string, restartCount: number, reason = '', change: Partial<Pod> = {}): Pod => ({
  ...found,
  ...{ uid, createdAt: started - 1000 },
  containers: found.containers.map((each) => ({
    ...each,
    ...{ restartCount, lastTermination: reason === '' ? undefined : termination(reason) },
  })),
  ...change,
});

function countedRestarts() {
  const pods = createFakeStore<Pod>();
  const counters = countRestarts(pods, isGitaly, () => started, 'gitaly');
  return {
    pods,
    counts: () =>
      Object.fromEntries(
        counters
          .entries()
          .flatMap(({ identity, counts }) =>
            [...counts].map(([key, count]) => [`${identity.node} ${key}`, count]),
          ),
      ),
    counters,
  };
}

describe('restarts of a container', () => {
  test('before the exporter started are not counted', () => {
    const { pods, counts } = countedRestarts();
    pods.list([pod('a', 7, 'OOMKilled')]);
    expect(counts()).toEqual({});
    pods.put(pod('a', 8, 'OOMKilled'), started);
    expect(counts()).toEqual({ 'lab-node-2 gitaly OOMKilled': 1 });
  });

  test('are counted by reason; of two in one update the earlier one has an unknown reason', () => {
    const { pods, counts } = countedRestarts();
    pods.list([pod('a', 0)]);
    pods.put(pod('a', 1, 'Error'), started);
    pods.put(pod('a', 3, 'OOMKilled'), started);
    pods.put(pod('a', 4, 'SomethingNew'), started);
    pods.put(pod('a', 5), started);
    expect(counts()).toEqual({
      'lab-node-2 gitaly Error': 1,
      'lab-node-2 gitaly OOMKilled': 1,
      'lab-node-2 gitaly other': 1,
      'lab-node-2 gitaly unknown': 2,
    });
  });

  test('continue when the pod is replaced, also by a pod that restarted before it was first seen', () => {
    const { pods, counts } = countedRestarts();
    pods.list([pod('a', 2, 'Error')]);
    pods.put(pod('a', 3, 'Error'), started);
    pods.remove(pod('a', 3, 'Error'), started);
    pods.put(pod('b', 0, '', { createdAt: started + 1000 }), started);
    expect(counts()).toEqual({ 'lab-node-2 gitaly Error': 1 });
    pods.put(pod('b', 1, 'Error'), started);
    pods.list([pod('c', 1, 'Error', { createdAt: started + 9000 })]);
    expect(counts()).toEqual({ 'lab-node-2 gitaly Error': 3 });
  });

  test('stay under the node where they occurred', () => {
    const { pods, counts } = countedRestarts();
    pods.list([pod('a', 0)]);
    pods.put(pod('a', 1, 'Error'), started);
    pods.put(pod('b', 1, 'Error', { node: 'lab-node-3', createdAt: started + 1 }), started);
    expect(counts()).toEqual({ 'lab-node-2 gitaly Error': 1, 'lab-node-3 gitaly Error': 1 });
  });

  test('during a gap of the watch are counted at the next list', () => {
    const { pods, counts } = countedRestarts();
    pods.list([pod('a', 0)]);
    pods.list([pod('a', 2, 'OOMKilled')]);
    expect(counts()).toEqual({ 'lab-node-2 gitaly OOMKilled': 1, 'lab-node-2 gitaly unknown': 1 });
  });

  test('never decrease, and are not counted for Praefect', () => {
    const { pods, counts } = countedRestarts();
    pods.list([pod('a', 5), pod('p', 0, '', { labels: { app: 'praefect' } })]);
    pods.put(pod('a', 1, 'Error'), started);
    pods.put(pod('p', 1, 'Error', { labels: { app: 'praefect' } }), started);
    expect(counts()).toEqual({});
    pods.put(pod('a', 2, 'Error'), started);
    expect(counts()).toEqual({ 'lab-node-2 gitaly Error': 1 });
  });

  test('of init containers are counted', () => {
    const { pods, counters } = countedRestarts();
    const failing = (restartCount: number): Pod => ({
      ...pod('a', 0),
      initContainers: found.initContainers.map((each) =>
        each.name === 'configure' ? { ...each, restartCount, lastTermination: termination('Error') } : each,
      ),
    });
    pods.list([failing(0)]);
    pods.put(failing(1), started);
    const identity = { namespace: 'gitlab', pod: found.name, node: found.node };
    const key = (reason: RestartReason) => restartKey('configure', reason);
    expect([counters.of(identity)(key('Error')), counters.of(identity)(key('OOMKilled'))]).toEqual([1, 0]);
  });
});

const oomEvents = stepsOf('node-system-oom').map(({ object }) => object as KubeEvent);
const [systemOom] = oomEvents;
if (systemOom === undefined) throw new Error('the recording has changed');
const happened = systemOom.firstAt ?? 0;

const event = (uid: string, count: number, firstAt: number, lastAt = firstAt): KubeEvent => ({
  ...systemOom,
  ...{ uid, count, firstAt, lastAt, createdAt: firstAt },
});

function countedOoms(since: number) {
  const events = createFakeStore<KubeEvent>();
  const ooms = countNodeOoms(events, () => since);
  return { events, ooms, count: () => ooms.of(nodeIdentity('lab-node-4'))('SystemOOM') };
}

describe('OOM kills in events of nodes', () => {
  test('are counted by reason, as recorded', () => {
    const { events, ooms } = countedOoms(happened + 900);
    for (const each of oomEvents) events.put(each, happened + 1000);
    expect([
      ooms.of(nodeIdentity('lab-node-4'))('SystemOOM'),
      ooms.of(nodeIdentity('lab-node-4'))('OOMKilling'),
    ]).toEqual([1, 1]);
  });

  test('before the exporter started are not counted', () => {
    const { events, count } = countedOoms(happened + 60_000);
    events.list([event('a', 3, happened)]);
    // The list of another namespace or kind arrives later.
    events.list([event('a', 3, happened), event('b', 1, happened + 1000)]);
    expect(count()).toBe(0);
  });

  test('are counted by the increase of a repeated event', () => {
    const { events, count } = countedOoms(happened);
    events.put(event('a', 1, happened), happened);
    events.put(event('a', 4, happened, happened + 9000), happened + 9000);
    expect(count()).toBe(4);
  });

  test('of an event that newly concerns Gitaly are counted once', () => {
    const { events, count } = countedOoms(happened + 60_000);
    events.put(event('a', 9, happened, happened + 70_000), happened + 70_000);
    expect(count()).toBe(1);
  });

  test('during a gap of the watch are counted at the next list', () => {
    const { events, count } = countedOoms(happened);
    events.list([event('a', 1, happened - 60_000)]);
    events.list([event('a', 2, happened - 60_000, happened + 5000), event('b', 3, happened + 5000)]);
    expect(count()).toBe(4);
  });

  test.each([-3, 3])(
    "are counted by the clock of the API server, regardless of the node's clock: %i h",
    (hours) => {
      const { events, count } = countedOoms(happened);
      const shifted = (each: KubeEvent): KubeEvent => ({
        ...each,
        firstAt: (each.firstAt ?? 0) + hours * 3_600_000,
        lastAt: (each.lastAt ?? 0) + hours * 3_600_000,
      });
      events.list([shifted(event('old', 7, happened - 60_000)), shifted(event('new', 2, happened + 1000))]);
      expect(count()).toBe(2);
      events.list([shifted(event('repeated', 5, happened - 60_000, happened + 5000))]);
      expect(count()).toBe(3);
    },
  );

  test('are kept for a day after the node was removed', () => {
    const { events, ooms, count } = countedOoms(happened);
    events.put(event('a', 1, happened), happened);
    const day = 86_400_000;
    const isOther = ({ node }: Identity): boolean => node !== 'lab-node-4';
    ooms.retain(() => true, 0);
    ooms.retain(isOther, 1000);
    ooms.retain(isOther, 1000 + day);
    expect([count(), ooms.entries().map(({ identity }) => identity.node)]).toEqual([1, ['lab-node-4']]);
    // The node returned in between.
    ooms.retain(() => true, 2000 + day);
    ooms.retain(isOther, 3000 + day);
    ooms.retain(isOther, 3000 + 2 * day);
    expect(count()).toBe(1);
    ooms.retain(isOther, 3001 + 2 * day);
    expect([count(), ooms.entries().map(({ identity }) => identity.node)]).toEqual([0, []]);
  });
});

describe('counters of removed pods and nodes', () => {
  test('are limited in number: those that were removed first are dropped first', () => {
    const counters = createPodCounters();
    const identity = (node: string) => ({ namespace: 'gitlab', pod: 'gl-gitaly-0', node });
    for (let node = 0; node < 700; node++) counters.add(identity(`node-${node}`), 'node_drained');
    counters.retain(({ node }) => node !== 'node-3', 1);
    counters.retain(({ node }) => node === 'node-5', 2);
    expect(counters.entries()).toHaveLength(501);
    expect(counters.of(identity('node-5'))('node_drained')).toBe(1);
    expect(counters.of(identity('node-3'))('node_drained')).toBe(0);
  });
});
