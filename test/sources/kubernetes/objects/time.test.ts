import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { timeOf } from '../../../../src/sources/kubernetes/objects/index.ts';

describe('times', () => {
  test.each([
    ['2026-11-23T00:35:07Z', Date.UTC(2026, 10, 23, 0, 35, 7)],
    ['2026-11-23T00:35:07.123456Z', Date.UTC(2026, 10, 23, 0, 35, 7, 123)],
    ['2026-11-23T01:35:07+01:00', Date.UTC(2026, 10, 23, 0, 35, 7)],
    ['2028-02-29T00:00:00Z', Date.UTC(2028, 1, 29)],
  ])('%s', (text, value) => {
    expect(timeOf(text)).toBe(value);
  });

  test.each([
    '',
    '2026-11-23',
    '2026-11-23 00:35:07Z',
    '2026-11-23T00:35:07',
    '2026-02-30T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-11-23T24:00:00Z',
    '2026-11-23T00:35:60Z',
    '0001-01-01T00:00:00Z',
    '+012026-11-23T00:35:07Z',
    'now',
  ])('%s is none', (text) => {
    expect(timeOf(text)).toBeUndefined();
  });

  test('what the API server writes comes back to the second', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date('2999-12-31'), noInvalidDate: true }), (date) => {
        const seconds = Math.floor(date.getTime() / 1000);
        const text = `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
        expect(timeOf(text)).toBe(seconds * 1000);
      }),
    );
  });
});
