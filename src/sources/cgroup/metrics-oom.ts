/** What is said of OOM kills, by the level whose limit ran out. */
import { counter, gauge, type Metric } from '../../metrics/metric.ts';
import { identityLabels } from './metrics-levels.ts';
import { oomLevels } from './oom/record.ts';

const perLevel = { ...identityLabels, level: oomLevels } as const;
const whose =
  "level is whose limit ran out: bucket, git (the parent of all Git processes), container, pod, or node when none of the pod's did.";
const since = "Counted from the exporter's start on, across the removal and re-creation of cgroups.";
const origin = 'memory.events and memory.events.local of every level';

export const oomKills = counter('gitaly_server_oom_kills_total', {
  help: `Processes killed for want of memory, group kills corrected; ${whose} ${since}`,
  origin,
  labels: perLevel,
});

export const oomEvents = counter('gitaly_server_oom_events_total', {
  help: `Incidents in which processes were killed for want of memory, however many died in one; ${whose} ${since}`,
  origin,
  labels: perLevel,
});

export const lastOom = gauge('gitaly_server_last_oom_timestamp_seconds', {
  help: `When the exporter saw the newest OOM kill; ${whose} Absent until there is one.`,
  origin,
  unit: 'seconds',
  labels: perLevel,
});

export const oomMetrics: readonly Metric[] = Object.freeze([oomKills, oomEvents, lastOom]);
