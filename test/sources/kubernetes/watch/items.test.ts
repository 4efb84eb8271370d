import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { itemsOf, MalformedList } from '../../../../src/sources/kubernetes/watch/items.ts';
import { archive } from '../../../support/kubernetes-archive.ts';

/** In pieces of the given sizes, one after the other and again. */
async function* pieces(text: string, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text, 'utf8');
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function read(text: string, sizes: readonly number[] = [1_000_000], most = 1_000_000) {
  const items: unknown[] = [];
  let rest: unknown;
  for await (const { kind, bytes } of itemsOf(pieces(text, sizes), most))
    if (kind === 'item') items.push(JSON.parse(bytes.toString('utf8')));
    else rest = JSON.parse(bytes.toString('utf8'));
  return { items, rest };
}

describe('the items of a list', () => {
  test.each([
    ['posture-good', 'at-rest/pods.json'],
    ['node-notready', '1-unknown/events.json'],
  ])('of %s %s, in pieces of any size', async (name, path) => {
    const text = archive(name).text(path);
    const { items, ...rest } = JSON.parse(text) as { items: unknown[] };
    for (const sizes of [[1_000_000], [65_536], [1000, 7]])
      expect(await read(text, sizes)).toEqual({ items, rest: { ...rest, items: [] } });
  });

  test('metadata after the items, other arrays, braces and quotes in strings, items in items', async () => {
    const list = {
      other: [{ a: 1 }, { items: [{ b: 2 }] }],
      items: [{ text: '"}],{[\\' }, { items: [{ deep: [1, { items: [] }] }] }],
      more: ['items', { c: ['items'] }],
      metadata: { resourceVersion: '7' },
    };
    for (const sizes of [[1000], [1], [3, 2]])
      expect(await read(JSON.stringify(list), sizes)).toEqual({
        items: list.items,
        rest: { ...list, items: [] },
      });
  });

  test('any list at all, in any pieces', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { maxLength: 4 }),
        fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        async (items, extra, sizes) => {
          const list: unknown = JSON.parse(JSON.stringify({ ...extra, items, metadata: { a: 'items' } }));
          expect(await read(JSON.stringify(list), sizes)).toEqual({
            items: (list as { items: unknown }).items,
            rest: { ...(list as object), items: [] },
          });
        },
      ),
    );
  });

  test('none', async () => {
    expect(await read('{"items":[],"metadata":{}}')).toEqual({
      items: [],
      rest: { items: [], metadata: {} },
    });
    expect(await read('{"items":null}')).toEqual({ items: [], rest: { items: null } });
  });

  test.each(['{"items":[{"a":1},{"b"', '{"items":[{}]', '{"items":[', '{"a":"b'])(
    'cut off: %s',
    async (text) => {
      await expect(read(text)).rejects.toBeInstanceOf(MalformedList);
    },
  );

  test('an object, or all the rest, over the limit', async () => {
    await expect(read(`{"items":[{"a":"${'x'.repeat(200)}"}]}`, [50], 100)).rejects.toThrow(/over 100 bytes/);
    await expect(read(`{"a":"${'x'.repeat(200)}"}`, [50], 100)).rejects.toThrow(/over 100 bytes/);
  });
});
