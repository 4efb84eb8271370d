import { expect, test } from '@jest/globals';
import { bytesText, durationText, listText, percentText, timeText } from '../../src/lib/format.ts';

test.each([
  [0, '0 s'],
  [-5, '0 s'],
  [420, '420 ms'],
  [9_950, '9.9 s'],
  [59_999, '59 s'],
  [725_000, '12 min 5 s'],
  [3 * 3_600_000 + 300_000, '3 h 5 min'],
  [52 * 3_600_000, '2 d 4 h'],
  [Number.NaN, 'unknown'],
])('durationText(%d) is %s', (ms, text) => {
  expect(durationText(ms)).toBe(text);
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1536, '1.5 KiB'],
  [100 * 2 ** 20, '100 MiB'],
  [2 ** 31, '2 GiB'],
])('bytesText(%d) is %s', (bytes, text) => {
  expect(bytesText(bytes)).toBe(text);
});

test('a time of today has no date, another day has one, an invalid one is unknown', () => {
  const at = Date.UTC(2026, 2, 1, 3, 12, 5);
  expect(timeText(at)).toBe('2026-03-01 03:12:05 UTC');
  expect(timeText(at, at + 1000)).toBe('03:12:05 UTC');
  expect(timeText(9e15)).toBe('unknown');
});

test('percentages and lists are short', () => {
  expect(percentText(0.153)).toBe('15.3%');
  expect(listText(['a', 'b'])).toBe('a, b');
  expect(listText(['a', 'b', 'c', 'd', 'e', 'f', 'g'])).toBe('a, b, c, d, e and 2 more');
});
