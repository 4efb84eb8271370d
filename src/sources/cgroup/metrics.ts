/** All metrics of this room, and what it says of itself. */
import { anyValue, counter, gauge, type Metric } from '../../metrics/metric.ts';
import { readFailures } from './files/reading.ts';
import { bucketMetrics } from './metrics-buckets.ts';
import {
  containerMetrics,
  gitMetrics,
  identityLabels,
  metricsOfLevel,
  podMetrics,
} from './metrics-levels.ts';
import { oomMetrics } from './metrics-oom.ts';
import { layouts } from './tree.ts';

export * from './metrics-buckets.ts';
export * from './metrics-levels.ts';
export * from './metrics-oom.ts';

export const serverInfo = gauge('gitaly_server_info', {
  help: "Always 1; the labels say what this Gitaly is and runs on. tree: its Git cgroups are beside the container's scope, inside it, or none (Git runs in the container's own cgroup, and one OOM kill can take all of Gitaly). What nobody told is empty.",
  origin: "Kubernetes' API or the file of pods; the cgroup paths; uname",
  labels: {
    ...identityLabels,
    uid: anyValue,
    version: anyValue,
    qos_class: anyValue,
    priority_class: anyValue,
    runtime_version: anyValue,
    kernel_version: anyValue,
    cgroup_driver: anyValue,
    // '': known by the API alone, where nobody reads the cgroups.
    tree: ['', ...layouts],
  },
});

/** Of the collector `cgroup`. */
export const levelsMetrics: readonly Metric[] = Object.freeze([
  serverInfo,
  ...metricsOfLevel(podMetrics),
  ...metricsOfLevel(containerMetrics),
  ...metricsOfLevel(gitMetrics),
  ...oomMetrics,
]);

export const cgroupTrees = gauge('gitaly_exporter_cgroup_trees', {
  help: "Gitalys found in this host's cgroups at the last look, 0 when there is none. Absent while the cgroups cannot be looked through.",
  origin: "the exporter's look at the cgroup tree",
});

export const cgroupReadFailures = counter('gitaly_exporter_cgroup_read_failures_total', {
  help: 'Reads of cgroup files that failed, by reason; what they would have said is absent. permission: may not read there. descriptors: the limit on open files is too low. malformed: not what a kernel writes. io: any other error. A file that this kernel does not have and a cgroup that was removed are no failures.',
  origin: "the exporter's reads",
  labels: { reason: readFailures },
});

export const unattributedKills = counter('gitaly_exporter_cgroup_unattributed_oom_kills_total', {
  help: "OOM kills in pods that were gone before they could be read, when several went at once and one was Gitaly's: counted for none of them.",
  origin: "memory.events of the pods' parent",
});

export const cgroupDescriptors = gauge('gitaly_exporter_cgroup_descriptors', {
  help: 'Files of cgroups that the exporter keeps open.',
  origin: "the exporter's reads",
});

export const watchKinds = ['directory', 'memory_events'] as const;

export const cgroupWatches = gauge('gitaly_exporter_cgroup_watches', {
  help: 'What of the cgroups the exporter is notified of. directory: folders in which Gitalys come and go. memory_events: Gitalys whose OOM kills are seen at once; those of the others are seen by polling alone.',
  origin: "the exporter's watches (inotify)",
  labels: { kind: watchKinds },
});

/** In the exporter's own block: said even while there is no Gitaly and while nothing can be read. */
export const cgroupSelfMetrics: readonly Metric[] = Object.freeze([
  cgroupTrees,
  cgroupReadFailures,
  unattributedKills,
  cgroupDescriptors,
  cgroupWatches,
]);

/** All metrics of this room. */
export const cgroupMetrics: readonly Metric[] = Object.freeze([
  ...levelsMetrics,
  ...bucketMetrics,
  ...cgroupSelfMetrics,
]);
