import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parse } from 'yaml';
import { known, unknown } from '../../../src/lib/known.ts';
import {
  type CurrentSizes,
  type MeasuredUsage,
  proposeSizes,
  type SizeId,
  type SizingProposal,
  sizeIds,
} from '../../../src/rules/checks/sizing.ts';
import { helmValues } from '../../../src/rules/checks/sizing-values.ts';
import { config, container } from './change.ts';
import { captured, resultOf } from './support.ts';

const GiB = 2 ** 30;
const day = 86_400;

const use: MeasuredUsage = {
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

const value = ({ sizes }: SizingProposal, id: SizeId): number | undefined =>
  sizes.find((size) => size.id === id)?.value;
const values = (advice: SizingProposal) =>
  Object.fromEntries(advice.sizes.map(({ id, value: v }) => [id, v]));

test('two weeks of usage give sizes as calculated by hand', () => {
  const advice = proposeSizes(use, now);
  expect(advice).toMatchObject({ confidence: 'high', caveats: [] });
  expect(advice.sizes.map(({ id, value: v, current, calculation }) => [id, v, current, calculation])).toEqual(
    [
      // 4 GiB x 1.25 = 5 GiB, and a quarter of that for page cache
      ['git_memory_bytes', 6.25 * GiB, 8 * GiB, 'peak of Git 4 GiB x 1.25 + 1.3 GiB of page cache'],
      [
        'repository_memory_bytes',
        3.125 * GiB,
        4 * GiB,
        "at least half of Git's memory: peak of the busiest bucket 1.5 GiB x 1.25",
      ],
      ['buffer_bytes', GiB, 2 * GiB, 'at least 1 GiB: peak of Gitaly 614 MiB x 1.25'],
      ['memory_bytes', 7.25 * GiB, 10 * GiB, "Git's memory plus the buffer"],
      ['go_memory_limit_bytes', Math.floor(0.95 * GiB), 2_040_109_465, '95% of the buffer'],
      ['cpu_cores', 4, 4, 'peak of the pod 3.1 cores x 1.25'],
    ],
  );
  expect(parse(helmValues({ sizes: advice.sizes, buckets: undefined, limits: [] }) ?? '')).toEqual({
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

test("a bucket that used more than half of Git's memory gets its own peak with headroom", () => {
  const advice = proposeSizes({ ...use, bucketAnonPeakBytes: known(3.6 * GiB) }, unset);
  expect(value(advice, 'repository_memory_bytes')).toBe(4.5 * GiB);
});

describe('a caveat is given for', () => {
  test.each<readonly [string, Partial<MeasuredUsage>, SizingProposal['confidence'], RegExp]>([
    [
      'an hour',
      { windowSeconds: 3700 },
      'low',
      /measured over 1 h 1 min: usual peaks show only over a working week/,
    ],
    ['three days', { windowSeconds: 3.5 * day }, 'medium', /measured over 3 d 12 h:/],
    ['OOM kills', { oomKills: known(2) }, 'medium', /^2 OOM kills in that time: the real peak is unknown$/],
    [
      'at its limit',
      { gitAnonPeakBytes: known(7.7 * GiB) },
      'medium',
      /^Git reached its limit of 8 GiB: it may have needed more$/,
    ],
    [
      'throttled',
      { cpuPeakCores: known(3.9) },
      'medium',
      /^the pod reached its limit of 4 cores: it may have needed more$/,
    ],
    [
      'not measured',
      { bucketAnonPeakBytes: unknown('buckets are not read') },
      'medium',
      /^the busiest bucket's memory not measured: buckets are not read$/,
    ],
    [
      'garbage',
      { gitPageCacheBytes: known(Number.NaN) },
      'medium',
      /^Git's page cache not measured: the value/,
    ],
  ])('%s', (_, change, confidence, caveat) => {
    const advice = proposeSizes({ ...use, ...change }, now);
    expect(advice.confidence).toBe(confidence);
    expect(advice.caveats).toEqual([expect.stringMatching(caveat)]);
  });
});

test('usage capped by a limit gives 1.5 times the limit', () => {
  expect(value(proposeSizes({ ...use, oomKills: known(1) }, now), 'git_memory_bytes')).toBe(15 * GiB);
  expect(value(proposeSizes({ ...use, cpuPeakCores: known(3.9) }, now), 'cpu_cores')).toBe(6);
});

test('no size is proposed from a missing measurement', () => {
  const blind = unknown('no agent');
  expect(values(proposeSizes({ ...use, gitAnonPeakBytes: blind }, now))).toEqual({
    buffer_bytes: GiB,
    go_memory_limit_bytes: Math.floor(0.95 * GiB),
    cpu_cores: 4,
  });
  const nothing = proposeSizes(
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
  expect(nothing).toMatchObject({ confidence: 'low', sizes: [] });
  expect(helmValues({ sizes: nothing.sizes, buckets: undefined, limits: [] })).toBeUndefined();
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
const measured = (of: Peaks): MeasuredUsage => ({
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

describe('for every usage', () => {
  test('no size is below its peak, and the buffer is kept', () => {
    fc.assert(
      fc.property(peaks, sizes, (seen, current) => {
        const advice = proposeSizes(measured(seen), current);
        const of = (id: SizeId): number => value(advice, id) ?? Number.NaN;
        const git = of('git_memory_bytes');
        expect(git).toBeGreaterThanOrEqual(Math.max(seen.gitAnonPeakBytes, seen.bucketAnonPeakBytes));
        expect(of('repository_memory_bytes')).toBeGreaterThanOrEqual(seen.bucketAnonPeakBytes);
        expect(of('repository_memory_bytes')).toBeLessThanOrEqual(git);
        expect(of('memory_bytes') - git).toBe(of('buffer_bytes'));
        expect(of('buffer_bytes')).toBeGreaterThanOrEqual(Math.max(GiB, seen.gitalyMemoryPeakBytes));
        expect(of('go_memory_limit_bytes')).toBeGreaterThanOrEqual(seen.gitalyMemoryPeakBytes);
        expect(of('go_memory_limit_bytes')).toBeLessThanOrEqual(of('memory_bytes') - git);
        expect(of('cpu_cores')).toBeGreaterThanOrEqual(seen.cpuPeakCores);
        expect(advice.sizes.map(({ id }) => id)).toEqual([...sizeIds]);
      }),
    );
  });

  test('more usage never gives a smaller size', () => {
    fc.assert(
      fc.property(peaks, peaks, sizes, (a, b, current) => {
        const names = Object.keys(amounts) as (keyof Peaks)[];
        const more = Object.fromEntries(names.map((name) => [name, Math.max(a[name], b[name])])) as Peaks;
        const less = proposeSizes(measured(a), current);
        const higher = proposeSizes(measured(more), current);
        for (const id of sizeIds) expect(value(higher, id) ?? 0).toBeGreaterThanOrEqual(value(less, id) ?? 0);
      }),
    );
  });

  test('the proposed sizes pass the checks of memory', () => {
    fc.assert(
      fc.property(peaks, (seen) => {
        const of = values(proposeSizes(measured(seen), unset));
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

test('the sizes proposed for an idle Gitaly pass the checks of its memory limits', () => {
  const idle = { ...use, gitAnonPeakBytes: known(2 ** 20), bucketAnonPeakBytes: known(2 ** 20) };
  const proposed = values(proposeSizes({ ...idle, gitPageCacheBytes: known(0) }, unset));
  expect(proposed).toMatchObject({ git_memory_bytes: 256 * 2 ** 20, repository_memory_bytes: 256 * 2 ** 20 });
});
