import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { quantityOf, timeOf } from '../../../../src/sources/kubernetes/objects/fields.ts';

describe('a quantity', () => {
  test.each([
    ['0', 0],
    ['100m', 0.1],
    ['1.5', 1.5],
    ['.5', 0.5],
    ['5.', 5],
    ['10Gi', 10 * 2 ** 30],
    ['1.5Ki', 1536],
    ['128974848', 128974848],
    ['129e6', 129e6],
    ['1e3', 1000],
    ['1E3', 1000],
    ['1e-3', 0.001],
    ['12E', 12e18],
    ['12E3', 12000],
    ['2k', 2000],
    ['3M', 3e6],
    ['7Ti', 7 * 2 ** 40],
    ['1Ei', 2 ** 60],
    ['250u', 0.00025],
    ['15500000n', 0.0155],
    ['-1Gi', -(2 ** 30)],
    ['+4', 4],
  ])('%s is %d', (text, value) => {
    expect(quantityOf(text)).toBe(value);
  });

  test.each([
    '',
    '.',
    'Gi',
    '1 Gi',
    '1gi',
    '1K',
    '1KiB',
    'e3',
    '0x10',
    '1e99999',
    '1e400',
    'NaN',
    '1,5',
    '١',
    '9'.repeat(70),
  ])('%j is rejected', (text) => {
    expect(quantityOf(text)).toBeUndefined();
  });

  test.each([undefined, null, true, {}, [], Number.NaN, Number.POSITIVE_INFINITY])(
    '%p is rejected',
    (value: unknown) => {
      expect(quantityOf(value)).toBeUndefined();
    },
  );

  test('in thousandths is the float nearest to the decimal number', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000_000 }), (milli) => {
        expect(quantityOf(`${milli}m`)).toBe(milli / 1000);
      }),
    );
  });

  test('from any string is finite or rejected', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const value = quantityOf(text);
        expect(value === undefined || Number.isFinite(value)).toBe(true);
      }),
    );
  });
});

describe('a time', () => {
  test.each([
    ['2026-11-23T00:35:07Z', Date.UTC(2026, 10, 23, 0, 35, 7)],
    ['2026-11-23T00:35:07.123456Z', Date.UTC(2026, 10, 23, 0, 35, 7, 123)],
    ['2026-11-23T01:35:07+01:00', Date.UTC(2026, 10, 23, 0, 35, 7)],
    ['2028-02-29T00:00:00Z', Date.UTC(2028, 1, 29)],
  ])('%s is parsed', (text, value) => {
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
  ])('%j is rejected', (text) => {
    expect(timeOf(text)).toBeUndefined();
  });

  test('as the API server writes it is exact to the second', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date('2999-12-31'), noInvalidDate: true }), (date) => {
        const seconds = Math.floor(date.getTime() / 1000);
        const text = `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
        expect(timeOf(text)).toBe(seconds * 1000);
      }),
    );
  });
});
