/** Checks and capacity: which recommendations are not followed, and whether limits and requests fit the usage. */
import { percentText } from '../src/lib/format.ts';
import { capacityDashboard } from '../src/monitoring/links.ts';
import {
  above,
  and,
  atLeast,
  countBy,
  divide,
  equals,
  histogramQuantile,
  increase,
  like,
  maxBy,
  multiply,
  offsetBy,
  or,
  rate,
  subtract,
  sumBy,
  type Vector,
} from '../src/monitoring/promql/index.ts';
import { recorded } from '../src/monitoring/recording.ts';
import { inodesAvailable, volumeAvailable } from '../src/monitoring/recordings/platform.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import { checkPassed, checksUnknown } from '../src/rules/checks/collector.ts';
import { gitLevelMetrics, podLevelMetrics } from '../src/sources/cgroup/level-metrics.ts';
import { podCpuRequest, podMemoryRequest, podRotationDuration } from '../src/sources/kubernetes/metrics.ts';
import { repositories } from '../src/sources/praefect/mirror/metrics.ts';
import { tableSize } from '../src/sources/praefect/queries/tables.ts';
import { serverInfo } from '../src/sources/server-info.ts';
import { buildDashboard, type Dashboard, type DashboardRow, type DashboardSettings } from './dashboard.ts';
import { serverLink } from './overview.ts';
import { barGauge, stat, table, timeseries } from './panels.ts';
import {
  collectorEnabledFor,
  forecast,
  overRange,
  type PanelServerLabel,
  readByCollector,
  sentinel,
  server,
  serverLegend,
  total,
  wholeRange,
} from './queries.ts';
import { praefectGauge, serverBuckets, serverCounter, serverGauge } from './variables.ts';

const subject = ['cluster', 'namespace', 'pod', 'node', 'workload', 'check'] as const;
const needsCgroups = 'needs cgroup.enabled next to Gitaly';
const day = 86_400;

export const checksAndCapacity = (settings: DashboardSettings): Dashboard =>
  buildDashboard(settings, {
    name: 'capacity',
    uid: capacityDashboard.uid,
    title: 'Gitaly: checks and capacity',
    description:
      'Which recommendations are not followed, whether limits and requests fit the usage of the chosen time, and when a limit will be reached by the present trend. Choose at least a week.',
    scope: 'both',
    from: 'now-7d',
    rows: [overviewRow(settings), checksRow(), sizingRow(settings), trendRow(settings), inventoryRow()],
  });

const failing = () => equals(maxBy(subject, serverGauge(checkPassed)), 0);

type Level = typeof podLevelMetrics | typeof gitLevelMetrics;

/** A high percentile of the chosen time, so that a single peak does not decide. */
const p99 = (gauge: Level['memoryAnon']) =>
  maxBy(server, overRange('quantile_over_time(0.99', serverGauge(gauge), wholeRange));

const peak = (gauge: Level['memoryAnon']) =>
  maxBy(server, overRange('max_over_time', serverGauge(gauge), wholeRange));

const limit = ({ memoryLimit }: Level) => maxBy(server, serverGauge(memoryLimit));

/** 95th percentile of the cores in use, from five-minute rates. */
const cores = ({ cpuUsage }: Level) =>
  maxBy(
    server,
    overRange('quantile_over_time(0.95', rate(serverCounter(cpuUsage), '5m'), `${wholeRange}:10m`),
  );

const gitMemory = () => maxBy(server, serverGauge(gitLevelMetrics.memoryAnon));

/** A trend of less than a day is noise. */
const withADayOfHistory = (trend: Vector<PanelServerLabel>) =>
  and(trend, maxBy(server, offsetBy(serverGauge(gitLevelMetrics.memoryAnon), '1d')), { on: server });

const memoryInAWeek = () =>
  withADayOfHistory(maxBy(server, forecast(serverGauge(gitLevelMetrics.memoryAnon), wholeRange, 7 * day)));

/** Stands for the number of servers while there is no trend. */
const noTrend = -2;

