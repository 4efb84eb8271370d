import { describe, expect, test } from '@jest/globals';
import { defaultLimits } from '../../src/server/limits.ts';
import { scrapeTimeoutMs } from '../../src/server/scrape-deadline.ts';

describe("a scrape's deadline", () => {
  test.each([
    ['10', 9500],
    ['2.5', 2000],
    [' 30 ', 29500],
    ['0.6', 300], // half, rather than next to nothing
    ['0.1', 50],
    ['100000', 120_000],
    // No number, or none that can be meant: the default of 10 s.
    [undefined, 9500],
    ['', 9500],
    ['0', 9500],
    ['-5', 9500],
    ['1e3', 9500],
    ['NaN', 9500],
    ['Infinity', 9500],
    ['10s', 9500],
    ['0x10', 9500],
    ['99999999999999999999', 9500],
    [['10', '20'], 9500],
  ])('of %j seconds is %d ms', (header, ms) => {
    expect(scrapeTimeoutMs(header, 500, defaultLimits)).toBe(ms);
  });
});
