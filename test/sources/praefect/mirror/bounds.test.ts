/** Endless rows do not exhaust memory: the mirror rejects them before it allocates. */
import { describe, expect, test } from '@jest/globals';
import { UnacceptableRows } from '../../../../src/sources/praefect/database.ts';
import { createCopyReader } from '../../../../src/sources/praefect/mirror/copy-binary.ts';
import { createMirror } from '../../../../src/sources/praefect/mirror/mirror.ts';
import { createMirrorMemory } from '../../../../src/sources/praefect/mirror/mirror-memory.ts';
import { createReplicaTable } from '../../../../src/sources/praefect/mirror/table.ts';

const reasonOf = (work: () => void): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof UnacceptableRows) return error.reason;
    throw error;
  }
  return 'none';
};

describe('the mirror rejects', () => {
  test('a number of repositories over the limit, without allocating for it', () => {
    const table = createReplicaTable(0, createMirrorMemory());
    for (const count of [1e18, 1e9, Number.POSITIVE_INFINITY])
      expect(reasonOf(() => table.keys.reserve(count))).toBe('too_large');
    expect(table.keys.capacity()).toBe(0);
    table.keys.reserve(1000);
    expect(table.keys.ensure(0, 1)).toBe(0);
  });

  test('many tables that together exceed the limit', () => {
    const memory = createMirrorMemory();
    const load = () => createReplicaTable(0, memory).keys.reserve(2_000_000);
    load();
    load();
    load();
    expect(reasonOf(load)).toBe('too_large');
  });

  test('thousands of storages in a virtual storage', () => {
    const table = createReplicaTable(0, createMirrorMemory());
    expect(
      reasonOf(() => {
        for (let storage = 0; storage < 2000; storage++) table.column(storage);
      }),
    ).toBe('too_large');
  });

  test('an endless number of names, and endless names', () => {
    const { names } = createMirror();
    expect(reasonOf(() => names.idOf('x'.repeat(100_000)))).toBe('too_large');
    expect(
      reasonOf(() => {
        for (let name = 0; name < 20_000; name++) names.idOf(`storage-${name}`);
      }),
    ).toBe('too_large');
  });
});

describe('the COPY reader rejects', () => {
  const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
  const fed = (...chunks: Buffer[]) => {
    const reader = createCopyReader(1, () => undefined);
    for (const chunk of chunks) reader.feed(chunk);
  };
  const field = (length: number): Buffer => {
    const bytes = Buffer.from([0, 1, 0, 0, 0, 0]);
    bytes.writeInt32BE(length, 2);
    return bytes;
  };

  test.each<[string, Buffer[], string]>([
    ['another format', [Buffer.alloc(64, 'x')], 'parse'],
    [
      'a header that never ends',
      [Buffer.concat([header.subarray(0, 15), Buffer.from([0x7f, 0xff, 0xff, 0xff])])],
      'parse',
    ],
    ['a field of 2 GB', [header, field(0x7fff_ffff)], 'parse'],
    ['a negative length', [header, field(-2)], 'parse'],
    ['another number of fields', [header, Buffer.from([0, 9])], 'parse'],
  ])('%s', (_, chunks, reason) => {
    expect(reasonOf(() => fed(...chunks))).toBe(reason);
  });

  test('a row in a thousand chunks that never ends', () => {
    const part = Buffer.alloc(64 * 1024);
    expect(reasonOf(() => fed(header, field(1024 * 1024), ...new Array<Buffer>(15).fill(part)))).toBe('none');
  });
});
