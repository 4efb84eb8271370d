import { describe, expect, test } from '@jest/globals';
import type { WatchEndReason } from '../../../../src/sources/kubernetes/store.ts';
import { createRetryPolicy } from '../../../../src/sources/kubernetes/watch/watch-end.ts';

/** Seconds until the next attempt after each of these ends, with jitter in the middle of its range. */
function delays(reasons: readonly WatchEndReason[], wasListed = true): number[] {
  const policy = createRetryPolicy(() => 0.5);
  return reasons.map((reason) => policy.delayMs({ reason, failure: undefined }, wasListed) / 1000);
}

test('an expected end is retried immediately', () => {
  expect(delays(['expired', 'expired'])).toEqual([0, 0]);
});

test('the backoff of an unavailable server is reset when it returns without its history', () => {
  expect(delays(['reset', 'reset', 'reset', 'reset', 'reset', 'gone'])).toEqual([0.5, 1, 2, 4, 5, 0.5]);
});

test('repeated 410 responses back off', () => {
  expect(delays(['gone', 'gone', 'gone', 'gone', 'gone', 'gone'])).toEqual([0.5, 1, 2, 4, 5, 5]);
});

test('a permission that was never granted is retried every minute', () => {
  expect(delays(['permission', 'permission'], false)).toEqual([60, 60]);
});

test('a permission that was granted before a restart of the server is retried soon at first', () => {
  expect(delays(['reset', 'reset', 'reset', ...Array<WatchEndReason>(7).fill('permission')])).toEqual([
    0.5, 1, 2, 0.5, 1, 2, 4, 5, 60, 60,
  ]);
});

test('rejected credentials are retried soon once, then rarely', () => {
  expect(delays(['authentication', 'authentication', 'authentication'])).toEqual([0.5, 20, 20]);
});

describe('the backoff', () => {
  const failed = { reason: 'reset', failure: undefined } as const;

  test('doubles up to ten seconds, and starts from the beginning after a success', () => {
    const policy = createRetryPolicy(() => 0.999999);
    expect([1, 2, 3, 4, 5, 6, 7, 8].map(() => Math.round(policy.delayMs(failed, true) / 1000))).toEqual([
      1, 2, 4, 8, 10, 10, 10, 10,
    ]);
    policy.reset();
    expect(Math.round(policy.delayMs(failed, true) / 1000)).toBe(1);
  });

  test('is at least 0.1 s', () => {
    expect(createRetryPolicy(() => 0).delayMs(failed, true)).toBe(100);
  });

  test('is added to Retry-After, which is capped at five minutes', () => {
    const throttled = (retryAfterSeconds: number) =>
      createRetryPolicy(() => 0.5).delayMs(
        { reason: 'throttled', failure: undefined, retryAfterSeconds },
        true,
      );
    expect(throttled(7)).toBe(7500);
    expect(throttled(99_999)).toBe(300_500);
  });
});
