/** Recorded from Gitaly servers: by pod or virtual machine, and by the level of the cgroup. */
import {
  containerLevelMetrics,
  gitLevelMetrics,
  type LevelMetrics,
  podLevelMetrics,
} from '../../sources/cgroup/level-metrics.ts';
import { cgroupGitalys, lastOom, oomEvents, oomKills } from '../../sources/cgroup/metrics.ts';
import { scrapeUp, serverResponds } from '../../sources/gitaly/metrics.ts';
import { podLastRestart, podReady, podRestarts, watchCurrent } from '../../sources/kubernetes/metrics.ts';
import { maintenance, maintenanceActive } from '../../sources/maintenance/source.ts';
import { serverInfo } from '../../sources/server-info.ts';
import { storageInfo } from '../../sources/storages/source.ts';
import { secondsSinceTimestamp } from '../ages.ts';
import { promDuration } from '../durations.ts';
import { targetUp } from '../external-metrics.ts';
import {
  above,
  and,
  atLeast,
  below,
  divide,
  equals,
  groupBy,
  increase,
  labelled,
  lastOverTime,
  type Matchers,
  maxBy,
  maxOverTime,
  multiply,
  not,
  notLike,
  oneOf,
  or,
  presentOverTime,
  rate,
  select,
  subtract,
  sumBy,
  unless,
  type Vector,
} from '../promql/index.ts';
import {
  eachHighest,
  gaugeWindow,
  heldWhileUnread,
  highest,
  lowest,
  type RecordingRule,
  rateWindow,
  recording,
} from '../recording.ts';

/** One Gitaly: on Kubernetes by namespace, pod and node, on a virtual machine by node alone. */
export const serverLabels = ['cluster', 'namespace', 'pod', 'node'] as const;
export type ServerLabel = (typeof serverLabels)[number];
/** One pod, on whichever node it runs. */
export const podLabels = ['cluster', 'namespace', 'pod'] as const;
/** A virtual machine. */
export const hostLabels = ['cluster', 'node'] as const;

/** The exporter that reports a series: what it reports of itself applies to that series. */
const reporter = ['cluster', 'job', 'instance'] as const;

/**
 * 1 while a Gitaly serves, by the source that reports it: the Ready condition of its pod; on a virtual machine the
 * response of its metrics port, and its cgroups. A server that never served within a week is not recorded.
 */
export const serving = recording('gitaly:serving:min', [...serverLabels, 'source'], (thresholds) => {
  const window = gaugeWindow(thresholds);
  const known = promDuration(thresholds.serverLookback.value);
  const watched = equals(maxOverTime(select(watchCurrent, { resource: 'pods' }), window), 1);
  const ready = lowest(thresholds, podLabels, select(podReady));
  const responds = select(serverResponds, { component: 'gitaly', pod: '' });
  const cgroups = select(serverInfo, { pod: '' });
  const reporterUp = equals(eachHighest(thresholds, select(targetUp)), 1);
  // An agent that found none and cannot be scraped any more.
  const lastFound = lastOverTime(select(cgroupGitalys), promDuration(thresholds.staleHold.value));
  const missing = and(
    maxBy([...hostLabels, 'job', 'instance'], maxOverTime(cgroups, known)),
    or(
      maxOverTime(select(cgroupGitalys), window),
      unless(equals(lastFound, 0), reporterUp, { on: reporter }),
    ),
    { on: reporter },
  );
  return [
    {
      expression: heldWhileUnread(thresholds, podLabels, ready, select(podReady), watched, [
        'cluster',
        'job',
      ]),
      labels: { source: 'pod' },
    },
    {
      expression: and(
        heldWhileUnread(
          thresholds,
          hostLabels,
          lowest(thresholds, hostLabels, responds),
          responds,
          reporterUp,
          reporter,
        ),
        equals(maxOverTime(responds, known), 1),
        { on: hostLabels },
      ),
      labels: { source: 'metrics' },
    },
    {
      expression: or(
        maxBy(hostLabels, maxOverTime(cgroups, window)),
        multiply(maxBy(hostLabels, missing), 0),
      ),
      labels: { source: 'cgroup' },
    },
  ];
});

