import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { quantityOf } from '../../../../src/sources/kubernetes/objects/index.ts';

describe('quantities', () => {
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
  ])('%s is none', (text) => {
    expect(quantityOf(text)).toBeUndefined();
  });

  test.each([undefined, null, true, {}, [], Number.NaN, Number.POSITIVE_INFINITY])(
    '%p is none',
    (value: unknown) => {
      expect(quantityOf(value)).toBeUndefined();
    },
  );

  test('numbers in thousandths are read as JavaScript writes them', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000_000 }), (milli) => {
        expect(quantityOf(`${milli}m`)).toBe(milli / 1000);
      }),
    );
  });

  test('whatever comes, it is a finite number or none', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const value = quantityOf(text);
        expect(value === undefined || Number.isFinite(value)).toBe(true);
      }),
    );
  });
});
