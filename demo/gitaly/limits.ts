/** What the demo's Gitalys are configured with, and what comes in: one table, from which their config.toml is made too. */
import { demoBuckets } from './cgroups/pods.ts';
import type { LimitSetting } from './limiter.ts';

export interface Traffic {
  readonly perSecond: number;
  /** Mean time that one takes once it runs. */
  readonly seconds: number;
  /** Among how many repositories, or client addresses, it is spread. */
  readonly keys: number;
}

export interface DemoLimit extends LimitSetting {
  readonly service: string;
  readonly method: string;
  readonly adaptive?: { readonly min: number; readonly max: number };
  readonly traffic: Traffic;
}

export const demoLimits = [
  {
    ...{ service: 'gitaly.SSHService', method: 'SSHUploadPackWithSidechannel' },
    ...{ limit: 20, queueSize: 50, queueWaitMs: 60_000, adaptive: { min: 5, max: 40 } },
    traffic: { perSecond: 3, seconds: 0.8, keys: 40 },
  },
  {
    ...{ service: 'gitaly.SmartHTTPService', method: 'PostUploadPackWithSidechannel' },
    ...{ limit: 20, queueSize: 100, queueWaitMs: 60_000 },
    traffic: { perSecond: 5, seconds: 0.6, keys: 40 },
  },
  {
    ...{ service: 'gitaly.RepositoryService', method: 'GetArchive' },
    ...{ limit: 2, queueSize: 4, queueWaitMs: 5000 },
    traffic: { perSecond: 0.4, seconds: 1.5, keys: 30 },
  },
  {
    // Built in: no configuration says so.
    ...{ service: 'gitaly.RepositoryService', method: 'ReplicateRepository' },
    ...{ limit: 1, queueSize: 500, queueWaitMs: Number.POSITIVE_INFINITY },
    traffic: { perSecond: 0.1, seconds: 1, keys: 100 },
  },
] as const satisfies readonly DemoLimit[];

/** For each client's address. */
export const demoPackObjects: LimitSetting & { readonly traffic: Traffic } = {
  ...{ limit: 15, queueSize: 20, queueWaitMs: 30_000 },
  traffic: { perSecond: 4, seconds: 1.2, keys: 25 },
};

const quota = (cores: number): number => cores * 100_000;

const cgroups = `[cgroups]
mountpoint = "/sys/fs/cgroup"
hierarchy_root = "gitaly"
memory_bytes = ${demoBuckets.git.memory}
cpu_quota_us = ${quota(demoBuckets.git.cores)}

[cgroups.repositories]
count = ${demoBuckets.count}
memory_bytes = ${demoBuckets.each.memory}
cpu_quota_us = ${quota(demoBuckets.each.cores)}
`;

/** Gitaly's config.toml, as far as it is about limits. */
export function configToml(storage: string, address: string): string {
  const concurrency = demoLimits
    .filter(({ method }) => method !== 'ReplicateRepository')
    .map((each: DemoLimit) => {
      const limit =
        each.adaptive === undefined
          ? `max_per_repo = ${each.limit}`
          : `adaptive = true\nmin_limit = ${each.adaptive.min}\ninitial_limit = ${each.limit}\nmax_limit = ${each.adaptive.max}`;
      return `[[concurrency]]
rpc = "/${each.service}/${each.method}"
${limit}
max_queue_size = ${each.queueSize}
max_queue_wait = "${each.queueWaitMs / 1000}s"
`;
    });
  return `# The demo's Gitaly ${storage}.
prometheus_listen_addr = "${address}"

[[storage]]
name = "${storage}"
path = "/var/opt/gitlab/git-data/repositories"

${cgroups}
[pack_objects_cache]
enabled = true

[pack_objects_limiting]
max_concurrency = ${demoPackObjects.limit}
max_queue_size = ${demoPackObjects.queueSize}
max_queue_wait = "${demoPackObjects.queueWaitMs / 1000}s"

${concurrency.join('\n')}`;
}
