import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { nextOnGrid } from '../../src/scheduler/schedule.ts';

describe('the next slot of a grid', () => {
  test.each([
    { slot: 100, every: 60, now: 100, next: 160 },
    { slot: 100, every: 60, now: 159, next: 160 },
    { slot: 100, every: 60, now: 160, next: 220 },
    { slot: 100, every: 60, now: 1000, next: 1060 },
    { slot: 100, every: 60, now: 40, next: 160 },
  ])('of $slot, every $every, at $now is $next', ({ slot, every, now, next }) => {
    expect(nextOnGrid(slot, every, now)).toBe(next);
  });

  test('is after now where rounding would make it equal to now and start a run twice', () => {
    const [slot, every, now] = [200860.44542888226, 32.13906034706243, 209795.1042053656];
    expect(slot + every * (Math.floor((now - slot) / every) + 1)).toBe(now);
    expect(nextOnGrid(slot, every, now)).toBe(now + every);
  });

  test('is after now, at most one interval away, and on the grid', () => {
    const ms = fc.double({ min: 0, max: 1e12, noNaN: true });
    fc.assert(
      fc.property(ms, fc.double({ min: 0.5, max: 1e8, noNaN: true }), ms, (slot, every, passed) => {
        const now = slot + passed;
        const next = nextOnGrid(slot, every, now);
        expect(next).toBeGreaterThan(now);
        expect(next - now).toBeLessThanOrEqual(every * (1 + 1e-9) + 1e-3);
      }),
    );
  });
});