/**
 * Pods and virtual machines that an open maintenance window covers, by the exporter that reports both. A rollout covers a
 * pod for some minutes only: it explains a replacement, not a pod that never gets Ready.
 */
export const serverMaintenance = recording('gitaly:server_maintenance:active', serverLabels, (thresholds) => {
  const lookback = promDuration(thresholds.missingSeriesLookback.value);
  // The newest sample: GitalyDown waits for longer than a scrape that fails, and the end of a rollout counts immediately.
  const open = equals(select(maintenanceActive), 1);
  const declared = equals(select(maintenance, { window: notLike('rollout:.*') }), 1);
  const recentlyReady = equals(maxOverTime(select(podReady), promDuration(thresholds.rolloutStep.value)), 1);
  const pods = or(
    and(recentlyReady, open, { on: reporter }),
    and(maxOverTime(select(podReady), lookback), declared, { on: reporter }),
  );
  const hosts = or(
    maxOverTime(select(scrapeUp, { component: 'gitaly', pod: '' }), lookback),
    maxOverTime(select(serverInfo, { pod: '' }), lookback),
  );
  return [
    {
      expression: or<string, string>(
        groupBy(podLabels, pods),
        groupBy(hostLabels, and(hosts, open, { on: reporter })),
      ),
    },
  ];
});

/**
 * The storages of Praefect that a Gitaly serves; the last known ones while no exporter with Praefect's configuration
 * reports them, for as long as GitalyDown holds.
 */
export const serverStorage = recording(
  'gitaly:server_storage:info',
  [...serverLabels, 'virtual_storage', 'storage'],
  (thresholds) => {
    const known = <Server extends ServerLabel>(
      server: readonly Server[],
      matchers: Matchers<typeof storageInfo>,
    ) => {
      const by = [...server, 'virtual_storage', 'storage'] as const;
      const series = select(storageInfo, matchers);
      const last = lastOverTime(series, promDuration(thresholds.staleHold.value));
      return or(highest<string, string>(thresholds, by, series), maxBy<string, string>(by, last), {
        on: server,
      });
    };
    // On a virtual machine `namespace` is that of the exporter, which says nothing about the server.
    return [
      {
        expression: or<string, string>(known(podLabels, { pod: not('') }), known(hostLabels, { pod: '' })),
      },
    ];
  },
);

const levelLabels = [...serverLabels, 'level'] as const;
const perContainer = [...serverLabels, 'container'] as const;

/** One rule for each level. `ofLevel` gets the labels by which both sides of its ratio match. */
const byLevel = (
  ofLevel: (metrics: LevelMetrics, by: readonly ServerLabel[]) => Vector<ServerLabel>,
): readonly RecordingRule[] => [
  { expression: ofLevel(gitLevelMetrics, serverLabels), labels: { level: 'git' } },
  {
    // As if its name were a label of every level.
    expression: maxBy(
      serverLabels,
      ofLevel(containerLevelMetrics, perContainer as readonly string[] as readonly ServerLabel[]),
    ),
    labels: { level: 'container' },
  },
  { expression: ofLevel(podLevelMetrics, serverLabels), labels: { level: 'pod' } },
];

/** Anonymous memory, which the kernel cannot reclaim, by limit. */
export const memoryRatio = recording('gitaly:memory_anon:ratio', levelLabels, (thresholds) =>
  byLevel((of, by) =>
    divide(
      highest<string, ServerLabel>(thresholds, by, select(of.memoryAnon)),
      lowest<string, ServerLabel>(thresholds, by, select(of.memoryLimit)),
      { on: by },
    ),
  ),
);

/** Ratio of time in which all tasks waited for memory (PSI). */
export const memoryPressure = recording('gitaly:memory_pressure:ratio', levelLabels, (thresholds) =>
  byLevel((of, by) => {
    const waiting = select(of.pressure, { resource: 'memory', kind: 'full' });
    return maxBy<string, ServerLabel>(by, rate(waiting, rateWindow(thresholds)));
  }),
);

