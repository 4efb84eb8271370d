/** Memory and CPU of Gitaly servers. */
import { happenedWithin } from '../../src/monitoring/ages.ts';
import { durationInWords, lastInWords, promDuration } from '../../src/monitoring/durations.ts';
import { capacityDashboard, serversDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  add,
  atLeast,
  increase,
  maxBy,
  minOverTime,
  multiply,
  not,
  oneOf,
  or,
  relabelled,
  select,
  subtract,
  sumBy,
  unless,
} from '../../src/monitoring/promql/index.ts';
import { highest, recorded } from '../../src/monitoring/recording.ts';
import {
  cpuThrottledRatio,
  gitalyContainerKilled,
  lastOomTime,
  memoryPressure,
  memoryRatio,
  oomEventIncrease,
  oomKillIncrease,
  podLabels,
  serverLabels,
  serverStorage,
} from '../../src/monitoring/recordings/gitaly.ts';
import { storageHealth } from '../../src/monitoring/recordings/praefect.ts';
import type { AlertThresholds } from '../../src/rules/alert-thresholds.ts';
import { count, minute, ratio, seconds, type ThresholdTable } from '../../src/rules/thresholds.ts';
import { bucketOomKills } from '../../src/sources/cgroup/metrics.ts';
import { podLastRestart } from '../../src/sources/kubernetes/metrics.ts';
import { type Alert, alert, judgedWithPage } from '../alert.ts';
import { percent, serverName, withoutProblem } from '../texts.ts';

export const resourceThresholds = {
  gitParentOomEvents: count(
    3,
    'OOM events of the parent of all Git processes within oom-window: each may hit any repository.',
  ),
  memoryPressure: ratio(
    0.1,
    'Ratio of time in which all tasks waited for memory: requests take visibly longer.',
  ),
  memoryPressureFor: seconds(10 * minute, 'Longer than one large clone.'),
  memoryForecastFor: seconds(
    35 * minute,
    'Longer than the 30 minutes for which one step of memory usage looks like growth.',
  ),
} satisfies ThresholdTable;

export const resourceAlerts = (thresholds: AlertThresholds): readonly Alert[] => [
  containerOomKilled(thresholds),
  oomKilled(thresholds),
  oomKilledRepeatedly(thresholds),
  gitParentOom(thresholds),
  gitOomKilled(thresholds),
  memoryNearLimit(thresholds),
  memoryUnderPressure(thresholds),
  memoryForecast(thresholds),
  cpuThrottled(thresholds),
];

/** Levels at which Gitaly itself may be the victim; at the others it is a Git process. */
const levelsOfGitaly = oneOf('container', 'pod', 'node');

const whose = {
  git: 'all Git processes',
  container: 'the container of Gitaly',
  pod: 'the pod',
  node: 'the node',
} as const;

/** By what Kubernetes reports: of a kill that an agent reports, nothing shows whether Gitaly or a Git process ended. */
function containerOomKilled(thresholds: AlertThresholds): Alert {
  const { keepFiring, oomWindow } = thresholds;
  const ended = highest(thresholds, serverLabels, select(podLastRestart, gitalyContainerKilled));
  return alert({
    ...judgedWithPage('GitalyContainerOOMKilled', thresholds),
    // Behind Praefect: by gitaly_storage_info, or where a storage has the name of the pod, as in the GitLab chart.
    expression: unless(
      unless(happenedWithin(thresholds, ended, oomWindow.value), recorded(serverStorage), { on: podLabels }),
      relabelled(recorded(storageHealth), 'storage', 'pod', '(.+)'),
      { on: ['cluster', 'pod'] },
    ),
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: serversDashboard, title: 'Container restarts' },
    firesWhen: `within the last ${durationInWords(oomWindow.value)} Kubernetes restarted the container of a Gitaly as OOMKilled that serves no storage of Praefect, so that no other replica served its repositories`,
    summary: () => `Gitaly ${serverName} was OOM-killed, and no replica serves its repositories`,
    description: ({ value }) =>
      `Its container ended ${value('duration')} ago: all requests failed, and its repositories were unavailable until it was Ready again. What caused it usually comes again: find the largest buckets and limit the client, or raise the memory limit.`,
  });
}