const overviewRow = ({ thresholds }: MonitoringSettings): DashboardRow => ({
  id: 101,
  title: 'Overview',
  panels: [
    stat({
      id: 1,
      title: 'Failing checks',
      description: 'Objects that fail the check of a recommendation.',
      unit: 'short',
      expression: total(subtract(1, maxBy(subject, serverGauge(checkPassed)))),
      steps: ['green', [1, 'orange']],
      absent: { text: 'not configured', color: 'blue' },
      enabledBy: collectorEnabledFor('checks'),
      width: 6,
    }),
    stat({
      id: 2,
      title: 'Checks without a result',
      description:
        'Objects for which a check applies but has no result, for lack of a permission or a source.',
      unit: 'short',
      expression: total(maxBy(['cluster', 'check'], serverGauge(checksUnknown))),
      steps: ['green', [1, 'blue']],
      absent: { text: 'not configured', color: 'blue' },
      enabledBy: collectorEnabledFor('checks'),
      width: 6,
    }),
    stat({
      id: 3,
      title: 'Highest Git memory by limit',
      description: 'Highest anonymous memory of Git processes by their limit in the chosen time.',
      unit: 'percentunit',
      expression: maxBy([], divide(peak(gitLevelMetrics.memoryAnon), limit(gitLevelMetrics), { on: server })),
      steps: ['green', [thresholds.memoryNearLimit.value, 'red']],
      absent: { text: 'no limit is set', color: 'blue' },
      width: 6,
    }),
    stat({
      id: 4,
      title: 'Servers growing to the limit',
      description:
        'Servers whose Git memory reaches its limit within a week, by the trend of the chosen time. Needs a day of history.',
      unit: 'short',
      expression: or(
        or(
          countBy([], above(memoryInAWeek(), limit(gitLevelMetrics), { on: server })),
          multiply(countBy([], memoryInAWeek()), 0),
          { on: [] },
        ),
        sentinel(countBy([], gitMemory()), noTrend),
        { on: [] },
      ),
      steps: ['green', [1, 'orange']],
      words: { [noTrend]: { text: 'needs a day of history', color: 'blue' } },
      absent: { text: 'no Git cgroups', color: 'blue' },
      width: 6,
    }),
  ],
});

const checksRow = (): DashboardRow => ({
  id: 102,
  title: 'Checks',
  panels: [
    table({
      id: 11,
      title: 'Failing checks by object',
      description:
        'docs/checks.md and "gitaly-exporter doctor" explain the impact of each and how to fix it.',
      unit: 'none',
      labels: [
        { label: 'check', title: 'Check', width: 185 },
        { label: 'namespace', title: 'Namespace' },
        { label: 'workload', title: 'Workload' },
        { label: 'pod', title: 'Pod', link: serverLink },
        { label: 'node', title: 'Node', link: serverLink },
      ],
      values: [
        {
          title: 'Result',
          expression: failing(),
          unit: 'none',
          words: { 0: { text: 'fails', color: 'orange' } },
          width: 80,
        },
      ],
      hide: ['cluster'],
      sort: { by: 'Check', descending: false },
      readBy: readByCollector('checks'),
      noValue: 'no check fails',
      width: 15,
    }),
    table({
      id: 12,
      title: 'Checks without a result by check',
      description:
        'A permission is missing, or no exporter reads the source. "gitaly-exporter doctor" shows the reason.',
      unit: 'none',
      labels: [
        { label: 'cluster', title: 'Cluster', width: 110 },
        { label: 'check', title: 'Check' },
      ],
      values: [
        {
          title: 'Objects',
          expression: above(maxBy(['cluster', 'check'], serverGauge(checksUnknown)), 0),
          unit: 'short',
          width: 90,
        },
      ],
      sort: { by: 'Objects', descending: true },
      readBy: readByCollector('checks'),
      noValue: 'every check has a result',
      width: 9,
    }),
  ],
});

