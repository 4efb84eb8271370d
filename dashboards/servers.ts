/** Pods and cgroups: which Gitaly server is close to a limit, what was OOM-killed, which buckets are busy. */

import { percentText } from '../src/lib/format.ts';
import { secondsSinceTimestamp } from '../src/monitoring/ages.ts';
import { serversDashboard } from '../src/monitoring/links.ts';
import {
  above,
  add,
  countBy,
  divide,
  equals,
  increase,
  labelled,
  maxBy,
  not,
  offsetBy,
  oneOf,
  or,
  rate,
  subtract,
  sumBy,
  topK,
  unless,
} from '../src/monitoring/promql/index.ts';
import {
  bucketCpuTop,
  bucketMemoryTop,
  bucketOomKillsRecording,
  bucketThrottledTop,
  busiestBuckets,
} from '../src/monitoring/recordings/buckets.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import {
  containerLevelMetrics,
  gitLevelMetrics,
  type PressureResource,
  podLevelMetrics,
} from '../src/sources/cgroup/level-metrics.ts';
import {
  bucketCount,
  bucketReadErrors,
  bucketsActive,
  bucketsNearLimit,
  gitProcesses,
  oomEvents,
  oomKills,
} from '../src/sources/cgroup/metrics.ts';
import { scrapeUp } from '../src/sources/gitaly/metrics.ts';
import {
  disruptionDesired,
  disruptionExpected,
  disruptionHealthy,
  disruptionsAllowed,
  nodeOomEvents,
  nodePressure,
  nodeReady,
  nodeUnschedulable,
  podLastRotation,
  podPhase,
  podReady,
  podRestarts,
  podRotation,
  podRotationStart,
  podRotations,
  podWaitingContainers,
  statefulSetReadyReplicas,
  statefulSetReplicas,
  statefulSetUpdatedReplicas,
} from '../src/sources/kubernetes/metrics.ts';
import { serverInfo } from '../src/sources/server-info.ts';
import { buildDashboard, type Dashboard, type DashboardRow, type DashboardSettings } from './dashboard.ts';
import { barGauge, type Query, stat, stateTimeline, table, timeseries } from './panels.ts';
import {
  byLevel,
  collectorEnabledFor,
  memoryShare,
  overRange,
  rateBy,
  rateRange,
  readByCollector,
  sentinel,
  server,
  serverLegend,
  throttledShare,
  total,
  wholeRange,
} from './queries.ts';
import { recordedOfServer, serverCounter, serverGauge } from './variables.ts';

const levelLegend = `{{level}} of ${serverLegend}`;
const needsCgroups = 'needs cgroup.enabled next to Gitaly';
const needsKubernetes = 'needs kubernetes.enabled';
const needsRules = 'needs the recording rules of alerts/';
const needsBuckets = `Gitaly's cgroups are disabled, cgroup.buckets is none, or ${needsRules}`;

export const podsAndCgroups = (settings: DashboardSettings): Dashboard =>
  buildDashboard(settings, {
    name: 'servers',
    uid: serversDashboard.uid,
    title: 'Gitaly: pods and cgroups',
    description:
      'How close each Gitaly server and its Git processes are to their memory and CPU limits, what was OOM-killed at which limit, and the state of the pods. Needs cgroup.enabled on each node or virtual machine with Gitaly; the rows about pods need kubernetes.enabled.',
    scope: 'servers',
    rows: [
      overviewRow(settings),
      oomRow(),
      memoryRow(settings),
      bucketRow(),
      cpuRow(settings),
      pressureRow(),
      podRow(),
      rotationRow(settings),
      kubernetesDetailRow(),
    ],
  });

const serverReady = () =>
  or(maxBy(server, serverGauge(podReady)), maxBy(server, serverGauge(scrapeUp, { component: 'gitaly' })));

type OomLevel = 'bucket' | 'git' | 'container' | 'pod' | 'node';

const kills = (...levels: readonly OomLevel[]) =>
  maxBy([...server, 'level'], increase(serverCounter(oomKills, { level: oneOf(...levels) }), wholeRange));

/** Stands for a limit that is not set. */
const noLimit = -2;

