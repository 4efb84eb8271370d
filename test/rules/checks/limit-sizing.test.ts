import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parse } from 'yaml';
import { known, unknown } from '../../../src/lib/known.ts';
import {
  type LimitUsage,
  type MemoryState,
  proposeBuckets,
  proposeLimit,
} from '../../../src/rules/checks/limit-sizing.ts';
import { gitlabRb, helmValues } from '../../../src/rules/checks/sizing-values.ts';

const week = 7 * 86_400;
const quiet: LimitUsage = {
  name: 'gitaly.SSHService/SSHUploadPackWithSidechannel',
  kind: 'static',
  limit: 20,
  inProgressPeak: known(12),
  inProgressP99: 8,
  queuedPeak: known(0),
  queuedP99: 0,
  dropped: known(0),
};
const healthy: MemoryState = { oomKills: 0, gitMemoryRatio: 0.5 };
const propose = (change: Partial<LimitUsage>, memory: Partial<MemoryState> = {}, seconds = 2 * week) =>
  proposeLimit({ ...quiet, ...change }, { ...healthy, ...memory }, seconds);

describe('a concurrency limit', () => {
  test.each<readonly [string, Partial<LimitUsage>, Partial<MemoryState>, number, string, number, RegExp]>([
    ['that nothing waits for is kept', {}, {}, 2 * week, 'keep', 20, /0 dropped: nothing to change$/],
    [
      'that drops is raised by half',
      { dropped: known(3) },
      {},
      2 * week,
      'raise',
      30,
      /3 dropped: requests wait/,
    ],
    [
      'at which requests wait for more than 1% of a day is raised',
      { queuedP99: 2 },
      {},
      2 * week,
      'raise',
      30,
      /requests wait/,
    ],
    [
      'that drops is kept after OOM kills',
      { dropped: known(3) },
      { oomKills: 2 },
      2 * week,
      'keep',
      20,
      /2 OOM kills/,
    ],
    [
      'that drops is kept while Git is near its limit',
      { dropped: known(3) },
      { gitMemoryRatio: 0.85 },
      2 * week,
      'keep',
      20,
      /85% of its memory/,
    ],
    ['that cannot have an effect is lowered', { limit: 400 }, {}, 2 * week, 'lower', 18, /peak x 1\.5/],
    [
      'is not lowered with less than a week of history',
      { limit: 400 },
      {},
      week - 1,
      'keep',
      400,
      /nothing to change/,
    ],
    [
      'is never lowered below 10',
      { limit: 400, inProgressPeak: known(1) },
      {},
      week,
      'lower',
      10,
      /at least 10/,
    ],
    [
      'whose use was not measured is kept',
      { inProgressPeak: unknown('no series') },
      {},
      week,
      'keep',
      20,
      /unknown in progress/,
    ],
    [
      'whose drops were not measured is kept',
      { limit: 400, dropped: unknown('no series') },
      {},
      week,
      'keep',
      400,
      /drops not measured/,
    ],
  ])('%s', (_, usage, memory, seconds, change, value, calculation) => {
    expect(propose(usage, memory, seconds)).toMatchObject({
      change,
      value,
      calculation: expect.stringMatching(calculation),
    });
  });

  test('is never lowered below what the measured requests need to run without waiting', () => {
    const amounts = fc.record({
      limit: fc.integer({ min: 1, max: 2000 }),
      peak: fc.integer({ min: 0, max: 3000 }),
      dropped: fc.integer({ min: 0, max: 2 }),
    });
    fc.assert(
      fc.property(amounts, ({ limit, peak, dropped }) => {
        const { change, value } = propose({ limit, inProgressPeak: known(peak), dropped: known(dropped) });
        if (change === 'lower') expect([value >= peak, value < limit]).toEqual([true, true]);
        if (change === 'raise') expect(value).toBeGreaterThan(limit);
        if (change === 'keep') expect(value).toBe(limit);
      }),
    );
  });
});

describe('the number of buckets', () => {
  test.each([
    // 100 x (1 - 0.99^92) = 60.3
    [100, 60, 200, 'about 92 repositories'],
    [1000, 30, 1000, 'about 31 repositories'],
    [100, 0, 100, 'about 0 repositories'],
    [1, 1, 50, 'at least 1 repositories'],
    // All in use: the number of repositories that leave half a bucket empty on average.
    [10, 10, 100, 'at least 29 repositories'],
  ])('of %i with %i active is %i', (count, active, wanted, text) => {
    const found = proposeBuckets({ count: known(count), activePeak: known(active) });
    expect(found).toMatchObject({ count: wanted, current: count });
    expect(found?.calculation).toContain(text);
  });

  test('is never lowered, never above 10000, and twice the estimate for simulated repositories', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12_000 }),
        fc.integer({ min: 0, max: 20_000 }),
        (count, active) => {
          const found = proposeBuckets({ count: known(count), activePeak: known(active) })?.count ?? 0;
          expect(found).toBeGreaterThanOrEqual(count);
          expect(found).toBeLessThanOrEqual(Math.max(count, 10_000));
        },
      ),
    );
  });

  test('is not proposed where it or its use is unknown', () => {
    expect(proposeBuckets({ count: unknown('x'), activePeak: known(1) })).toBeUndefined();
    expect(proposeBuckets({ count: known(100), activePeak: unknown('x') })).toBeUndefined();
  });
});

describe('proposed values', () => {
  const sizes = [{ id: 'git_memory_bytes' as const, value: 2 ** 31, current: undefined, calculation: '' }];
  const buckets = { count: 200, current: 100, calculation: '' };
  const kept = propose({ name: 'gitaly.SmartHTTPService/PostUploadPackWithSidechannel' });
  const raised = propose({ dropped: known(1) });
  const packs = propose({ name: 'pack-objects', dropped: known(1) });

  test('for Helm have the whole list of limits if one changes, else none', () => {
    expect(parse(helmValues({ sizes, buckets, limits: [kept, raised, packs] }) ?? '')).toEqual({
      gitlab: {
        gitaly: {
          cgroups: { enabled: true, memoryBytes: 2 ** 31, repositories: { count: 200 } },
          shell: {
            concurrency: [
              { rpc: '/gitaly.SmartHTTPService/PostUploadPackWithSidechannel', maxPerRepo: 20 },
              { rpc: '/gitaly.SSHService/SSHUploadPackWithSidechannel', maxPerRepo: 30 },
            ],
          },
        },
      },
    });
    expect(helmValues({ sizes: [], buckets: undefined, limits: [kept] })).toBeUndefined();
  });

  test('for gitlab.rb are one Ruby hash', () => {
    expect(gitlabRb({ sizes, buckets, limits: [kept, raised, packs] })).toBe(`gitaly['configuration'] = {
  # ...
  cgroups: {
    # ...
    memory_bytes: 2147483648, # 2 GiB
    repositories: {
      count: 200,
    },
  },
  concurrency: [ # the whole list: add your queue sizes and waits
    { rpc: '/gitaly.SmartHTTPService/PostUploadPackWithSidechannel', max_per_repo: 20 },
    { rpc: '/gitaly.SSHService/SSHUploadPackWithSidechannel', max_per_repo: 30 },
  ],
  pack_objects_limiting: {
    max_concurrency: 30,
  },
}`);
    expect(gitlabRb({ sizes: [], buckets: undefined, limits: [] })).toBeUndefined();
  });
});
