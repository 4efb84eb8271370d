import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  itemsOf,
  linesOf,
  MalformedList,
  oversizedLine,
} from '../../../../src/sources/kubernetes/watch/stream.ts';
import { archive } from '../../../support/kubernetes-archive.ts';

/** The bytes in chunks of the given sizes, repeated. */
async function* chunks(text: string, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text, 'utf8');
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function read(text: string, sizes: readonly number[] = [1_000_000], maxBytes = 1_000_000) {
  const items: unknown[] = [];
  let rest: unknown;
  for await (const { kind, bytes } of itemsOf(chunks(text, sizes), maxBytes))
    if (kind === 'item') items.push(JSON.parse(bytes.toString('utf8')));
    else rest = JSON.parse(bytes.toString('utf8'));
  return { items, rest };
}

describe('the items of a list', () => {
  test.each([
    ['posture-good', 'at-rest/pods.json'],
    ['node-notready', '1-unknown/events.json'],
  ])('of %s %s are split off in chunks of any size', async (name, path) => {
    const text = archive(name).text(path);
    const { items, ...rest } = JSON.parse(text) as { items: unknown[] };
    for (const sizes of [[1_000_000], [65_536], [1000, 7]])
      expect(await read(text, sizes)).toEqual({ items, rest: { ...rest, items: [] } });
  });

  test('are found next to other arrays, with metadata after them, braces and quotes in strings, and items in items', async () => {
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

  test('are found in any list in any chunks', async () => {
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

  test('may be empty or null', async () => {
    expect(await read('{"items":[],"metadata":{}}')).toEqual({
      items: [],
      rest: { items: [], metadata: {} },
    });
    expect(await read('{"items":null}')).toEqual({ items: [], rest: { items: null } });
  });

  test.each(['{"items":[{"a":1},{"b"', '{"items":[{}]', '{"items":[', '{"a":"b'])(
    'are rejected when the list is cut off: %s',
    async (text) => {
      await expect(read(text)).rejects.toBeInstanceOf(MalformedList);
    },
  );

  test('are rejected when an object, or the rest of the list, is over the limit', async () => {
    await expect(read(`{"items":[{"a":"${'x'.repeat(200)}"}]}`, [50], 100)).rejects.toThrow(/over 100 bytes/);
    await expect(read(`{"a":"${'x'.repeat(200)}"}`, [50], 100)).rejects.toThrow(/over 100 bytes/);
  });
});

async function lines(
  parts: readonly Uint8Array[],
  maxBytes = 1000,
): Promise<(string | typeof oversizedLine)[]> {
  async function* source(): AsyncGenerator<Uint8Array> {
    yield* parts;
  }
  const found: (string | typeof oversizedLine)[] = [];
  for await (const line of linesOf(source(), maxBytes))
    found.push(line === oversizedLine ? line : line.toString('utf8'));
  return found;
}

const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');

test('lines and multibyte characters are complete for any split into chunks', async () => {
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

test('a last line without a line feed is dropped', async () => {
  expect(await lines([bytes('one\ntwo')])).toEqual(['one']);
});

test('an oversized line is reported, and the next one is read', async () => {
  expect(await lines([bytes(`${'x'.repeat(9)}`), bytes('x'.repeat(9)), bytes('\nok\n')], 10)).toEqual([
    oversizedLine,
    'ok',
  ]);
});

test('bytes that arrive one by one are kept in one buffer, not in a list of a million chunks', async () => {
  const one = new Uint8Array([0x61]);
  async function* drops(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < 1_000_000; at++) yield one;
    yield new Uint8Array([0x0a]);
  }
  const before = process.memoryUsage().heapUsed;
  const found: number[] = [];
  for await (const line of linesOf(drops(), 2_000_000)) if (line !== oversizedLine) found.push(line.length);
  expect(found).toEqual([1_000_000]);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(60 * 1024 ** 2);
});