function overviewRow({ thresholds }: MonitoringSettings): DashboardRow {
  const gitMemory = maxBy(
    [],
    divide(
      maxBy(server, serverGauge(gitLevelMetrics.memoryAnon)),
      maxBy(server, serverGauge(gitLevelMetrics.memoryLimit)),
      { on: server },
    ),
  );
  const unlimitedGit = sentinel(
    maxBy(
      [],
      unless(
        maxBy(server, serverGauge(gitLevelMetrics.memoryUsage)),
        maxBy(server, serverGauge(gitLevelMetrics.memoryLimit)),
        { on: server },
      ),
    ),
    noLimit,
  );
  return {
    id: 101,
    title: 'Overview',
    panels: [
      stat({
        id: 1,
        title: 'Servers monitored',
        description:
          'Gitaly servers whose cgroups an exporter reads. MISSING: none, so this dashboard is empty.',
        unit: 'short',
        expression: countBy([], maxBy(server, serverGauge(serverInfo))),
        steps: ['red', [1, 'green']],
        width: 8,
      }),
      stat({
        id: 3,
        title: 'Servers down',
        description:
          'Gitaly servers whose pod is not Ready or, without Kubernetes, whose own metrics cannot be read.',
        unit: 'short',
        expression: total(subtract(1, serverReady())),
        steps: ['green', [1, 'red']],
        absent: { text: 'not configured', color: 'blue' },
        enabledBy: collectorEnabledFor('gitaly_metrics', 'kubernetes'),
        width: 8,
      }),
      stat({
        id: 4,
        title: 'OOM kills of Gitaly',
        description:
          'Processes OOM-killed in the chosen time at the limit of a container, a pod or a node. Gitaly itself may have been among them.',
        unit: 'short',
        expression: total(kills('container', 'pod', 'node')),
        steps: ['green', [1, 'red']],
        width: 8,
      }),
      stat({
        id: 5,
        title: 'OOM kills of Git',
        description:
          'Git processes OOM-killed in the chosen time at the limit of a bucket or of all Git processes. Gitaly was not affected.',
        unit: 'short',
        expression: total(kills('bucket', 'git')),
        steps: ['green', [1, 'orange'], [thresholds.gitOomKills.value, 'red']],
        width: 8,
      }),
      stat({
        id: 6,
        title: 'Git memory by limit',
        description:
          'Anonymous memory of all Git processes by their limit, of the server where it is highest.',
        unit: 'percentunit',
        expression: or(gitMemory, unlimitedGit, { on: [] }),
        words: { [noLimit]: 'no limit' },
        steps: ['orange', [0, 'green'], [thresholds.memoryNearLimit.value, 'red']],
        absent: { text: 'no Git cgroups', color: 'blue' },
        width: 8,
      }),
      stat({
        id: 7,
        title: 'Buckets near limit',
        description: 'Buckets whose anonymous memory is over 80% of their limit.',
        unit: 'short',
        expression: total(maxBy(server, serverGauge(bucketsNearLimit))),
        steps: ['green', [1, 'orange']],
        absent: { text: 'no Git cgroups', color: 'blue' },
        width: 8,
      }),
      barGauge({
        id: 21,
        title: 'Anonymous memory by limit',
        description: `How close the next OOM kill is, by level, without page cache, which the kernel reclaims. A level without a limit is not shown. Red from ${percentText(thresholds.memoryNearLimit.value)}.`,
        unit: 'percentunit',
        queries: [{ expression: topK(15, memoryShare()), legend: levelLegend }],
        steps: ['green', [thresholds.memoryNearLimit.value, 'red']],
        max: 1,
        noValue: `no memory limit is known: ${needsCgroups}`,
        width: 12,
      }),
      stateTimeline({
        id: 8,
        title: 'Gitaly servers over time',
        description: 'Ready (Kubernetes) or readable (own metrics), for each Gitaly server.',
        unit: 'none',
        query: { expression: serverReady(), legend: serverLegend },
        words: { 0: { text: 'down', color: 'red' }, 1: { text: 'up', color: 'blue' } },
        noValue: 'needs kubernetes.enabled or gitaly.target',
        width: 12,
      }),
    ],
  };
}

