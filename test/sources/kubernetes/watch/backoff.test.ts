import { expect, test } from '@jest/globals';
import { createBackoff } from '../../../../src/sources/kubernetes/watch/backoff.ts';

test('longer each time up to ten seconds, at random, and short again after a success', () => {
  const backoff = createBackoff(() => 0.999999);
  expect([1, 2, 3, 4, 5, 6, 7, 8].map(() => Math.round(backoff.next() / 1000))).toEqual([
    1, 2, 4, 8, 10, 10, 10, 10,
  ]);
  backoff.reset();
  expect(Math.round(backoff.next() / 1000)).toBe(1);
});

test('never at once, even when chance says so', () => {
  expect(createBackoff(() => 0).next()).toBe(100);
});

test('as long as the server asks, and a little more; but not for hours', () => {
  expect(createBackoff(() => 0.5).next(7)).toBe(7500);
  expect(createBackoff(() => 0.5).next(99_999)).toBe(300_500);
});
