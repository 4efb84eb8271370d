/** Metrics of Gitaly's cgroups: info, OOM kills, repository buckets, and the exporter's own reads. */
import { anyValue, counter, gauge, type Metric, metricGroup } from '../../metrics/metric.ts';
import { identityLabels } from '../identity.ts';
import { serverInfo } from '../server-info.ts';
import { readFailures } from './files/reading.ts';
import { containerLevelMetrics, gitLevelMetrics, metricsOfLevel, podLevelMetrics } from './level-metrics.ts';
import { oomLevels } from './oom/record.ts';

const perLevel = { ...identityLabels, level: oomLevels } as const;
const levelDetails =
  "level: the cgroup whose limit was exceeded: bucket, git (the parent of all Git processes), container or pod; node when it was none of the pod's.";
const oomOrigin = 'memory.events and memory.events.local of every level';

export const oomKills = counter('gitaly_server_oom_kills_total', {
  help: 'Processes OOM-killed, by the level whose memory limit was exceeded.',
  details: `${levelDetails} Group kills are corrected for the kernel counting a victim twice. Starts at 0 with the exporter, and continues when cgroups are removed and created again.`,
  origin: oomOrigin,
  labels: perLevel,
});

export const oomEvents = counter('gitaly_server_oom_events_total', {
  help: 'OOM incidents, by the level whose memory limit was exceeded; each may kill several processes.',
  details: `${levelDetails} Starts at 0 with the exporter, and continues when cgroups are removed and created again.`,
  origin: oomOrigin,
  labels: perLevel,
});

export const lastOom = gauge('gitaly_server_last_oom_timestamp_seconds', {
  help: 'Time at which the exporter saw the latest OOM kill of the level.',
  details: `${levelDetails} Absent until the first kill.`,
  origin: oomOrigin,
  labels: perLevel,
});

export const restarts = counter('gitaly_server_restarts_total', {
  help: 'Restarts of the Gitaly of a virtual machine since the exporter first saw it.',
  details:
    "Each process has a gitaly-<pid> of its own: absent where Gitaly's cgroups are disabled, and for pods, whose restarts are in gitaly_server_pod_restarts_total. Several restarts between two reads count as one.",
  origin: 'directories gitaly-<pid>',
  labels: identityLabels,
});

/** Of the collector `cgroup`. */
export const levelsMetrics: readonly Metric[] = Object.freeze([
  serverInfo,
  ...metricsOfLevel(podLevelMetrics),
  ...metricsOfLevel(containerLevelMetrics),
  ...metricsOfLevel(gitLevelMetrics),
  oomKills,
  oomEvents,
  lastOom,
  restarts,
]);

const buckets = metricGroup();
const perBucket = { ...identityLabels, bucket: anyValue } as const;
const choiceDetails =
  'Exposed for the buckets that cgroup.buckets selects. With top: the busiest of each Gitaly by CPU time and memory, and every bucket with an OOM kill since the exporter started.';
const partialDetails =
  'Absent, rather than too low, when a bucket could not be read (gitaly_server_bucket_read_errors).';

export const gitProcesses = buckets.gauge('gitaly_server_git_processes', {
  help: 'Running Git processes, in all repository buckets together.',
  details: `${partialDetails} Absent where Gitaly's cgroups are disabled.`,
  origin: 'lines of cgroup.procs',
  labels: identityLabels,
});

export const bucketCount = buckets.gauge('gitaly_server_buckets', {
  help: 'Repository buckets of this Gitaly: as configured where that is known, else those that exist.',
  details:
    "Gitaly creates a bucket when a repository first needs it. Absent where Gitaly's cgroups are disabled.",
  origin: 'cgroups.repositories.count, else directories repos-N',
  labels: identityLabels,
});

export const bucketsActive = buckets.gauge('gitaly_server_buckets_active', {
  help: 'Repository buckets with a process or anonymous memory.',
  details: `${partialDetails} Anonymous memory without a process is rare, and checked once a minute.`,
  origin: 'populated of cgroup.events, anon of memory.stat',
  labels: identityLabels,
});