const oomRow = (): DashboardRow => ({
  id: 102,
  title: 'OOM kills',
  panels: [
    timeseries({
      id: 11,
      title: 'OOM-killed processes by level',
      description:
        'The level whose limit was exceeded. bucket: the repositories of one bucket. git: all Git processes. container, pod, node: Gitaly itself may have been killed.',
      unit: 'short',
      queries: [
        {
          expression: sumBy(
            ['level'],
            maxBy([...server, 'level'], increase(serverCounter(oomKills), rateRange)),
          ),
          legend: '{{level}}',
        },
      ],
      draw: 'bars',
      noValue: needsCgroups,
      width: 24,
      height: 6,
    }),
    table({
      id: 13,
      title: 'OOM kills by server and level',
      description: 'In the chosen time. One event may kill several processes.',
      unit: 'none',
      labels: [
        { label: 'pod', title: 'Pod' },
        { label: 'node', title: 'Node' },
        { label: 'level', title: 'Level' },
      ],
      values: [
        {
          title: 'Killed',
          expression: above(kills('bucket', 'git', 'container', 'pod', 'node'), 0),
          unit: 'short',
        },
        {
          title: 'Events',
          expression: above(maxBy([...server, 'level'], increase(serverCounter(oomEvents), wholeRange)), 0),
          unit: 'short',
        },
      ],
      hide: ['cluster', 'namespace'],
      sort: { by: 'Killed', descending: true },
      readBy: readByCollector('cgroup'),
      noValue: 'no OOM kill in this time',
      width: 12,
    }),
    table({
      id: 12,
      title: 'OOM kills by bucket',
      description:
        'In the chosen time. "gitaly-exporter bucket" lists the repositories that share a bucket, as does the page of the exporter.',
      unit: 'none',
      labels: [
        { label: 'bucket', title: 'Bucket', width: 80 },
        { label: 'pod', title: 'Pod' },
        { label: 'node', title: 'Node' },
      ],
      values: [
        {
          title: 'Killed',
          expression: topK(20, above(bucketKills(), 0)),
          unit: 'short',
          bar: {},
          steps: ['orange'],
        },
      ],
      hide: ['cluster', 'namespace'],
      sort: { by: 'Killed', descending: true },
      noValue: `no OOM kill in a bucket in this time, or ${needsRules}`,
      width: 12,
    }),
  ],
});

type AnyLevel = typeof podLevelMetrics | typeof gitLevelMetrics | typeof containerLevelMetrics;

const memoryOf = (of: AnyLevel): readonly Query[] => [
  { expression: maxBy(server, serverGauge(of.memoryAnon)), legend: `${serverLegend} anonymous` },
  { expression: maxBy(server, serverGauge(of.memoryFile)), legend: `${serverLegend} page cache` },
  { expression: maxBy(server, serverGauge(of.memoryLimit)), legend: `${serverLegend} limit` },
];

const memoryRow = ({ thresholds }: MonitoringSettings): DashboardRow => ({
  id: 103,
  title: 'Memory',
  panels: [
    timeseries({
      id: 22,
      title: 'Anonymous memory by limit over time',
      description: `By level. The line is at ${percentText(thresholds.memoryNearLimit.value)}.`,
      unit: 'percentunit',
      queries: [{ expression: memoryShare(), legend: levelLegend }],
      threshold: thresholds.memoryNearLimit.value,
      legend: 'table',
      noValue: `no memory limit is known: ${needsCgroups}`,
      width: 24,
    }),
    timeseries({
      id: 23,
      title: 'Memory of all Git processes',
      description:
        'The parent cgroup of all buckets. Page cache fills what is free and is no reason to raise the limit.',
      unit: 'bytes',
      queries: memoryOf(gitLevelMetrics),
      legend: 'table',
      noValue: "Gitaly's cgroups are disabled",
      width: 8,
      height: 11,
    }),
    timeseries({
      id: 24,
      title: "Memory of Gitaly's container",
      description: 'Gitaly itself, and its Git processes unless their cgroups are next to the container.',
      unit: 'bytes',
      queries: memoryOf(containerLevelMetrics),
      legend: 'table',
      noValue: needsCgroups,
      width: 8,
      height: 11,
    }),
    timeseries({
      id: 25,
      title: 'Memory of the pod',
      description: 'Gitaly, Git processes and sidecars together.',
      unit: 'bytes',
      queries: memoryOf(podLevelMetrics),
      legend: 'table',
      noValue: 'no pod: virtual machines have none',
      width: 8,
      height: 11,
    }),
  ],
});