/** Throttled periods by all periods at the level's own CPU limit, while it runs in most of them. */
export const cpuThrottledRatio = recording('gitaly:cpu_throttled:ratio', levelLabels, (thresholds) =>
  byLevel((of, by) => {
    const over = (counter: LevelMetrics['cpuPeriods']) =>
      maxBy<string, ServerLabel>(by, increase(select(counter), rateWindow(thresholds)));
    // There are ten periods a second while something runs: with fewer than one the ratio means nothing.
    const periods = above(over(of.cpuPeriods), thresholds.rateWindow.value);
    return divide(over(of.cpuThrottledPeriods), periods, { on: by });
  }),
);

/** Metrics name the container so that runs Gitaly. The OOM kill of a sidecar is not one of Gitaly. */
export const gitalyContainerKilled = { container: 'gitaly', reason: 'OOMKilled' } as const;

/** Pods whose cgroups an agent finds: an exporter without cgroups reports pods, too, with an empty driver. */
export const podsWithAgent = select(serverInfo, { pod: not(''), cgroup_driver: not('') });

/** The levels at which Gitaly itself may be killed. */
const levelsOfGitaly = { level: oneOf('container', 'pod', 'node') } as const;
const levelsOfGit = { level: oneOf('bucket', 'git') } as const;
/** How much later Kubernetes may date a kill than the agent, and report it before the agent is scraped. */
const sameKillSeconds = 60;
const agentDelaySeconds = 120;

/**
 * Kubernetes' report of a restart counts where no agent reports the kill with its level: it would count twice. An agent
 * misses kills while it is down itself, as when its node is out of memory. One expression: Prometheus rejects a sample of
 * one rule for a series that another rule has ended.
 */
export const oomEventIncrease = recording('gitaly:oom_events:increase', levelLabels, ({ oomWindow }) => {
  const range = promDuration(oomWindow.value);
  const on = { on: podLabels };
  const restarts = maxBy([...podLabels, 'node'], increase(select(podRestarts, gitalyContainerKilled), range));
  const ofGit = maxBy(levelLabels, increase(select(oomEvents, levelsOfGit), range));
  const ofGitaly = maxBy(levelLabels, increase(select(oomEvents, levelsOfGitaly), range));
  const difference = subtract(sumBy(podLabels, ofGitaly), sumBy(podLabels, restarts), on);
  const missed = unless(restarts, atLeast(difference, -0.5), on);
  return or(ofGit, or(unless(ofGitaly, below(difference, -0.5), on), labelled(missed, 'level', 'container')));
});

/** The latest OOM kill within oomWindow. A timestamp needs no second sample, unlike a counter. */
export const lastOomTime = recording('gitaly:last_oom:timestamp_seconds', levelLabels, ({ oomWindow }) => {
  const range = promDuration(oomWindow.value);
  const on = { on: podLabels };
  const ended = maxOverTime(select(podLastRestart, gitalyContainerKilled), range);
  const byKubernetes = maxBy(podLabels, ended);
  const byAgent = maxBy(podLabels, maxOverTime(select(lastOom, levelsOfGitaly), range));
  const missed = unless(
    above(below(secondsSinceTimestamp(byKubernetes), oomWindow.value), agentDelaySeconds),
    atLeast(subtract(byAgent, byKubernetes, on), -sameKillSeconds),
    on,
  );
  // One that cannot follow the kills of a pod (memory_localevents, no memory.events.local) has no such series of it.
  const followed = presentOverTime(select(oomEvents, { pod: not('') }), range);
  const withoutAgent = unless(byKubernetes, followed, on);
  const latest = (levels: typeof levelsOfGit | typeof levelsOfGitaly) =>
    maxBy(levelLabels, maxOverTime(select(lastOom, levels), range));
  const uncounted = and(maxBy([...podLabels, 'node'], ended), or(missed, withoutAgent), on);
  return or(
    latest(levelsOfGit),
    or(unless(latest(levelsOfGitaly), missed, on), labelled(uncounted, 'level', 'container')),
  );
});

export const oomKillIncrease = recording('gitaly:oom_kills:increase', levelLabels, (thresholds) =>
  maxBy(levelLabels, increase(select(oomKills), promDuration(thresholds.gitOomWindow.value))),
);

export const gitalyRecordings = [
  serving,
  serverMaintenance,
  serverStorage,
  memoryRatio,
  memoryPressure,
  cpuThrottledRatio,
  oomEventIncrease,
  lastOomTime,
  oomKillIncrease,
] as const;
