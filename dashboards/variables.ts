/** The variables of the dashboards, and selectors that are limited to the selected values. */
import {
  DatasourceVariableBuilder,
  QueryVariableBuilder,
  VariableHide,
  type VariableModel,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import type { Metric } from '../src/metrics/metric.ts';
import {
  type DashboardVariable,
  dashboardVariables,
  labelOfVariable,
  praefectVariables,
  serverVariables,
} from '../src/monitoring/links.ts';
import {
  buckets,
  type CounterMetric,
  type GaugeMetric,
  type GaugeSelector,
  type HistogramMetric,
  like,
  type Matcher,
  type Matchers,
  observations,
  select,
  targetLabels,
} from '../src/monitoring/promql/index.ts';
import { type Recording, recorded } from '../src/monitoring/recording.ts';
import { buildInfo } from '../src/scheduler/self-metrics.ts';
import { scrapeUp } from '../src/sources/gitaly/metrics.ts';
import { podReady } from '../src/sources/kubernetes/metrics.ts';
import { primaries, repositories } from '../src/sources/praefect/mirror/metrics.ts';
import { serverInfo } from '../src/sources/server-info.ts';

interface Variable {
  readonly label: string;
  /** The metrics whose label values are offered: any of them is enough. */
  readonly of: readonly Metric[];
  /** What "All" matches: `.+` where every series has the label, `.*` where it may be missing. */
  readonly all: '.+' | '.*';
  readonly shown: readonly DashboardScope[];
}

/** What a dashboard is about: Praefect's database, Gitaly servers, or both. */
export type DashboardScope = 'praefect' | 'servers' | 'both';

const exporter = [buildInfo];
/** With cgroups, with Gitaly's own metrics, with Kubernetes. */
const servers = [serverInfo, scrapeUp, podReady];

const variables: Readonly<Record<DashboardVariable, Variable>> = {
  cluster: { label: 'Cluster', of: exporter, all: '.*', shown: ['praefect', 'servers', 'both'] },
  namespace: { label: 'Namespace', of: exporter, all: '.*', shown: ['praefect', 'both'] },
  // Only links set these two.
  job: { label: 'Job', of: exporter, all: '.+', shown: [] },
  instance: { label: 'Instance', of: exporter, all: '.+', shown: [] },
  virtual_storage: {
    label: 'Virtual storage',
    of: [repositories],
    all: '.*',
    shown: ['praefect', 'both'],
  },
  storage: { label: 'Storage', of: [primaries], all: '.*', shown: ['praefect', 'both'] },
  gitaly_namespace: { label: 'Gitaly namespace', of: servers, all: '.*', shown: ['servers', 'both'] },
  pod: { label: 'Pod', of: servers, all: '.*', shown: ['servers', 'both'] },
  node: { label: 'Node', of: servers, all: '.*', shown: ['servers'] },
};

export const datasource = { type: 'prometheus', uid: '$datasource' };

/**
 * All variables, each limited by the ones before it. Those that the scope does not show are hidden.
 *
 * @param selected uid of the data source that is selected at first
 */
export function variableModels(
  scope: DashboardScope,
  selected: string | undefined,
): readonly VariableModel[] {
  const chained = dashboardVariables.map((name, index) => {
    const { all, label, of, shown } = variables[name];
    const before = dashboardVariables.slice(0, index).filter((other) => isFilteredBy(of, other));
    const names = of.length === 1 ? [] : [`__name__=~"${of.map(({ name: metric }) => metric).join('|')}"`];
    const matchers = [...names, ...before.map((other) => `${labelOfVariable(other)}=~"$${other}"`)];
    const selector = `${of.length === 1 ? of[0]?.name : ''}{${matchers.join(', ')}}`;
    return new QueryVariableBuilder(name)
      .label(label)
      .hide(shown.includes(scope) ? VariableHide.DontHide : VariableHide.HideVariable)
      .datasource(datasource)
      .query(`label_values(${selector}, ${labelOfVariable(name)})`)
      .refresh(VariableRefresh.OnTimeRangeChanged)
      .sort(VariableSort.AlphabeticalAsc)
      .multi(true)
      .includeAll(true)
      .allValue(all)
      .current({ selected: true, text: ['All'], value: ['$__all'] })
      .build();
  });
  return [
    {
      ...new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus').build(),
      ...(selected !== undefined && { current: { selected: true, text: selected, value: selected } }),
    },
    ...chained,
  ];
}

/** Whether the metrics carry the variable's label with the meaning that it has for the variable. */
const isFilteredBy = (metrics: readonly Metric[], variable: DashboardVariable): boolean =>
  metrics.every(({ labelNames }) => {
    const hasOwnNamespace = labelNames.includes('namespace');
    if (variable === 'namespace') return !hasOwnNamespace;
    if (variable === 'gitaly_namespace') return hasOwnNamespace;
    return isTargetLabel(variable) || labelNames.includes(variable);
  });

const isTargetLabel = (name: string): boolean => (targetLabels as readonly string[]).includes(name);

/**
 * Matchers for the series of Praefect's database and of the exporter, whose namespace is the exporter's. Praefect's pods
 * have a namespace of their own, which no variable selects.
 */
function praefectMatchers({ labelNames }: Metric): Readonly<Record<string, ReturnType<typeof like>>> {
  const own = ['virtual_storage', 'storage'].filter((label) => labelNames.includes(label));
  const ofTarget = targetLabels.filter((label) => !labelNames.includes(label));
  return {
    ...Object.fromEntries([...ofTarget, ...own].map((label) => [label, like(`$${label}`)])),
    ...(labelNames.includes('from_storage') && { from_storage: like('$storage') }),
  };
}

/** Matchers for the series of Gitaly servers; those without a namespace of their own match in any namespace. */
function serverMatchers({ labelNames }: Metric): Readonly<Record<string, ReturnType<typeof like>>> {
  const own = ['pod', 'node'].filter((label) => labelNames.includes(label));
  return {
    ...Object.fromEntries(['cluster', 'job', 'instance', ...own].map((label) => [label, like(`$${label}`)])),
    ...(labelNames.includes('namespace') && { namespace: like('$gitaly_namespace') }),
  };
}

const limitedTo = <Labels extends string>(
  of: Recording<Labels>,
  variables: readonly DashboardVariable[],
): GaugeSelector<Labels> =>
  recorded(
    of,
    Object.fromEntries(
      variables
        .filter((name) => (of.labels as readonly string[]).includes(labelOfVariable(name)))
        .map((name) => [labelOfVariable(name), like(`$${name}`)]),
    ) as { readonly [Name in Labels]?: Matcher<string> },
  );

/** The selected series of a recording rule about Gitaly servers. */
export const recordedOfServer = <Labels extends string>(of: Recording<Labels>): GaugeSelector<Labels> =>
  limitedTo(of, serverVariables);

/** The selected series of a recording rule about Praefect's database or the exporter. */
export const recordedOfPraefect = <Labels extends string>(of: Recording<Labels>): GaugeSelector<Labels> =>
  limitedTo(of, praefectVariables);

/** The selected series of a gauge of Praefect's database or of the exporter. */
export const praefectGauge = <M extends GaugeMetric>(metric: M, matchers?: Matchers<M>) =>
  select<M>(metric, { ...(praefectMatchers(metric) as Matchers<M>), ...matchers } as Matchers<M>);

export const praefectCounter = <M extends CounterMetric>(metric: M, matchers?: Matchers<M>) =>
  select<M>(metric, { ...(praefectMatchers(metric) as Matchers<M>), ...matchers } as Matchers<M>);

/** The selected series of a gauge of Gitaly servers. */
export const serverGauge = <M extends GaugeMetric>(metric: M, matchers?: Matchers<M>) =>
  select<M>(metric, { ...(serverMatchers(metric) as Matchers<M>), ...matchers } as Matchers<M>);

export const serverCounter = <M extends CounterMetric>(metric: M, matchers?: Matchers<M>) =>
  select<M>(metric, { ...(serverMatchers(metric) as Matchers<M>), ...matchers } as Matchers<M>);

export const serverBuckets = <M extends HistogramMetric>(metric: M) =>
  buckets<M>(metric, serverMatchers(metric) as Matchers<M>);

export const serverObservations = <M extends HistogramMetric>(metric: M) =>
  observations<M>(metric, serverMatchers(metric) as Matchers<M>);
