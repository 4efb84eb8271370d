import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parse } from 'yaml';
import { known, unknown } from '../../../src/lib/known.ts';
import {
  type Advice,
  type AmountId,
  amountIds,
  type CurrentSizes,
  type MeasuredUse,
  sizing,
} from '../../../src/rules/checks/sizing.ts';
import { config, container } from './change.ts';
import { captured, resultOf } from './support.ts';

const GiB = 2 ** 30;
const day = 86_400;

const use: MeasuredUse = {
  windowSeconds: 14 * day,
  gitalyMemoryPeakBytes: known(0.6 * GiB),
  gitAnonPeakBytes: known(4 * GiB),
  bucketAnonPeakBytes: known(1.5 * GiB),
  gitPageCacheBytes: known(20 * GiB),
  cpuPeakCores: known(3.1),
  oomKills: known(0),
};
const unset: CurrentSizes = {
  memoryRequestBytes: undefined,
  memoryLimitBytes: undefined,
  cpuRequestCores: undefined,
  cpuLimitCores: undefined,
  gitMemoryBytes: undefined,
  repositoryMemoryBytes: undefined,
  goMemoryLimitBytes: undefined,
};
const now: CurrentSizes = {
  memoryRequestBytes: 10 * GiB,
  memoryLimitBytes: 10 * GiB,
  cpuRequestCores: 4,
  cpuLimitCores: 4,
  gitMemoryBytes: 8 * GiB,
  repositoryMemoryBytes: 4 * GiB,
  goMemoryLimitBytes: 2_040_109_465,
};

const value = ({ amounts }: Advice, id: AmountId): number | undefined =>
  amounts.find((amount) => amount.id === id)?.value;
const values = (advice: Advice) => Object.fromEntries(advice.amounts.map(({ id, value: v }) => [id, v]));

test('two weeks of use: the sums, by hand', () => {
  const advice = sizing(use, now);
  expect(advice).toMatchObject({ certainty: 'sound', doubts: [] });
  expect(advice.amounts.map(({ id, value: v, current, how }) => [id, v, current, how])).toEqual([
    // 4 GiB x 1.25 = 5 GiB, and a quarter of that for page cache
    ['git_memory_bytes', 6.25 * GiB, 8 * GiB, 'peak of Git 4 GiB x 1.25 + 1.25 GiB of page cache'],
    [
      'repository_memory_bytes',
      3.125 * GiB,
      4 * GiB,
      "half of Git's memory, or more: peak of the busiest bucket 1.5 GiB x 1.25",
    ],
    ['buffer_bytes', GiB, 2 * GiB, '1 GiB, or more: peak of Gitaly 614 MiB x 1.25'],
    ['memory_bytes', 7.25 * GiB, 10 * GiB, "Git's memory and the buffer"],
    ['go_memory_limit_bytes', Math.floor(0.95 * GiB), 2_040_109_465, '95 % of the buffer'],
    ['cpu_cores', 4, 4, 'peak of the pod 3.1 cores x 1.25'],
  ]);
  expect(parse(advice.helm ?? '')).toEqual({
    gitlab: {
      gitaly: {
        resources: { requests: { cpu: '4', memory: '7424Mi' }, limits: { cpu: '4', memory: '7424Mi' } },
        cgroups: {
          enabled: true,
          memoryBytes: 6.25 * GiB,
          repositories: { memoryBytes: 3.125 * GiB },
        },
        gomemlimit: { enabled: false },
        extraEnv: { GOMEMLIMIT: '1020054732' },
      },
    },
  });
});

test('a bucket that takes more than half of Git gets what it took', () => {
  const advice = sizing({ ...use, bucketAnonPeakBytes: known(3.6 * GiB) }, unset);
  expect(value(advice, 'repository_memory_bytes')).toBe(4.5 * GiB);
});

describe('it says what it is not sure of', () => {
  test.each<readonly [string, Partial<MeasuredUse>, Advice['certainty'], RegExp]>([
    ['an hour', { windowSeconds: 3700 }, 'guess', /measured over 1 h: a working week/],
    ['three days', { windowSeconds: 3.5 * day }, 'rough', /measured over 3 d:/],
    ['OOM kills', { oomKills: known(2) }, 'rough', /^2 OOM kills in that time: the real peak is not known$/],
    [
      'at its limit',
      { gitAnonPeakBytes: known(7.7 * GiB) },
      'rough',
      /^Git came up to its limit of 8 GiB: it may have wanted more$/,
    ],
    [
      'throttled',
      { cpuPeakCores: known(3.9) },
      'rough',
      /^the pod came up to its limit of 4 cores: it may have wanted more$/,
    ],
    [
      'not measured',
      { bucketAnonPeakBytes: unknown('buckets are not read') },
      'rough',
      /^the busiest bucket's memory was not measured: buckets are not read$/,
    ],
    [
      'garbage',
      { gitPageCacheBytes: known(Number.NaN) },
      'rough',
      /^Git's page cache was not measured: what/,
    ],
  ])('%s', (_, change, certainty, doubt) => {
    const advice = sizing({ ...use, ...change }, now);
    expect(advice.certainty).toBe(certainty);
    expect(advice.doubts).toEqual([expect.stringMatching(doubt)]);
  });

  test('more than any node has', () => {
    expect(sizing(use, now, 4 * GiB).doubts).toEqual([
      'no node can give 7.25 GiB: the largest has 4 GiB for pods',
    ]);
  });
});

