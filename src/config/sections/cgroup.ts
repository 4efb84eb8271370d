/** Gitaly's cgroups on this host: where they are and how much is told of them. */
import { duration } from '../kinds/quantities.ts';
import { filePath, integer, oneOf, toggle } from '../kinds/scalars.ts';
import { optional, type Section, setting } from '../setting.ts';

const second = 1000;

export const bucketChoices = ['top', 'all', 'none'] as const;

export const cgroupSection = {
  title: "Gitaly's cgroups",
  settings: {
    cgroup: {
      enabled: setting(toggle(), {
        default: false,
        help: "Watch Gitaly's memory, CPU, pressure and OOM kills in this host's cgroups (v2). The exporter must run on Gitaly's own host or node, and needs to read there, no more.",
      }),
      root: setting(filePath(), {
        default: '/sys/fs/cgroup',
        help: "Where the host's cgroup v2 tree is mounted; read-only will do. In a container, mount the host's there: its own shows only itself.",
      }),
      buckets: setting(oneOf(bucketChoices), {
        default: 'top',
        help: 'Which of the repository buckets (repos-N) get series of their own: the busiest and every one that had an OOM kill, all, or none.',
      }),
      topBuckets: setting(integer({ min: 1, max: 1000 }), {
        default: 20,
        help: 'How many of the busiest buckets of each Gitaly get series with buckets=top.',
      }),
      podsFile: optional(filePath(), {
        unset: 'the pods that kubernetes.* finds; without those, pods are named by their uid',
        help: "Gitaly's pods as `kubectl get pods -A -l app=gitaly -o json` prints them, in place of the API. Read again when it changes.",
        example: '/etc/gitaly-exporter/pods.json',
      }),
      pollInterval: setting(duration({ min: 100, max: 60 * second }), {
        default: 500,
        help: 'How often OOM counters are read when no notification comes: the net beneath the watches.',
      }),
    },
  },
} as const satisfies Section;
