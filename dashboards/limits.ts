/** RPC and limits: which requests Gitaly's concurrency limits drop or queue, and what the limits are. */
import { percentText } from '../src/lib/format.ts';
import { limitsDashboard } from '../src/monitoring/links.ts';
import { above, increase, like, maxBy, rate, subtract, sumBy, topK } from '../src/monitoring/promql/index.ts';
import { recorded } from '../src/monitoring/recording.ts';
import { waitBucketRate, waitPercentile } from '../src/monitoring/recordings/limits.ts';
import { grpcErrorRatio } from '../src/monitoring/recordings/platform.ts';
import {
  adaptiveBackoffs,
  concurrencyInProgress,
  concurrencyLimit,
  concurrencyQueued,
  concurrencyQueueLimit,
  concurrencyQueueWaitLimit,
  concurrencyUnauthenticatedLimit,
  concurrencyWait,
  packObjectsDropped,
  packObjectsInProgress,
  packObjectsLimit,
  packObjectsQueued,
  packObjectsQueueLimit,
  packObjectsQueueWaitLimit,
  packObjectsUnauthenticatedLimit,
  packObjectsWait,
  rateLimitBurst,
  rateLimitInterval,
  requestsDropped,
  requestsDroppedUnauthenticated,
  scrapeDuration,
  scrapeUp,
} from '../src/sources/gitaly/metrics.ts';
import { buildDashboard, type Dashboard, type DashboardRow, type DashboardSettings } from './dashboard.ts';
import { heatmap, stat, table, timeseries } from './panels.ts';
import {
  collectorEnabledFor,
  dropRateThreshold,
  rateRange,
  server,
  serverLegend,
  total,
  wholeRange,
} from './queries.ts';
import {
  recordedOfServer,
  serverBuckets,
  serverCounter,
  serverGauge,
  serverObservations,
} from './variables.ts';

const rpc = [...server, 'grpc_service', 'grpc_method'] as const;
const needsTarget = 'needs gitaly.target';
const notReported = { text: 'not reported', color: 'blue' } as const;
const perRepository =
  'The limit applies per repository, so the sum over repositories may be far above it while nothing waits.';

export const rpcAndLimits = (settings: DashboardSettings): Dashboard =>
  buildDashboard(settings, {
    name: 'limits',
    uid: limitsDashboard.uid,
    title: 'Gitaly: RPC and limits',
    description:
      'Which requests the concurrency limits of Gitaly drop or queue and for how long, and how the limits are configured. Needs gitaly.target.',
    scope: 'servers',
    rows: [overviewRow(settings), rpcRow(settings), packObjectsRow(), configurationRow()],
  });

const drops = () => maxBy([...rpc, 'reason'], rate(serverCounter(requestsDropped), rateRange));
const packDrops = () => maxBy([...server, 'reason'], rate(serverCounter(packObjectsDropped), rateRange));
const queued = () => maxBy(rpc, serverGauge(concurrencyQueued));
const inProgress = () => maxBy(rpc, serverGauge(concurrencyInProgress));
const wait = () => recordedOfServer(waitPercentile);
const needsRules = 'needs gitaly.target and the recording rules of alerts/';