function oomKilled(thresholds: AlertThresholds): Alert {
  const shown = thresholds.oomWindow.value;
  return alert({
    ...judgedWithPage('GitalyOOMKilled', thresholds),
    expression: happenedWithin(thresholds, recorded(lastOomTime, { level: levelsOfGitaly }), shown),
    panel: { dashboard: serversDashboard, title: 'OOM-killed processes by level' },
    firesWhen: `within ${lastInWords(shown)} processes of a Gitaly were OOM-killed because its container, its pod or its node was out of memory (without an agent: Kubernetes restarted its container as OOMKilled)`,
    summary: ({ by }) =>
      `Gitaly ${serverName}: OOM kill, ${by('level', { container: whose.container, pod: whose.pod, node: whose.node })} was out of memory`,
    description: ({ by, value }) =>
      `Last kill: ${value('duration')} ago. ${by('level', {
        container:
          'Gitaly itself, unless Git runs in its container: its repositories were unavailable until it restarted. Find the largest buckets, or raise the limit.',
        pod: 'Its largest process, possibly Gitaly. Find the largest buckets, or raise the limit.',
        node: 'No limit of Gitaly was reached: the node has too little memory. Find what else uses it.',
      })}`,
  });
}

function oomKilledRepeatedly(thresholds: AlertThresholds): Alert {
  const { keepFiring, oomRepeatedEvents, oomWindow } = thresholds;
  return alert({
    ...judgedWithPage('GitalyOOMKilledRepeatedly', thresholds),
    // increase() extrapolates: three events may read as 2.9.
    expression: atLeast(
      sumBy(serverLabels, recorded(oomEventIncrease, { level: levelsOfGitaly })),
      oomRepeatedEvents.value - 0.5,
    ),
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: serversDashboard, title: 'OOM-killed processes by level' },
    firesWhen: `${oomRepeatedEvents.value} or more OOM events of the container, the pod or the node of a Gitaly happened within ${durationInWords(oomWindow.value)}`,
    summary: ({ value }) =>
      `Gitaly ${serverName} OOM-killed ${value('count')} times in ${durationInWords(oomWindow.value)}`,
    description: ({ list, same }) =>
      `Out of memory: ${list(
        above(
          maxBy(['level'], recorded(oomEventIncrease, { ...same(...serverLabels), level: levelsOfGitaly })),
          0,
        ),
        'level',
        'unknown',
      )}. Each kill ends requests in flight, and the loop does not end by itself. Find the repository or client that causes it and limit it, or raise the memory limit.`,
  });
}

function gitParentOom(thresholds: AlertThresholds): Alert {
  const { gitParentOomEvents, keepFiring, oomWindow } = thresholds;
  return alert({
    name: 'GitalyGitParentOOM',
    severity: 'critical',
    expression: atLeast(
      maxBy(serverLabels, recorded(oomEventIncrease, { level: 'git' })),
      gitParentOomEvents.value - 0.5,
    ),
    forSeconds: 0,
    noProblem: 'the page reports OOM kills of Git processes as one problem of each Gitaly',
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: serversDashboard, title: 'OOM-killed processes by level' },
    firesWhen: `the memory limit of all Git processes together was exceeded ${gitParentOomEvents.value} times or more within ${durationInWords(oomWindow.value)}`,
    summary: ({ value }) => `Gitaly ${serverName}: all Git processes out of memory, ${value('count')} times`,
    description: () =>
      'The limit of all Git processes together (cgroups.memory_bytes) was exceeded, so clones, fetches and pushes of any repository on this Gitaly may be killed. Find the largest buckets, and raise the limit or reduce concurrency.',
  });
}

function gitOomKilled(thresholds: AlertThresholds): Alert {
  const { gitOomKills, gitOomWindow } = thresholds;
  return alert({
    ...judgedWithPage('GitalyGitOOMKilled', thresholds),
    expression: atLeast(
      maxBy([...serverLabels, 'level'], recorded(oomKillIncrease, { level: oneOf('bucket', 'git') })),
      gitOomKills.value - 0.5,
    ),
    panel: { dashboard: serversDashboard, title: 'OOM kills by bucket' },
    firesWhen: `${gitOomKills.value} or more Git processes were OOM-killed within ${durationInWords(gitOomWindow.value)} at the limit of their bucket, or at that of all Git processes`,
    summary: ({ by, count }) =>
      `Gitaly ${serverName}: ${count('Git process', 'Git processes')} OOM-killed at the limit of ${by('level', { bucket: 'their bucket', git: 'all of Git' })}`,
    description: ({ list, same }) =>
      `Buckets: ${list(
        above(
          maxBy(
            ['bucket'],
            increase(select(bucketOomKills, same(...serverLabels)), promDuration(gitOomWindow.value)),
          ),
          0,
        ),
        'bucket',
        'unknown',
      )}. Clones, fetches or pushes of repositories in them fail with an error that does not mention memory. gitaly-exporter bucket prints the repositories of a bucket.`,
  });
}

