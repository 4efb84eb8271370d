/** What is said of the repository buckets (repos-N) together, and of those that have series of their own. */
import { anyValue, counter, gauge, type Metric } from '../../metrics/metric.ts';
import { identityLabels } from './metrics-levels.ts';

const perBucket = { ...identityLabels, bucket: anyValue } as const;
const chosen =
  'Of the buckets that cgroup.buckets chooses: with top the busiest of each Gitaly by CPU time and memory, and every one that had an OOM kill since the exporter started.';

export const gitProcesses = gauge('gitaly_server_git_processes', {
  help: 'Git processes that run now, in all buckets together. Absent when a bucket could not be read, and where Git cgroups are off.',
  origin: 'lines of cgroup.procs',
  labels: identityLabels,
});

export const buckets = gauge('gitaly_server_buckets', {
  help: "Repository buckets of this Gitaly: as its configuration says where that is known, else those that exist, and Gitaly makes one only when a repository first needs it. Absent where Gitaly's Git cgroups are off.",
  origin: 'cgroups.repositories.count, else directories repos-N',
  labels: identityLabels,
});

export const bucketsActive = gauge('gitaly_server_buckets_active', {
  help: 'Buckets with a process or anonymous memory. Anonymous memory without a process is rare and looked for once a minute. Absent, not too low, when a bucket could not be read (gitaly_server_buckets_unread).',
  origin: 'populated of cgroup.events, anon of memory.stat',
  labels: identityLabels,
});

export const bucketsNearLimit = gauge('gitaly_server_buckets_near_limit', {
  help: 'Buckets whose anonymous memory is over 80 % of their limit: the next large Git process in them may be killed. Page cache does not count. Absent, not too low, when a bucket could not be read (gitaly_server_buckets_unread), and where no bucket has memory files.',
  origin: 'anon of memory.stat against memory.max',
  labels: identityLabels,
});

export const bucketsUnread = gauge('gitaly_server_buckets_unread', {
  help: 'Buckets of which something could not be read at the last sweep; gitaly_exporter_cgroup_read_failures_total says why. Buckets removed meanwhile do not count.',
  origin: "the exporter's reads",
  labels: identityLabels,
});

export const bucketMemoryUsage = gauge('gitaly_server_bucket_memory_usage_bytes', {
  help: `Memory of the bucket's Git processes, page cache included. ${chosen}`,
  origin: 'memory.current',
  unit: 'bytes',
  labels: perBucket,
});

export const bucketMemoryLimit = gauge('gitaly_server_bucket_memory_limit_bytes', {
  help: `Memory limit of the bucket; absent where it has none. ${chosen}`,
  origin: 'memory.max',
  unit: 'bytes',
  labels: perBucket,
});

export const bucketCpuUsage = counter('gitaly_server_bucket_cpu_usage_seconds_total', {
  help: `CPU time of the bucket's Git processes. ${chosen}`,
  origin: 'usage_usec of cpu.stat',
  unit: 'seconds',
  labels: perBucket,
});

export const bucketCpuThrottled = counter('gitaly_server_bucket_cpu_throttled_seconds_total', {
  help: `How long the bucket's own CPU limit held its processes back, summed over CPUs. ${chosen}`,
  origin: 'throttled_usec of cpu.stat',
  unit: 'seconds',
  labels: perBucket,
});

export const bucketOomKills = counter('gitaly_server_bucket_oom_kills_total', {
  help: `Processes of the bucket killed for want of memory since the exporter started, whichever level's limit ran out. ${chosen}`,
  origin: 'oom_kill of memory.events.local',
  labels: perBucket,
});

/** All metrics of the bucket sweep. */
export const bucketMetrics: readonly Metric[] = Object.freeze([
  gitProcesses,
  buckets,
  bucketsActive,
  bucketsNearLimit,
  bucketsUnread,
  bucketMemoryUsage,
  bucketMemoryLimit,
  bucketCpuUsage,
  bucketCpuThrottled,
  bucketOomKills,
]);