const bucket = [...server, 'bucket'] as const;
const bucketLabels = [
  { label: 'bucket', title: 'Bucket', width: 80 },
  { label: 'pod', title: 'Pod' },
  { label: 'node', title: 'Node' },
] as const;

/** Killed in the chosen time. A bucket whose first kill is in it begins with that kill: there was no 0 before. */
function bucketKills() {
  const kills = recordedOfServer(bucketOomKillsRecording);
  const increased = overRange('increase', kills, wholeRange);
  const first = unless(overRange('min_over_time', kills, wholeRange), offsetBy(kills, wholeRange), {
    on: bucket,
  });
  return or(or(add(increased, first, { on: bucket }), increased), first);
}

const bucketRow = (): DashboardRow => ({
  id: 104,
  title: 'Repository buckets',
  panels: [
    table({
      id: 31,
      title: 'Buckets by memory',
      description:
        'Page cache included, so a bucket at its limit is not in danger for that alone. "gitaly-exporter bucket" lists the repositories of one.',
      unit: 'none',
      labels: bucketLabels,
      values: [
        {
          title: 'Memory',
          expression: topK(busiestBuckets, recordedOfServer(bucketMemoryTop)),
          unit: 'bytes',
          bar: {},
          steps: ['blue'],
        },
      ],
      hide: ['cluster', 'namespace'],
      sort: { by: 'Memory', descending: true },
      noValue: needsBuckets,
      width: 12,
    }),
    table({
      id: 32,
      title: 'Buckets by CPU',
      description: 'The repositories that keep Gitaly busy.',
      unit: 'none',
      labels: bucketLabels,
      values: [
        {
          title: 'Cores',
          expression: topK(busiestBuckets, recordedOfServer(bucketCpuTop)),
          unit: 'none',
          decimals: 2,
          bar: {},
          steps: ['blue'],
        },
      ],
      hide: ['cluster', 'namespace'],
      sort: { by: 'Cores', descending: true },
      noValue: needsBuckets,
      width: 12,
    }),
    table({
      id: 33,
      title: 'CPU-throttled buckets',
      description:
        'Seconds per second for which the CPU limit of the bucket throttled its processes, summed over CPUs: their clones and fetches are slow.',
      unit: 'none',
      labels: bucketLabels,
      values: [
        {
          title: 'Throttled',
          expression: topK(busiestBuckets, recordedOfServer(bucketThrottledTop)),
          unit: 'none',
          decimals: 2,
          bar: {},
          steps: ['orange'],
        },
      ],
      hide: ['cluster', 'namespace'],
      sort: { by: 'Throttled', descending: true },
      noValue: `no bucket is throttled, or ${needsRules}`,
      width: 10,
    }),
    table({
      id: 35,
      title: 'Buckets by server',
      description: 'Near limit: anonymous memory over 80%. Unread: nothing is known of these buckets.',
      unit: 'none',
      labels: [
        { label: 'pod', title: 'Pod' },
        { label: 'node', title: 'Node' },
      ],
      values: [
        { title: 'Buckets', expression: maxBy(server, serverGauge(bucketCount)), unit: 'short' },
        { title: 'Active', expression: maxBy(server, serverGauge(bucketsActive)), unit: 'short' },
        {
          title: 'Near limit',
          expression: maxBy(server, serverGauge(bucketsNearLimit)),
          unit: 'short',
          steps: ['green', [1, 'orange']],
        },
        {
          title: 'Unread',
          expression: maxBy(server, serverGauge(bucketReadErrors)),
          unit: 'short',
          steps: ['green', [1, 'orange']],
        },
      ],
      hide: ['cluster', 'namespace'],
      noValue: 'no Git cgroups',
      width: 14,
    }),
    timeseries({
      id: 34,
      title: 'Active buckets and Git processes',
      description: 'A bucket is active while it has a process or anonymous memory.',
      unit: 'short',
      queries: [
        { expression: maxBy(server, serverGauge(bucketsActive)), legend: `${serverLegend} active` },
        { expression: maxBy(server, serverGauge(gitProcesses)), legend: `${serverLegend} processes` },
      ],
      legend: 'table',
      noValue: "Gitaly's cgroups are disabled",
      width: 24,
    }),
  ],
});

