/** Overview: whether anything is wrong, where and since when, and whether the telemetry can be trusted. */

import { percentText } from '../src/lib/format.ts';
import { scrapeRejectedTotal, webConfigLastReloadSuccess } from '../src/metrics/http-server.ts';
import { processCpuSeconds, processResidentMemory } from '../src/metrics/process.ts';
import { secondsSinceTimestamp } from '../src/monitoring/ages.ts';
import { durationInWords } from '../src/monitoring/durations.ts';
import { clusterLabels, storageLabels, virtualStorageLabels } from '../src/monitoring/labels.ts';
import {
  limitsDashboard,
  overviewDashboard,
  praefectDashboard,
  serversDashboard,
} from '../src/monitoring/links.ts';
import {
  above,
  add,
  and,
  avgBy,
  countBy,
  equals,
  increase,
  maxBy,
  minBy,
  multiply,
  oneOf,
  or,
  rate,
  subtract,
  sumBy,
  time,
  topK,
  type Vector,
} from '../src/monitoring/promql/index.ts';
import { collectorFailureRate, watchFailureRate } from '../src/monitoring/recordings/exporter.ts';
import { eventsTotal } from '../src/scheduler/event-log.ts';
import {
  buildInfo,
  collectorBudgetLimited,
  collectorDuration,
  collectorHung,
  collectorInterval,
  collectorLastSuccess,
  collectorSeries,
  collectorStale,
  collectorSuccess,
  logLinesLost,
  reloadSuccess,
  seriesDropped,
} from '../src/scheduler/self-metrics.ts';
import {
  cgroupGitalys,
  cgroupOpenFiles,
  cgroupReadFailures,
  oomKills,
  unattributedKills,
} from '../src/sources/cgroup/metrics.ts';
import { requestsDropped, scrapeUp } from '../src/sources/gitaly/metrics.ts';
import {
  apiClockSkew,
  podReady,
  watchCurrent,
  watchLastEvent,
  watchObjects,
} from '../src/sources/kubernetes/metrics.ts';
import { maintenance, maintenanceActive, maintenanceEnd } from '../src/sources/maintenance/source.ts';
import { repositoriesUnavailable } from '../src/sources/praefect/mirror/metrics.ts';
import { up } from '../src/sources/praefect/queries/database.ts';
import {
  heartbeatQuorum,
  heartbeatTimestamp,
  praefectAlive,
  storageHealthy,
} from '../src/sources/praefect/queries/health.ts';
import { oldestJob, replicationJobs } from '../src/sources/praefect/queries/queue.ts';
import { buildDashboard, type Dashboard, type DashboardRow, type DashboardSettings } from './dashboard.ts';
import { stat, stateTimeline, table, timeseries } from './panels.ts';
import {
  collectorEnabledFor,
  dropRateThreshold,
  exporterTargets,
  firingAlerts,
  firingFor,
  memoryShare,
  orZero,
  type PanelServerLabel,
  rateRange,
  rulesEvaluated,
  server,
  serverLegend,
  storageLegend,
  throttledShare,
  total,
  wholeRange,
} from './queries.ts';
import {
  praefectCounter,
  praefectGauge,
  recordedOfPraefect,
  serverCounter,
  serverGauge,
} from './variables.ts';

const clusterLink = {
  title: 'Praefect cluster',
  url: `/d/${praefectDashboard.uid}?\${__url_time_range}&\${datasource:queryparam}&var-cluster=\${__data.fields.cluster:percentencode}&var-namespace=\${__data.fields.namespace:percentencode}`,
};

/** Opens the dashboard of Gitaly servers for the row's pod or node. */
export const serverLink = {
  title: 'Pods and cgroups',
  url: `/d/${serversDashboard.uid}?\${__url_time_range}&\${datasource:queryparam}&var-cluster=\${__data.fields.cluster:percentencode}&var-pod=\${__data.fields.pod:percentencode}&var-node=\${__data.fields.node:percentencode}`,
};

