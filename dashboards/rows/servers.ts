/** What the rows on Gitaly's servers say in the same way. */

import {
  atLeast,
  type CounterMetric,
  divide,
  type GaugeMetric,
  labelled,
  maxBy,
  or,
  rate,
  type Vector,
} from '../../src/monitoring/promql/index.ts';
import {
  containerLevelMetrics,
  gitLevelMetrics,
  type Level,
  type LevelMetrics,
  podLevelMetrics,
} from '../../src/sources/cgroup/level-metrics.ts';
import { counterOfServers, gaugeOfServers } from '../variables.ts';

/** One Gitaly, whichever job tells of it. */
export const server = ['cluster', 'namespace', 'pod', 'node'] as const;
type ServerLabel = (typeof server)[number];

/** The legend of a series per Gitaly: the pod with its node, or a virtual machine. */
export const perServer = '{{pod}} {{node}}';

/** What Grafana fits to the panel's resolution. */
export const range = '$__rate_interval';

type Take = (of: LevelMetrics, by: readonly string[]) => Vector;

/** The same of every level above the buckets, as series with the label `level`. */
export function ofLevels(take: Take): Vector<ServerLabel | 'level'> {
  const at = (level: Level, of: LevelMetrics, by: readonly string[]) =>
    labelled(maxBy<string, ServerLabel>(server, take(of, by)), 'level', level);
  const git = at('git', gitLevelMetrics, server);
  const container = at('container', containerLevelMetrics, [...server, 'container']);
  return or(or(git, container), at('pod', podLevelMetrics, server));
}

/** A gauge as far as the board chooses it, of any level. */
export const gaugeBy = (by: readonly string[], gauge: GaugeMetric): Vector =>
  maxBy(by, gaugeOfServers(gauge) as Vector);

/** How a counter rises, per second. */
export const rateBy = (by: readonly string[], counter: CounterMetric): Vector =>
  maxBy(by, rate(counterOfServers(counter), range) as Vector);

/** Anonymous memory as a share of the limit. */
export const memoryShare = (): Vector<ServerLabel | 'level'> =>
  ofLevels((of, by) => divide(gaugeBy(by, of.memoryAnon), gaugeBy(by, of.memoryLimit), { on: by }));

/** Share of the periods in which something was held back; nothing where nothing ran. */
export const throttledShare = (): Vector<ServerLabel | 'level'> =>
  ofLevels((of, by) =>
    atLeast(divide(rateBy(by, of.cpuThrottledPeriods), rateBy(by, of.cpuPeriods), { on: by }), 0),
  );
