import { describe, expect, test } from '@jest/globals';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import { createDropTracker, rateText } from '../../../src/sources/gitaly/drops.ts';
import type { DropReason } from '../../../src/sources/gitaly/metrics.ts';
import type { ServerUse } from '../../../src/sources/gitaly/server-use.ts';
import { createManualClock } from '../../support/manual-clock.ts';

const identity = { namespace: '', pod: '', node: 'gitaly-1' };
const nothing = {
  ...{ inProgress: 0, queued: 0, wait: undefined, droppedUnauthenticated: undefined },
  ...{ adaptiveLimit: undefined, adaptiveUnauthenticatedLimit: undefined },
};

type Counts = Partial<Record<DropReason, number>>;

function use(rpc: Counts | undefined, packObjects?: Counts, admitted?: number): ServerUse {
  const counts = (of: Counts) => new Map(Object.entries(of) as [DropReason, number][]);
  const wait = admitted === undefined ? undefined : { buckets: [], sum: 0, count: admitted };
  return {
    version: '18.10.0',
    rpcs: [{ ...nothing, service: 'gitaly.X', method: 'Y', dropped: rpc && counts(rpc), wait }],
    packObjects: packObjects && { ...nothing, dropped: counts(packObjects) },
    backoffs: new Map(),
  };
}

/** A tracker, a function that passes it a read, and the events as `kind reason`. */
function tracking() {
  const clock = createManualClock();
  const events = createEventLog(clock);
  const tracker = createDropTracker(clock, events, 60_000);
  return {
    tracker,
    clock,
    events: () =>
      events
        .recent()
        .map(({ kind, labels }) => `${kind} ${labels['reason']}`)
        .reverse(),
    messages: () =>
      events
        .recent()
        .map(({ message }) => message)
        .reverse(),
    /** A read 15 s later. */
    async read(rpc: Counts | undefined, packObjects?: Counts, admitted?: number) {
      await clock.advance(15_000);
      tracker.record([{ identity, use: use(rpc, packObjects, admitted) }], [identity]);
    },
    /** A failed read 15 s later, or a server that is no longer listed. */
    async miss(listed: boolean) {
      await clock.advance(15_000);
      tracker.record([], listed ? [identity] : []);
    },
  };
}

describe('a counter that is no longer reported', () => {
  const none = (): ServerUse => ({
    version: '18.10.0',
    rpcs: [],
    packObjects: undefined,
    backoffs: new Map(),
  });

  test('ends its episode like one that stands still: its limit was removed, or Gitaly restarted', async () => {
    const { clock, read, events, tracker } = tracking();
    await read({});
    await read({ queue_full: 100 });
    expect(events()).toEqual(['limit_reached queue_full']);
    for (let at = 0; at < 60; at++) {
      await clock.advance(15_000);
      tracker.record([{ identity, use: none() }], [identity]);
    }
    expect(events()).toEqual(['limit_reached queue_full', 'limit_cleared queue_full']);
    expect(tracker.episodes()).toEqual([]);
  });

  test('counts from 0 when it is reported again', async () => {
    const { clock, read, tracker } = tracking();
    await read({ queue_full: 5 });
    await clock.advance(15_000);
    tracker.record([{ identity, use: none() }], [identity]);
    await read({ queue_full: 8 });
    expect(tracker.recent()).toMatchObject([{ dropped: new Map([['queue_full', 8]]) }]);
  });
});

