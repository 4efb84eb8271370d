import { describe, expect, test } from '@jest/globals';
import type { Pod, Termination } from '../../../src/sources/kubernetes/objects/types.ts';
import { countRestarts, type RestartReason, restartKey } from '../../../src/sources/kubernetes/restarts.ts';
import { readyPod } from './rotation/support.ts';
import { createFakeStore, isGitaly } from './support.ts';

const started = Date.parse('2026-11-23T02:00:00Z');
const found = readyPod();

const ended = (reason: string): Termination => ({ reason, exitCode: 1, startedAt: 1, finishedAt: 2 });

/** The pod with its container `gitaly` restarted so often, last because of that. */
const pod = (uid: string, restartCount: number, reason = '', change: Partial<Pod> = {}): Pod => ({
  ...found,
  ...{ uid, createdAt: started - 1000 },
  containers: found.containers.map((each) => ({
    ...each,
    ...{ restartCount, lastTermination: reason === '' ? undefined : ended(reason) },
  })),
  ...change,
});

function counting() {
  const pods = createFakeStore<Pod>();
  const tally = countRestarts(pods, isGitaly, started);
  return {
    pods,
    counts: () =>
      Object.fromEntries(
        tally
          .entries()
          .flatMap(({ identity, counts }) =>
            [...counts].map(([key, count]) => [`${identity.node} ${key}`, count]),
          ),
      ),
    tally,
  };
}

describe('restarts of a container', () => {
  test('that were before the exporter came are not counted', () => {
    const { pods, counts } = counting();
    pods.list([pod('a', 7, 'OOMKilled')]);
    expect(counts()).toEqual({});
    pods.put(pod('a', 8, 'OOMKilled'), started);
    expect(counts()).toEqual({ 'lab-node-2 gitaly OOMKilled': 1 });
  });

  test('count by why it had ended; of two at once the earlier is unknown', () => {
    const { pods, counts } = counting();
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

  test('go on when the pod is replaced, also by one that restarted before it was first seen', () => {
    const { pods, counts } = counting();
    pods.list([pod('a', 2, 'Error')]);
    pods.put(pod('a', 3, 'Error'), started);
    pods.remove(pod('a', 3, 'Error'), started);
    pods.put(pod('b', 0, '', { createdAt: started + 1000 }), started);
    expect(counts()).toEqual({ 'lab-node-2 gitaly Error': 1 });
    pods.put(pod('b', 1, 'Error'), started);
    pods.list([pod('c', 1, 'Error', { createdAt: started + 9000 })]);
    expect(counts()).toEqual({ 'lab-node-2 gitaly Error': 3 });
  });

  test('stay under the node where they were', () => {
    const { pods, counts } = counting();
    pods.list([pod('a', 0)]);
    pods.put(pod('a', 1, 'Error'), started);
    pods.put(pod('b', 1, 'Error', { node: 'lab-node-3', createdAt: started + 1 }), started);
    expect(counts()).toEqual({ 'lab-node-2 gitaly Error': 1, 'lab-node-3 gitaly Error': 1 });
  });

  test('that a gap hid are counted by the list after it', () => {
    const { pods, counts } = counting();
    pods.list([pod('a', 0)]);
    pods.list([pod('a', 2, 'OOMKilled')]);
    expect(counts()).toEqual({ 'lab-node-2 gitaly OOMKilled': 1, 'lab-node-2 gitaly unknown': 1 });
  });

  test('never count down, and not for Praefect', () => {
    const { pods, counts } = counting();
    pods.list([pod('a', 5), pod('p', 0, '', { labels: { app: 'praefect' } })]);
    pods.put(pod('a', 1, 'Error'), started);
    pods.put(pod('p', 1, 'Error', { labels: { app: 'praefect' } }), started);
    expect(counts()).toEqual({});
    pods.put(pod('a', 2, 'Error'), started);
    expect(counts()).toEqual({ 'lab-node-2 gitaly Error': 1 });
  });

  test('of init containers count as well', () => {
    const { pods, tally } = counting();
    const failing = (restartCount: number): Pod => ({
      ...pod('a', 0),
      initContainers: found.initContainers.map((each) =>
        each.name === 'configure' ? { ...each, restartCount, lastTermination: ended('Error') } : each,
      ),
    });
    pods.list([failing(0)]);
    pods.put(failing(1), started);
    const identity = { namespace: 'gitlab', pod: found.name, node: found.node };
    const key = (reason: RestartReason) => restartKey('configure', reason);
    expect([tally.get(identity, key('Error')), tally.get(identity, key('OOMKilled'))]).toEqual([1, 0]);
  });
});
