import { describe, expect, test } from '@jest/globals';
import type { Clock } from '../../../../src/lib/clock.ts';
import { createOutage } from '../../../../src/sources/praefect/connection/connect.ts';

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

const refused = { reason: 'refused', found: 'connection refused', fix: 'check the port' } as const;

describe('an outage', () => {
  test.each([
    { failures: 1, random: 0.999, waitsMs: 499.5 },
    { failures: 2, random: 0.999, waitsMs: 999 },
    { failures: 3, random: 0.999, waitsMs: 1998 },
    { failures: 3, random: 0.5, waitsMs: 1000 },
    { failures: 3, random: 0, waitsMs: 0 },
    { failures: 6, random: 0.999, waitsMs: 9990 },
    { failures: 5000, random: 0.999, waitsMs: 9990 },
  ])(
    'makes attempt number $failures wait $waitsMs ms for the random number $random',
    ({ failures, random, waitsMs }) => {
      const clock = fakeClock();
      const outage = createOutage(clock, () => random);
      for (let n = 0; n < failures; n += 1) outage.attemptFailed(refused);
      clock.forward(waitsMs - 0.1);
      if (waitsMs > 0) expect(outage.blocked()).toBeDefined();
      clock.forward(0.2);
      expect(outage.blocked()).toBeUndefined();
    },
  );

  test('reports the last fault, its start and the next attempt', () => {
    const clock = fakeClock();
    const outage = createOutage(clock, () => 0.5);
    outage.attemptFailed(refused);
    clock.forward(60_000);
    outage.attemptFailed({ reason: 'timeout', found: 'no response' });
    clock.forward(100);
    expect(outage.blocked()).toEqual({
      reason: 'timeout',
      found: 'no response (unreachable since 2026-01-02T03:04:05Z, next attempt in 400 ms)',
    });
  });

  test('ends with a successful connection, and reports its duration', () => {
    const clock = fakeClock();
    const outage = createOutage(clock, () => 0.999);
    expect(outage.end()).toBeUndefined();
    outage.attemptFailed(refused);
    clock.forward(7000);
    expect(outage.end()).toBe(7000);
    expect(outage.blocked()).toBeUndefined();
    outage.attemptFailed(refused);
    clock.forward(500);
    expect(outage.blocked()).toBeUndefined();
  });
});
