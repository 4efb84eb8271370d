/**
 * Recording rules: series that alerts and dashboards read in place of the exporter's own. Each removes what their users
 * would otherwise repeat: which exporter reported a value, and scrapes that failed.
 */
import { defaultThresholds, gaugeWindowSeconds, type Thresholds } from '../rules/thresholds.ts';
import { promDuration } from './durations.ts';
import {
  type GaugeSelector,
  lastOverTime,
  type Matcher,
  maxBy,
  maxOverTime,
  metricsIn,
  minOverTime,
  or,
  type Range,
  recordedSelector,
  unless,
  type Vector,
} from './promql/index.ts';
import { defaultRepositoryVolumes, type RepositoryVolumes } from './settings.ts';

export interface RecordingRule {
  readonly expression: Vector;
  /** Labels that the rule adds: `{ level: 'pod' }`. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** One recorded name. Several rules write it where the same quantity comes from different metrics. */
export interface Recording<Labels extends string = string> {
  /** `level:metric:operations`, as in Prometheus' documentation of recording rules. */
  readonly name: string;
  readonly labels: readonly Labels[];
  readonly rules: (thresholds: Thresholds, volumes?: RepositoryVolumes) => readonly RecordingRule[];
}

/** @param of one expression, or several rules */
export const recording = <const Labels extends string>(
  name: string,
  labels: readonly Labels[],
  of: (thresholds: Thresholds, volumes: RepositoryVolumes) => Vector | readonly RecordingRule[],
): Recording<Labels> => {
  const rulesOf = (given: ReturnType<typeof of>) => ('kind' in given ? [{ expression: given }] : given);
  return Object.freeze({
    ...{ name, labels },
    rules: (thresholds: Thresholds, volumes = defaultRepositoryVolumes) => rulesOf(of(thresholds, volumes)),
  });
};

/** The recorded series, limited by matchers. */
export const recorded = <Labels extends string>(
  { name, labels, rules }: Recording<Labels>,
  matchers?: { readonly [Name in Labels]?: Matcher<string> },
): GaugeSelector<Labels> =>
  recordedSelector(
    name,
    labels,
    metricsIn(rules(defaultThresholds).map(({ expression }) => expression)),
    matchers,
  );

/** Two and a half scrape intervals: one failed scrape still leaves a sample in the window. */
export const gaugeWindow = (thresholds: Thresholds): Range => promDuration(gaugeWindowSeconds(thresholds));

/** For counters: ten scrapes, so that a few failed ones change little. */
export const rateWindow = (thresholds: Thresholds): Range => promDuration(thresholds.rateWindow.value);

/**
 * `for` of an alert on a gauge, so that only what was bad for longer than `seconds` fires: the last bad sample stays in
 * the gauge window after the value is good again. Not for conditions that the whole window must fulfill (the highest
 * value is 0): those begin late by the window, and end immediately.
 */
export const sustained = (thresholds: Thresholds, seconds: number): number =>
  seconds + gaugeWindowSeconds(thresholds);

/** The highest value within the gauge window, of all exporters. For gauges that are bad when they are high. */
export const highest = <Labels extends string, By extends Labels>(
  thresholds: Thresholds,
  by: readonly By[],
  selector: GaugeSelector<Labels>,
): Vector<By> => maxBy<string, By>(by, maxOverTime<string>(selector, gaugeWindow(thresholds)));

/**
 * The lowest value within the gauge window, of the exporter that reports the highest. For gauges that are bad when they
 * are low: one of two exporters that fails does not make its subject bad.
 */
export const lowest = <Labels extends string, By extends Labels>(
  thresholds: Thresholds,
  by: readonly By[],
  selector: GaugeSelector<Labels>,
): Vector<By> => maxBy<string, By>(by, minOverTime<string>(selector, gaugeWindow(thresholds)));

/**
 * Every series with its highest value within the gauge window. For the right side of `and` and `unless`, which needs no
 * aggregation: one exporter that reports the condition is enough.
 */
export const eachHighest = <Labels extends string>(
  thresholds: Thresholds,
  selector: GaugeSelector<Labels>,
): Vector<Labels> => maxOverTime(selector, gaugeWindow(thresholds));

/** Likewise the lowest. */
export const eachLowest = <Labels extends string>(
  thresholds: Thresholds,
  selector: GaugeSelector<Labels>,
): Vector<Labels> => minOverTime(selector, gaugeWindow(thresholds));

/**
 * The current value; without one, the last value of the hold time while its source is not read (`isRead` is empty). The
 * series of a source that cannot be read are absent, and a critical alert on them must not resolve by that. A series
 * that its source no longer has is not held.
 */
export function heldWhileUnread<By extends string>(
  thresholds: Thresholds,
  by: readonly By[],
  current: Vector<By>,
  selector: GaugeSelector,
  isRead: Vector,
  on: readonly string[],
): Vector<By> {
  const last: Vector = lastOverTime(selector, promDuration(thresholds.staleHold.value));
  return or<By, By>(current, maxBy<string, By>(by, unless(last, isRead, { on })));
}