export function overview(settings: DashboardSettings): Dashboard {
  const { exporterJob, runbookUrl, thresholds } = settings;

  const exporters = exporterTargets(exporterJob);
  const collectorsFailing = subtract(
    1,
    maxBy(['cluster', 'namespace', 'instance', 'collector'], praefectGauge(collectorSuccess)),
  );
  const exportersDown = total(subtract(1, maxBy(['job', 'instance'], exporters)));
  const collectorsStale = maxBy(
    ['cluster', 'namespace', 'instance', 'collector'],
    praefectGauge(collectorStale),
  );
  const quorumsLost = total(subtract(1, maxBy(virtualStorageLabels, praefectGauge(heartbeatQuorum))));
  const telemetryProblems = [exportersDown, quorumsLost].reduce(
    (sum, problems) => add(sum, orZero(problems, total(collectorsFailing)), { on: [] }),
    total(collectorsFailing),
  );

  const serverReady = or(
    maxBy(server, serverGauge(podReady)),
    maxBy(server, serverGauge(scrapeUp, { component: 'gitaly' })),
  );
  const storageHealth = maxBy(storageLabels, praefectGauge(storageHealthy));
  const unavailable = maxBy(virtualStorageLabels, praefectGauge(repositoriesUnavailable));
  const killsOfServers = maxBy(
    [...server, 'level'],
    increase(serverCounter(oomKills, { level: oneOf('container', 'pod', 'node') }), wholeRange),
  );
  const drops = maxBy(
    [...server, 'grpc_service', 'grpc_method', 'reason'],
    rate(serverCounter(requestsDropped), rateRange),
  );

  const perCluster = (of: Vector) => sumBy(clusterLabels, of);
  const worstMemory = topK(10, maxBy(server, memoryShare()));
  const ofWorst = (of: Vector<PanelServerLabel>) => and(of, worstMemory, { on: server });

  return buildDashboard(settings, {
    name: 'overview',
    uid: overviewDashboard.uid,
    title: 'Gitaly: overview',
    description:
      'Start here: whether anything is wrong with Gitaly and Praefect, where, and whether the telemetry can be trusted.',
    scope: 'both',
    rows: [
      {
        id: 101,
        title: 'Overview',
        panels: [
          stat({
            id: 1,
            title: 'Telemetry',
            description:
              "Exporters that Prometheus cannot scrape, collectors without current data, and virtual storages without a quorum of Praefects' heartbeats, whose values that depend on health are not valid. While it is not 0, part of what these dashboards show is missing or wrong.",
            unit: 'suffix: failing (exporters, collectors, heartbeat quorums): see "Data quality"',
            expression: telemetryProblems,
            steps: ['green', [1, 'red']],
            words: { 0: 'complete and current' },
            absent: { text: 'NO TELEMETRY: no series of gitaly-exporter for this selection', color: 'red' },
            width: 24,
            height: 2,
          }),
          stat({
            id: 2,
            title: 'Critical alerts firing',
            description:
              'Firing alerts of severity critical, where Prometheus evaluates the rules of alerts/.',
            unit: 'short',
            expression: or(
              countBy([], firingAlerts('critical')),
              multiply(countBy([], rulesEvaluated()), 0),
              {
                on: [],
              },
            ),
            steps: ['green', [1, 'red']],
            absent: { text: 'rules are not evaluated', color: 'blue' },
            width: 8,
          }),
          stat({
            id: 3,
            title: 'Repos unavailable',
            description: 'Repositories that users can neither read nor write.',
            unit: 'short',
            expression: total(unavailable),
            steps: ['green', [1, 'red']],
            absent: { text: 'no Praefect', color: 'blue' },
            enabledBy: collectorEnabledFor('praefect_database'),
            opens: { title: 'Praefect cluster', uid: praefectDashboard.uid },
            width: 8,
          }),
          stat({
            id: 4,
            title: 'Storages unhealthy',
            description: 'Storages that fewer than half of the Praefects can reach.',
            unit: 'short',
            expression: total(subtract(1, storageHealth)),
            steps: ['green', [1, 'red']],
            absent: { text: 'no Praefect', color: 'blue' },
            enabledBy: collectorEnabledFor('praefect_database'),
            opens: { title: 'Praefect cluster', uid: praefectDashboard.uid },
            width: 8,
          }),
          stat({
            id: 5,
            title: 'Gitaly servers down',
            description:
              'Gitaly servers whose pod is not Ready or, without Kubernetes, whose own metrics cannot be read.',
            unit: 'short',
            expression: total(subtract(1, serverReady)),
            steps: ['green', [1, 'red']],
            absent: { text: 'not configured', color: 'blue' },
            enabledBy: collectorEnabledFor('gitaly_metrics', 'kubernetes'),
            opens: { title: 'Pods and cgroups', uid: serversDashboard.uid },
            width: 8,
          }),
          stat({
            id: 6,
            title: 'OOM kills of Gitaly',
            description:
              'Processes OOM-killed in the chosen time because a container, a pod or a node ran out of memory. Kills of single Git processes do not count.',
            unit: 'short',
            expression: total(killsOfServers),
            steps: ['green', [1, 'red']],
            absent: { text: 'not configured', color: 'blue' },
            enabledBy: collectorEnabledFor('cgroup'),
            opens: { title: 'Pods and cgroups', uid: serversDashboard.uid },
            width: 8,
          }),
          stat({
            id: 7,
            title: 'Dropped requests',
            description: "Requests that Gitaly's concurrency limits dropped, per second.",
            unit: 'reqps',
            expression: total(drops),
            steps: ['green', [dropRateThreshold(thresholds), 'orange']],
            absent: { text: 'not reported', color: 'blue' },
            opens: { title: 'RPC and limits', uid: limitsDashboard.uid },
            width: 8,
          }),
          table({
            id: 10,
            title: 'Status by cluster',
            description:
              'One row per cluster and namespace of an exporter. A cluster links to its dashboard.',
            unit: 'none',
            labels: [
              { label: 'cluster', title: 'Cluster', link: clusterLink },
              { label: 'namespace', title: 'Namespace', link: clusterLink },
            ],
            values: [
              {
                title: 'Database',
                expression: or(
                  maxBy(clusterLabels, praefectGauge(up)),
                  subtract(maxBy(clusterLabels, praefectGauge(buildInfo)), 3),
                ),
                unit: 'none',
                words: {
                  [-2]: 'none',
                  0: { text: 'DOWN', color: 'red' },
                  1: { text: 'up', color: 'green' },
                },
                width: 85,
              },
              {
                title: 'Praefects alive',
                expression: minBy(
                  clusterLabels,
                  avgBy(
                    virtualStorageLabels,
                    maxBy([...virtualStorageLabels, 'praefect'], praefectGauge(praefectAlive)),
                  ),
                ),
                unit: 'percentunit',
                decimals: 0,
                width: 125,
                steps: ['red', [thresholds.quorumRatio.value, 'orange'], [1, 'green']],
              },
              {
                title: 'Storages unhealthy',
                expression: perCluster(subtract(1, storageHealth)),
                unit: 'short',
                steps: ['green', [1, 'red']],
              },
              {
                title: 'Unavailable',
                expression: perCluster(unavailable),
                unit: 'short',
                steps: ['green', [1, 'red']],
              },
              {
                title: 'Queued jobs',
                expression: perCluster(
                  maxBy(
                    [...storageLabels, 'state', 'change'],
                    praefectGauge(replicationJobs, { state: oneOf('ready', 'in_progress', 'failed') }),
                  ),
                ),
                unit: 'short',
              },
              {
                title: 'Oldest job',
                expression: secondsSinceTimestamp(
                  minBy(clusterLabels, praefectGauge(oldestJob, { state: oneOf('ready', 'failed') })),
                ),
                unit: 's',
                decimals: 0,
                steps: ['green', [thresholds.replicationOldestJob.value, 'red']],
              },
              {
                title: 'Failing collectors',
                expression: perCluster(collectorsFailing),
                unit: 'short',
                steps: ['green', [1, 'red']],
              },
            ],
            sort: { by: 'Storages unhealthy', descending: true },
            noValue: 'no exporter',
            width: 24,
            height: 5,
          }),
          table({
            id: 11,
            title: 'Firing alerts',
            description:
              'Critical alerts and warnings of Gitaly and Praefect that fire now, what they name, and for how long.',
            unit: 'none',
            labels: [
              {
                label: 'alertname',
                title: 'Alert',
                width: 230,
                ...(runbookUrl !== undefined && {
                  link: {
                    title: 'Runbook',
                    url: `${runbookUrl}/\${__data.fields.alertname:percentencode}.md`,
                  },
                }),
              },
              { label: 'severity', title: 'Severity', width: 110 },
              { label: 'cluster', title: 'Cluster' },
              { label: 'where', title: 'Where' },
            ],
            values: [
              {
                title: 'Active for',
                expression: maxBy(['alertname', 'severity', 'cluster', 'where'], firingFor()),
                unit: 's',
                decimals: 0,
                width: 100,
              },
            ],
            sort: { by: 'Severity', descending: false },
            readBy: rulesEvaluated(),
            noValue: 'no alert is firing',
            width: 16,
            height: 6,
          }),
          stateTimeline({
            id: 13,
            title: 'Storage health',
            description:
              'Consensus of the Praefects: unhealthy while fewer than half of them saw the storage active in the last 10 s.',
            unit: 'none',
            query: { expression: storageHealth, legend: `{{cluster}} ${storageLegend}` },
            words: {
              0: { text: 'unhealthy', color: 'red' },
              1: { text: 'healthy', color: 'blue' },
            },
            noValue: 'no Praefect database is configured',
            width: 8,
            height: 6,
          }),
          table({
            id: 12,
            title: 'Gitaly servers closest to their limits',
            description: `The ten servers with the highest anonymous memory by limit, at the level where it is highest. From ${percentText(thresholds.memoryNearLimit.value)} on, the next large Git process may be OOM-killed. Servers that drop requests are added.`,
            unit: 'none',
            labels: [
              { label: 'cluster', title: 'Cluster' },
              { label: 'pod', title: 'Pod', link: serverLink },
              { label: 'node', title: 'Node', link: serverLink },
            ],
            values: [
              {
                title: 'Memory / limit',
                expression: worstMemory,
                unit: 'percentunit',
                steps: ['green', [thresholds.memoryNearLimit.value, 'red']],
                bar: { max: 1 },
              },
              {
                title: 'CPU throttled',
                expression: ofWorst(maxBy(server, throttledShare())),
                unit: 'percentunit',
                steps: ['green', [thresholds.cpuThrottled.value, 'orange']],
                bar: { max: 1 },
              },
              {
                title: 'OOM kills',
                expression: ofWorst(
                  sumBy(server, maxBy([...server, 'level'], increase(serverCounter(oomKills), wholeRange))),
                ),
                unit: 'short',
                steps: ['green', [1, 'orange']],
              },
              {
                title: 'Dropped requests',
                expression: above(sumBy(server, drops), 0),
                unit: 'reqps',
                decimals: 2,
                steps: ['green', [dropRateThreshold(thresholds), 'orange']],
              },
            ],
            hide: ['namespace'],
            sort: { by: 'Memory / limit', descending: true },
            noValue: 'no memory limit is known: needs cgroup.enabled next to Gitaly',
            width: 24,
            height: 7,
          }),
        ],
      },
      {
        id: 102,
        title: 'Data quality',
        panels: [
          stat({
            id: 31,
            title: 'Exporters up',
            description: 'Exporters that Prometheus scrapes successfully.',
            unit: 'short',
            expression: countBy([], maxBy(['job', 'instance'], praefectGauge(buildInfo))),
            steps: ['red', [1, 'green']],
            width: 8,
          }),
          stat({
            id: 32,
            title: 'Failing collectors',
            description:
              'Collectors whose last run failed or whose data is too old. Their series are outdated or withdrawn.',
            unit: 'short',
            expression: total(collectorsFailing),
            steps: ['green', [1, 'red']],
            width: 8,
          }),
          stat({
            id: 33,
            title: 'Stale collectors',
            description: 'Collectors whose data is older than its maximum age: their series are withdrawn.',
            unit: 'short',
            expression: total(collectorsStale),
            steps: ['green', [1, 'red']],
            width: 8,
          }),
          stat({
            id: 34,
            title: 'Oldest data',
            description: 'Time since the last success of the collector that has waited longest for one.',
            unit: 's',
            expression: maxBy(
              [],
              secondsSinceTimestamp(
                maxBy([...clusterLabels, 'collector'], praefectGauge(collectorLastSuccess)),
              ),
            ),
            steps: ['green', [thresholds.collectorFailing.value, 'red']],
            width: 8,
          }),
          stat({
            id: 35,
            title: 'Oldest heartbeat',
            description: `Age of the newest heartbeat of the virtual storage where it is oldest. Over ${durationInWords(thresholds.heartbeatStale.value)}, metrics that depend on health are not valid.`,
            unit: 's',
            expression: maxBy(
              [],
              secondsSinceTimestamp(maxBy(virtualStorageLabels, praefectGauge(heartbeatTimestamp))),
            ),
            steps: ['green', [thresholds.heartbeatStale.value, 'red']],
            absent: { text: 'no Praefect', color: 'blue' },
            enabledBy: collectorEnabledFor('praefect_database'),
            width: 8,
          }),
          stat({
            id: 36,
            title: 'Maintenance window',
            description: 'Whether a maintenance window is open: it suppresses alerts for planned work.',
            unit: 'none',
            expression: maxBy([], praefectGauge(maintenanceActive)),
            words: { 0: 'none open', 1: 'open' },
            steps: ['green', [1, 'blue']],
            width: 8,
          }),
          table({
            id: 39,
            title: 'Failing collectors by exporter',
            description: 'Each collector without current data, and the time since its last success.',
            unit: 'none',
            labels: [
              { label: 'cluster', title: 'Cluster' },
              { label: 'instance', title: 'Exporter' },
              { label: 'collector', title: 'Collector' },
            ],
            values: [
              {
                title: 'State',
                expression: equals(maxBy(collectorLabels, praefectGauge(collectorSuccess)), 0),
                unit: 'none',
                words: { 0: { text: 'FAILING', color: 'red' } },
                width: 100,
              },
              {
                title: 'Last success',
                expression: and(
                  secondsSinceTimestamp(maxBy(collectorLabels, praefectGauge(collectorLastSuccess))),
                  equals(maxBy(collectorLabels, praefectGauge(collectorSuccess)), 0),
                  { on: collectorLabels },
                ),
                unit: 's',
                decimals: 0,
              },
            ],
            sort: { by: 'Last success', descending: true },
            readBy: praefectGauge(collectorSuccess),
            noValue: 'no collector is failing',
            width: 12,
            height: 7,
          }),
          stateTimeline({
            id: 38,
            title: 'Gitaly servers over time',
            description: 'Ready (Kubernetes) or readable (own metrics), for each Gitaly server.',
            unit: 'none',
            query: { expression: serverReady, legend: serverLegend },
            words: { 0: { text: 'down', color: 'red' }, 1: { text: 'up', color: 'blue' } },
            noValue: 'needs kubernetes.enabled or gitaly.target',
            width: 12,
            height: 7,
          }),
        ],
      },
      exporterRow(),
    ],
  });
}

