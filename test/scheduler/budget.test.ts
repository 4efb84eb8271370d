import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createBudget } from '../../src/scheduler/budget.ts';
import { createManualClock } from '../support/manual-clock.ts';

describe('a budget', () => {
  test('of 1% makes the next query wait 100 times as long as the last one took, from its start', async () => {
    const clock = createManualClock();
    const budget = createBudget(0.01, clock);
    const startedAt = clock.monotonic();
    expect(budget.readyAt()).toBe(startedAt);
    await clock.advance(700);
    budget.charge(700);
    expect(budget.readyAt()).toBe(startedAt + 70_000);
    expect(budget.spentSeconds()).toBe(0.7);
  });

  test('does not accumulate idle time: after an idle day the second query waits as long as usual', async () => {
    const clock = createManualClock();
    const budget = createBudget(0.01, clock);
    await clock.advance(86_400_000);
    const startedAt = clock.monotonic();
    await clock.advance(100);
    budget.charge(100);
    expect(budget.readyAt()).toBe(startedAt + 10_000);
  });

  test('adds the time of concurrent queries, and adds to an existing debt', async () => {
    const clock = createManualClock();
    const budget = createBudget(0.1, clock);
    const startedAt = clock.monotonic();
    await clock.advance(1000);
    budget.charge(1000);
    budget.charge(1000);
    await clock.advance(500);
    budget.charge(500);
    expect(budget.readyAt()).toBe(startedAt + 25_000);
  });

  test('waives only the debt beyond the limit, and still counts it as spent', async () => {
    const clock = createManualClock();
    const budget = createBudget(0.01, clock);
    await clock.advance(10_000);
    budget.charge(10_000);
    budget.waiveBeyond(150_000);
    expect(budget.readyAt()).toBe(clock.monotonic() + 150_000);
    budget.waiveBeyond(600_000);
    expect(budget.readyAt()).toBe(clock.monotonic() + 150_000);
    expect(budget.spentSeconds()).toBe(10);
  });

  test.each([0, -0.1, 1.01, Number.NaN, Infinity])('rejects a ratio of %p', (ratio) => {
    expect(() => createBudget(ratio, createManualClock())).toThrow(RangeError);
  });

  test.each([-1, Number.NaN, Infinity])('rejects a charge of %p ms and stays unchanged', (ms) => {
    const budget = createBudget(0.01, createManualClock());
    const before = budget.readyAt();
    expect(() => budget.charge(ms)).toThrow(RangeError);
    expect(budget.readyAt()).toBe(before);
  });

  test('is exceeded by at most one query, from the start of any query to any later moment', async () => {
    const query = fc.record({
      idleMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 100_000 })),
      costMs: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 60_000 })),
      // The caller charges once per query or once per statement.
      payments: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.double({ min: 0.001, max: 1, noNaN: true }),
        fc.array(query, { minLength: 1, maxLength: 20 }),
        async (ratio, queries) => {
          const clock = createManualClock();
          const budget = createBudget(ratio, clock);
          const charged: { start: number; end: number; cost: number }[] = [];
          for (const { costMs, idleMs, payments } of queries) {
            await clock.advance(Math.max(0, budget.readyAt() - clock.monotonic()) + idleMs);
            const start = clock.monotonic();
            for (let part = 0; part < payments; part += 1) {
              await clock.advance(costMs / payments);
              budget.charge(costMs / payments);
            }
            charged.push({ start, end: clock.monotonic(), cost: costMs });
          }
          for (const [first, { start }] of charged.entries()) {
            let spent = 0;
            for (const { cost, end } of charged.slice(first)) {
              spent += cost;
              expect(spent - cost).toBeLessThanOrEqual(ratio * (end - start) + 1e-3);
            }
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});
