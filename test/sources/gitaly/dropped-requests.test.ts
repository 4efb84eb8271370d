import { describe, expect, test } from '@jest/globals';
import { createEventLog } from '../../../src/scheduler/event-log.ts';
import { createTurnedAwayWatch, rateText } from '../../../src/sources/gitaly/dropped-requests.ts';
import type { DropReason } from '../../../src/sources/gitaly/metrics.ts';
import type { ServerUse } from '../../../src/sources/gitaly/server-use.ts';
import { createManualClock } from '../../support/manual-clock.ts';

const identity = { namespace: '', pod: '', node: 'gitaly-1' };
const nothing = {
  ...{ inProgress: 0, queued: 0, wait: undefined, droppedUnauthenticated: undefined },
  ...{ adaptiveLimit: undefined, adaptiveUnauthenticatedLimit: undefined },
};

type Counts = Partial<Record<DropReason, number>>;

function use(rpc: Counts | undefined, packObjects?: Counts): ServerUse {
  const counts = (of: Counts) => new Map(Object.entries(of) as [DropReason, number][]);
  return {
    version: '18.10.0',
    rpcs: [{ ...nothing, service: 'gitaly.X', method: 'Y', dropped: rpc && counts(rpc) }],
    packObjects: packObjects && { ...nothing, dropped: counts(packObjects) },
    backoffs: new Map(),
  };
}

/** A watch, looks of it, and the events as `kind reason`. */
function watch() {
  const clock = createManualClock();
  const events = createEventLog(clock);
  const turned = createTurnedAwayWatch(clock, events);
  return {
    turned,
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
    wait: (seconds: number) => clock.advance(seconds * 1000),
    /** 15 s later. */
    async look(rpc: Counts | undefined, packObjects?: Counts) {
      await clock.advance(15_000);
      turned.look([{ identity, use: use(rpc, packObjects) }], [identity]);
    },
    /** 15 s later the server does not answer, or is not known any more. */
    async miss(known: boolean) {
      await clock.advance(15_000);
      turned.look([], known ? [identity] : []);
    },
  };
}

describe('it begins', () => {
  test('with drops in two looks in a row, dated to the first of them', async () => {
    const { look, events, turned } = watch();
    await look({});
    await look({ queue_full: 1 });
    expect(events()).toEqual([]);
    await look({ queue_full: 2 });
    expect(events()).toEqual(['limit_reached queue_full']);
    expect(turned.current()).toMatchObject([{ clients: 2, since: Date.UTC(2026, 0, 1) + 15_000 }]);
  });

  test('at once when there are many', async () => {
    const { look, events, messages } = watch();
    await look({});
    await look({ queue_wait: 15 });
    expect(events()).toEqual(['limit_reached queue_wait']);
    expect(messages()).toEqual(['gitaly-1: Y turns clients away, 1 per second: they waited too long']);
  });

  test('not with single drops now and then', async () => {
    const { look, events } = watch();
    for (let drops = 0; drops < 20; drops++) {
      await look({ queue_full: drops });
      await look({ queue_full: drops });
    }
    expect(events()).toEqual([]);
  });

  test('not with what was before the first look, nor with clients that left by themselves', async () => {
    const { look, events } = watch();
    await look({ queue_full: 1000, cancelled: 0 });
    await look({ queue_full: 1000, cancelled: 1000 });
    await look({ queue_full: 1000, cancelled: 2000 });
    expect(events()).toEqual([]);
  });

  test('with an RPC that was not there before, whose drops are all new', async () => {
    const { look, events } = watch();
    await look(undefined);
    await look({ rate: 100 });
    expect(events()).toEqual(['limit_reached rate']);
  });

  test('once, however long it lasts; each reason and limit for itself', async () => {
    const { look, events, turned } = watch();
    await look({}, {});
    for (let drops = 100; drops < 2000; drops += 100)
      await look({ queue_full: drops, load_shed: drops }, { queue_full: drops, cancelled: drops });
    expect(events().sort()).toEqual([
      'limit_reached load_shed',
      'limit_reached queue_full',
      'limit_reached queue_full',
    ]);
    expect(turned.current().map(({ limit, clients }) => [limit, clients])).toEqual([
      [{ service: 'gitaly.X', method: 'Y' }, 1900],
      [{ service: 'gitaly.X', method: 'Y' }, 1900],
      ['pack-objects', 1900],
    ]);
  });

  test('a restart of Gitaly sets its counters back: what it counts since then is new, no more', async () => {
    const { look, events, turned } = watch();
    await look({ queue_full: 1000 });
    await look({ queue_full: 3 });
    await look({ queue_full: 5 });
    expect(events()).toEqual(['limit_reached queue_full']);
    expect(turned.current()).toMatchObject([{ clients: 5 }]);
  });
});

describe('it ends', () => {
  async function begun() {
    const watched = watch();
    await watched.look({});
    await watched.look({ queue_full: 100 });
    return watched;
  }

  test('after two minutes without a drop, not before', async () => {
    const { look, events, turned, messages } = await begun();
    for (let i = 0; i < 7; i++) await look({ queue_full: 100 });
    expect(events()).toHaveLength(1);
    await look({ queue_full: 100 });
    expect(events()).toEqual(['limit_reached queue_full', 'limit_cleared queue_full']);
    expect(messages()[1]).toBe(
      'gitaly-1: Y has turned nobody away for 2 minutes (the queue is full); 100 were before',
    );
    expect(turned.current()).toEqual([]);
    await look({ queue_full: 101 });
    expect(events()).toHaveLength(2);
  });

  test('not while one more comes every minute', async () => {
    const { look, events } = await begun();
    for (let drops = 101; drops < 120; drops++) for (let i = 0; i < 4; i++) await look({ queue_full: drops });
    expect(events()).toHaveLength(1);
  });

  test('not while nobody can see it', async () => {
    const { miss, look, events } = await begun();
    for (let i = 0; i < 20; i++) await miss(true);
    expect(events()).toHaveLength(1);
    await look({ queue_full: 200 });
    expect(events()).toHaveLength(1);
  });

  test('with the server that is gone, and one that comes back under its name begins anew', async () => {
    const { miss, look, events, turned } = await begun();
    for (let i = 0; i < 8; i++) await miss(false);
    expect(events()).toEqual(['limit_reached queue_full', 'limit_cleared queue_full']);
    expect(turned.current()).toEqual([]);
    await look({ queue_full: 5000 });
    expect(events()).toHaveLength(2);
  });
});

test.each([
  [12.345, '12 per second'],
  [0.1, '0.1 per second'],
  [0.0166, '1 per minute'],
])('%d is %s', (perSecond, text) => {
  expect(rateText(perSecond)).toBe(text);
});
