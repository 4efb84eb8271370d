/** Expressions and legends that several dashboards share. */

import { clusterLabels } from '../src/monitoring/labels.ts';
import { vectorOf } from '../src/monitoring/promql/expression.ts';
import {
  add,
  atLeast,
  type CounterMetric,
  divide,
  equals,
  type GaugeMetric,
  labelled,
  maxBy,
  multiply,
  oneOf,
  or,
  rate,
  sumBy,
  type Vector,
} from '../src/monitoring/promql/index.ts';
import { collectorSuccessRecording } from '../src/monitoring/recordings/exporter.ts';
import type { Thresholds } from '../src/rules/thresholds.ts';
import { collectorSuccess } from '../src/scheduler/self-metrics.ts';
import {
  containerLevelMetrics,
  gitLevelMetrics,
  type Level,
  type LevelMetrics,
  podLevelMetrics,
} from '../src/sources/cgroup/level-metrics.ts';
import { praefectGauge, recordedOfPraefect, serverCounter, serverGauge } from './variables.ts';

/** The labels of one Gitaly server, whichever exporter reports it. */
export const server = ['cluster', 'namespace', 'pod', 'node'] as const;
export type PanelServerLabel = (typeof server)[number];

/** Legend of a series per Gitaly server: the pod and its node, or the virtual machine. */
export const serverLegend = '{{pod}} {{node}}';

/** Legend of a series per storage. */
export const storageLegend = '{{virtual_storage}} / {{storage}}';

/** Range of rates; Grafana fits it to the resolution of the panel. */
export const rateRange = '$__rate_interval';

/** The chosen time of the dashboard. */
export const wholeRange = '$__range';

/** 0 where `base` has a series and `vector` has none. Both have exactly the labels `by`. */
export const orZero = <Labels extends string>(vector: Vector<Labels>, base: Vector<Labels>): Vector<Labels> =>
  or(vector, multiply(base, 0)) as Vector<Labels>;

/** A function of a range of an expression: `quantile_over_time(0.99, x[7d])`. */
export const overRange = <Labels extends string>(
  call:
    | 'max_over_time'
    | 'min_over_time'
    | 'avg_over_time'
    | 'increase'
    | `quantile_over_time(${number}`
    | 'deriv',
  of: Vector<Labels>,
  range: string,
): Vector<Labels> => {
  const [name, quantile] = call.split('(');
  const first = quantile === undefined ? '' : `${quantile}, `;
  return vectorOf(`${name}(${first}${of.text}[${range}])`, of.labels, of.metrics);
};

/** Value expected `seconds` after now, by the trend over the range. */
export const forecast = <Labels extends string>(
  of: Vector<Labels>,
  range: string,
  seconds: number,
): Vector<Labels> => vectorOf(`predict_linear(${of.text}[${range}], ${seconds})`, of.labels, of.metrics);

type OfLevel = (of: LevelMetrics, by: readonly string[]) => Vector;

/** The same of every level above the buckets, with the label `level`. */
export function byLevel(take: OfLevel): Vector<PanelServerLabel | 'level'> {
  const at = (level: Level, of: LevelMetrics, by: readonly string[]) =>
    labelled(maxBy<string, PanelServerLabel>(server, take(of, by)), 'level', level);
  const git = at('git', gitLevelMetrics, server);
  const container = at('container', containerLevelMetrics, [...server, 'container']);
  return or(or(git, container), at('pod', podLevelMetrics, server));
}

/** A gauge of any level, one series for each combination of the labels. */
const gaugeBy = (by: readonly string[], gauge: GaugeMetric): Vector =>
  maxBy(by, serverGauge(gauge) as Vector);

/** The rate of a counter of any level. */
export const rateBy = (by: readonly string[], counter: CounterMetric): Vector =>
  maxBy(by, rate(serverCounter(counter), rateRange) as Vector);

/** Anonymous memory divided by the limit. */
export const memoryShare = (): Vector<PanelServerLabel | 'level'> =>
  byLevel((of, by) => divide(gaugeBy(by, of.memoryAnon), gaugeBy(by, of.memoryLimit), { on: by }));

/** Throttled CPU periods divided by all periods; no series where nothing ran. */
export const throttledShare = (): Vector<PanelServerLabel | 'level'> =>
  byLevel((of, by) =>
    atLeast(divide(rateBy(by, of.cpuThrottledPeriods), rateBy(by, of.cpuPeriods), { on: by }), 0),
  );

const prometheusSeries = <Labels extends string>(text: string, labels: readonly Labels[]): Vector<Labels> =>
  vectorOf(text, labels, []);

const alertSelector = 'alertname=~"(Gitaly|Praefect).+", cluster=~"$cluster"';

/** Firing alerts of this project, from the series that Prometheus writes for its rules. */
export const firingAlerts = (severity = '.+'): Vector<'cluster' | 'namespace' | 'alertname' | 'severity'> =>
  prometheusSeries(`ALERTS{${alertSelector}, alertstate="firing", severity=~"${severity}"}`, [
    ...clusterLabels,
    'alertname',
    'severity',
  ]);

/**
 * Seconds since each firing alert that notifies became active, with the label `where`: the storage, pod and node that it
 * names.
 */
export const firingFor = (): Vector<'cluster' | 'alertname' | 'severity' | 'where'> => {
  const firing = firingAlerts('critical|warning').text;
  const active = `(time() - ALERTS_FOR_STATE{${alertSelector}}) and ignoring (alertstate) ${firing}`;
  const where = `label_join(${active}, "where", " ", "storage", "pod", "node")`;
  // Grafana shows a label of spaces as the number 0.
  return prometheusSeries(`label_replace(${where}, "where", "–", "where", " *")`, [
    ...(['cluster', 'alertname', 'severity', 'where'] as const),
  ]);
};

/** Scrape targets of the exporter: 1 for a successful scrape, else 0. */
export const exporterTargets = (job: string): Vector<'cluster' | 'namespace' | 'job' | 'instance'> =>
  prometheusSeries(`up{job=~"${job}", cluster=~"$cluster"}`, [...clusterLabels, 'job', 'instance']);

/** Dropped requests per second from which the alerts on drops may fire. */
export const dropRateThreshold = ({ rateWindow, requestsDroppedMinimum }: Thresholds): number =>
  requestsDroppedMinimum.value / rateWindow.value;

/** Has a series for each exporter that has the collector enabled, whatever its state. */
export const collectorEnabledFor = (...collectors: readonly [string, ...string[]]): Vector =>
  praefectGauge(collectorSuccess, { collector: oneOf(...collectors) });

/** Has a series where the rules of alerts/ are evaluated and an exporter is scraped. */
export const rulesEvaluated = (): Vector => recordedOfPraefect(collectorSuccessRecording);

/** Has a series while an exporter has current data of the collector. */
export const readByCollector = (collector: string): Vector =>
  equals(praefectGauge(collectorSuccess, { collector }), 1);

/** The sum without labels, 0 when there is no series. */
export const total = (vector: Vector): Vector<never> => sumBy([], vector);

/** A sentinel below every value, where `present` has a series: for a state that has no value. */
export const sentinel = (present: Vector<never>, value: number): Vector<never> =>
  add(multiply(present, 0), value);
