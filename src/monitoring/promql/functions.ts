/** The functions and aggregations of PromQL that rules and dashboards use. */
import type { Metric } from '../../metrics/metric.ts';
import {
  type Operand,
  parenthesised,
  type Scalar,
  scalarOf,
  union,
  type Vector,
  vectorOf,
} from './expression.ts';
import { type AnySelector, type CounterSelector, type GaugeSelector, quoted } from './selector.ts';

type DurationUnit = 's' | 'm' | 'h' | 'd';

/** A range in PromQL (`5m`, `1m15s`), or Grafana's variable for the resolution of the panel. */
export type Range =
  | `${bigint}${DurationUnit}`
  | `${bigint}${DurationUnit}${bigint}${DurationUnit}`
  | '$__rate_interval'
  | '$__range';

type Aggregation = <Labels extends string, By extends Labels>(
  by: readonly By[],
  vector: Vector<Labels>,
) => Vector<By>;

const aggregation =
  (name: string): Aggregation =>
  (by, vector) =>
    vectorOf(`${grouped(name, by)}${parenthesised(vector.text)}`, by, vector.metrics);

const grouped = (name: string, by: readonly string[]): string =>
  by.length === 0 ? name : `${name} by (${by.join(', ')}) `;

/** `maxBy(['storage'], vector)`: by labels that the vector has. `[]`: over all series. */
export const maxBy = aggregation('max');
export const minBy = aggregation('min');
export const sumBy = aggregation('sum');
export const avgBy = aggregation('avg');
export const countBy = aggregation('count');
/** 1 for each group. */
export const groupBy = aggregation('group');

/** An expression of the same series. */
const sameSeries = <Labels extends string>(of: AnySelector<Labels> | Vector<Labels>, text: string) =>
  vectorOf(text, of.labels, of.metrics);

/** The `count` highest series of each group, with all their labels; `[]`: of all series. */
export const topKBy = <Labels extends string, By extends Labels>(
  by: readonly By[],
  count: number,
  vector: Vector<Labels>,
): Vector<Labels> => sameSeries(vector, `${grouped('topk', by)}${parenthesised(`${count}, ${vector.text}`)}`);

/** The `count` highest series, with all their labels. */
export const topK = <Labels extends string>(count: number, vector: Vector<Labels>): Vector<Labels> =>
  topKBy([], count, vector);

const overTime =
  (name: string) =>
  <Labels extends string>(selector: GaugeSelector<Labels>, range: Range, offset?: Range): Vector<Labels> =>
    sameSeries(selector, `${name}(${selector.text}[${range}]${offsetText(offset)})`);

/** The quantile (0 to 1) of a gauge's samples within the range. */
export const quantileOverTime = <Labels extends string>(
  quantile: number,
  selector: GaugeSelector<Labels>,
  range: Range,
): Vector<Labels> => sameSeries(selector, `quantile_over_time(${quantile}, ${selector.text}[${range}])`);

/** An expression evaluated at each step of a range, for the functions below: a subquery. */
export interface Steps<Labels extends string = string> {
  readonly of: Vector<Labels>;
  readonly range: Range;
  readonly step: Range;
}

const overSteps =
  (name: string) =>
  <Labels extends string>({ of, range, step }: Steps<Labels>, quantile?: number): Vector<Labels> => {
    const first = quantile === undefined ? '' : `${quantile}, `;
    return sameSeries(of, `${name}(${first}${parenthesised(of.text)}[${range}:${step}])`);
  };

export const maxOverSteps = overSteps('max_over_time');
/** How many steps have a value: for how long a series was there. */
export const countOverSteps = overSteps('count_over_time');
export const quantileOverSteps = <Labels extends string>(
  quantile: number,
  steps: Steps<Labels>,
): Vector<Labels> => overSteps('quantile_over_time')(steps, quantile);

const offsetText = (offset: Range | undefined): string => (offset === undefined ? '' : ` offset ${offset}`);

/** Of gauges; missing samples within the range do not matter. */
export const maxOverTime = overTime('max_over_time');
export const minOverTime = overTime('min_over_time');
export const avgOverTime = overTime('avg_over_time');
export const sumOverTime = overTime('sum_over_time');
/** The newest sample within the range. */
export const lastOverTime = overTime('last_over_time');
/** How often the value changed within the range. */
export const changes = overTime('changes');

