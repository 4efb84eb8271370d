/**
 * Metrics of the levels above the buckets: the pod's slice, the container's scope, and the parent cgroup of all Git
 * processes. All three have the same metrics under names of their own, so that no sum counts anything twice.
 */
import { anyValue, counter, gauge, type LabelSpec, type Metric } from '../../metrics/metric.ts';
import { identityLabels } from '../identity.ts';

export const levels = ['pod', 'container', 'git'] as const;
export type Level = (typeof levels)[number];

export const pressureResources = ['cpu', 'memory', 'io'] as const;
export type PressureResource = (typeof pressureResources)[number];

/** `some`: at least one task stalled. `full`: all tasks that were not idle stalled. */
export const pressureKinds = ['some', 'full'] as const;

/** Keys of memory.events. Kernels before 5.17 have no oom_group_kill. */
export const memoryEvents = ['low', 'high', 'max', 'oom', 'oom_kill', 'oom_group_kill'] as const;
export type MemoryEvent = (typeof memoryEvents)[number];

/**
 * @param of whose memory and CPU it is, to follow "of"
 */
function levelMetrics<const Own extends LabelSpec>(level: Level, labels: Own, of: string) {
  const name = `gitaly_server_${level}` as const;
  return Object.freeze({
    memoryUsage: gauge(`${name}_memory_usage_bytes`, {
      help: `Memory usage of ${of}, including page cache.`,
      details: 'Usage near the limit is normal, because page cache is reclaimed first.',
      origin: 'memory.current',
      labels,
    }),
    memoryWorkingSet: gauge(`${name}_memory_working_set_bytes`, {
      help: `Memory usage of ${of} without inactive page cache, computed as the kubelet does.`,
      origin: 'memory.current minus inactive_file of memory.stat',
      labels,
    }),
    memoryAnon: gauge(`${name}_memory_anon_bytes`, {
      help: `Anonymous memory of ${of}, which the kernel cannot reclaim.`,
      details: 'Compare it with the limit to see how close the next OOM kill is.',
      origin: 'anon of memory.stat',
      labels,
    }),
    memoryFile: gauge(`${name}_memory_file_bytes`, {
      help: `Page cache of ${of}, including tmpfs and shared memory.`,
      origin: 'file of memory.stat',
      labels,
    }),
    memoryPeak: gauge(`${name}_memory_peak_bytes`, {
      help: `Highest memory usage of ${of} since its cgroup was created, including page cache.`,
      details: 'Absent before Linux 5.19.',
      origin: 'memory.peak',
      labels,
    }),
    memoryLimit: gauge(`${name}_memory_limit_bytes`, {
      help: `Memory limit of ${of}; absent when there is none.`,
      details: 'Usage without a limit means that memory.max is max.',
      origin: 'memory.max',
      labels,
    }),
    cpuUsage: counter(`${name}_cpu_usage_seconds_total`, {
      help: `CPU time of ${of} since its cgroup was created.`,
      origin: 'usage_usec of cpu.stat',
      labels,
    }),
    cpuUser: counter(`${name}_cpu_user_seconds_total`, {
      help: `CPU time of ${of} in user mode.`,
      origin: 'user_usec of cpu.stat',
      labels,
    }),
    cpuSystem: counter(`${name}_cpu_system_seconds_total`, {
      help: `CPU time of ${of} in kernel mode.`,
      origin: 'system_usec of cpu.stat',
      labels,
    }),
    cpuLimit: gauge(`${name}_cpu_limit_cores`, {
      help: `CPU limit of ${of}; absent when there is none.`,
      details: 'CPU usage without a limit means that the quota of cpu.max is max.',
      origin: 'quota divided by period of cpu.max',
      labels,
    }),
    cpuPeriods: counter(`${name}_cpu_periods_total`, {
      help: `Enforcement periods of the CPU limit of ${of} in which a task ran.`,
      details: 'Does not increase without a CPU limit.',
      origin: 'nr_periods of cpu.stat',
      labels,
    }),
    cpuThrottledPeriods: counter(`${name}_cpu_throttled_periods_total`, {
      help: `Enforcement periods in which tasks of ${of} were throttled.`,
      details: "Counts this level's own CPU limit only, not limits above or below it.",
      origin: 'nr_throttled of cpu.stat',
      labels,
    }),
    cpuThrottled: counter(`${name}_cpu_throttled_seconds_total`, {
      help: `Time for which the CPU limit of ${of} throttled tasks, summed over CPUs.`,
      details: 'It can increase by more than one second per second.',
      origin: 'throttled_usec of cpu.stat',
      labels,
    }),
    pressure: counter(`${name}_pressure_seconds_total`, {
      help: `Time for which tasks of ${of} stalled on a resource (PSI).`,
      details:
        'some: at least one task stalled. full: all tasks that were not idle stalled. Absent where the kernel has no PSI (psi=0); full of cpu is absent before Linux 5.13.',
      origin: 'total of cpu.pressure, memory.pressure and io.pressure',
      labels: { ...labels, resource: pressureResources, kind: pressureKinds },
    }),
    memoryEvents: counter(`${name}_memory_events_total`, {
      help: `Memory events of the cgroup of ${of}, without those of child cgroups.`,
      details:
        'max: usage was about to exceed the limit and memory was reclaimed, which page cache causes all the time. oom: the limit was reached and reclaim failed, often many times per kill; gitaly_server_oom_kills_total counts kills. oom_kill: processes of this very cgroup were killed, whichever limit was exceeded. Keys that the kernel does not have are absent.',
      origin: 'memory.events.local',
      labels: { ...labels, event: memoryEvents },
    }),
  });
}

/** The metrics of one level. */
export type LevelMetrics = ReturnType<typeof levelMetrics<LabelSpec>>;

export const podLevelMetrics = levelMetrics('pod', identityLabels, 'the pod');
export const containerLevelMetrics = levelMetrics(
  'container',
  { ...identityLabels, container: anyValue },
  "Gitaly's container",
);
export const gitLevelMetrics = levelMetrics('git', identityLabels, 'all Git processes');

/** What each level includes, and when all its metrics are absent: for the reference. */
export const levelsText = `The levels, which have the same metrics:

- \`pod\`: the pod's slice: Gitaly, Git processes and sidecars together. Absent on a virtual machine.
- \`container\`: the container's scope. It includes Git processes unless \`gitaly_server_info\` has
  \`cgroup_layout="sibling"\`. Until it is known which of the pod's containers is Gitaly's, each one is exposed under the
  first 12 digits of its ID. Absent on a virtual machine.
- \`git\`: the cgroup \`gitaly-<pid>\`, parent of the repository buckets. Absent where Gitaly's cgroups are disabled.`;

export const metricsOfLevel = (level: LevelMetrics): readonly Metric[] => Object.values(level);