const cpuRow = ({ thresholds }: MonitoringSettings): DashboardRow => ({
  id: 105,
  title: 'CPU',
  panels: [
    timeseries({
      id: 41,
      title: 'CPU-throttled periods',
      description: `Share of the periods in which the CPU limit of a level throttled something. From ${percentText(thresholds.cpuThrottled.value)} on Gitaly itself is slow; the limit of all Git processes may throttle up to ${percentText(thresholds.cpuThrottledGit.value)}.`,
      unit: 'percentunit',
      queries: [{ expression: throttledShare(), legend: levelLegend }],
      threshold: thresholds.cpuThrottled.value,
      legend: 'table',
      noValue: 'no CPU limit is set, or no process ran',
      width: 8,
    }),
    timeseries({
      id: 42,
      title: 'CPU-throttled time',
      description: 'Summed over CPUs: how much work waits.',
      unit: 'suffix: s/s',
      queries: [{ expression: byLevel((of, by) => rateBy(by, of.cpuThrottled)), legend: levelLegend }],
      legend: 'table',
      noValue: needsCgroups,
      width: 8,
    }),
    timeseries({
      id: 43,
      title: 'CPU usage',
      description: 'A level includes those below it: the pod its containers and Git, all of Git its buckets.',
      unit: 'suffix: cores',
      queries: [{ expression: byLevel((of, by) => rateBy(by, of.cpuUsage)), legend: levelLegend }],
      legend: 'table',
      noValue: needsCgroups,
      width: 8,
    }),
  ],
});

/** `full` of cpu has no meaning before Linux 5.13, and little after it. */
function stalled(resource: PressureResource, kind: 'some' | 'full') {
  const of = { resource, kind };
  const git = maxBy(server, rate(serverCounter(gitLevelMetrics.pressure, of), rateRange));
  const container = maxBy(server, rate(serverCounter(containerLevelMetrics.pressure, of), rateRange));
  const pod = maxBy(server, rate(serverCounter(podLevelMetrics.pressure, of), rateRange));
  return or(
    or(labelled(git, 'level', 'git'), labelled(container, 'level', 'container')),
    labelled(pod, 'level', 'pod'),
  );
}

const pressurePanel = (id: number, title: string, description: string, ...of: Parameters<typeof stalled>) =>
  timeseries({
    id,
    title,
    description,
    unit: 'percentunit',
    queries: [{ expression: stalled(...of), legend: levelLegend }],
    legend: 'table',
    noValue: 'the kernel reports no pressure (PSI), or cgroups are not read',
    width: 8,
  });

const pressureRow = (): DashboardRow => ({
  id: 106,
  title: 'Pressure (PSI)',
  panels: [
    pressurePanel(
      51,
      'Memory pressure, full',
      'Share of the time in which all tasks waited for memory to be reclaimed. It rises before an OOM kill.',
      'memory',
      'full',
    ),
    pressurePanel(
      52,
      'CPU pressure, some',
      'Share of the time in which at least one task waited for CPU, limits included.',
      'cpu',
      'some',
    ),
    pressurePanel(
      53,
      'I/O pressure, full',
      'Share of the time in which all tasks waited for disks.',
      'io',
      'full',
    ),
  ],
});

