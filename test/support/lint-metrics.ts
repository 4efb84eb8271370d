/**
 * Rules for metric declarations that promtool does not check, or only at run time. For tests of every collector and
 * of the whole catalog. Each result is a sentence that names the metric.
 */
import type { Metric } from '../../src/metrics/metric.ts';
import { openMetricsFamilyName } from '../../src/metrics/render.ts';

const snakeCase = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/;

/** `le` and `quantile` belong to the formats, the next two to Prometheus; the rest belong to the operator's own labels. */
const forbiddenLabels = new Set([
  'le',
  'quantile',
  'job',
  'instance',
  'type',
  'cluster',
  'region',
  'env',
  'service',
]);

/** prom-client's names and labels, which public dashboards use. */
const notOurs = /^(process|nodejs)_/;

const otherUnits =
  /_(ms|us|ns|milliseconds|microseconds|nanoseconds|minutes|hours|days|kb|mb|gb|kib|mib|gib|kilobytes|megabytes|percent|percentage|millicores)(_|$)/;

/** Suffixes that the formats give to samples of counters, histograms and summaries. */
const sampleSuffix = /_(bucket|count|sum|created|gcount|gsum)$/;

/** What is wrong with the declarations themselves; empty when nothing is. */
export const lintMetrics = (metrics: readonly Metric[]): string[] => [
  ...metrics.flatMap((metric) =>
    [...nameProblems(metric), ...helpProblems(metric), ...labelProblems(metric)].map(
      (problem) => `${metric.name}: ${problem}`,
    ),
  ),
  ...clashes(metrics),
];

function* nameProblems({ name, type, labelNames }: Metric): Generator<string> {
  if (!snakeCase.test(name)) yield 'a name is lower-case words joined by single underscores';
  if (type === 'counter' && !name.endsWith('_total')) yield 'a counter ends in _total';
  if (type !== 'counter' && name.endsWith('_total')) yield `only a counter ends in _total, not a ${type}`;
  if (new RegExp(`_${type}(_|$)`).test(name)) yield `the name repeats its type ${type}`;
  if (sampleSuffix.test(name)) yield 'the suffix belongs to the samples of counters and histograms';

  const base = name.replace(/_total$/, '');
  if (otherUnits.test(name)) yield 'only base units: seconds, bytes, ratio, cores';
  if (/_(timestamp|ratio)_/.test(`${base}_`) && !/_(timestamp_seconds|ratio)$/.test(base))
    yield 'a time ends in _timestamp_seconds, a ratio in _ratio';
  if (/_timestamp_seconds$/.test(base) && type !== 'gauge') yield 'a time is a gauge';
  if (base.endsWith('_info') && (type !== 'gauge' || labelNames.length === 0))
    yield '_info is a gauge of 1 whose labels carry the information';
}

function* helpProblems({ help, origin }: Metric): Generator<string> {
  if (!/\S\.$/.test(help)) yield `help ends with a full stop: "${help}"`;
  if (/\n|^\s|\s$/.test(help)) yield 'help is one line without space around it';
  if (!/^\S(.*\S)?$/.test(origin)) yield 'origin names where it comes from, in one line';
}

function* labelProblems({ name, labels, labelNames }: Metric): Generator<string> {
  for (const label of labelNames) {
    if (!snakeCase.test(label)) yield `label ${label}: lower-case words joined by single underscores`;
    if (forbiddenLabels.has(label) && !notOurs.test(name)) yield `label ${label} is reserved or forbidden`;
    const values = labels[label];
    if (!Array.isArray(values)) continue;
    if (values.length === 0) yield `label ${label}: a closed set has members`;
    if (new Set(values).size !== values.length) yield `label ${label}: a member is there twice`;
  }
}

/** Every name that a metric takes in either format, its samples' included, belongs to it alone. */
function* clashes(metrics: readonly Metric[]): Generator<string> {
  const owners = new Map<string, Metric>();
  for (const metric of metrics) {
    if (owners.get(metric.name)?.name === metric.name) {
      yield `${metric.name}: declared twice`;
      continue;
    }
    for (const name of namesTaken(metric)) {
      const owner = owners.get(name);
      if (owner === undefined) owners.set(name, metric);
      else yield `${metric.name}: ${name} is taken by ${owner.name}`;
    }
  }
}

function namesTaken(metric: Metric): Set<string> {
  const family = openMetricsFamilyName(metric);
  const suffixes = { gauge: [], counter: ['_created'], histogram: ['_bucket', '_sum', '_count', '_created'] };
  return new Set([metric.name, family, ...suffixes[metric.type].map((suffix) => family + suffix)]);
}
