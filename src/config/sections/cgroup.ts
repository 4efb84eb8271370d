/** Gitaly's cgroups on this host: where they are mounted, and what is exposed about them. */
import { duration } from '../kinds/quantities.ts';
import { choice, filePath, integer, toggle } from '../kinds/scalars.ts';
import { optional, type Section, setting } from '../setting.ts';

const second = 1000;

export const bucketChoices = ['top', 'all', 'none'] as const;

export const cgroupSection = {
  title: "Gitaly's cgroups",
  settings: {
    cgroup: {
      enabled: setting(toggle(), {
        default: false,
        help: "Read memory, CPU, pressure and OOM kills of Gitaly from this host's cgroups (v2). The exporter must run on Gitaly's own host or node, with read access to its cgroups.",
      }),
      root: setting(filePath(), {
        default: '/sys/fs/cgroup',
        help: "Directory where the host's cgroup v2 is mounted, read-only or not. In a container, mount the host's: the container's own shows only itself.",
      }),
      buckets: setting(choice(bucketChoices), {
        default: 'top',
        help: 'Repository buckets (repos-N) with series of their own. top: the busiest, and every bucket that had an OOM kill.',
      }),
      topBuckets: setting(integer({ min: 1, max: 1000 }), {
        default: 20,
        help: 'Number of the busiest buckets of each Gitaly with series of their own, when cgroup.buckets is top.',
      }),
      podsFile: optional(filePath(), {
        unset: 'pods from the Kubernetes API; without it, pods are named by their UID',
        help: "File with Gitaly's pods, as printed by `kubectl get pods -A -l app=gitaly -o json`, in place of the Kubernetes API. Read again when it changes.",
        example: '/etc/gitaly-exporter/pods.json',
      }),
      pollInterval: setting(duration({ min: 100, max: 60 * second }), {
        default: 500,
        help: 'How often OOM counters are read when the kernel sends no notification.',
      }),
    },
  },
} as const satisfies Section;