const sizingRow = ({ thresholds }: MonitoringSettings): DashboardRow => ({
  id: 103,
  title: 'Right-sizing',
  panels: [
    table({
      id: 21,
      title: 'Memory by server',
      description: `Usage in the chosen time against limits and requests. p99: 99th percentile. A limit fits when its share is between 50% and ${percentText(thresholds.memoryNearLimit.value)}. For sizes to set, with their calculation: gitaly-exporter doctor --prometheus-url.`,
      unit: 'none',
      labels: [
        { label: 'pod', title: 'Pod', link: serverLink },
        { label: 'node', title: 'Node', link: serverLink },
      ],
      values: [
        {
          title: 'Pod p99 / limit',
          expression: divide(p99(podLevelMetrics.memoryWorkingSet), limit(podLevelMetrics), { on: server }),
          unit: 'percentunit',
          bar: { max: 1 },
          steps: ['blue', [thresholds.memoryNearLimit.value, 'red']],
        },
        { title: 'Pod p99', expression: p99(podLevelMetrics.memoryWorkingSet), unit: 'bytes' },
        { title: 'Pod limit', expression: limit(podLevelMetrics), unit: 'bytes' },
        {
          title: 'Pod request',
          expression: maxBy(server, serverGauge(podMemoryRequest)),
          unit: 'bytes',
        },
        {
          title: 'Git p99 / limit',
          expression: divide(p99(gitLevelMetrics.memoryAnon), limit(gitLevelMetrics), { on: server }),
          unit: 'percentunit',
          bar: { max: 1 },
          steps: ['blue', [thresholds.memoryNearLimit.value, 'red']],
        },
        { title: 'Git peak', expression: peak(gitLevelMetrics.memoryAnon), unit: 'bytes' },
        { title: 'Git limit', expression: limit(gitLevelMetrics), unit: 'bytes' },
      ],
      present: maxBy(server, serverGauge(serverInfo)),
      hide: ['cluster', 'namespace'],
      sort: { by: 'Git p99 / limit', descending: true },
      noValue: needsCgroups,
      width: 24,
      height: 9,
    }),
    table({
      id: 22,
      title: 'CPU by server',
      description:
        'Cores in use in the chosen time (95th percentile) against limit and request. Throttled: share of the periods.',
      unit: 'none',
      labels: [
        { label: 'pod', title: 'Pod', link: serverLink },
        { label: 'node', title: 'Node', link: serverLink },
      ],
      values: [
        { title: 'Pod p95', expression: cores(podLevelMetrics), unit: 'none', decimals: 2 },
        {
          title: 'Pod limit',
          expression: maxBy(server, serverGauge(podLevelMetrics.cpuLimit)),
          unit: 'none',
        },
        { title: 'Pod request', expression: maxBy(server, serverGauge(podCpuRequest)), unit: 'none' },
        { title: 'Git p95', expression: cores(gitLevelMetrics), unit: 'none', decimals: 2 },
        {
          title: 'Git limit',
          expression: maxBy(server, serverGauge(gitLevelMetrics.cpuLimit)),
          unit: 'none',
        },
        {
          title: 'Git throttled',
          expression: divide(
            maxBy(server, increase(serverCounter(gitLevelMetrics.cpuThrottledPeriods), wholeRange)),
            above(maxBy(server, increase(serverCounter(gitLevelMetrics.cpuPeriods), wholeRange)), 0),
            { on: server },
          ),
          unit: 'percentunit',
          bar: { max: 1 },
          steps: ['blue', [thresholds.cpuThrottledGit.value, 'red']],
        },
      ],
      present: maxBy(server, serverGauge(serverInfo)),
      hide: ['cluster', 'namespace'],
      sort: { by: 'Git p95', descending: true },
      noValue: needsCgroups,
      width: 24,
      height: 8,
    }),
  ],
});

const volumeLegend = '{{persistentvolumeclaim}} {{instance}} {{mountpoint}}';
const needsVolumes = 'needs the recording rules of alerts/, and metrics of the kubelet or node_exporter';
const recordedVolumes = (of: typeof volumeAvailable) => recorded(of, { cluster: like('$cluster') });

