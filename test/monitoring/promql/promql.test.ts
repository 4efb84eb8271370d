import { describe, expect, test } from '@jest/globals';
import { anyValue, counter, gauge, histogram } from '../../../src/metrics/metric.ts';
import {
  above,
  absent,
  add,
  and,
  below,
  buckets,
  changes,
  divide,
  equals,
  groupBy,
  histogramQuantile,
  increase,
  isAtMost,
  labelled,
  lastOverTime,
  like,
  maxBy,
  maxOverTime,
  metricsIn,
  multiply,
  not,
  notLike,
  observations,
  offsetBy,
  oneOf,
  or,
  rate,
  recordedSelector,
  relabelled,
  select,
  subtract,
  sumBy,
  time,
  topK,
  topKBy,
  unless,
  vector,
} from '../../../src/monitoring/promql/index.ts';
import { promqlErrors } from '../../support/promql.ts';

const about = { help: 'A metric of this test.', origin: 'nowhere' };
const jobs = gauge('jobs', { ...about, labels: { storage: anyValue, state: ['ready', 'failed'] } });
const seen = gauge('seen_timestamp_seconds', { ...about, labels: { storage: anyValue } });
const done = counter('done_total', { ...about, labels: { storage: anyValue } });
const waits = histogram('wait_seconds', { ...about, labels: { storage: anyValue } });

describe('an expression becomes PromQL text', () => {
  const cases: readonly [expression: { readonly text: string }, text: string][] = [
    [select(jobs), 'jobs'],
    [select(jobs, { state: 'ready', storage: 'a"b\\c' }), 'jobs{state="ready", storage="a\\"b\\\\c"}'],
    [select(jobs, { state: oneOf('ready', 'failed') }), 'jobs{state=~"ready|failed"}'],
    [select(jobs, { storage: oneOf('a.b', 'c|d') }), 'jobs{storage=~"a\\\\.b|c\\\\|d"}'],
    [select(jobs, { state: not('failed'), job: like('$job') }), 'jobs{state!="failed", job=~"$job"}'],
    [select(jobs, { storage: notLike('a.*') }), 'jobs{storage!~"a.*"}'],
    [maxBy(['storage', 'job'], select(jobs)), 'max by (storage, job) (jobs)'],
    [sumBy([], select(jobs)), 'sum(jobs)'],
    [sumBy(['storage'], rate(select(done), '5m')), 'sum by (storage) (rate(done_total[5m]))'],
    [maxOverTime(select(jobs), '1m15s'), 'max_over_time(jobs[1m15s])'],
    [above(subtract(time(), select(seen)), 900), 'time() - seen_timestamp_seconds > 900'],
    [multiply(add(select(jobs), 1), 2), '(jobs + 1) * 2'],
    [subtract(select(jobs), add(select(jobs), 1), { on: ['storage'] }), 'jobs - on (storage) (jobs + 1)'],
    [divide(1, multiply(2, select(jobs))), '1 / (2 * jobs)'],
    [above(add(select(jobs), 1), 2), 'jobs + 1 > 2'],
    [
      divide(select(jobs), maxBy(['storage'], select(jobs)), { on: ['storage'], group: 'left' }),
      'jobs / on (storage) group_left () max by (storage) (jobs)',
    ],
    [
      unless(above(select(jobs), 0), equals(select(seen), 0), { on: ['storage'] }),
      'jobs > 0 unless on (storage) seen_timestamp_seconds == 0',
    ],
    [
      and(or(select(jobs), select(seen)), select(jobs), { on: ['storage'] }),
      '(jobs or seen_timestamp_seconds) and on (storage) jobs',
    ],
    [
      or(unless(select(jobs), select(seen), { on: ['storage'] }), vector(-1), { on: [] }),
      '(jobs unless on (storage) seen_timestamp_seconds) or on () vector(-1)',
    ],
    [absent(select(jobs)), 'absent(jobs)'],
    [labelled(select(jobs), 'access', 'costs $1'), 'label_replace(jobs, "access", "costs $$1", "", "")'],
    [
      maxBy(['target'], relabelled(select(jobs), 'storage', 'target')),
      'max by (target) (label_replace(jobs, "target", "$1", "storage", "(.*)"))',
    ],
    [lastOverTime(select(jobs), '1h'), 'last_over_time(jobs[1h])'],
    [maxOverTime(select(jobs), '1h', '30m'), 'max_over_time(jobs[1h] offset 30m)'],
    [offsetBy(select(jobs), '1h'), 'jobs offset 1h'],
    [above(changes(select(jobs), '1h'), 6), 'changes(jobs[1h]) > 6'],
    [
      multiply(isAtMost(subtract(time(), select(seen)), 120), 2),
      '(time() - seen_timestamp_seconds <= bool 120) * 2',
    ],
    [groupBy(['storage'], select(jobs)), 'group by (storage) (jobs)'],
    [
      recordedSelector('a:jobs:max', ['storage'], [jobs], { storage: oneOf('x', 'y') }),
      'a:jobs:max{storage=~"x|y"}',
    ],
    [topK(10, select(jobs)), 'topk(10, jobs)'],
    [topKBy(['storage'], 3, select(jobs)), 'topk by (storage) (3, jobs)'],
    [increase(observations(waits, { storage: 'a' }), '5m'), 'increase(wait_seconds_count{storage="a"}[5m])'],
    [
      histogramQuantile(0.95, sumBy(['le', 'storage'], rate(buckets(waits), '5m'))),
      'histogram_quantile(0.95, sum by (le, storage) (rate(wait_seconds_bucket[5m])))',
    ],
  ];

  test.each(cases)('%#: $text', (expression, text) => {
    expect(expression.text).toBe(text);
    expect(promqlErrors(expression.text)).toEqual([]);
  });
});

test('a long expression is broken at its operators, and stays the same expression', () => {
  const part = maxBy(['cluster', 'namespace', 'job', 'storage'], maxOverTime(select(jobs), '5m'));
  const long = or(unless(above(part, 0), below(part, 9), { on: ['storage'] }), part);
  expect(long.text).toBe(`(
  max by (cluster, namespace, job, storage) (max_over_time(jobs[5m])) > 0
  unless on (storage)
  max by (cluster, namespace, job, storage) (max_over_time(jobs[5m])) < 9
)
or
max by (cluster, namespace, job, storage) (max_over_time(jobs[5m]))`);
  expect(promqlErrors(long.text)).toEqual([]);
});

test('an expression has its labels and every metric that it uses', () => {
  const share = divide(sumBy(['storage'], increase(select(done), '5m')), sumBy(['storage'], select(jobs)), {
    on: ['storage'],
  });
  expect(share.labels).toEqual(['storage']);
  expect(metricsIn([share, select(seen)])).toEqual([done, jobs, seen]);
});