const overviewRow = ({ thresholds }: DashboardSettings): DashboardRow => ({
  id: 101,
  title: 'Overview',
  panels: [
    stat({
      id: 21,
      title: 'Dropped requests',
      description: 'Clients get RESOURCE_EXHAUSTED, which error ratios often leave out.',
      unit: 'reqps',
      expression: total(drops()),
      steps: ['green', [dropRateThreshold(thresholds), 'orange']],
      absent: notReported,
      width: 8,
    }),
    stat({
      id: 22,
      title: 'Queued requests',
      description: 'Requests that wait because the limit of their repository is reached.',
      unit: 'short',
      expression: total(queued()),
      steps: ['green', [1, 'blue']],
      absent: notReported,
      width: 8,
    }),
    stat({
      id: 23,
      title: 'Dropped clones',
      description: 'Clones and fetches that the pack-objects limit dropped. Clients get Internal.',
      unit: 'reqps',
      expression: total(packDrops()),
      steps: ['green', [dropRateThreshold(thresholds), 'orange']],
      absent: notReported,
      width: 8,
    }),
    stat({
      id: 24,
      title: 'Queued clones',
      description: 'Clones and fetches that wait because the limit of their client address is reached.',
      unit: 'short',
      expression: total(maxBy(server, serverGauge(packObjectsQueued))),
      steps: ['green', [1, 'blue']],
      absent: notReported,
      width: 8,
    }),
    stat({
      id: 25,
      title: 'Adaptive limit cuts',
      description: 'How often the adaptive limits were cut in the chosen time.',
      unit: 'short',
      expression: total(maxBy([...server, 'watcher'], increase(serverCounter(adaptiveBackoffs), wholeRange))),
      steps: ['green', [1, 'orange']],
      absent: { text: 'no adaptive limit', color: 'blue' },
      width: 8,
    }),
    stat({
      id: 15,
      title: 'Unreadable servers',
      description:
        'Servers whose own metrics the exporter cannot read: nothing on this dashboard covers them.',
      unit: 'short',
      expression: total(subtract(1, maxBy([...server, 'component'], serverGauge(scrapeUp)))),
      steps: ['green', [1, 'red']],
      absent: { text: 'not configured', color: 'blue' },
      enabledBy: collectorEnabledFor('gitaly_metrics'),
      width: 8,
    }),
  ],
});

const rpcRow = ({ thresholds }: DashboardSettings): DashboardRow => ({
  id: 102,
  title: 'RPCs',
  panels: [
    table({
      id: 26,
      title: 'Limited RPCs',
      description: `Summed over the selected servers. ${perRepository}`,
      unit: 'none',
      labels: [{ label: 'grpc_method', title: 'RPC', width: 240 }],
      values: [
        { title: 'In progress', expression: sumBy(['grpc_method'], inProgress()), unit: 'short' },
        {
          title: 'Dropped',
          expression: sumBy(['grpc_method'], drops()),
          unit: 'reqps',
          decimals: 2,
          bar: {},
          steps: ['orange'],
        },
        {
          title: 'Queued',
          expression: sumBy(['grpc_method'], queued()),
          unit: 'short',
          bar: {},
          steps: ['blue'],
        },
        {
          title: 'Wait, p95',
          expression: above(maxBy(['grpc_method'], wait()), 0),
          unit: 's',
        },
        {
          title: 'Admitted',
          expression: sumBy(
            ['grpc_method'],
            maxBy(rpc, rate(serverObservations(concurrencyWait), rateRange)),
          ),
          unit: 'reqps',
          decimals: 2,
        },
        {
          title: 'Limit',
          expression: maxBy(['grpc_method'], serverGauge(concurrencyLimit, { bound: 'current' })),
          unit: 'short',
        },
      ],
      sort: { by: 'Dropped', descending: true },
      noValue: `no RPC has a concurrency limit, or it ${needsTarget}`,
      width: 24,
      height: 7,
    }),
    heatmap({
      id: 27,
      title: 'Waiting time in the queue',
      description: 'Distribution of the time that admitted requests waited before they ran, over all RPCs.',
      unit: 's',
      expression: sumBy(['le'], recordedOfServer(waitBucketRate)),
      noValue: `no RPC has a concurrency limit, or it ${needsRules}`,
      width: 12,
    }),
    timeseries({
      id: 1,
      title: 'Dropped requests by reason',
      description:
        'queue_full: max_queue_size was reached. queue_wait: the request waited longer than max_queue_wait.',
      unit: 'reqps',
      queries: [{ expression: sumBy(['reason'], drops()), legend: '{{reason}}' }],
      draw: 'stacked',
      noValue: needsTarget,
      width: 12,
    }),
    timeseries({
      id: 2,
      title: 'Dropped requests by RPC',
      description: 'The RPC whose limit dropped them.',
      unit: 'reqps',
      queries: [{ expression: sumBy(['grpc_method'], drops()), legend: '{{grpc_method}}' }],
      draw: 'stacked',
      legend: 'table',
      noValue: needsTarget,
      width: 12,
    }),
    timeseries({
      id: 4,
      title: 'Waiting time, 95th percentile',
      description: 'How long admitted requests waited, by RPC, on the server where they waited longest.',
      unit: 's',
      queries: [
        {
          expression: maxBy(['grpc_method'], wait()),
          legend: '{{grpc_method}}',
        },
      ],
      legend: 'table',
      noValue: `no limited RPC was called, or it ${needsRules}`,
      width: 12,
    }),
    timeseries({
      id: 3,
      title: 'Queued requests by server',
      description: 'The ten server and RPC pairs with the longest queue.',
      unit: 'short',
      queries: [
        {
          expression: topK(10, maxBy([...server, 'grpc_method'], serverGauge(concurrencyQueued))),
          legend: `${serverLegend} {{grpc_method}}`,
        },
      ],
      legend: 'table',
      noValue: needsTarget,
      width: 12,
    }),
    timeseries({
      id: 5,
      title: 'Requests in progress',
      description: perRepository,
      unit: 'short',
      queries: [{ expression: sumBy(['grpc_method'], inProgress()), legend: '{{grpc_method}}' }],
      legend: 'table',
      noValue: needsTarget,
      width: 12,
    }),
    timeseries({
      id: 28,
      title: 'Error ratio of all RPCs',
      description: `RPCs that failed by the server's fault, by all RPCs. The line is at the error budget of ${percentText(thresholds.errorBudget.value)}.`,
      unit: 'percentunit',
      queries: [
        {
          expression: recorded(grpcErrorRatio['5m'], { cluster: like('$cluster') }),
          legend: '{{cluster}} {{namespace}} {{job}}',
        },
      ],
      threshold: thresholds.errorBudget.value,
      legend: 'table',
      noValue: "needs the recording rules of alerts/, and a job that scrapes Gitaly's own metrics",
      width: 24,
    }),
  ],
});

