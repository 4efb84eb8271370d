import { describe, expect, test } from '@jest/globals';
import type { Clock } from '../../../../src/lib/clock.ts';
import { createBackoff } from '../../../../src/sources/praefect/connection/backoff.ts';

function fakeClock(): Clock & { forward(ms: number): void } {
  let ms = 0;
  return {
    now: () => Date.parse('2026-01-02T03:04:05.678Z') + ms,
    monotonic: () => ms,
    sleep: async () => undefined,
    forward: (by) => {
      ms += by;
    },
  };
}

const refused = { reason: 'refused', found: 'nothing listens there', mend: 'check the port' } as const;

describe('after a failed attempt', () => {
  test.each([
    { failures: 1, random: 0.999, waitsMs: 499.5 },
    { failures: 2, random: 0.999, waitsMs: 999 },
    { failures: 3, random: 0.999, waitsMs: 1998 },
    { failures: 3, random: 0.5, waitsMs: 1000 },
    { failures: 3, random: 0, waitsMs: 0 },
    { failures: 6, random: 0.999, waitsMs: 9990 },
    { failures: 5000, random: 0.999, waitsMs: 9990 },
  ])('number $failures it waits $waitsMs ms when chance says $random', ({ failures, random, waitsMs }) => {
    const clock = fakeClock();
    const backoff = createBackoff(clock, () => random);
    for (let n = 0; n < failures; n += 1) backoff.failed(refused);
    clock.forward(waitsMs - 0.1);
    if (waitsMs > 0) expect(backoff.reason()).toBeDefined();
    clock.forward(0.2);
    expect(backoff.reason()).toBeUndefined();
  });

  test('it says why, since when, and when it goes on', () => {
    const clock = fakeClock();
    const backoff = createBackoff(clock, () => 0.5);
    backoff.failed(refused);
    clock.forward(60_000);
    backoff.failed({ reason: 'timeout', found: 'no answer' });
    clock.forward(100);
    expect(backoff.reason()).toEqual({
      reason: 'timeout',
      found: 'no answer (unreachable since 2026-01-02T03:04:05Z, next attempt in 0.4 s)',
    });
  });

  test('a success ends it, and says how long it was away', () => {
    const clock = fakeClock();
    const backoff = createBackoff(clock, () => 0.999);
    expect(backoff.succeeded()).toBeUndefined();
    backoff.failed(refused);
    clock.forward(7000);
    expect(backoff.succeeded()).toBe(7000);
    expect(backoff.reason()).toBeUndefined();
    backoff.failed(refused);
    clock.forward(500);
    expect(backoff.reason()).toBeUndefined();
  });
});