function memoryNearLimit(thresholds: AlertThresholds): Alert {
  const { memoryNearLimit: nearLimit, memoryNearLimitFor } = thresholds;
  return alert({
    ...judgedWithPage('GitalyMemoryNearLimit', thresholds),
    expression: above(recorded(memoryRatio), nearLimit.value),
    panel: { dashboard: serversDashboard, title: 'Anonymous memory by limit' },
    firesWhen: `for ${durationInWords(memoryNearLimitFor.value)}, anonymous memory was over ${percent(nearLimit.value)} of the limit of all Git processes, of the container of Gitaly or of the pod`,
    summary: ({ by, value }) =>
      `Gitaly ${serverName}: memory of ${by('level', { git: whose.git, container: whose.container, pod: whose.pod })} at ${value('percent')} of its limit`,
    description: ({ by }) =>
      `Page cache is not counted, so the kernel cannot reclaim this memory. ${by('level', {
        git: 'The next large Git process is OOM-killed, or another one of any repository.',
        container:
          'Next, Gitaly itself is OOM-killed, and its repositories are unavailable until it restarts.',
        pod: 'Next, the largest process of the pod is OOM-killed, possibly Gitaly itself.',
      })} Find the largest buckets, or raise the limit.`,
  });
}

function memoryUnderPressure(thresholds: AlertThresholds): Alert {
  const { memoryPressure: pressure, memoryPressureFor } = thresholds;
  return alert({
    name: 'GitalyMemoryPressure',
    severity: 'warning',
    expression: above(recorded(memoryPressure), pressure.value),
    forSeconds: memoryPressureFor.value,
    noProblem: withoutProblem.overTime,
    panel: { dashboard: serversDashboard, title: 'Memory pressure, full' },
    firesWhen: `for ${durationInWords(memoryPressureFor.value)}, all tasks of a level waited for memory for over ${percent(pressure.value)} of the time (PSI; absent on kernels without it)`,
    summary: ({ by, value }) =>
      `Gitaly ${serverName}: ${by('level', { git: whose.git, container: whose.container, pod: whose.pod })} stalled on memory ${value('percent')} of the time`,
    description: () =>
      'The kernel spends this time to reclaim page cache instead of running Git. Requests are slow, and OOM kills are likely next. Reduce concurrency, or raise the memory limit.',
  });
}

function memoryForecast(thresholds: AlertThresholds): Alert {
  const { memoryForecastFor } = thresholds;
  // Troughs of 30 minutes: peaks of a sawtooth and noise do not move them, and two of them an hour apart show growth.
  const trough = minOverTime(recorded(memoryRatio), '30m');
  const before = minOverTime(recorded(memoryRatio), '30m', '30m');
  const on = { on: [...serverLabels, 'level'] as const };
  return alert({
    name: 'GitalyMemoryExhaustionForecast',
    severity: 'warning',
    expression: above(add(trough, multiply(4, subtract(above(trough, 0.5), before, on)), on), 1),
    forSeconds: memoryForecastFor.value,
    noProblem: withoutProblem.overTime,
    panel: { dashboard: capacityDashboard, title: 'Growth of Git memory' },
    firesWhen: `for ${durationInWords(memoryForecastFor.value)}, the lowest memory usage of 30 minutes was over half of the limit, and its growth reaches the limit within about an hour`,
    summary: ({ by }) =>
      `Gitaly ${serverName}: ${by('level', { git: whose.git, container: whose.container, pod: whose.pod })} runs out of memory in about an hour`,
    description: () =>
      'Even the lowest usage grows steadily, which load that comes and goes does not do. If Gitaly itself grows, restart it in a quiet moment and report the leak; if Git grows, find the bucket.',
  });
}

function cpuThrottled(thresholds: AlertThresholds): Alert {
  const { cpuThrottled: ratio, cpuThrottledFor, cpuThrottledGit, rateWindow } = thresholds;
  return alert({
    ...judgedWithPage('GitalyCPUThrottled', thresholds),
    expression: or(
      above(recorded(cpuThrottledRatio, { level: not('git') }), ratio.value),
      above(recorded(cpuThrottledRatio, { level: 'git' }), cpuThrottledGit.value),
    ),
    panel: { dashboard: serversDashboard, title: 'CPU-throttled periods' },
    firesWhen: `for ${durationInWords(cpuThrottledFor.value)}, the CPU limit of the container of Gitaly or of the pod throttled it in over ${percent(ratio.value)} of the periods of ${durationInWords(rateWindow.value)}, or that of all Git processes in over ${percent(cpuThrottledGit.value)}`,
    summary: ({ by, value }) =>
      `Gitaly ${serverName}: ${by('level', { git: whose.git, container: whose.container, pod: whose.pod })} CPU-throttled ${value('percent')} of the time`,
    description: ({ by }) =>
      `${by('level', {
        git: 'Clones, fetches and pushes are slow; Gitaly itself responds.',
        container:
          'Every request waits for Gitaly, whichever repository it is for, and health checks may fail.',
        pod: 'Gitaly and Git are slow together, and health checks may fail.',
      })} Find the busiest buckets, or raise the CPU limit. Adaptive limits do not react to it.`,
  });
}