describe('an episode of drops begins', () => {
  test('with drops in two consecutive reads, at the time of the first of them', async () => {
    const { read, events, tracker } = tracking();
    await read({});
    await read({ queue_full: 1 });
    expect(events()).toEqual([]);
    await read({ queue_full: 2 });
    expect(events()).toEqual(['limit_reached queue_full']);
    expect(tracker.episodes()).toMatchObject([{ dropped: 2, since: Date.UTC(2026, 0, 1) + 15_000 }]);
  });

  test('with the first read that has many drops', async () => {
    const { read, events, messages } = tracking();
    await read({});
    await read({ queue_wait: 15 });
    expect(events()).toEqual(['limit_reached queue_wait']);
    expect(messages()).toEqual(['gitaly-1: Y drops requests, 1 per second: they waited too long']);
  });

  test('not with an occasional single drop', async () => {
    const { read, events } = tracking();
    for (let drops = 0; drops < 20; drops++) {
      await read({ queue_full: drops });
      await read({ queue_full: drops });
    }
    expect(events()).toEqual([]);
  });

  test('not with drops before the first read, nor with clients that disconnected', async () => {
    const { read, events } = tracking();
    await read({ queue_full: 1000, other: 0 });
    await read({ queue_full: 1000, other: 1000 });
    await read({ queue_full: 1000, other: 2000 });
    expect(events()).toEqual([]);
  });

  test('with an RPC that was not reported before, whose drops are all new', async () => {
    const { read, events } = tracking();
    await read(undefined);
    await read({ rate: 100 });
    expect(events()).toEqual(['limit_reached rate']);
  });

  test('once per limit and reason, regardless of its duration', async () => {
    const { read, events, tracker } = tracking();
    await read({}, {});
    for (let drops = 100; drops < 2000; drops += 100)
      await read({ queue_full: drops, load_shed: drops }, { queue_full: drops, other: drops });
    expect(events().sort()).toEqual([
      'limit_reached load_shed',
      'limit_reached queue_full',
      'limit_reached queue_full',
    ]);
    expect(tracker.episodes().map(({ limit, dropped }) => [limit, dropped])).toEqual([
      [{ service: 'gitaly.X', method: 'Y' }, 1900],
      [{ service: 'gitaly.X', method: 'Y' }, 1900],
      ['pack-objects', 1900],
    ]);
  });

  test('with the drops since a restart of Gitaly, which resets its counters', async () => {
    const { read, events, tracker } = tracking();
    await read({ queue_full: 1000 });
    await read({ queue_full: 3 });
    await read({ queue_full: 5 });
    expect(events()).toEqual(['limit_reached queue_full']);
    expect(tracker.episodes()).toMatchObject([{ dropped: 5 }]);
  });
});

describe('an episode of drops ends', () => {
  async function begun() {
    const started = tracking();
    await started.read({});
    await started.read({ queue_full: 100 });
    return started;
  }

  test('after two minutes without a drop, not before', async () => {
    const { read, events, tracker, messages } = await begun();
    for (let i = 0; i < 7; i++) await read({ queue_full: 100 });
    expect(events()).toHaveLength(1);
    await read({ queue_full: 100 });
    expect(events()).toEqual(['limit_reached queue_full', 'limit_cleared queue_full']);
    expect(messages()[1]).toBe(
      'gitaly-1: Y dropped no requests for 2 minutes (the queue is full); it had dropped 100',
    );
    expect(tracker.episodes()).toEqual([]);
    await read({ queue_full: 101 });
    expect(events()).toHaveLength(2);
  });

  test('not while one request is dropped every minute', async () => {
    const { read, events } = await begun();
    for (let drops = 101; drops < 120; drops++) for (let i = 0; i < 4; i++) await read({ queue_full: drops });
    expect(events()).toHaveLength(1);
  });

  test('not while the reads fail', async () => {
    const { miss, read, events } = await begun();
    for (let i = 0; i < 20; i++) await miss(true);
    expect(events()).toHaveLength(1);
    await read({ queue_full: 200 });
    expect(events()).toHaveLength(1);
  });

  test('with a server that is no longer listed; one that returns under its name starts without history', async () => {
    const { miss, read, events, tracker } = await begun();
    for (let i = 0; i < 8; i++) await miss(false);
    expect(events()).toEqual(['limit_reached queue_full', 'limit_cleared queue_full']);
    expect(tracker.episodes()).toEqual([]);
    await read({ queue_full: 5000 });
    expect(events()).toHaveLength(2);
  });
});

describe('recent drops', () => {
  test('count by reason within the window, next to the requests admitted in the same time', async () => {
    const { read, tracker } = tracking();
    await read({ queue_full: 50 }, {}, 1000);
    await read({ queue_full: 60, other: 2 }, {}, 1100);
    await read({ queue_full: 61, other: 2 }, { queue_wait: 7 }, 1300);
    const rpc = { identity, limit: { service: 'gitaly.X', method: 'Y' } };
    const packObjects = { identity, limit: 'pack-objects', dropped: new Map([['queue_wait', 7]]) };
    expect(tracker.recent()).toEqual([
      { ...rpc, dropped: new Map(Object.entries({ queue_full: 11, other: 2 })), admitted: 300 },
      { ...packObjects, admitted: undefined },
    ]);
    for (let i = 0; i < 3; i++) await read({ queue_full: 61, other: 2 }, { queue_wait: 7 }, 1300);
    expect(tracker.recent()).toEqual([
      { ...rpc, dropped: new Map([['queue_full', 1]]), admitted: 200 },
      { ...packObjects, admitted: undefined },
    ]);
    await read({ queue_full: 61, other: 2 }, { queue_wait: 7 }, 1300);
    expect(tracker.recent()).toEqual([]);
  });
});

test.each([
  [12.345, '12 per second'],
  [0.1, '0.1 per second'],
  [0.0166, '1 per minute'],
])('%d per second is printed as %s', (perSecond, text) => {
  expect(rateText(perSecond)).toBe(text);
});
