import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Busiest, createBusiest } from '../../../../src/sources/cgroup/buckets/busiest.ts';

const interval = 15_000;
const minute = 60_000;
const nobody: ReadonlySet<number> = new Set();

/** Updates every 15 s, from the first at 0 to the one at `untilMs`; each result. */
function run(
  busiest: Busiest,
  fromMs: number,
  untilMs: number,
  activityAt: (at: number) => ReadonlyMap<number, number | undefined>,
  killed = nobody,
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

describe('which buckets are shown', () => {
  test('all of them where there are no more than may be shown, idle or not', () => {
    expect(sorted(createBusiest({ top: 3 }).update(0, activity(0, 0, 0), nobody))).toEqual([0, 1, 2]);
  });

  test('the busiest where there are more, the lower number of two that are equal', () => {
    const chosen = createBusiest({ top: 2 }).update(0, activity(0.1, 0.5, 0.1, 0.9), nobody);
    expect(sorted(chosen)).toEqual([1, 3]);
    expect(sorted(createBusiest({ top: 2 }).update(0, activity(1, 1, 1), nobody))).toEqual([0, 1]);
  });

  test('an idle one makes way at once for one that works', () => {
    const busiest = createBusiest({ top: 1 });
    expect(sorted(busiest.update(0, activity(0, 0), nobody))).toEqual([0]);
    expect(sorted(busiest.update(interval, activity(0, 1), nobody))).toEqual([1]);
  });

  test('one that is busy stays for ten minutes, whoever comes', () => {
    const busiest = createBusiest({ top: 1 });
    busiest.update(0, activity(0.1, 0), nobody);
    const results = run(busiest, interval, 11 * minute, () => activity(0, 50));
    const out = results.findIndex((chosen) => chosen.has(1));
    expect((out + 1) * interval).toBe(10 * minute);
  });

  test('one that is overtaken by a fifth stays, by half it goes', () => {
    const slightly = createBusiest({ top: 1 });
    slightly.update(0, activity(1, 0), nobody);
    expect(sorted(run(slightly, interval, 60 * minute, () => activity(1, 1.2)).at(-1))).toEqual([0]);
    const clearly = createBusiest({ top: 1 });
    clearly.update(0, activity(1, 0), nobody);
    expect(sorted(run(clearly, interval, 60 * minute, () => activity(1, 1.5)).at(-1))).toEqual([1]);
  });

  test('one with an OOM kill is there as well, even when it is gone', () => {
    const chosen = createBusiest({ top: 1 }).update(0, activity(1, 0, 0), new Set([2, 7]));
    expect(sorted(chosen)).toEqual([0, 2, 7]);
  });

  test('one that could not be read keeps its place, one that is removed loses it', () => {
    const busiest = createBusiest({ top: 1 });
    busiest.update(0, activity(1, 0.5), nobody);
    expect(sorted(run(busiest, interval, 30 * minute, () => activity(undefined, 0.9)).at(-1))).toEqual([0]);
    expect(sorted(busiest.update(31 * minute, new Map([[1, 0.9]]), nobody))).toEqual([1]);
  });

  test('a clock that stands still or jumps harms nothing', () => {
    const busiest = createBusiest({ top: 1 });
    busiest.update(0, activity(1, 0), nobody);
    expect(sorted(busiest.update(0, activity(0, 1), nobody))).toEqual([0]);
    expect(sorted(busiest.update(1e12, activity(0, 1), nobody))).toEqual([1]);
  });
});

const busy = fc.double({ min: 0, max: 64, noNaN: true });

test('never more than the top and those with kills, and never one that is unknown', () => {
  const bucketCount = 40;
  const look = fc.record({
    activity: fc.dictionary(
      fc.integer({ min: 0, max: bucketCount }).map(String),
      fc.option(busy, { nil: undefined }),
    ),
    killed: fc.uniqueArray(fc.integer({ min: 0, max: bucketCount }), { maxLength: 5 }),
    pauseMs: fc.integer({ min: 0, max: 20 * minute }),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 10 }), fc.array(look, { maxLength: 30 }), (top, looks) => {
      const busiest = createBusiest({ top });
      let at = 0;
      for (const { activity: named, killed, pauseMs } of looks) {
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

test('a wobble of a tenth changes nothing, however long', () => {
  const wobble = fc.double({ min: 0.9, max: 1.1, noNaN: true });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.double({ min: 0.01, max: 8, noNaN: true }),
      fc.array(fc.array(wobble, { minLength: 12, maxLength: 12 }), { minLength: 50, maxLength: 120 }),
      (top, base, looks) => {
        const busiest = createBusiest({ top });
        const results = looks.map((factors, index) =>
          busiest.update(index * interval, activity(...factors.map((factor) => base * factor)), nobody),
        );
        for (const chosen of results) expect(sorted(chosen)).toEqual(sorted(results[0]));
      },
    ),
    { numRuns: 50 },
  );
});

test('one twice as busy as the rest is in within twelve minutes, and stays', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.double({ min: 0.01, max: 8, noNaN: true }),
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 8, max: 11 }),
      (top, base, quietLooks, newcomer) => {
        const busiest = createBusiest({ top });
        const startsAt = quietLooks * interval;
        const results = run(busiest, 0, startsAt + 60 * minute, (at) =>
          activity(
            ...Array.from({ length: 12 }, (_, bucket) =>
              bucket === newcomer && at >= startsAt ? 2 * base : base,
            ),
          ),
        );
        const entered = results.findIndex((chosen) => chosen.has(newcomer));
        expect(entered).toBeGreaterThanOrEqual(0);
        expect(entered * interval - startsAt).toBeLessThanOrEqual(12 * minute);
        for (const chosen of results.slice(entered)) expect(chosen.has(newcomer)).toBe(true);
      },
    ),
    { numRuns: 50 },
  );
});

test('series change hands rarely: each of the top at most once in ten minutes, whatever comes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(busy, { minLength: 30, maxLength: 30 }), { minLength: 40, maxLength: 120 }),
      (looks) => {
        const top = 5;
        const busiest = createBusiest({ top });
        const results = looks.map((values, index) =>
          sorted(busiest.update(index * interval, activity(...values), nobody)),
        );
        const looksInHold = (10 * minute) / interval;
        for (const [index] of results.entries()) {
          const seen = new Set(results.slice(index, index + looksInHold).flat());
          expect(seen.size).toBeLessThanOrEqual(2 * top);
        }
      },
    ),
    { numRuns: 30 },
  );
});