const trendRow = ({ thresholds }: MonitoringSettings): DashboardRow => {
  const growth = withADayOfHistory(
    maxBy(server, overRange('deriv', serverGauge(gitLevelMetrics.memoryAnon), wholeRange)),
  );
  return {
    id: 104,
    title: 'Trends and forecasts',
    panels: [
      table({
        id: 31,
        title: 'Growth of Git memory',
        description:
          'By the linear trend of the chosen time, for servers with a day of history. Limit reached in: only for servers that grow.',
        unit: 'none',
        labels: [
          { label: 'pod', title: 'Pod', link: serverLink },
          { label: 'node', title: 'Node', link: serverLink },
        ],
        values: [
          { title: 'Growth per day', expression: multiply(growth, day), unit: 'bytes' },
          {
            title: 'Limit reached in',
            expression: divide(
              subtract(limit(gitLevelMetrics), gitMemory(), { on: server }),
              above(growth, 0),
              { on: server },
            ),
            unit: 's',
            decimals: 0,
            steps: ['red', [day, 'orange'], [30 * day, 'green']],
          },
        ],
        hide: ['cluster', 'namespace'],
        sort: { by: 'Limit reached in', descending: false },
        noValue: 'needs a day of cgroup metrics',
        width: 12,
      }),
      timeseries({
        id: 32,
        title: 'Memory of all Git processes over time',
        description: 'Anonymous memory, which the kernel cannot reclaim.',
        unit: 'bytes',
        queries: [
          { expression: maxBy(server, serverGauge(gitLevelMetrics.memoryAnon)), legend: serverLegend },
        ],
        legend: 'table',
        noValue: needsCgroups,
        width: 12,
      }),
      timeseries({
        id: 36,
        title: 'Available space of the volumes',
        description: `Available by total space of the volumes with repositories. Below ${percentText(thresholds.volumeAvailable.value)}, Git cannot repack large repositories.`,
        unit: 'percentunit',
        queries: [{ expression: recordedVolumes(volumeAvailable), legend: volumeLegend }],
        threshold: thresholds.volumeAvailable.value,
        legend: 'table',
        noValue: needsVolumes,
        width: 12,
      }),
      timeseries({
        id: 37,
        title: 'Free inodes of the volumes',
        description: 'Free by all inodes. File systems without a number of inodes (XFS, Btrfs) are absent.',
        unit: 'percentunit',
        queries: [{ expression: recordedVolumes(inodesAvailable), legend: volumeLegend }],
        threshold: thresholds.inodesAvailable.value,
        legend: 'table',
        noValue: needsVolumes,
        width: 12,
      }),
      timeseries({
        id: 33,
        title: 'Repositories over time',
        description: "Repositories in Praefect's database.",
        unit: 'short',
        queries: [
          {
            expression: maxBy(['cluster', 'virtual_storage'], praefectGauge(repositories)),
            legend: '{{cluster}} {{virtual_storage}}',
          },
        ],
        noValue: 'no Praefect database is configured',
        width: 8,
      }),
      timeseries({
        id: 34,
        title: 'Size of the database',
        description: "All tables of Praefect's database with their indexes.",
        unit: 'bytes',
        queries: [
          {
            expression: sumBy(
              ['cluster'],
              maxBy(['cluster', 'namespace', 'table'], praefectGauge(tableSize)),
            ),
            legend: '{{cluster}}',
          },
        ],
        noValue: 'no Praefect database is configured',
        width: 8,
      }),
      barGauge({
        id: 35,
        title: 'Rotation time by phase, 95th percentile',
        description: 'Of the rotations in the chosen time: where the time of a rotation is spent.',
        unit: 's',
        queries: [
          {
            // Without a rotation the quantile is NaN, which every comparison leaves out.
            expression: atLeast(
              histogramQuantile(
                0.95,
                sumBy(
                  ['le', 'phase'],
                  maxBy(
                    ['cluster', 'namespace', 'statefulset', 'phase', 'le'],
                    increase(serverBuckets(podRotationDuration), wholeRange),
                  ),
                ),
              ),
              0,
            ),
            legend: '{{phase}}',
          },
        ],
        steps: ['blue'],
        noValue: 'no rotation in this time, or kubernetes.enabled is off',
        width: 8,
      }),
    ],
  };
};

const inventoryRow = (): DashboardRow => ({
  id: 105,
  title: 'Versions',
  panels: [
    table({
      id: 41,
      title: 'Versions and placement',
      description: 'Servers of one cluster with different versions: a rollout is not finished.',
      unit: 'none',
      labels: [
        { label: 'pod', title: 'Pod', link: serverLink },
        { label: 'node', title: 'Node', link: serverLink },
        { label: 'version', title: 'Gitaly', width: 90 },
        { label: 'qos_class', title: 'QoS class', width: 100 },
        { label: 'priority_class', title: 'Priority class', width: 130 },
        { label: 'runtime_version', title: 'Runtime', width: 140 },
        { label: 'kernel_version', title: 'Kernel', width: 125 },
        { label: 'cgroup_driver', title: 'Cgroup driver', width: 122 },
        { label: 'cgroup_layout', title: 'Cgroup layout', width: 122 },
      ],
      values: [
        {
          title: 'Exporters',
          expression: sumBy(
            [
              'pod',
              'node',
              'version',
              'qos_class',
              'priority_class',
              'runtime_version',
              'kernel_version',
              'cgroup_driver',
              'cgroup_layout',
            ],
            serverGauge(serverInfo),
          ),
          unit: 'short',
        },
      ],
      noValue: needsCgroups,
      width: 24,
    }),
  ],
});
