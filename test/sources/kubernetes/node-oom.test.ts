import { describe, expect, test } from '@jest/globals';
import { countNodeOoms } from '../../../src/sources/kubernetes/node-oom.ts';
import type { KubeEvent } from '../../../src/sources/kubernetes/objects/types.ts';
import { createFakeStore, stepsOf } from './support.ts';

const found = stepsOf('node-system-oom').map(({ object }) => object as KubeEvent);
const [systemOom] = found;
if (systemOom === undefined) throw new Error('the recording has changed');
const happened = systemOom.firstAt ?? 0;

const event = (uid: string, count: number, firstAt: number, lastAt = firstAt): KubeEvent => ({
  ...systemOom,
  ...{ uid, count, firstAt, lastAt },
});

function counting(since: number) {
  const events = createFakeStore<KubeEvent>();
  const ooms = countNodeOoms(events, since);
  return { events, ooms, count: () => ooms.count('lab-node-4', 'SystemOOM') };
}

describe('OOM kills that nodes report', () => {
  test('are counted as the recording has them, each by who reports it', () => {
    const { events, ooms } = counting(happened + 900);
    for (const each of found) events.put(each, happened + 1000);
    expect([ooms.count('lab-node-4', 'SystemOOM'), ooms.count('lab-node-4', 'OOMKilling')]).toEqual([1, 1]);
  });

  test('that were there before the exporter are not', () => {
    const { events, count } = counting(happened + 60_000);
    events.list([event('a', 3, happened)]);
    // The list of another namespace or kind comes later.
    events.list([event('a', 3, happened), event('b', 1, happened + 1000)]);
    expect(count()).toBe(0);
  });

  test('that repeat are the same event with a higher count', () => {
    const { events, count } = counting(happened);
    events.put(event('a', 1, happened), happened);
    events.put(event('a', 4, happened, happened + 9000), happened + 9000);
    expect(count()).toBe(4);
  });

  test('of an event that is only now of interest count once', () => {
    const { events, count } = counting(happened + 60_000);
    events.put(event('a', 9, happened, happened + 70_000), happened + 70_000);
    expect(count()).toBe(1);
  });

  test('that a gap hid are counted by the list after it', () => {
    const { events, count } = counting(happened);
    events.list([event('a', 1, happened - 60_000)]);
    events.list([event('a', 2, happened - 60_000, happened + 5000), event('b', 3, happened + 5000)]);
    expect(count()).toBe(4);
  });

  test('are forgotten with the node', () => {
    const { events, ooms, count } = counting(happened);
    events.put(event('a', 1, happened), happened);
    ooms.keep(() => true);
    expect(count()).toBe(1);
    ooms.keep((node) => node !== 'lab-node-4');
    expect(count()).toBe(0);
  });
});