const packObjectsRow = (): DashboardRow => ({
  id: 103,
  title: 'Clones and fetches (pack-objects)',
  panels: [
    timeseries({
      id: 11,
      title: 'Dropped clones by reason',
      description: 'Clients get the status Internal, which does not name the limit.',
      unit: 'reqps',
      queries: [{ expression: sumBy(['reason'], packDrops()), legend: '{{reason}}' }],
      draw: 'stacked',
      noValue: 'GitLab 15.6 and later, with gitaly.target',
      width: 12,
    }),
    timeseries({
      id: 12,
      title: 'In progress and queued',
      description: 'Summed over client addresses, while the limit applies per address.',
      unit: 'short',
      queries: [
        { expression: total(maxBy(server, serverGauge(packObjectsInProgress))), legend: 'in progress' },
        { expression: total(maxBy(server, serverGauge(packObjectsQueued))), legend: 'queued' },
      ],
      noValue: 'GitLab 15.6 and later, with gitaly.target',
      width: 12,
    }),
    heatmap({
      id: 16,
      title: 'Waiting time of clones',
      description: 'Distribution of the time that clones and fetches waited before git-pack-objects ran.',
      unit: 's',
      expression: sumBy(
        ['le'],
        maxBy([...server, 'le'], increase(serverBuckets(packObjectsWait), rateRange)),
      ),
      noValue: 'GitLab 15.6 and later, with gitaly.target',
      width: 12,
    }),
    timeseries({
      id: 14,
      title: 'Adaptive cuts by watcher',
      description: 'What the cgroup was short of when the adaptive limits were cut.',
      unit: 'ops',
      queries: [
        {
          expression: sumBy(
            ['watcher'],
            maxBy([...server, 'watcher'], rate(serverCounter(adaptiveBackoffs), rateRange)),
          ),
          legend: '{{watcher}}',
        },
      ],
      noValue: 'no adaptive limit is configured, or none was cut',
      width: 12,
    }),
  ],
});

