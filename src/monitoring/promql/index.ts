/** Typed PromQL for rules and dashboards. */
export type { Operand, Scalar, Vector } from './expression.ts';
export * from './functions.ts';
export * from './operators.ts';
export type {
  AnySelector,
  CounterMetric,
  CounterSelector,
  GaugeMetric,
  GaugeSelector,
  HistogramMetric,
  Matcher,
  Matchers,
  TargetLabel,
} from './selector.ts';
export {
  buckets,
  like,
  not,
  notLike,
  observations,
  oneOf,
  recordedSelector,
  select,
  targetLabels,
} from './selector.ts';