export const bucketsNearLimit = buckets.gauge('gitaly_server_buckets_near_limit', {
  help: 'Repository buckets whose anonymous memory exceeds 80% of their memory limit.',
  details: `The next large Git process there may be OOM-killed. Page cache does not count. ${partialDetails} Absent where buckets have no memory controller.`,
  origin: 'anon of memory.stat compared with memory.max',
  labels: identityLabels,
});

export const bucketReadErrors = buckets.gauge('gitaly_server_bucket_read_errors', {
  help: 'Repository buckets that could not be read completely in the last sweep.',
  details:
    'gitaly_exporter_cgroup_read_failures_total has the reasons. Buckets that were removed during the sweep do not count.',
  origin: "the exporter's reads",
  labels: identityLabels,
});

export const bucketMemoryUsage = buckets.gauge('gitaly_server_bucket_memory_usage_bytes', {
  help: 'Memory usage of the Git processes in the bucket, including page cache.',
  details: choiceDetails,
  origin: 'memory.current',
  labels: perBucket,
});

export const bucketMemoryLimit = buckets.gauge('gitaly_server_bucket_memory_limit_bytes', {
  help: 'Memory limit of the bucket; absent when there is none.',
  details: choiceDetails,
  origin: 'memory.max',
  labels: perBucket,
});

export const bucketCpuUsage = buckets.counter('gitaly_server_bucket_cpu_usage_seconds_total', {
  help: 'CPU time of the Git processes in the bucket.',
  details: choiceDetails,
  origin: 'usage_usec of cpu.stat',
  labels: perBucket,
});

export const bucketCpuThrottled = buckets.counter('gitaly_server_bucket_cpu_throttled_seconds_total', {
  help: "Time for which the bucket's own CPU limit throttled its processes, summed over CPUs.",
  details: choiceDetails,
  origin: 'throttled_usec of cpu.stat',
  labels: perBucket,
});

export const bucketOomKills = buckets.counter('gitaly_server_bucket_oom_kills_total', {
  help: 'Processes of the bucket OOM-killed since the exporter started, whichever limit was exceeded.',
  details: choiceDetails,
  origin: 'oom_kill of memory.events.local',
  labels: perBucket,
});

/** Of the collector `cgroup_buckets`. */
export const bucketMetrics = buckets.metrics;

const selfGroup = metricGroup();

export const cgroupGitalys = selfGroup.gauge('gitaly_exporter_cgroup_gitalys', {
  help: "Gitalys found in this host's cgroups at the last scan.",
  details:
    'Absent while the cgroups cannot be scanned, and while none is found but a directory may not be read. 0 when no Gitaly runs here. Pods that run outside of their slice do not count.',
  origin: "the exporter's scan of the cgroup tree",
});

export const cgroupReadFailures = selfGroup.counter('gitaly_exporter_cgroup_read_failures_total', {
  help: 'Failed reads of cgroup files, by reason.',
  details:
    'The values of a file that could not be read are absent. permission: the exporter may not read it. too_many_open_files: the limit on open files is too low. malformed: the content is not what a kernel writes. io: any other error. Files that this kernel does not have and cgroups that were removed do not count.',
  origin: "the exporter's reads",
  labels: { reason: readFailures },
});

export const unattributedKills = selfGroup.counter('gitaly_exporter_cgroup_unattributed_oom_kills_total', {
  help: 'OOM kills in pods removed before they could be read, of which one was a Gitaly.',
  details:
    'Kills right before the removal: the exporter reads a pod within half a second of a kill. Their pod and level are unknown, so they are in no gitaly_server_oom_* metric.',
  origin: "memory.events of the pods' parent cgroup",
});

export const cgroupOpenFiles = selfGroup.gauge('gitaly_exporter_cgroup_open_files', {
  help: 'Cgroup files that the exporter keeps open.',
  origin: "the exporter's reads",
});

export const cgroupWatches = selfGroup.gauge('gitaly_exporter_cgroup_watches', {
  help: 'Active inotify watches on cgroups, by kind.',
  details:
    'directory: directories in which Gitalys are created and removed. memory_events: Gitalys whose OOM kills are reported immediately; those of the others are found by polling.',
  origin: 'inotify watches of the exporter',
  labels: { kind: ['directory', 'memory_events'] },
});

/** Part of the exporter's own metrics: exposed even while there is no Gitaly and nothing can be read. */
export const cgroupSelfMetrics = selfGroup.metrics;