/** The series as they were some time ago. */
export const offsetBy = <Labels extends string>(
  selector: GaugeSelector<Labels>,
  offset: Range,
): Vector<Labels> => sameSeries(selector, `${selector.text}${offsetText(offset)}`);

/** When the newest sample was scraped, in seconds since 1970. */
export const timestampOf = <Labels extends string>(selector: GaugeSelector<Labels>): Vector<Labels> =>
  sameSeries(selector, `timestamp(${selector.text})`);

/** The absolute value. */
export const absoluteValue = <Labels extends string>(of: Vector<Labels>): Vector<Labels> =>
  sameSeries(of, `abs${parenthesised(of.text)}`);

const ofCounter =
  (name: string) =>
  <Labels extends string>(selector: CounterSelector<Labels>, range: Range): Vector<Labels> =>
    sameSeries(selector, `${name}(${selector.text}[${range}])`);

/** The counter's own value, for a rule that records some of its series: what reads them takes their increase. */
export const counterValue = <Labels extends string>(selector: CounterSelector<Labels>): Vector<Labels> =>
  sameSeries(selector, selector.text);

/** Per second, across resets of the counter. */
export const rate = ofCounter('rate');
/** Extrapolated to the whole range, so it is rarely a whole number. */
export const increase = ofCounter('increase');

/**
 * One series of value 1 if the selector matches nothing. It has the labels that the selector matches by equality; the
 * others are empty.
 */
export const absent = <Labels extends string>(selector: AnySelector<Labels>): Vector<Labels> =>
  sameSeries(selector, `absent(${selector.text})`);

/** 1 for each series with a sample in the range, of any kind of metric. */
export const presentOverTime = <Labels extends string>(
  selector: AnySelector<Labels>,
  range: Range,
): Vector<Labels> => sameSeries(selector, `present_over_time(${selector.text}[${range}])`);

/** As `absent`, for a whole range. */
export const absentOverTime = <Labels extends string>(
  selector: AnySelector<Labels>,
  range: Range,
): Vector<Labels> => sameSeries(selector, `absent_over_time(${selector.text}[${range}])`);

/** The evaluation's time, in seconds since 1970. */
export const time = (): Scalar => scalarOf('time()');

/** A number as one series without labels. */
export const vector = (value: Operand): Vector<never> =>
  typeof value === 'number'
    ? vectorOf(`vector(${value})`, [], [])
    : vectorOf(`vector(${value.text})`, [], value.metrics);

/** Adds a label with a fixed value. */
export const labelled = <Labels extends string, const Name extends string>(
  of: Vector<Labels>,
  name: Name,
  value: string,
): Vector<Labels | Name> => replaced(of, [name, value.replaceAll('$', '$$$$'), '', ''], [...of.labels, name]);

/** Copies the label `from`, or the first group of the pattern that all of it matches, to the label `to`. */
export const relabelled = <Labels extends string, From extends Labels, const To extends string>(
  of: Vector<Labels>,
  from: From,
  to: To,
  pattern = '(.*)',
): Vector<Labels | To> => replaced(of, [to, '$1', from, pattern], [...of.labels, to]);

function replaced<Labels extends string>(
  of: Vector,
  arguments_: readonly [string, string, string, string],
  labels: readonly Labels[],
): Vector<Labels> {
  const call = parenthesised(of.text, arguments_.map(quoted).join(', '));
  return vectorOf(`label_replace${call}`, union(labels), of.metrics);
}

/** The quantile (0 to 1) of a histogram, from a rate of its `buckets` that was summed by `le` and more. */
export const histogramQuantile = <Labels extends string>(
  quantile: number,
  of: 'le' extends Labels ? Vector<Labels> : never,
): Vector<Exclude<Labels, 'le'>> =>
  vectorOf(
    `histogram_quantile${parenthesised(`${quantile}, ${of.text}`)}`,
    of.labels.filter((label): label is Exclude<Labels, 'le'> & Labels => label !== 'le'),
    of.metrics,
  );

/** Every metric that any of the expressions reads. */
export const metricsIn = (
  expressions: readonly { readonly metrics: readonly Metric[] }[],
): readonly Metric[] => union(...expressions.map((each) => each.metrics));
