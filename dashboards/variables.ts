/** The variables of the boards, and selectors that are limited to what they choose. */
import {
  QueryVariableBuilder,
  type VariableModel,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import type { Metric } from '../src/metrics/metric.ts';
import {
  type DashboardVariable,
  labelOfVariable,
  praefectVariables,
  serverVariables,
} from '../src/monitoring/links.ts';
import {
  buckets,
  type CounterMetric,
  type GaugeMetric,
  type HistogramMetric,
  like,
  type Matchers,
  select,
  type TargetLabel,
} from '../src/monitoring/promql/index.ts';
import { buildInfo } from '../src/scheduler/self-metrics.ts';
import { scrapeUp } from '../src/sources/gitaly/metrics.ts';
import { primaries, repositories } from '../src/sources/praefect/mirror/metrics.ts';

interface Variable {
  readonly label: string;
  /** The metric whose label gives the choices. */
  readonly of: Metric;
  /** What "All" stands for. `.+` where every series has the label; `.*` where it may be missing. */
  readonly all: '.+' | '.*';
}

const exporterVariables = {
  cluster: { label: 'Cluster', of: buildInfo, all: '.*' },
  namespace: { label: 'Namespace', of: buildInfo, all: '.*' },
  job: { label: 'Job', of: buildInfo, all: '.+' },
  instance: { label: 'Instance', of: buildInfo, all: '.+' },
  virtual_storage: { label: 'Virtual storage', of: repositories, all: '.*' },
  storage: { label: 'Storage', of: primaries, all: '.*' },
} as const;

const definitionsOf = (server: Metric): Readonly<Record<DashboardVariable, Variable>> => ({
  ...exporterVariables,
  gitaly_namespace: { label: 'Namespace', of: server, all: '.*' },
  pod: { label: 'Pod', of: server, all: '.*' },
  node: { label: 'Node', of: server, all: '.*' },
});

export const datasource = { type: 'prometheus', uid: '$datasource' };

/** What a board is about, and what gives it the choices of its Gitalys. */
export type Choices =
  | { readonly of: 'praefect' }
  /** Every Gitaly that the board can show has this metric. */
  | { readonly of: 'servers'; readonly metric: Metric };

/** Each variable offers what the ones before it leave. */
export function variableModels(choices: Choices): readonly VariableModel[] {
  const names: readonly DashboardVariable[] = choices.of === 'praefect' ? praefectVariables : serverVariables;
  const definitions = definitionsOf(choices.of === 'praefect' ? scrapeUp : choices.metric);
  return names.map((name, index) => {
    const { all, label, of } = definitions[name];
    const before = names.slice(0, index).filter((other) => carries(of, labelOfVariable(other)));
    const matchers = before.map((other) => `${labelOfVariable(other)}=~"$${other}"`).join(', ');
    return new QueryVariableBuilder(name)
      .label(label)
      .datasource(datasource)
      .query(`label_values(${of.name}{${matchers}}, ${labelOfVariable(name)})`)
      .refresh(VariableRefresh.OnTimeRangeChanged)
      .sort(VariableSort.AlphabeticalAsc)
      .multi(true)
      .includeAll(true)
      .allValue(all)
      .current({ selected: true, text: ['All'], value: ['$__all'] })
      .build();
  });
}

const targetVariables: readonly string[] = [
  'cluster',
  'namespace',
  'job',
  'instance',
] satisfies TargetLabel[];

const carries = (metric: Metric, label: string): boolean =>
  targetVariables.includes(label) || metric.labelNames.includes(label);

/** The matchers for every variable that the metric has a label for; `from_storage` is chosen by `storage`. */
const chosen = (metric: Metric): object =>
  Object.fromEntries([
    ...praefectVariables.filter((name) => carries(metric, name)).map((name) => [name, like(`$${name}`)]),
    ...(metric.labelNames.includes('from_storage') ? [['from_storage', like('$storage')]] : []),
  ]);

/** A gauge's series as far as the variables of a board on Praefect choose them. */
export const gaugeOnBoard = <M extends GaugeMetric>(metric: M, matchers?: Matchers<M>) =>
  select<M>(metric, { ...(chosen(metric) as Matchers<M>), ...matchers } as Matchers<M>);

/** A counter's. */
export const counterOnBoard = <M extends CounterMetric>(metric: M, matchers?: Matchers<M>) =>
  select<M>(metric, { ...(chosen(metric) as Matchers<M>), ...matchers } as Matchers<M>);

/** The same on boards on Gitaly's servers; series of the exporter itself are chosen by cluster, job and instance. */
const chosenServers = (metric: Metric): object =>
  Object.fromEntries(
    serverVariables
      .filter((name) => name !== 'gitaly_namespace' || metric.labelNames.includes('namespace'))
      .filter((name) => carries(metric, labelOfVariable(name)))
      .map((name) => [labelOfVariable(name), like(`$${name}`)]),
  );

/** A gauge's series as far as the variables of a board on Gitaly's servers choose them. */
export const gaugeOfServers = <M extends GaugeMetric>(metric: M, matchers?: Matchers<M>) =>
  select<M>(metric, { ...(chosenServers(metric) as Matchers<M>), ...matchers } as Matchers<M>);

/** A counter's. */
export const counterOfServers = <M extends CounterMetric>(metric: M, matchers?: Matchers<M>) =>
  select<M>(metric, { ...(chosenServers(metric) as Matchers<M>), ...matchers } as Matchers<M>);

/** A histogram's buckets. */
export const bucketsOfServers = <M extends HistogramMetric>(metric: M) =>
  buckets<M>(metric, chosenServers(metric) as Matchers<M>);