const podRow = (): DashboardRow => ({
  id: 107,
  title: 'Pods (Kubernetes)',
  panels: [
    stateTimeline({
      id: 61,
      title: 'Pod readiness',
      description: 'Ready pods receive requests.',
      unit: 'none',
      query: { expression: maxBy(server, serverGauge(podReady)), legend: serverLegend },
      words: { 0: { text: 'not Ready', color: 'red' }, 1: { text: 'Ready', color: 'blue' } },
      noValue: needsKubernetes,
      width: 7,
    }),
    table({
      id: 62,
      title: 'Container restarts',
      description:
        'In the chosen time. OOMKilled: the container died; a Git process killed in its bucket does not restart it.',
      unit: 'none',
      labels: [
        { label: 'pod', title: 'Pod' },
        { label: 'container', title: 'Container' },
        { label: 'reason', title: 'Reason' },
      ],
      values: [
        {
          title: 'Restarts',
          expression: above(
            maxBy([...server, 'container', 'reason'], increase(serverCounter(podRestarts), wholeRange)),
            0,
          ),
          unit: 'short',
        },
      ],
      hide: ['cluster', 'namespace', 'node'],
      sort: { by: 'Restarts', descending: true },
      readBy: readByCollector('kubernetes'),
      noValue: 'no restart in this time',
      width: 9,
    }),
    table({
      id: 63,
      title: 'Containers waiting to start',
      description: 'What keeps a pod from becoming Ready.',
      unit: 'none',
      labels: [
        { label: 'pod', title: 'Pod' },
        { label: 'reason', title: 'Reason' },
      ],
      values: [
        {
          title: 'Containers',
          expression: above(maxBy([...server, 'reason'], serverGauge(podWaitingContainers)), 0),
          unit: 'short',
        },
      ],
      hide: ['cluster', 'namespace', 'node'],
      readBy: readByCollector('kubernetes'),
      noValue: 'no container is waiting',
      width: 8,
    }),
  ],
});

const rotationRow = ({ thresholds }: MonitoringSettings): DashboardRow => ({
  id: 108,
  title: 'Pod rotation',
  panels: [
    timeseries({
      id: 71,
      title: 'Last rotation by phase',
      description: `From the deletion of a pod until it is Ready, its repositories are unavailable. It should take less than ${thresholds.rotationSlow.value} s.`,
      unit: 's',
      queries: [
        {
          expression: maxBy(
            ['cluster', 'namespace', 'pod', 'phase'],
            serverGauge(podRotation, { phase: not('total') }),
          ),
          legend: '{{pod}} {{phase}}',
        },
      ],
      legend: 'table',
      noValue: `no rotation seen, or ${needsKubernetes}`,
      width: 8,
    }),
    table({
      id: 72,
      title: 'Rotations by cause',
      description: 'The last rotation by each cause, and completed rotations in the chosen time.',
      unit: 'none',
      labels: [
        { label: 'pod', title: 'Pod' },
        { label: 'cause', title: 'Cause' },
      ],
      values: [
        {
          title: 'Last one',
          expression: secondsSinceTimestamp(
            maxBy(['cluster', 'namespace', 'pod', 'cause'], serverGauge(podLastRotation)),
          ),
          unit: 's',
          decimals: 0,
        },
        {
          title: 'Rotations',
          expression: above(
            maxBy(
              ['cluster', 'namespace', 'pod', 'cause'],
              increase(serverCounter(podRotations), wholeRange),
            ),
            0,
          ),
          unit: 'short',
        },
      ],
      hide: ['cluster', 'namespace'],
      readBy: readByCollector('kubernetes'),
      noValue: 'no rotation yet',
      width: 8,
    }),
    table({
      id: 73,
      title: 'Ongoing rotations',
      description: 'Pods that are being replaced now, and for how long they have been unavailable.',
      unit: 'none',
      labels: [
        { label: 'pod', title: 'Pod' },
        { label: 'node', title: 'Node' },
      ],
      values: [
        {
          title: 'Unavailable for',
          expression: secondsSinceTimestamp(maxBy(server, serverGauge(podRotationStart))),
          unit: 's',
          decimals: 0,
          steps: ['blue', [thresholds.rotationSlow.value, 'red']],
        },
      ],
      hide: ['cluster', 'namespace'],
      readBy: readByCollector('kubernetes'),
      noValue: 'no pod is being replaced',
      width: 8,
    }),
  ],
});

