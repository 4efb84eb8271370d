/** The notation of promtool in which recordings store their values. */
import { describe, expect, test } from '@jest/globals';
import { formatValues, linearValues, parseValues, type Values } from '../../replay/values.ts';

describe('the values of a series', () => {
  test.each<[string, Values, string]>([
    ['constant values are one run', [3, 3, 3, 3], '3x3'],
    ['equal steps are one run', [10, 12, 14, 16], '10+2x3'],
    ['falling values have a negative step', [9, 6, 3], '9-3x2'],
    ['fractions that promtool would add up inexactly are written one by one', [0.1, 0.2, 0.3], '0.1 0.2 0.3'],
    [
      'an absent series gets a staleness marker when it ends',
      [1, 1, undefined, undefined, 1],
      '1x1 stale _ 1',
    ],
    ['a series that begins later has no marker before', [undefined, undefined, 5], '_x2 5'],
    ['small and large numbers have no exponent', [1e-7, 1e21], '0.0000001 1000000000000000000000'],
    ['infinite and missing numbers', [Number.NaN, Number.POSITIVE_INFINITY], 'NaN Inf'],
  ])('%s', (_, values, text) => {
    expect(formatValues(values)).toBe(text);
    expect(parseValues(text)).toEqual(values);
  });

  test('have no staleness marker in a gap while Prometheus does not run', () => {
    expect(formatValues([1, null, null, 2])).toBe('1 _x2 2');
  });

  test('are written without a count for a run of one value', () => {
    expect(linearValues(4, 2, 1)).toBe('4');
    expect(linearValues(4, -2, 3)).toBe('4-2x2');
  });

  test('in another notation are an error', () => {
    expect(() => parseValues('1 two')).toThrow("not a value in promtool's notation: two");
  });
});
