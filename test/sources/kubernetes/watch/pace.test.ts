import { expect, test } from '@jest/globals';
import type { WatchEnd } from '../../../../src/sources/kubernetes/store.ts';
import { createPace } from '../../../../src/sources/kubernetes/watch/pace.ts';

/** The waits after these ends, in seconds, with chance in the middle. */
function waits(ends: readonly WatchEnd[], listed = true): number[] {
  const pace = createPace(() => 0.5);
  return ends.map((end) => pace.waitMs({ end, failure: undefined }, listed) / 1000);
}

test('an end that was to come: at once', () => {
  expect(waits(['expired', 'expired'])).toEqual([0, 0]);
});

test('a server that is away, and is back without a memory', () => {
  expect(waits(['reset', 'reset', 'reset', 'reset', 'reset', 'gone'])).toEqual([0.5, 1, 2, 4, 5, 0.5]);
});

test('gone again and again', () => {
  expect(waits(['gone', 'gone', 'gone', 'gone', 'gone', 'gone'])).toEqual([0.5, 1, 2, 4, 5, 5]);
});

test('a right that was never there: each minute', () => {
  expect(waits(['permission', 'permission'], false)).toEqual([60, 60]);
});

test('a right that was there, after a restart of the server: soon at first', () => {
  expect(waits(['reset', 'reset', 'reset', ...Array<WatchEnd>(7).fill('permission')])).toEqual([
    0.5, 1, 2, 0.5, 1, 2, 4, 5, 60, 60,
  ]);
});

test('credentials that are refused: once soon, then rarely', () => {
  expect(waits(['authentication', 'authentication', 'authentication'])).toEqual([0.5, 20, 20]);
});
