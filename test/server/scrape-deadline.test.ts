import { describe, expect, test } from '@jest/globals';
import { defaultLimits } from '../../src/server/listener.ts';
import { scrapeTimeoutMs } from '../../src/server/scrape.ts';

describe('the timeout of a scrape', () => {
  test.each([
    ['10', 9500],
    ['2.5', 2000],
    [' 30 ', 29500],
    ['0.6', 300], // half: the offset would leave almost nothing
    ['0.1', 50],
    ['100000', 120_000],
    // Not a number, or an implausible one: the default of 10 s.
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
  ])('with the header %j is %d ms', (header, ms) => {
    expect(scrapeTimeoutMs(header, 500, defaultLimits)).toBe(ms);
  });
});
