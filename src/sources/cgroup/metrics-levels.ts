/**
 * What is said of each level above the buckets: the pod's slice, the container's scope, and the parent of all Git
 * processes. The three have the same rows under names of their own, so that no sum counts twice.
 */
import { anyValue, counter, gauge, type LabelSpec, type Metric } from '../../metrics/metric.ts';

export const identityLabels = { namespace: anyValue, pod: anyValue, node: anyValue } as const;
type IdentityLabels = typeof identityLabels;

export const levels = ['pod', 'container', 'git'] as const;
export type Level = (typeof levels)[number];

export const pressureResources = ['cpu', 'memory', 'io'] as const;
export type PressureResource = (typeof pressureResources)[number];

/** `some`: at least one task waited. `full`: all that were not idle did. */
export const pressureKinds = ['some', 'full'] as const;
export type PressureKind = (typeof pressureKinds)[number];

/** Keys of memory.events. oom_group_kill is missing on kernels before 5.17. */
export const memoryEvents = ['low', 'high', 'max', 'oom', 'oom_kill', 'oom_group_kill'] as const;
export type MemoryEvent = (typeof memoryEvents)[number];

type Gauge<Labels extends LabelSpec> = Metric<Labels, 'gauge'>;
type Counter<Labels extends LabelSpec> = Metric<Labels, 'counter'>;

/** The rows of one level. */
export interface LevelMetrics<Own extends LabelSpec = LabelSpec> {
  readonly memoryUsage: Gauge<Own>;
  readonly memoryWorkingSet: Gauge<Own>;
  readonly memoryAnon: Gauge<Own>;
  readonly memoryFile: Gauge<Own>;
  readonly memoryPeak: Gauge<Own>;
  readonly memoryLimit: Gauge<Own>;
  readonly memoryLimited: Gauge<Own>;
  readonly cpuUsage: Counter<Own>;
  readonly cpuUser: Counter<Own>;
  readonly cpuSystem: Counter<Own>;
  readonly cpuLimit: Gauge<Own>;
  readonly cpuLimited: Gauge<Own>;
  readonly cpuPeriods: Counter<Own>;
  readonly cpuThrottledPeriods: Counter<Own>;
  readonly cpuThrottled: Counter<Own>;
  readonly pressure: Counter<
    Own & { readonly resource: typeof pressureResources; readonly kind: typeof pressureKinds }
  >;
  readonly memoryEvents: Counter<Own & { readonly event: typeof memoryEvents }>;
}

interface LevelWords {
  /** "memory of ..." */
  readonly of: string;
  /** When every metric of the level is absent. */
  readonly absent: string;
}