const collectorLabels = ['cluster', 'instance', 'collector'] as const;

const perCollector = ['instance', 'collector'] as const;

const collectorTable = () =>
  table({
    id: 51,
    title: 'Collectors',
    description:
      "State of each collector. Slowed down: the limit on the database's time delays its runs so much that its maximum age was extended.",
    unit: 'none',
    labels: [
      { label: 'instance', title: 'Exporter' },
      { label: 'collector', title: 'Collector', width: 190 },
    ],
    values: [
      {
        title: 'Last run',
        expression: maxBy(perCollector, praefectGauge(collectorSuccess)),
        unit: 'none',
        words: { 0: { text: 'FAILED', color: 'red' }, 1: { text: 'succeeded', color: 'green' } },
      },
      {
        title: 'Age',
        expression: secondsSinceTimestamp(maxBy(perCollector, praefectGauge(collectorLastSuccess))),
        unit: 's',
        decimals: 0,
        width: 90,
      },
      {
        title: 'Interval',
        expression: maxBy(perCollector, praefectGauge(collectorInterval)),
        unit: 's',
        width: 85,
      },
      {
        title: 'Duration',
        expression: maxBy(perCollector, praefectGauge(collectorDuration)),
        unit: 's',
        width: 85,
      },
      {
        title: 'Hung',
        expression: maxBy(perCollector, praefectGauge(collectorHung)),
        unit: 'none',
        words: { 0: 'no', 1: { text: 'HUNG', color: 'red' } },
        width: 72,
      },
      {
        title: 'Slowed down',
        expression: maxBy(perCollector, praefectGauge(collectorBudgetLimited)),
        unit: 'none',
        words: { 0: 'no', 1: { text: 'yes', color: 'orange' } },
      },
      {
        title: 'Series',
        expression: maxBy(perCollector, praefectGauge(collectorSeries)),
        unit: 'short',
        width: 75,
      },
      {
        title: 'Dropped series',
        expression: maxBy(perCollector, increase(praefectCounter(seriesDropped), wholeRange)),
        unit: 'short',
        steps: ['green', [1, 'orange']],
      },
    ],
    sort: { by: 'Age', descending: true },
    noValue: 'no exporter in this selection',
    width: 24,
    height: 10,
  });

