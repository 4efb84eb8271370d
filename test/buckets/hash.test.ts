/** Buckets compared with the results of Go's hash/crc32, and with pairs from Gitaly's own tests. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { bucketsOf, bucketTest } from '../../src/buckets/hash.ts';
import { anyText } from '../support/any-text.ts';

const one = (count: number) => ({ count, maxCgroupsPerRepo: 1 });

/** Rows of storage, relative path, crc32, and the checksum modulo each count of the header. */
const [header = [], ...rows] = readFileSync(
  join(import.meta.dirname, '../fixtures/cgroup/buckets/pairs.tsv'),
  'utf8',
)
  .trimEnd()
  .split('\n')
  .map((line) => line.split('\t'));
const counts = header.slice(3).map((title) => Number(title.replace('% ', '')));

describe('one bucket per repository', () => {
  test('the fixture has all its counts and pairs', () => {
    expect(counts).toEqual([1, 3, 10, 100, 1000, 4_294_967_311]);
    expect(rows).toHaveLength(13);
  });

  test.each(rows)(
    '%s / %s is in the bucket that Go computes',
    (storage = '', path = '', _sum, ...buckets) => {
      expect(counts.map((count) => bucketsOf(storage, path, one(count)))).toEqual(
        buckets.map((bucket) => [Number(bucket)]),
      );
    },
  );

  test("Gitaly's own TestCloneIntoCgroup puts the key command/arg into repos-5 of 10", () => {
    expect(bucketsOf('command', 'arg', one(10))).toEqual([5]);
  });

  test('an additional slash, a wiki or another storage is a different key', () => {
    const all = [
      ['nfs-file01', 'gitlab-org/gitlab.git'],
      ['nfs-file01', 'gitlab-org/gitlab.git/'],
      ['nfs-file01', 'gitlab-org/gitlab.wiki.git'],
      ['nfs-file02', 'gitlab-org/gitlab.git'],
    ].map(([storage = '', path = '']) => bucketsOf(storage, path, one(1_000_000))[0]);
    expect(new Set(all).size).toBe(4);
  });

  test('max_cgroups_per_repo = 0 is treated as 1, as Gitaly does', () => {
    expect(bucketsOf('command', 'arg', { count: 10, maxCgroupsPerRepo: 0 })).toEqual([5]);
  });

  test.each([0, -1, 1.5, Number.NaN, 2 ** 60])('a number of %p buckets is rejected', (count) => {
    expect(() => bucketsOf('default', 'a.git', one(count))).toThrow(RangeError);
  });
});

describe('several buckets per repository', () => {
  test('are consecutive from the first one, and repos-0 follows the last one', () => {
    expect(bucketsOf('command', 'arg', { count: 10, maxCgroupsPerRepo: 3 })).toEqual([5, 6, 7]);
    expect(
      bucketsOf('gitaly-1', '@cluster/repositories/6f/96/54771', { count: 10, maxCgroupsPerRepo: 3 }),
    ).toEqual([9, 0, 1]);
  });

  test('are distinct when a repository may use all of them', () => {
    expect(bucketsOf('command', 'arg', { count: 4, maxCgroupsPerRepo: 9 })).toHaveLength(4);
  });

  test('are found from a path exactly when the path is found from the bucket', () => {
    fc.assert(
      fc.property(
        anyText(),
        anyText(),
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 0, max: 60 }),
        (storage, path, count, maxCgroupsPerRepo) => {
          const sizes = { count, maxCgroupsPerRepo };
          const found = Array.from({ length: count }, (_, bucket) => bucket).filter((bucket) =>
            bucketTest(storage, bucket, sizes)(Buffer.from(path)),
          );
          expect(found).toEqual([...bucketsOf(storage, path, sizes)].sort((a, b) => a - b));
        },
      ),
    );
  });
});
