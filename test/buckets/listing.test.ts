import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createMostWritten } from '../../src/buckets/listing.ts';

const replica = (generation: number, at: number) => ({
  virtualStorage: 'default',
  relativePath: `${String(at).padStart(6, '0')}.git`,
  replicaPath: 'x',
  storage: 'gitaly-1',
  generation,
});

test('the replicas with the most writes are the same as after sorting all of them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -1, max: 20 }), { maxLength: 600 }),
      fc.integer({ min: 1, max: 50 }),
      (generations, limit) => {
        const most = createMostWritten(limit);
        const all = generations.map(replica);
        for (const each of all) most.add(each);
        expect(most.total()).toBe(all.length);
        // The array is in the order of the paths, and a stable sort keeps it among equals.
        expect(most.listed()).toEqual(all.toSorted((a, b) => b.generation - a.generation).slice(0, limit));
      },
    ),
  );
});