/** The exporters themselves: for the case that the telemetry is not complete. */
const exporterRow = (): DashboardRow => ({
  id: 103,
  title: 'Exporter details',
  collapsed: true,
  panels: [
    collectorTable(),
    timeseries({
      id: 37,
      title: 'Failed runs and watches',
      description:
        'Runs of collectors that failed, and watches of the Kubernetes API that ended otherwise than after the requested time.',
      unit: 'suffix: per second',
      queries: [
        {
          expression: recordedOfPraefect(collectorFailureRate),
          legend: '{{instance}} {{collector}}: {{reason}}',
        },
        {
          expression: recordedOfPraefect(watchFailureRate),
          legend: '{{instance}} watch of {{resource}}: {{reason}}',
        },
      ],
      draw: 'bars',
      legend: 'table',
      noValue: 'no failure in this time, or it needs the recording rules of alerts/',
      width: 24,
      height: 7,
    }),
    table({
      id: 52,
      title: 'Exporters',
      description:
        'Whether the configuration files on disk are in use, and what was lost in the chosen time. Unattributed: OOM kills of no known Gitaly. Rejected: scrapes.',
      unit: 'none',
      labels: [{ label: 'instance', title: 'Exporter' }],
      values: [
        {
          title: 'Config',
          expression: maxBy(['instance'], praefectGauge(reloadSuccess)),
          unit: 'none',
          words: { 0: { text: 'INVALID', color: 'red' }, 1: { text: 'in use', color: 'green' } },
        },
        {
          title: 'Web config',
          expression: maxBy(['instance'], praefectGauge(webConfigLastReloadSuccess)),
          unit: 'none',
          words: { 0: { text: 'INVALID', color: 'red' }, 1: { text: 'in use', color: 'green' } },
        },
        {
          title: 'Gitalys',
          expression: maxBy(['instance'], praefectGauge(cgroupGitalys)),
          unit: 'short',
        },
        {
          title: 'Cgroup files',
          expression: maxBy(['instance'], praefectGauge(cgroupOpenFiles)),
          unit: 'short',
        },
        {
          title: 'Read failures',
          expression: sumBy(
            ['instance'],
            maxBy(['instance', 'reason'], increase(praefectCounter(cgroupReadFailures), wholeRange)),
          ),
          unit: 'short',
          steps: ['green', [1, 'orange']],
        },
        {
          title: 'Unattributed',
          expression: maxBy(['instance'], increase(praefectCounter(unattributedKills), wholeRange)),
          unit: 'short',
          steps: ['green', [1, 'orange']],
        },
        {
          title: 'Clock skew',
          expression: maxBy(['instance'], praefectGauge(apiClockSkew)),
          unit: 's',
        },
        {
          title: 'Lost logs',
          expression: maxBy(['instance'], increase(praefectCounter(logLinesLost), wholeRange)),
          unit: 'short',
          steps: ['green', [1, 'orange']],
        },
        {
          title: 'Rejected',
          expression: sumBy(
            ['instance'],
            maxBy(['instance', 'reason'], increase(praefectCounter(scrapeRejectedTotal), wholeRange)),
          ),
          unit: 'short',
          steps: ['green', [1, 'orange']],
        },
      ],
      noValue: 'no exporter',
      width: 24,
      height: 7,
    }),
    table({
      id: 53,
      title: 'Kubernetes watches',
      description: 'Metrics that depend on a watch are absent while it is not current.',
      unit: 'none',
      labels: [
        { label: 'instance', title: 'Exporter' },
        { label: 'resource', title: 'Resource' },
      ],
      values: [
        {
          title: 'State',
          expression: maxBy(['instance', 'resource'], praefectGauge(watchCurrent)),
          unit: 'none',
          words: { 0: { text: 'NOT CURRENT', color: 'red' }, 1: { text: 'current', color: 'green' } },
        },
        {
          title: 'Last event',
          expression: secondsSinceTimestamp(maxBy(['instance', 'resource'], praefectGauge(watchLastEvent))),
          unit: 's',
          decimals: 0,
        },
        {
          title: 'Objects',
          expression: maxBy(['instance', 'resource'], praefectGauge(watchObjects)),
          unit: 'short',
        },
      ],
      noValue: 'needs kubernetes.enabled',
      width: 12,
    }),
    table({
      id: 54,
      title: 'Events',
      description: 'What the exporters reported in the chosen time. Their pages show each event.',
      unit: 'none',
      labels: [
        { label: 'instance', title: 'Exporter' },
        { label: 'kind', title: 'Event' },
      ],
      values: [
        {
          title: 'Count',
          expression: above(
            maxBy(['instance', 'kind'], increase(praefectCounter(eventsTotal), wholeRange)),
            0,
          ),
          unit: 'short',
        },
      ],
      sort: { by: 'Count', descending: true },
      readBy: praefectGauge(buildInfo),
      noValue: 'no event in this time',
      width: 12,
    }),
    timeseries({
      id: 55,
      title: 'Resident memory of the exporters',
      description: 'Of the exporter processes.',
      unit: 'bytes',
      queries: [
        {
          expression: maxBy(['instance'], praefectGauge(processResidentMemory)),
          legend: '{{instance}}',
        },
      ],
      legend: 'table',
      noValue: 'no exporter in this selection',
      width: 8,
    }),
    timeseries({
      id: 56,
      title: 'CPU usage of the exporters',
      description: 'User and system time.',
      unit: 'suffix: cores',
      queries: [
        {
          expression: maxBy(['instance'], rate(praefectCounter(processCpuSeconds), rateRange)),
          legend: '{{instance}}',
        },
      ],
      legend: 'table',
      noValue: 'no exporter in this selection',
      width: 8,
    }),
    table({
      id: 57,
      title: 'Maintenance windows',
      description: 'Open windows, and when they end. Alerts for planned work are suppressed until then.',
      unit: 'none',
      labels: [{ label: 'window', title: 'Window' }],
      values: [
        {
          title: 'State',
          expression: equals(maxBy(['window'], praefectGauge(maintenance)), 1),
          unit: 'none',
          words: { 1: { text: 'open', color: 'blue' } },
        },
        {
          title: 'Ends in',
          expression: subtract(maxBy(['window'], praefectGauge(maintenanceEnd)), time()),
          unit: 's',
          decimals: 0,
        },
      ],
      noValue: 'no window is open',
      width: 8,
    }),
  ],
});
