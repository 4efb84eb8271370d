/** Arbitrary text for property tests. */
import fc from 'fast-check';

const [surrogates, afterSurrogates] = [0xd800, 0xe000];
const shift = afterSurrogates - surrogates;

/**
 * Any code point except surrogates, as fast-check's unit `binary`, which builds a map of all 1.1 million of them
 * for half a second.
 */
const anyCodePoint = fc.nat({ max: 0x10ffff - shift }).map(
  (index) => String.fromCodePoint(index < surrogates ? index : index + shift),
  (text) => {
    const point = typeof text === 'string' ? text.codePointAt(0) : undefined;
    if (
      point === undefined ||
      text !== String.fromCodePoint(point) ||
      (point >= surrogates && point < afterSurrogates)
    )
      throw new Error('not one code point');
    return point < surrogates ? point : point - shift;
  },
);

export const anyText = (constraints: Omit<fc.StringConstraints, 'unit'> = {}): fc.Arbitrary<string> =>
  fc.string({ ...constraints, unit: anyCodePoint });
