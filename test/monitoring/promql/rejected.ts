/**
 * Expressions that must not compile. The test next to this file runs the compiler on it; `npm run typecheck`
 * does too. Each line below a directive has one error, and an unused directive is an error itself.
 */
import { anyValue, counter, gauge, histogram } from '../../../src/metrics/metric.ts';
import {
  above,
  and,
  divide,
  histogramQuantile,
  increase,
  maxBy,
  maxOverTime,
  oneOf,
  rate,
  relabelled,
  select,
  sumBy,
} from '../../../src/monitoring/promql/index.ts';

const about = { help: 'A metric of this test.', origin: 'nowhere' };
const jobs = gauge('jobs', { ...about, labels: { storage: anyValue, state: ['ready', 'failed'] } });
const alive = gauge('alive', { ...about, labels: { praefect: anyValue } });
const done = counter('done_total', { ...about, labels: { storage: anyValue } });
const waits = histogram('wait_seconds', about);

export const rejected = [
  // @ts-expect-error a name is not a declared metric
  () => select('jobs'),
  // @ts-expect-error the metric has no such label
  () => select(jobs, { storages: 'gitaly-1' }),
  // @ts-expect-error the closed set has no such value
  () => select(jobs, { state: 'done' }),
  // @ts-expect-error nor one of these
  () => select(jobs, { state: oneOf('ready', 'done') }),
  // @ts-expect-error a histogram has no series of its own name
  () => select(waits),
  // @ts-expect-error the series do not carry this label
  () => maxBy(['praefect'], select(jobs)),
  // @ts-expect-error it was aggregated away
  () => sumBy(['state'], maxBy(['storage'], select(jobs))),
  // @ts-expect-error the value of a counter means nothing
  () => maxBy(['storage'], select(done)),
  // @ts-expect-error nor does its maximum
  () => maxOverTime(select(done), '5m'),
  // @ts-expect-error a gauge has no rate
  () => rate(select(jobs), '5m'),
  // @ts-expect-error not a range
  () => increase(select(done), '5 minutes'),
  // @ts-expect-error two vectors are matched on named labels
  () => divide(select(jobs), select(jobs)),
  // @ts-expect-error the right side does not carry this label
  () => and(select(jobs), select(alive), { on: ['storage'] }),
  // @ts-expect-error a vector is not compared with a vector by accident
  () => above(select(jobs), select(alive)),
  // @ts-expect-error there is no such label to copy
  () => relabelled(select(jobs), 'from_storage', 'storage'),
  // @ts-expect-error a quantile needs the label le
  () => histogramQuantile(0.9, sumBy(['storage'], select(jobs))),
];
