/** The variables that every board has, and selectors that are limited to what they choose. */
import {
  QueryVariableBuilder,
  type VariableModel,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import type { Metric } from '../src/metrics/metric.ts';
import { primaries, repositories } from '../src/praefect/mirror/metrics.ts';
import {
  buckets,
  type CounterMetric,
  type GaugeMetric,
  type HistogramMetric,
  like,
  type Matchers,
  select,
  type TargetLabel,
} from '../src/promql/index.ts';
import { buildInfo } from '../src/runtime/self-metrics.ts';
import { type BoardVariable, boardVariables } from './variable-names.ts';

interface Variable {
  readonly label: string;
  /** The metric whose label gives the choices. */
  readonly of: Metric;
  /** What "All" stands for. `.+` where every series has the label; `.*` where it may be missing. */
  readonly all: '.+' | '.*';
}

const definitions: Readonly<Record<BoardVariable, Variable>> = {
  cluster: { label: 'Cluster', of: buildInfo, all: '.*' },
  namespace: { label: 'Namespace', of: buildInfo, all: '.*' },
  job: { label: 'Job', of: buildInfo, all: '.+' },
  instance: { label: 'Instance', of: buildInfo, all: '.+' },
  virtual_storage: { label: 'Virtual storage', of: repositories, all: '.*' },
  storage: { label: 'Storage', of: primaries, all: '.*' },
};

export const datasource = { type: 'prometheus', uid: '$datasource' };

/** Each variable offers what the ones before it leave. */
export const variableModels = (): readonly VariableModel[] =>
  boardVariables.map((name, index) => {
    const { all, label, of } = definitions[name];
    const before = boardVariables.slice(0, index).filter((other) => carries(of, other));
    const matchers = before.map((other) => `${other}=~"$${other}"`).join(', ');
    return new QueryVariableBuilder(name)
      .label(label)
      .datasource(datasource)
      .query(`label_values(${of.name}{${matchers}}, ${name})`)
      .refresh(VariableRefresh.OnTimeRangeChanged)
      .sort(VariableSort.AlphabeticalAsc)
      .multi(true)
      .includeAll(true)
      .allValue(all)
      .current({ selected: true, text: ['All'], value: ['$__all'] })
      .build();
  });

const targetVariables: readonly string[] = [
  'cluster',
  'namespace',
  'job',
  'instance',
] satisfies TargetLabel[];

const carries = (metric: Metric, variable: string): boolean =>
  targetVariables.includes(variable) || metric.labelNames.includes(variable);

/** The matchers for every variable that the metric has a label for; `from_storage` is chosen by `storage`. */
const chosen = (metric: Metric): object =>
  Object.fromEntries([
    ...boardVariables.filter((name) => carries(metric, name)).map((name) => [name, like(`$${name}`)]),
    ...(metric.labelNames.includes('from_storage') ? [['from_storage', like('$storage')]] : []),
  ]);

/** A gauge's series as far as the board's variables choose them. */
export const gaugeOnBoard = <M extends GaugeMetric>(metric: M, matchers?: Matchers<M>) =>
  select<M>(metric, { ...(chosen(metric) as Matchers<M>), ...matchers } as Matchers<M>);

/** A counter's. */
export const counterOnBoard = <M extends CounterMetric>(metric: M, matchers?: Matchers<M>) =>
  select<M>(metric, { ...(chosen(metric) as Matchers<M>), ...matchers } as Matchers<M>);

/** A histogram's buckets. */
export const bucketsOnBoard = <M extends HistogramMetric>(metric: M) =>
  buckets<M>(metric, chosen(metric) as Matchers<M>);
