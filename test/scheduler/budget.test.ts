import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createBudget } from '../../src/scheduler/budget.ts';
import { createManualClock } from '../support/manual-clock.ts';

describe('a budget', () => {
  test('of 1 % makes the next question wait a hundred times as long as the last took, from its start', async () => {
    const clock = createManualClock();
    const budget = createBudget(0.01, clock);
    const startedAt = clock.monotonic();
    expect(budget.readyAt()).toBe(startedAt);
    await clock.advance(700);
    budget.charge(700);
    expect(budget.readyAt()).toBe(startedAt + 70_000);
    expect(budget.spentSeconds()).toBe(0.7);
  });

  test('saves nothing up: after an idle day the second question waits as ever', async () => {
    const clock = createManualClock();
    const budget = createBudget(0.01, clock);
    await clock.advance(86_400_000);
    const startedAt = clock.monotonic();
    await clock.advance(100);
    budget.charge(100);
    expect(budget.readyAt()).toBe(startedAt + 10_000);
  });

  test('adds up what is spent beside each other and on top of a debt', async () => {
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

  test('waives what reaches beyond a limit and no more, and still counts it as spent', async () => {
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

  test.each([0, -0.1, 1.01, Number.NaN, Infinity])('has no share of %p', (share) => {
    expect(() => createBudget(share, createManualClock())).toThrow(RangeError);
  });

  test.each([-1, Number.NaN, Infinity])('is not charged with %p ms, which would spoil it for good', (ms) => {
    const budget = createBudget(0.01, createManualClock());
    const before = budget.readyAt();
    expect(() => budget.charge(ms)).toThrow(RangeError);
    expect(budget.readyAt()).toBe(before);
  });

  test('is never exceeded by more than one question, from the start of any question to any later moment', async () => {
    const question = fc.record({
      idleMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 100_000 })),
      costMs: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 60_000 })),
      // Whoever asks may pay once, or after each statement.
      payments: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.double({ min: 0.001, max: 1, noNaN: true }),
        fc.array(question, { minLength: 1, maxLength: 20 }),
        async (share, questions) => {
          const clock = createManualClock();
          const budget = createBudget(share, clock);
          const asked: { start: number; end: number; cost: number }[] = [];
          for (const { costMs, idleMs, payments } of questions) {
            await clock.advance(Math.max(0, budget.readyAt() - clock.monotonic()) + idleMs);
            const start = clock.monotonic();
            for (let part = 0; part < payments; part += 1) {
              await clock.advance(costMs / payments);
              budget.charge(costMs / payments);
            }
            asked.push({ start, end: clock.monotonic(), cost: costMs });
          }
          for (const [first, { start }] of asked.entries()) {
            let spent = 0;
            for (const { cost, end } of asked.slice(first)) {
              spent += cost;
              expect(spent - cost).toBeLessThanOrEqual(share * (end - start) + 1e-3);
            }
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});
