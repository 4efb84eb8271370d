import { describe, expect, test } from '@jest/globals';
import { anyValue, gauge, histogram } from '../../src/metrics/metric.ts';
import type { Block, Family } from '../../src/metrics/samples.ts';
import { limitSeries } from '../../src/scheduler/series-limit.ts';
import { createHarness, every, flatten, never } from './harness.ts';

const labels = { of: anyValue } as const;
const declaration = { help: 'A value.', origin: 'a test', labels };
const first = gauge('a_first', declaration);
const second = gauge('a_second', declaration);
const times = histogram('a_times_seconds', declaration);

const scalars = (metric: typeof first, ...values: readonly string[]): Family => ({
  metric,
  samples: values.map((value, index) => ({ labelValues: [value], value: index })),
});

/** Four series each: two buckets, sum and count. */
const histograms = (...values: readonly string[]): Family => ({
  metric: times,
  histograms: values.map((value) => ({
    labelValues: [value],
    buckets: [
      { le: 1, count: 1 },
      { le: Infinity, count: 1 },
    ],
    sum: 0.5,
    count: 1,
  })),
});

const kept = (block: Block): Record<string, string> =>
  Object.fromEntries(
    block.families.map((family) => [
      family.metric.name,
      ('samples' in family ? family.samples : family.histograms).map((one) => one.labelValues[0]).join(' '),
    ]),
  );

describe('a block of more series than the limit', () => {
  // biome-ignore format: a table
  test.each([
    ['keeps whole families first',          [scalars(first, 'x', 'y'), scalars(second, 'x', 'y')], 3, { a_first: 'x y', a_second: 'x' }, 3, 1],
    ['loses the families after the cut',    [scalars(first, 'x', 'y', 'z'), scalars(second, 'x')], 2, { a_first: 'x y' }, 2, 2],
    ['keeps what comes first',              [scalars(first, 'z', 'b', 'a', 'y')],                  2, { a_first: 'z b' }, 2, 2],
    ['cuts exactly between two families',   [scalars(first, 'x'), scalars(second, 'x')],           1, { a_first: 'x', a_second: '' }, 1, 1],
    ['keeps or drops a histogram whole',    [histograms('b', 'a')],                                7, { a_times_seconds: 'b' }, 4, 4],
    ['may lose everything',                 [scalars(first, 'x')],                                 0, { a_first: '' }, 0, 1],
  ])('%s', (_, families, limit, expected, series, dropped) => {
    const limited = limitSeries({ families }, limit);
    expect(kept(limited.block)).toEqual(expected);
    expect(limited).toMatchObject({ series, dropped });
  });

  test('is the identical object when it is within the limit', () => {
    const block = { families: [scalars(first, 'y', 'x'), histograms('a')] };
    expect(limitSeries(block, 6)).toEqual({ block, series: 6, dropped: 0 });
    expect(limitSeries(block, 6).block).toBe(block);
  });
});

test('the block of a collector with too many series is cut, counted at each run, and reported as incomplete; others are not affected', async () => {
  const { clock, collector, run } = createHarness();
  const flood = {
    ...collector('flood', every(60_000), () => ({
      kind: 'data',
      block: { families: [scalars(first, ...Array.from({ length: 30 }, (_, index) => `${index}`))] },
    })),
    metrics: [first],
  };
  const runner = run([flood, collector('b', every(60_000))], { maxSeriesPerCollector: 10 });
  await clock.advance(1000);
  await runner.blocks({ signal: never });
  await clock.advance(60_000);
  const flat = flatten(await runner.blocks({ signal: never }));
  expect(flat.get('gitaly_exporter_series{collector="flood"}')).toBe(10);
  expect(flat.get('gitaly_exporter_series_dropped_total{collector="flood"}')).toBe(40);
  expect(flat.get('gitaly_exporter_series_dropped_total{collector="b"}')).toBe(0);
  expect([...flat.keys()].filter((series) => series.startsWith('a_first'))).toHaveLength(10);
  expect(runner.status()[0]).toMatchObject({
    state: 'ok',
    series: 10,
    seriesDropped: 20,
    message: 'incomplete: 20 series over the limit of series per collector were dropped',
  });
});
