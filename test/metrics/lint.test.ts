import { describe, expect, test } from '@jest/globals';
import { anyValue, counter, gauge, histogram, type Metric } from '../../src/metrics/metric.ts';
import { type Block, type Family, type HistogramSample, single } from '../../src/metrics/samples.ts';
import { lintBlock } from '../support/lint-block.ts';
import { lintMetrics } from '../support/lint-metrics.ts';
import { example, exampleMetrics, jobs } from './example.ts';

const good = { help: 'A value.', origin: 'a test' };

describe('the lint of declarations', () => {
  test('finds nothing in the example', () => {
    expect(lintMetrics(exampleMetrics)).toEqual([]);
  });

  test.each<[string, Metric]>([
    ['a name is lower-case words', gauge('praefect_DB_up', good)],
    ['a name is lower-case words', gauge('praefect__up', good)],
    ['a counter ends in _total', counter('lost' as `${string}_total`, good)],
    ['only a counter ends in _total, not a gauge', gauge('jobs_total', good)],
    ['the name repeats its type gauge', gauge('queue_gauge', good)],
    ['the suffix belongs to the samples', gauge('jobs_count', good)],
    ['only base units', gauge('delay_milliseconds', good)],
    ['only base units', gauge('used_percent', good)],
    ['a time ends in _timestamp_seconds', gauge('heartbeat_timestamp', good)],
    ['a time is a gauge', counter('seen_timestamp_seconds_total', good)],
    ['_info is a gauge of 1 whose labels', gauge('praefect_db_info', good)],
    ['help ends with a full stop', gauge('up', { ...good, help: 'Up' })],
    ['help is one line', gauge('up', { ...good, help: 'Two\nlines.' })],
    ['origin names where it comes from', gauge('up', { ...good, origin: '' })],
    ...['le', 'quantile', 'job', 'instance', 'type', 'cluster', 'region', 'env', 'service'].map(
      (label): [string, Metric] => [
        `label ${label} is reserved or forbidden`,
        gauge('up', { ...good, labels: { [label]: anyValue } }),
      ],
    ),
    ['label Storage: lower-case', gauge('up', { ...good, labels: { Storage: anyValue } })],
    ['label __name: lower-case', gauge('up', { ...good, labels: { __name: anyValue } })],
    ['label state: a closed set has members', gauge('up', { ...good, labels: { state: [] } })],
    ['label state: a member is there twice', gauge('up', { ...good, labels: { state: ['a', 'a'] } })],
  ])('finds: %s', (problem, metric) => {
    expect(lintMetrics([metric])).toEqual([expect.stringContaining(problem)]);
    expect(lintMetrics([metric])[0]).toContain(metric.name);
  });

  test('finds a duplicate name, in either format', () => {
    const [waits, moves] = [histogram('waits', good), counter('moves_total', good)];
    expect(lintMetrics([waits, waits])).toEqual(['waits: declared twice']);
    expect(lintMetrics([moves, gauge('moves', good)])).toEqual(['moves: moves is taken by moves_total']);
    expect(lintMetrics([gauge('waits_sum', good), waits])).toEqual([
      expect.stringContaining('waits_sum: the suffix'),
      'waits: waits_sum is taken by waits_sum',
    ]);
  });
});

describe('the lint of blocks', () => {
  const scalar = (metric: Metric, ...samples: [string[], number][]): Block => ({
    families: [{ metric, samples: samples.map(([labelValues, value]) => ({ labelValues, value })) }],
  });
  const lost = counter('lost_total', good);
  const share = gauge('share_ratio', good);
  const seen = gauge('seen_timestamp_seconds', good);
  const info = gauge('build_info', { ...good, labels: { version: anyValue } });
  const owned = [...exampleMetrics, lost, share, seen, info];

  test('finds nothing in the example', () => {
    expect(lintBlock(example(), owned)).toEqual([]);
  });

  test.each<[string, Block]>([
    ['up: the collector does not declare it', { families: [single(gauge('up', good), 1)] }],
    ['lost_total: not the declaration that', { families: [single(counter('lost_total', good), 1)] }],
    ['lost_total: two families', { families: [single(lost, 1), single(lost, undefined)] }],
    ['lost_total: samples of another kind', { families: [{ metric: lost, histograms: [] } as Family] }],
    [
      '{virtual_storage="a",state="ready"}: the label set is there twice',
      scalar(jobs, [['a', 'ready'], 1], [['a', 'ready'], 1]),
    ],
    [
      '{virtual_storage="a",state="done"}: state is outside its closed set (ready, in_progress, failed)',
      scalar(jobs, [['a', 'done'], 1]),
    ],
    ['3 label values for 2 labels', scalar(jobs, [['a', 'ready', 'x'], 1])],
    ['the value of virtual_storage is a number', scalar(jobs, [[1 as unknown as string, 'ready'], 1])],
    ['the value is a string', scalar(lost, [[], '1' as unknown as number])],
    ['NaN; an unknown value is absent', scalar(jobs, [['a', 'ready'], Number.NaN])],
    ['a counter of -1', scalar(lost, [[], -1])],
    ['a counter of Infinity', scalar(lost, [[], Infinity])],
    ['a ratio of 1.5', scalar(share, [[], 1.5])],
    ['a time of 0', scalar(seen, [[], 0])],
    ['milliseconds, not seconds', scalar(seen, [[], 1_700_000_000_000])],
    ['_info of 0', scalar(info, [['1.0'], 0])],
  ])('finds: %s', (problem, block) => {
    expect(lintBlock(block, owned)).toEqual([expect.stringContaining(problem)]);
  });

  const waits = histogram('waits', good);
  const inf = { le: Infinity, count: 2 };
  test.each<[string, Partial<HistogramSample>]>([
    ['the last bucket is not +Inf', { buckets: [{ le: 1, count: 2 }] }],
    ['the last bucket is not +Inf', { buckets: [] }],
    ['+Inf holds 2 of 3', { count: 3 }],
    ['bounds do not rise', { buckets: [{ le: 2, count: 1 }, { le: 1, count: 1 }, inf] }],
    ['buckets are not cumulative', { buckets: [{ le: 1, count: 2 }, { le: 2, count: 1 }, inf] }],
    ['counts are not whole numbers', { buckets: [{ le: 1, count: 0.5 }, inf] }],
    ['a sum of NaN', { sum: Number.NaN }],
  ])('finds in a histogram: %s', (problem, invalid) => {
    const right: HistogramSample = { labelValues: [], buckets: [inf], sum: 1, count: 2 };
    const block = (histogram: HistogramSample): Block => ({
      families: [{ metric: waits, histograms: [histogram] }],
    });
    expect(lintBlock(block(right), [waits])).toEqual([]);
    expect(lintBlock(block({ ...right, ...invalid }), [waits])).toEqual([expect.stringContaining(problem)]);
  });
});
