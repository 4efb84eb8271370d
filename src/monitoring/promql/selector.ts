/** Selectors of declared metrics: a label that the metric lacks, or a value outside a closed set, does not compile. */
import type { LabelName, LabelSpec, LabelsOf, Metric } from '../../metrics/metric.ts';
import { binding, type Vector, vectorOf } from './expression.ts';

/** Labels that Prometheus adds to every series of a target. `cluster` and `namespace` may be missing. */
export const targetLabels = ['cluster', 'namespace', 'job', 'instance'] as const;
export type TargetLabel = (typeof targetLabels)[number];

/** Alternatives, or an excluded value. Built by `oneOf` and `not`. */
export interface Pattern<Value extends string> {
  readonly operator: '=~' | '!=' | '!~';
  readonly values: readonly Value[];
}

/** A regular expression or a variable of a dashboard, used verbatim. Built by `like` and `notLike`. */
export interface RawPattern {
  readonly operator: '=~' | '!~';
  readonly raw: string;
}

export type Matcher<Value extends string> = Value | Pattern<Value> | RawPattern;

/** Matchers by label: the metric's own labels with their own values, and the target's. */
export type Matchers<M extends Metric> = {
  readonly [Name in LabelName<M>]?: Matcher<LabelsOf<M>[Name] & string>;
} & { readonly [Name in TargetLabel]?: Matcher<string> };

export const oneOf = <const Value extends string>(...values: readonly Value[]): Pattern<Value> => ({
  operator: '=~',
  values,
});

export const not = <const Value extends string>(value: Value): Pattern<Value> => ({
  operator: '!=',
  values: [value],
});

/** A regular expression (anchored by Prometheus), or a dashboard's variable: `like('$storage')`. */
export const like = (raw: string): RawPattern => ({ operator: '=~', raw });

/** Values that the regular expression does not match. */
export const notLike = (raw: string): RawPattern => ({ operator: '!~', raw });

export type CounterMetric = Metric<LabelSpec, 'counter'>;
export type GaugeMetric = Metric<LabelSpec, 'gauge'>;
export type HistogramMetric = Metric<LabelSpec, 'histogram'>;

type LabelsOn<M extends Metric> = LabelName<M> | TargetLabel;

/** Series of a gauge, as an instant vector. */
export interface GaugeSelector<Labels extends string = string> extends Vector<Labels> {
  readonly of: 'gauge';
}

/** Series of a counter: not a vector, because the value of a counter means nothing; see `rate` and `increase`. */
export interface CounterSelector<Labels extends string = string> {
  readonly of: 'counter';
  readonly text: string;
  readonly labels: readonly Labels[];
  readonly metrics: readonly Metric[];
}

export type AnySelector<Labels extends string = string> = GaugeSelector<Labels> | CounterSelector<Labels>;

export function select<M extends GaugeMetric>(metric: M, matchers?: Matchers<M>): GaugeSelector<LabelsOn<M>>;
export function select<M extends CounterMetric>(
  metric: M,
  matchers?: Matchers<M>,
): CounterSelector<LabelsOn<M>>;
export function select(metric: Metric, matchers: object = {}): AnySelector {
  if (metric.type === 'counter') return countersOf(metric, '', metric.labelNames, matchers);
  return recordedSelector(metric.name, [...metric.labelNames, ...targetLabels], [metric], matchers);
}

/**
 * Series of a recording rule, which are gauges. Their name is no declared metric: `metrics` are those that the rule
 * reads.
 */
export const recordedSelector = <Labels extends string>(
  name: string,
  labels: readonly Labels[],
  metrics: readonly Metric[],
  matchers: { readonly [Name in Labels]?: Matcher<string> } = {},
): GaugeSelector<Labels> =>
  Object.freeze({ ...vectorOf(`${name}${braces(matchers)}`, labels, metrics, binding.atom), of: 'gauge' });

/** A histogram's cumulative buckets, with the label `le`: for `histogramQuantile` over a `rate`. */
export function buckets<M extends HistogramMetric>(
  metric: M,
  matchers?: Matchers<M>,
): CounterSelector<LabelsOn<M> | 'le'> {
  return countersOf(metric, '_bucket', [...metric.labelNames, 'le'], matchers);
}

/** The number of observations of a histogram. */
export function observations<M extends HistogramMetric>(
  metric: M,
  matchers?: Matchers<M>,
): CounterSelector<LabelsOn<M>> {
  return countersOf(metric, '_count', metric.labelNames, matchers);
}

const countersOf = <Labels extends string>(
  metric: Metric,
  suffix: string,
  labelNames: readonly string[],
  matchers: object = {},
): CounterSelector<Labels> =>
  Object.freeze({
    of: 'counter',
    text: `${metric.name}${suffix}${braces(matchers)}`,
    labels: [...labelNames, ...targetLabels] as readonly string[] as readonly Labels[],
    metrics: [metric],
  });

/** Matchers were type-checked by the caller. */
function braces(matchers: object): string {
  const written = (Object.entries(matchers) as [string, Matcher<string> | undefined][]).flatMap(
    ([label, matcher]) => (matcher === undefined ? [] : [`${label}${matcherText(matcher)}`]),
  );
  return written.length === 0 ? '' : `{${written.join(', ')}}`;
}

function matcherText(matcher: Matcher<string>): string {
  if (typeof matcher === 'string') return `=${quoted(matcher)}`;
  if ('raw' in matcher) return `${matcher.operator}${quoted(matcher.raw)}`;
  const { operator, values } = matcher;
  if (operator === '!=') return `!=${quoted(values.join(''))}`;
  return `${operator}${quoted(values.map(regexLiteral).join('|'))}`;
}

/** A string literal as PromQL reads it: Go's escapes, of which JSON's are a part. */
export const quoted = (value: string): string => JSON.stringify(value);

/** A value as the RE2 pattern that matches it and nothing else. */
const regexLiteral = (value: string): string => value.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