test('what a limit held down is not believed: half more than the limit', () => {
  expect(value(sizing({ ...use, oomKills: known(1) }, now), 'git_memory_bytes')).toBe(15 * GiB);
  expect(value(sizing({ ...use, cpuPeakCores: known(3.9) }, now), 'cpu_cores')).toBe(6);
});

test('nothing is advised that rests on what was not measured', () => {
  const blind = unknown('no agent');
  expect(values(sizing({ ...use, gitAnonPeakBytes: blind }, now))).toEqual({
    buffer_bytes: GiB,
    go_memory_limit_bytes: Math.floor(0.95 * GiB),
    cpu_cores: 4,
  });
  const nothing = sizing(
    {
      windowSeconds: 0,
      gitalyMemoryPeakBytes: blind,
      gitAnonPeakBytes: blind,
      bucketAnonPeakBytes: blind,
      gitPageCacheBytes: blind,
      cpuPeakCores: blind,
      oomKills: blind,
    },
    unset,
  );
  expect(nothing).toMatchObject({ certainty: 'guess', amounts: [], helm: undefined });
});

const bytes = fc.integer({ min: 0, max: 512 * 1024 }).map((mib) => mib * 2 ** 20 + 123);
const cores = fc.double({ min: 0, max: 256, noNaN: true });
const amounts = {
  gitalyMemoryPeakBytes: bytes,
  gitAnonPeakBytes: bytes,
  bucketAnonPeakBytes: bytes,
  gitPageCacheBytes: bytes,
  cpuPeakCores: cores,
  oomKills: fc.integer({ min: 0, max: 5 }),
};
type Peaks = { readonly [Name in keyof typeof amounts]: number };
const peaks: fc.Arbitrary<Peaks> = fc.record(amounts);
const measured = (of: Peaks): MeasuredUse => ({
  windowSeconds: 30 * day,
  gitalyMemoryPeakBytes: known(of.gitalyMemoryPeakBytes),
  gitAnonPeakBytes: known(of.gitAnonPeakBytes),
  bucketAnonPeakBytes: known(of.bucketAnonPeakBytes),
  gitPageCacheBytes: known(of.gitPageCacheBytes),
  cpuPeakCores: known(of.cpuPeakCores),
  oomKills: known(of.oomKills),
});
const sizes: fc.Arbitrary<CurrentSizes> = fc.record({
  memoryRequestBytes: fc.option(bytes, { nil: undefined }),
  memoryLimitBytes: fc.option(bytes, { nil: undefined }),
  cpuRequestCores: fc.option(cores, { nil: undefined }),
  cpuLimitCores: fc.option(cores, { nil: undefined }),
  gitMemoryBytes: fc.option(bytes, { nil: undefined }),
  repositoryMemoryBytes: fc.option(bytes, { nil: undefined }),
  goMemoryLimitBytes: fc.option(bytes, { nil: undefined }),
});

describe('for every use', () => {
  test('nothing is advised below its peak, and the buffer is kept', () => {
    fc.assert(
      fc.property(peaks, sizes, (seen, current) => {
        const advice = sizing(measured(seen), current);
        const of = (id: AmountId): number => value(advice, id) ?? Number.NaN;
        const git = of('git_memory_bytes');
        expect(git).toBeGreaterThanOrEqual(Math.max(seen.gitAnonPeakBytes, seen.bucketAnonPeakBytes));
        expect(of('repository_memory_bytes')).toBeGreaterThanOrEqual(seen.bucketAnonPeakBytes);
        expect(of('repository_memory_bytes')).toBeLessThanOrEqual(git);
        expect(of('memory_bytes') - git).toBe(of('buffer_bytes'));
        expect(of('buffer_bytes')).toBeGreaterThanOrEqual(Math.max(GiB, seen.gitalyMemoryPeakBytes));
        expect(of('go_memory_limit_bytes')).toBeGreaterThanOrEqual(seen.gitalyMemoryPeakBytes);
        expect(of('go_memory_limit_bytes')).toBeLessThanOrEqual(of('memory_bytes') - git);
        expect(of('cpu_cores')).toBeGreaterThanOrEqual(seen.cpuPeakCores);
        expect(advice.amounts.map(({ id }) => id)).toEqual([...amountIds]);
      }),
    );
  });

  test('more use never asks for less', () => {
    fc.assert(
      fc.property(peaks, peaks, sizes, (a, b, current) => {
        const names = Object.keys(amounts) as (keyof Peaks)[];
        const more = Object.fromEntries(names.map((name) => [name, Math.max(a[name], b[name])])) as Peaks;
        const less = sizing(measured(a), current);
        const higher = sizing(measured(more), current);
        for (const id of amountIds)
          expect(value(higher, id) ?? 0).toBeGreaterThanOrEqual(value(less, id) ?? 0);
      }),
    );
  });

  test('what is advised passes the checks on memory', () => {
    fc.assert(
      fc.property(peaks, (seen) => {
        const of = values(sizing(measured(seen), unset));
        const memory = of['memory_bytes'] ?? 0;
        const advised = container(({ resources }) => ({
          resources: { ...resources, memoryRequest: memory, memoryLimit: memory },
          env: { GOMEMLIMIT: String(of['go_memory_limit_bytes']) },
        }))(
          config(({ cgroups }) => ({ cgroups: { ...cgroups, memoryBytes: of['git_memory_bytes'] } }))(
            captured('posture-good'),
          ),
        );
        expect([resultOf(advised, 'git_memory_buffer'), resultOf(advised, 'gomemlimit')]).toEqual([
          'pass',
          'pass',
        ]);
      }),
      { numRuns: 25 },
    );
  });
});
