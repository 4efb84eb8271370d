/**
 * What is read from Prometheus for right-sizing: aggregated instant queries over one day each. A whole period at a time
 * would load more samples than a Prometheus permits (query.max-samples), and days show growth.
 */
import {
  countOverSteps,
  type GaugeMetric,
  type GaugeSelector,
  groupBy,
  increase,
  lastOverTime,
  maxBy,
  maxOverSteps,
  maxOverTime,
  oneOf,
  quantileOverSteps,
  quantileOverTime,
  rate,
  select,
  type Vector,
} from '../../monitoring/promql/index.ts';
import { serverLabels } from '../../monitoring/recordings/gitaly.ts';
import {
  containerLevelMetrics,
  gitLevelMetrics,
  podLevelMetrics,
} from '../../sources/cgroup/level-metrics.ts';
import {
  bucketCount,
  bucketMemoryLimit,
  bucketMemoryUsage,
  bucketsActive,
  oomKills,
} from '../../sources/cgroup/metrics.ts';
import {
  concurrencyInProgress,
  concurrencyLimit,
  concurrencyQueued,
  packObjectsDropped,
  packObjectsInProgress,
  packObjectsLimit,
  packObjectsQueued,
  requestsDropped,
  scrapeUp,
} from '../../sources/gitaly/metrics.ts';
import { podCpuRequest, podMemoryRequest } from '../../sources/kubernetes/metrics.ts';
import { cgroupLayouts, serverInfo } from '../../sources/server-info.ts';

/** Steps of a day at which a server was there: its history is their number. */
export const stepSeconds = 900;
const day = '1d';
const rpcLabels = [...serverLabels, 'grpc_service', 'grpc_method'] as const;

/** Working set and limit of Gitaly's own container, under the name that the chart and the operator give it. */
const gitaly = { container: 'gitaly' } as const;
const cpuSteps = {
  of: maxBy(serverLabels, rate(select(podLevelMetrics.cpuUsage), '5m')),
  range: day,
  step: '5m',
} as const;

const peak = (metric: GaugeMetric): Vector =>
  maxBy<string, string>(serverLabels, maxOverTime<string>(select(metric), day));
const p99 = (metric: GaugeMetric): Vector =>
  maxBy<string, string>(serverLabels, quantileOverTime<string>(0.99, select(metric), day));
const latest = (metric: GaugeMetric): Vector =>
  maxBy<string, string>(serverLabels, lastOverTime<string>(select(metric), day));
const containerPeak: GaugeSelector = select(containerLevelMetrics.memoryWorkingSet, gitaly);

/** Over the day that ends at the evaluation's time. The first one shows which servers there are. */
export const dayQueries = {
  cgroupSteps: countOverSteps({
    of: groupBy(serverLabels, select(serverInfo, { cgroup_layout: oneOf(...cgroupLayouts) })),
    range: day,
    step: '15m',
  }),
  scrapeSteps: countOverSteps({
    of: groupBy(serverLabels, select(scrapeUp, { component: 'gitaly' })),
    range: day,
    step: '15m',
  }),
  gitalyPeak: maxBy<string, string>(serverLabels, maxOverTime(containerPeak, day)),
  gitalyP99: maxBy<string, string>(serverLabels, quantileOverTime(0.99, containerPeak, day)),
  gitPeak: peak(gitLevelMetrics.memoryAnon),
  gitP99: p99(gitLevelMetrics.memoryAnon),
  gitFilePeak: peak(gitLevelMetrics.memoryFile),
  bucketPeak: peak(bucketMemoryUsage),
  bucketsActivePeak: peak(bucketsActive),
  cpuPeak: maxOverSteps(cpuSteps),
  cpuP99: quantileOverSteps(0.99, cpuSteps),
  oomKills: maxBy([...serverLabels, 'level'], increase(select(oomKills), day)),
  inProgressPeak: maxBy(rpcLabels, maxOverTime(select(concurrencyInProgress), day)),
  inProgressP99: maxBy(rpcLabels, quantileOverTime(0.99, select(concurrencyInProgress), day)),
  queuedPeak: maxBy(rpcLabels, maxOverTime(select(concurrencyQueued), day)),
  queuedP99: maxBy(rpcLabels, quantileOverTime(0.99, select(concurrencyQueued), day)),
  dropped: maxBy([...rpcLabels, 'reason'], increase(select(requestsDropped), day)),
  packInProgressPeak: peak(packObjectsInProgress),
  packInProgressP99: p99(packObjectsInProgress),
  packQueuedPeak: peak(packObjectsQueued),
  packQueuedP99: p99(packObjectsQueued),
  packDropped: maxBy([...serverLabels, 'reason'], increase(select(packObjectsDropped), day)),
} as const satisfies Record<string, Vector>;
export type DayQuery = keyof typeof dayQueries;

/** The latest values of the last day. */
export const currentQueries = {
  memoryRequest: latest(podMemoryRequest),
  cpuRequest: latest(podCpuRequest),
  memoryLimit: maxBy<string, string>(
    serverLabels,
    lastOverTime<string>(select(containerLevelMetrics.memoryLimit, gitaly), day),
  ),
  cpuLimit: latest(podLevelMetrics.cpuLimit),
  gitLimit: latest(gitLevelMetrics.memoryLimit),
  bucketLimit: latest(bucketMemoryLimit),
  bucketCount: latest(bucketCount),
  layout: groupBy([...serverLabels, 'cgroup_layout'], select(serverInfo)),
  rpcLimits: maxBy([...rpcLabels, 'kind', 'bound'], lastOverTime(select(concurrencyLimit), day)),
  packLimits: maxBy([...serverLabels, 'kind', 'bound'], lastOverTime(select(packObjectsLimit), day)),
} as const satisfies Record<string, Vector>;
export type CurrentQuery = keyof typeof currentQueries;
