import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { linesOf, tooLong } from '../../../../src/sources/kubernetes/watch/lines.ts';

async function lines(parts: readonly Uint8Array[], most = 1000): Promise<(string | typeof tooLong)[]> {
  async function* source(): AsyncGenerator<Uint8Array> {
    yield* parts;
  }
  const found: (string | typeof tooLong)[] = [];
  for await (const line of linesOf(source(), most))
    found.push(line === tooLong ? line : line.toString('utf8'));
  return found;
}

const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');

test('lines come whole, however they were cut, and characters too', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme' })),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      async (texts, sizes) => {
        const wanted = texts.map((text) => text.replaceAll('\n', '')).filter((text) => text !== '');
        const all = bytes(texts.map((text) => `${text.replaceAll('\n', '')}\n`).join(''));
        const parts: Buffer[] = [];
        for (let at = 0, i = 0; at < all.length; at += sizes[i % sizes.length] ?? 1, i++)
          parts.push(all.subarray(at, at + (sizes[i % sizes.length] ?? 1)));
        expect(await lines(parts)).toEqual(wanted);
      },
    ),
  );
});

test('what was cut off at the end is not given', async () => {
  expect(await lines([bytes('one\ntwo')])).toEqual(['one']);
});

test('too long a line is told, and not held', async () => {
  expect(await lines([bytes(`${'x'.repeat(9)}`), bytes('x'.repeat(9)), bytes('\nok\n')], 10)).toEqual([
    tooLong,
    'ok',
  ]);
});