const configurationRow = (): DashboardRow => ({
  id: 104,
  title: 'Limits in detail',
  collapsed: true,
  panels: [
    timeseries({
      id: 6,
      title: 'Concurrency limits over time',
      description: 'Per repository. Static limits as configured, adaptive ones as they are at the time.',
      unit: 'short',
      queries: [
        {
          expression: maxBy(
            ['grpc_method', 'kind', 'bound'],
            serverGauge(concurrencyLimit, { bound: 'current' }),
          ),
          legend: '{{grpc_method}} {{kind}}',
        },
        {
          expression: maxBy(['kind', 'bound'], serverGauge(packObjectsLimit, { bound: 'current' })),
          legend: 'pack-objects {{kind}}',
        },
      ],
      legend: 'table',
      noValue: 'no concurrency limit is set',
      width: 24,
      height: 8,
    }),
    table({
      id: 41,
      title: 'Configured limits by RPC',
      description: 'The largest value of the selected servers. Unauthenticated: from GitLab 18.9 on.',
      unit: 'none',
      labels: [{ label: 'grpc_method', title: 'RPC' }],
      values: [
        {
          title: 'Limit',
          expression: maxBy(['grpc_method'], serverGauge(concurrencyLimit, { bound: 'current' })),
          unit: 'short',
        },
        {
          title: 'Unauthenticated',
          expression: maxBy(
            ['grpc_method'],
            serverGauge(concurrencyUnauthenticatedLimit, { bound: 'current' }),
          ),
          unit: 'short',
        },
        {
          title: 'Queue size',
          expression: maxBy(['grpc_method'], serverGauge(concurrencyQueueLimit)),
          unit: 'short',
        },
        {
          title: 'Queue wait',
          expression: maxBy(['grpc_method'], serverGauge(concurrencyQueueWaitLimit)),
          unit: 's',
          decimals: 0,
        },
        {
          title: 'Rate burst',
          expression: maxBy(['grpc_method'], serverGauge(rateLimitBurst)),
          unit: 'short',
        },
        {
          title: 'Rate interval',
          expression: maxBy(['grpc_method'], serverGauge(rateLimitInterval)),
          unit: 's',
          decimals: 0,
        },
        {
          title: 'Dropped without user',
          expression: sumBy(
            ['grpc_method'],
            maxBy([...rpc, 'reason'], rate(serverCounter(requestsDroppedUnauthenticated), rateRange)),
          ),
          unit: 'reqps',
          decimals: 2,
        },
      ],
      noValue: 'no concurrency limit is set',
      width: 24,
      height: 8,
    }),
    table({
      id: 42,
      title: 'Pack-objects limits and readability by server',
      description: "Per client address. Read time: of the server's own metrics by the exporter.",
      unit: 'none',
      labels: [
        { label: 'pod', title: 'Pod' },
        { label: 'node', title: 'Node' },
      ],
      values: [
        {
          title: 'Metrics',
          expression: maxBy(server, serverGauge(scrapeUp, { component: 'gitaly' })),
          unit: 'none',
          words: { 0: { text: 'UNREADABLE', color: 'red' }, 1: { text: 'readable', color: 'green' } },
        },
        {
          title: 'Read time',
          expression: maxBy(server, serverGauge(scrapeDuration, { component: 'gitaly' })),
          unit: 's',
          decimals: 3,
        },
        {
          title: 'Limit',
          expression: maxBy(server, serverGauge(packObjectsLimit, { bound: 'current' })),
          unit: 'short',
        },
        {
          title: 'Unauthenticated',
          expression: maxBy(server, serverGauge(packObjectsUnauthenticatedLimit, { bound: 'current' })),
          unit: 'short',
        },
        { title: 'Queue size', expression: maxBy(server, serverGauge(packObjectsQueueLimit)), unit: 'short' },
        {
          title: 'Queue wait',
          expression: maxBy(server, serverGauge(packObjectsQueueWaitLimit)),
          unit: 's',
          decimals: 0,
        },
      ],
      hide: ['cluster', 'namespace'],
      noValue: needsTarget,
      width: 24,
    }),
  ],
});
