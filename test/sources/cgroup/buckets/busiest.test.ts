import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Busiest, createBusiest } from '../../../../src/sources/cgroup/buckets/busiest.ts';

const interval = 15_000;
const minute = 60_000;
const noKills: ReadonlySet<number> = new Set();

/** The selections after updates every 15 s from `fromMs` to `untilMs`. */
function run(
  busiest: Busiest,
  fromMs: number,
  untilMs: number,
  activityAt: (at: number) => ReadonlyMap<number, number | undefined>,
  killed = noKills,
): ReadonlySet<number>[] {
  const results: ReadonlySet<number>[] = [];
  for (let at = fromMs; at <= untilMs; at += interval)
    results.push(busiest.update(at, activityAt(at), killed));
  return results;
}

const activity = (...busy: readonly (number | undefined)[]): ReadonlyMap<number, number | undefined> =>
  new Map(busy.entries());

const sorted = (chosen: ReadonlySet<number> | undefined): number[] =>
  [...(chosen ?? [])].sort((a, b) => a - b);

describe('the selected buckets', () => {
  test('are all of them, idle or not, when there are at most `top`', () => {
    expect(sorted(createBusiest(3).update(0, activity(0, 0, 0), noKills))).toEqual([0, 1, 2]);
  });

  test('are the busiest when there are more; among equal ones those with lower numbers', () => {
    const chosen = createBusiest(2).update(0, activity(0.1, 0.5, 0.1, 0.9), noKills);
    expect(sorted(chosen)).toEqual([1, 3]);
    expect(sorted(createBusiest(2).update(0, activity(1, 1, 1), noKills))).toEqual([0, 1]);
  });

  test('lose an idle bucket immediately to a busy one', () => {
    const busiest = createBusiest(1);
    expect(sorted(busiest.update(0, activity(0, 0), noKills))).toEqual([0]);
    expect(sorted(busiest.update(interval, activity(0, 1), noKills))).toEqual([1]);
  });

  test('keep a busy bucket for ten minutes, even if others become busier', () => {
    const busiest = createBusiest(1);
    busiest.update(0, activity(0.1, 0), noKills);
    const results = run(busiest, interval, 11 * minute, () => activity(0, 50));
    const replaced = results.findIndex((chosen) => chosen.has(1));
    expect((replaced + 1) * interval).toBe(10 * minute);
  });

  test('keep a bucket that another one exceeds by a fifth, and drop it when exceeded by half', () => {
    const slightly = createBusiest(1);
    slightly.update(0, activity(1, 0), noKills);
    expect(sorted(run(slightly, interval, 60 * minute, () => activity(1, 1.2)).at(-1))).toEqual([0]);
    const clearly = createBusiest(1);
    clearly.update(0, activity(1, 0), noKills);
    expect(sorted(run(clearly, interval, 60 * minute, () => activity(1, 1.5)).at(-1))).toEqual([1]);
  });

  test('include every bucket with an OOM kill, even a removed one', () => {
    const chosen = createBusiest(1).update(0, activity(1, 0, 0), new Set([2, 7]));
    expect(sorted(chosen)).toEqual([0, 2, 7]);
  });

  test('keep a bucket that is unreadable, and drop one that was removed', () => {
    const busiest = createBusiest(1);
    busiest.update(0, activity(1, 0.5), noKills);
    expect(sorted(run(busiest, interval, 30 * minute, () => activity(undefined, 0.9)).at(-1))).toEqual([0]);
    expect(sorted(busiest.update(31 * minute, new Map([[1, 0.9]]), noKills))).toEqual([1]);
  });

  test('stay valid when the clock stops or jumps', () => {
    const busiest = createBusiest(1);
    busiest.update(0, activity(1, 0), noKills);
    expect(sorted(busiest.update(0, activity(0, 1), noKills))).toEqual([0]);
    expect(sorted(busiest.update(1e12, activity(0, 1), noKills))).toEqual([1]);
  });
});

const busy = fc.double({ min: 0, max: 64, noNaN: true });

test('at most `top` buckets plus those with kills are selected, and none that does not exist', () => {
  const bucketCount = 40;
  const update = fc.record({
    activity: fc.dictionary(
      fc.integer({ min: 0, max: bucketCount }).map(String),
      fc.option(busy, { nil: undefined }),
    ),
    killed: fc.uniqueArray(fc.integer({ min: 0, max: bucketCount }), { maxLength: 5 }),
    pauseMs: fc.integer({ min: 0, max: 20 * minute }),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10 }), fc.array(update, { maxLength: 30 }), (top, updates) => {
      const busiest = createBusiest(top);
      let at = 0;
      for (const { activity: named, killed, pauseMs } of updates) {
        at += pauseMs;
        const now = new Map(Object.entries(named).map(([bucket, value]) => [Number(bucket), value]));
        const chosen = busiest.update(at, now, new Set(killed));
        const byActivity = [...chosen].filter((bucket) => !killed.includes(bucket));
        expect(byActivity.length).toBeLessThanOrEqual(top);
        expect(byActivity.every((bucket) => now.has(bucket))).toBe(true);
        expect(killed.every((bucket) => chosen.has(bucket))).toBe(true);
        const others = [...now.keys()].filter((bucket) => !killed.includes(bucket));
        expect(byActivity.length).toBe(Math.min(top, others.length));
      }
    }),
  );
});

test('activity that varies by a tenth never changes the selection', () => {
  const variation = fc.double({ min: 0.9, max: 1.1, noNaN: true });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.double({ min: 0.01, max: 8, noNaN: true }),
      fc.array(fc.array(variation, { minLength: 12, maxLength: 12 }), { minLength: 50, maxLength: 120 }),
      (top, base, updates) => {
        const busiest = createBusiest(top);
        const results = updates.map((factors, index) =>
          busiest.update(index * interval, activity(...factors.map((factor) => base * factor)), noKills),
        );
        for (const chosen of results) expect(sorted(chosen)).toEqual(sorted(results[0]));
      },
    ),
    { numRuns: 50 },
  );
});

test('a bucket twice as busy as the others is selected within twelve minutes, and stays', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.double({ min: 0.01, max: 8, noNaN: true }),
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 8, max: 11 }),
      (top, base, quietUpdates, newlyBusy) => {
        const busiest = createBusiest(top);
        const startsAt = quietUpdates * interval;
        const results = run(busiest, 0, startsAt + 60 * minute, (at) =>
          activity(
            ...Array.from({ length: 12 }, (_, bucket) =>
              bucket === newlyBusy && at >= startsAt ? 2 * base : base,
            ),
          ),
        );
        const entered = results.findIndex((chosen) => chosen.has(newlyBusy));
        expect(entered).toBeGreaterThanOrEqual(0);
        expect(entered * interval - startsAt).toBeLessThanOrEqual(12 * minute);
        for (const chosen of results.slice(entered)) expect(chosen.has(newlyBusy)).toBe(true);
      },
    ),
    { numRuns: 50 },
  );
});

test('at most twice top buckets are selected in any ten minutes, regardless of their activity', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(busy, { minLength: 30, maxLength: 30 }), { minLength: 40, maxLength: 120 }),
      (updates) => {
        const top = 5;
        const busiest = createBusiest(top);
        const results = updates.map((values, index) =>
          sorted(busiest.update(index * interval, activity(...values), noKills)),
        );
        const updatesInTenMinutes = (10 * minute) / interval;
        for (const [index] of results.entries()) {
          const seen = new Set(results.slice(index, index + updatesInTenMinutes).flat());
          expect(seen.size).toBeLessThanOrEqual(2 * top);
        }
      },
    ),
    { numRuns: 30 },
  );
});
