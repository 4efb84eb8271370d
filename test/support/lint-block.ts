/**
 * Faults of samples that types cannot catch. For tests of every collector: whatever the source contains, `lintBlock`
 * of its block is empty.
 */
import type { Metric } from '../../src/metrics/metric.ts';
import type { Block, HistogramSample, Sample } from '../../src/metrics/samples.ts';

/**
 * Each finding is a sentence that names the series. `owned`: the metrics that the collector declares.
 *
 * Found: undeclared metrics, families and label sets that are there twice, values outside a closed set, a number
 * of labels other than declared, NaN anywhere (unknown values are absent), counters that are negative or
 * infinite, ratios outside 0 to 1, times that are 0 or in milliseconds, _info other than 1, broken histograms.
 */
export function lintBlock(block: Block, owned: readonly Metric[]): string[] {
  const problems: string[] = [];
  const families = new Set<string>();
  for (const family of block.families) {
    const { metric } = family;
    if (!owned.includes(metric))
      problems.push(
        owned.some(({ name }) => name === metric.name)
          ? `${metric.name}: not the declaration that the collector owns, but another of the same name`
          : `${metric.name}: the collector does not declare it`,
      );
    if (families.has(metric.name)) problems.push(`${metric.name}: two families of one metric`);
    families.add(metric.name);
    if ('histograms' in family !== (metric.type === 'histogram'))
      problems.push(`${metric.name}: samples of another kind than ${metric.type}`);

    const seen = new Set<string>();
    for (const sample of 'samples' in family ? family.samples : family.histograms) {
      const series = seriesOf(metric, sample.labelValues);
      const key = JSON.stringify(sample.labelValues);
      if (seen.has(key)) problems.push(`${series}: the label set is there twice`);
      seen.add(key);
      const found = [
        ...labelProblems(metric, sample.labelValues),
        ...('buckets' in sample ? histogramProblems(sample) : valueProblems(metric, sample)),
      ];
      problems.push(...found.map((problem) => `${series}: ${problem}`));
    }
  }
  return problems;
}

const seriesOf = ({ name, labelNames }: Metric, values: readonly string[]): string =>
  `${name}{${values.map((value, i) => `${labelNames[i] ?? '?'}=${JSON.stringify(value)}`).join(',')}}`;

function* labelProblems({ labels, labelNames }: Metric, values: readonly string[]): Generator<string> {
  if (values.length !== labelNames.length)
    yield `${values.length} label values for ${labelNames.length} labels`;
  for (const [i, name] of labelNames.entries()) {
    const value: unknown = values[i];
    const allowed = labels[name];
    if (value !== undefined && typeof value !== 'string')
      yield `the value of ${name} is a ${typeof value}, not a string`;
    else if (Array.isArray(allowed) && !allowed.includes(value))
      yield `${name} is outside its closed set (${allowed.join(', ')})`;
  }
}

/** Seconds since 1970 stay below this until the year 5138; milliseconds have been above it since 1973. */
const millisecondsFrom = 1e11;

function* valueProblems({ name, type, unit }: Metric, { value }: Sample): Generator<string> {
  if (typeof value !== 'number') return yield `the value is a ${typeof value}, not a number`;
  if (Number.isNaN(value)) return yield 'NaN; an unknown value is absent';
  if (type === 'counter' && (value < 0 || value === Infinity)) yield `a counter of ${value}`;
  if (unit === 'ratio' && (value < 0 || value > 1)) yield `a ratio of ${value}, outside 0 to 1`;
  if (name.endsWith('_info') && value !== 1) yield `_info of ${value}; it is always 1`;
  if (!name.endsWith('_timestamp_seconds')) return;
  if (value <= 0) yield `a time of ${value}; where there is none it is absent`;
  if (value >= millisecondsFrom) yield `a time of ${value}: milliseconds, not seconds`;
}

function* histogramProblems({ buckets, sum, count }: HistogramSample): Generator<string> {
  const last = buckets.at(-1);
  if (last === undefined || last.le !== Infinity) yield 'the last bucket is not +Inf';
  else if (last.count !== count) yield `+Inf holds ${last.count} of ${count}`;
  if (buckets.some(({ le }, i) => !(le > (buckets[i - 1]?.le ?? -Infinity)))) yield 'bounds do not rise';
  if (buckets.some((bucket, i) => bucket.count < (buckets[i - 1]?.count ?? 0)))
    yield 'buckets are not cumulative';
  if (![count, ...buckets.map((bucket) => bucket.count)].every((n) => Number.isInteger(n) && n >= 0))
    yield 'counts are not whole numbers from 0 on';
  if (!(sum >= 0 && sum < Infinity)) yield `a sum of ${sum}`;
}