function levelMetrics<const Own extends LabelSpec>(
  level: Level,
  labels: Own,
  { of, absent }: LevelWords,
): LevelMetrics<Own> {
  const say = (help: string): string => `${help} ${absent}`;
  return Object.freeze({
    memoryUsage: gauge(`gitaly_server_${level}_memory_usage_bytes`, {
      help: say(
        `Memory of ${of}, page cache included: near the limit it is no alarm by itself, because page cache is given back.`,
      ),
      origin: 'memory.current',
      unit: 'bytes',
      labels,
    }),
    memoryWorkingSet: gauge(`gitaly_server_${level}_memory_working_set_bytes`, {
      help: say(`Memory of ${of} less inactive page cache: what the kubelet calls working set.`),
      origin: 'memory.current, less inactive_file of memory.stat',
      unit: 'bytes',
      labels,
    }),
    memoryAnon: gauge(`gitaly_server_${level}_memory_anon_bytes`, {
      help: say(
        `Anonymous memory of ${of}: what processes hold and the kernel cannot take back. Held against the limit it says how near the next OOM kill is.`,
      ),
      origin: 'anon of memory.stat',
      unit: 'bytes',
      labels,
    }),
    memoryFile: gauge(`gitaly_server_${level}_memory_file_bytes`, {
      help: say(`Page cache of ${of}, tmpfs and shared memory included.`),
      origin: 'file of memory.stat',
      unit: 'bytes',
      labels,
    }),
    memoryPeak: gauge(`gitaly_server_${level}_memory_peak_bytes`, {
      help: say(
        `The most memory of ${of} since its cgroup was made, page cache included. Absent before Linux 5.19.`,
      ),
      origin: 'memory.peak',
      unit: 'bytes',
      labels,
    }),
    memoryLimit: gauge(`gitaly_server_${level}_memory_limit_bytes`, {
      help: say(`Memory limit of ${of}. Absent where there is none.`),
      origin: 'memory.max',
      unit: 'bytes',
      labels,
    }),
    memoryLimited: gauge(`gitaly_server_${level}_memory_limited`, {
      help: say(`1 when there is a memory limit of ${of}, 0 when there is none (max).`),
      origin: 'memory.max',
      labels,
    }),
    cpuUsage: counter(`gitaly_server_${level}_cpu_usage_seconds_total`, {
      help: say(`CPU time of ${of} since its cgroup was made.`),
      origin: 'usage_usec of cpu.stat',
      unit: 'seconds',
      labels,
    }),
    cpuUser: counter(`gitaly_server_${level}_cpu_user_seconds_total`, {
      help: say(`CPU time of ${of} in programs.`),
      origin: 'user_usec of cpu.stat',
      unit: 'seconds',
      labels,
    }),
    cpuSystem: counter(`gitaly_server_${level}_cpu_system_seconds_total`, {
      help: say(`CPU time of ${of} in the kernel.`),
      origin: 'system_usec of cpu.stat',
      unit: 'seconds',
      labels,
    }),
    cpuLimit: gauge(`gitaly_server_${level}_cpu_limit_cores`, {
      help: say(`CPU limit of ${of}. Absent where there is none.`),
      origin: 'cpu.max, quota by period',
      unit: 'cores',
      labels,
    }),
    cpuLimited: gauge(`gitaly_server_${level}_cpu_limited`, {
      help: say(`1 when there is a CPU limit of ${of}, 0 when there is none (max).`),
      origin: 'cpu.max',
      labels,
    }),
    cpuPeriods: counter(`gitaly_server_${level}_cpu_periods_total`, {
      help: say(`Periods of the CPU limit of ${of} in which something ran. Stands still without a limit.`),
      origin: 'nr_periods of cpu.stat',
      labels,
    }),
    cpuThrottledPeriods: counter(`gitaly_server_${level}_cpu_throttled_periods_total`, {
      help: say(
        `Periods in which the CPU limit of ${of} held something back; by the limit of this level, not of one above or below.`,
      ),
      origin: 'nr_throttled of cpu.stat',
      labels,
    }),
    cpuThrottled: counter(`gitaly_server_${level}_cpu_throttled_seconds_total`, {
      help: say(
        `How long the CPU limit of ${of} held something back, summed over CPUs: more than a second a second is possible.`,
      ),
      origin: 'throttled_usec of cpu.stat',
      unit: 'seconds',
      labels,
    }),
    pressure: counter(`gitaly_server_${level}_pressure_seconds_total`, {
      help: say(
        `How long tasks of ${of} waited for a resource. some: at least one of them; full: all that were not idle, so that nothing went on. Absent without PSI (psi=0), full of cpu before Linux 5.13.`,
      ),
      origin: 'total of cpu.pressure, memory.pressure, io.pressure',
      unit: 'seconds',
      labels: { ...labels, resource: pressureResources, kind: pressureKinds },
    }),
    memoryEvents: counter(`gitaly_server_${level}_memory_events_total`, {
      help: say(
        `Memory events of ${of}, at that cgroup itself and not below it. max: about to exceed the limit and reclaimed, which page cache does all day. oom: the limit ran out, often many times for one kill; kills are counted by gitaly_server_oom_kills_total. oom_kill: processes of this cgroup itself killed, whoever's limit ran out. A key that the kernel does not have is absent.`,
      ),
      origin: 'memory.events.local',
      labels: { ...labels, event: memoryEvents },
    }),
  });
}

export const podMetrics: LevelMetrics<IdentityLabels> = levelMetrics('pod', identityLabels, {
  of: 'the whole pod (its slice)',
  absent: 'Gitaly, its Git processes and sidecars together. Absent on a virtual machine.',
});

export const containerMetrics: LevelMetrics<IdentityLabels & { readonly container: typeof anyValue }> =
  levelMetrics(
    'container',
    { ...identityLabels, container: anyValue },
    {
      of: "Gitaly's container (its scope)",
      absent:
        "Git processes are in it unless gitaly_server_info says tree beside. While nobody has told which of the pod's containers is Gitaly's, each of them by the first digits of its id. Absent on a virtual machine.",
    },
  );

export const gitMetrics: LevelMetrics<IdentityLabels> = levelMetrics('git', identityLabels, {
  of: 'all Git processes together (gitaly-<pid>)',
  absent: "Absent where Gitaly's Git cgroups are off.",
});

export const metricsOfLevel = (level: LevelMetrics<LabelSpec>): readonly Metric[] => Object.values(level);