const kubernetesDetailRow = (): DashboardRow => ({
  id: 110,
  title: 'StatefulSets, disruption budgets and nodes',
  collapsed: true,
  panels: [
    table({
      id: 81,
      title: 'StatefulSets',
      description: 'Fewer updated pods than desired: a rollout, or a pod is being replaced.',
      unit: 'none',
      labels: [
        { label: 'namespace', title: 'Namespace' },
        { label: 'statefulset', title: 'StatefulSet' },
      ],
      values: [
        { title: 'Desired', expression: perStatefulSet(statefulSetReplicas), unit: 'short' },
        { title: 'Ready', expression: perStatefulSet(statefulSetReadyReplicas), unit: 'short' },
        { title: 'Updated', expression: perStatefulSet(statefulSetUpdatedReplicas), unit: 'short' },
      ],
      noValue: needsKubernetes,
      width: 12,
    }),
    table({
      id: 64,
      title: 'Disruption budgets',
      description: '0 allowed with all pods healthy: no drain of a node can succeed.',
      unit: 'none',
      labels: [
        { label: 'namespace', title: 'Namespace' },
        { label: 'poddisruptionbudget', title: 'Budget' },
      ],
      values: [
        { title: 'Allowed', expression: perBudget(disruptionsAllowed), unit: 'short', width: 85 },
        { title: 'Healthy', expression: perBudget(disruptionHealthy), unit: 'short', width: 85 },
        { title: 'Required', expression: perBudget(disruptionDesired), unit: 'short' },
        { title: 'Pods', expression: perBudget(disruptionExpected), unit: 'short', width: 72 },
      ],
      noValue: 'no budget covers Gitaly',
      width: 12,
    }),
    table({
      id: 82,
      title: 'Nodes',
      description: 'Nodes with Gitaly pods. OOM: events that the node reported in the chosen time.',
      unit: 'none',
      labels: [{ label: 'node', title: 'Node' }],
      values: [
        {
          title: 'State',
          expression: maxBy(['node'], serverGauge(nodeReady)),
          unit: 'none',
          words: { 0: { text: 'not Ready', color: 'red' }, 1: { text: 'Ready', color: 'green' } },
          width: 80,
        },
        {
          title: 'Scheduling',
          expression: maxBy(['node'], serverGauge(nodeUnschedulable)),
          unit: 'none',
          words: { 0: 'enabled', 1: { text: 'cordoned', color: 'orange' } },
          width: 96,
        },
        {
          title: 'Pressure',
          expression: maxBy(['node'], serverGauge(nodePressure)),
          unit: 'none',
          words: { 0: 'none', 1: { text: 'PRESSURE', color: 'red' } },
          width: 88,
        },
        {
          title: 'OOM',
          expression: sumBy(
            ['node'],
            maxBy(['node', 'reason'], increase(serverCounter(nodeOomEvents), wholeRange)),
          ),
          unit: 'short',
          width: 72,
          steps: ['green', [1, 'red']],
        },
      ],
      noValue: needsKubernetes,
      width: 12,
    }),
    stateTimeline({
      id: 83,
      title: 'Pod phase',
      description: 'A pod on a lost node stays Running: see its readiness.',
      unit: 'none',
      query: {
        expression: maxBy([...server, 'phase'], equals(serverGauge(podPhase), 1)),
        legend: `${serverLegend}: {{phase}}`,
      },
      words: { 1: { text: 'in this phase', color: 'blue' } },
      noValue: needsKubernetes,
      width: 12,
    }),
  ],
});

function perStatefulSet(
  metric: typeof statefulSetReplicas | typeof statefulSetReadyReplicas | typeof statefulSetUpdatedReplicas,
) {
  return maxBy(['namespace', 'statefulset'], serverGauge(metric));
}

function perBudget(
  metric:
    | typeof disruptionsAllowed
    | typeof disruptionHealthy
    | typeof disruptionDesired
    | typeof disruptionExpected,
) {
  return maxBy(['namespace', 'poddisruptionbudget'], serverGauge(metric));
}
