/** Concurrency limits of the simulated Gitalys: their configuration, their traffic, and the limiter itself. */
import { demoBuckets } from '../node/pods.ts';

export interface CallRate {
  readonly perSecond: number;
  /** Mean duration of a running call. */
  readonly seconds: number;
  /** Number of repositories, or client addresses, that the calls are distributed over. */
  readonly keys: number;
}

export interface DemoLimit extends LimitSetting {
  readonly service: string;
  readonly method: string;
  readonly adaptive?: { readonly min: number; readonly max: number };
  readonly traffic: CallRate;
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
    // Built into Gitaly: not configurable.
    ...{ service: 'gitaly.RepositoryService', method: 'ReplicateRepository' },
    ...{ limit: 1, queueSize: 500, queueWaitMs: Number.POSITIVE_INFINITY },
    traffic: { perSecond: 0.1, seconds: 1, keys: 100 },
  },
] as const satisfies readonly DemoLimit[];

/** Keyed by the client's address. */
export const demoPackObjects: LimitSetting & { readonly traffic: CallRate } = {
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

/** Gitaly's config.toml with its limits; for a template, with actions in place of storage and address. */
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

// --- The limiter

interface LimitSetting {
  readonly limit: number;
  readonly queueSize: number;
  readonly queueWaitMs: number;
}

type DropReason = 'max_size' | 'max_time';

export interface Limiter {
  /** Adds a call with this duration once it runs. */
  arrive(key: string, durationMs: number, now: number): void;
  /** Ends the calls that are complete at `now` and starts queued ones. */
  advance(now: number): void;
  setLimit(limit: number): void;
  readonly state: LimiterState;
}

export interface LimiterState {
  limit: number;
  inProgress: number;
  queued: number;
  served: number;
  readonly dropped: Record<DropReason, number>;
  /** Waiting times of started calls: cumulative counts by `waitBounds`, and their sum in seconds. */
  readonly waits: { readonly buckets: number[]; sum: number; count: number };
}

/** Gitaly's default grpc_latency_buckets, in seconds. */
export const waitBounds = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 10, 30, 60, 300, 1500] as const;

interface LimitedCall {
  readonly durationMs: number;
  readonly arrivedAt: number;
}

interface KeyState {
  /** End times of the running calls. */
  running: number[];
  waiting: LimitedCall[];
}

/**
 * Gitaly's internal/limiter: a number of concurrent calls for each key (a repository, a client's address), and a queue
 * for each key with a maximum length and waiting time. Time advances only through `now`.
 */
export function createLimiter(setting: LimitSetting): Limiter {
  const keys = new Map<string, KeyState>();
  const state: LimiterState = {
    limit: setting.limit,
    inProgress: 0,
    queued: 0,
    served: 0,
    dropped: { max_size: 0, max_time: 0 },
    waits: { buckets: waitBounds.map(() => 0), sum: 0, count: 0 },
  };

  function run(key: KeyState, call: LimitedCall, now: number): void {
    key.running.push(now + call.durationMs);
    state.inProgress += 1;
    const waited = (now - call.arrivedAt) / 1000;
    for (const [index, bound] of waitBounds.entries())
      if (waited <= bound) state.waits.buckets[index] = (state.waits.buckets[index] ?? 0) + 1;
    state.waits.sum += waited;
    state.waits.count += 1;
  }

  return {
    state,
    setLimit(limit) {
      state.limit = limit;
    },
    arrive(name, durationMs, now) {
      const key = keys.get(name) ?? { running: [], waiting: [] };
      keys.set(name, key);
      const call = { durationMs, arrivedAt: now };
      if (key.running.length < state.limit) run(key, call, now);
      else if (key.waiting.length < setting.queueSize) {
        key.waiting.push(call);
        state.queued += 1;
      } else state.dropped.max_size += 1;
    },
    advance(now) {
      for (const [name, key] of keys) {
        const running = key.running.filter((endsAt) => endsAt > now);
        state.served += key.running.length - running.length;
        state.inProgress -= key.running.length - running.length;
        key.running = running;
        const waiting = key.waiting.filter(({ arrivedAt }) => now - arrivedAt < setting.queueWaitMs);
        state.dropped.max_time += key.waiting.length - waiting.length;
        state.queued -= key.waiting.length - waiting.length;
        key.waiting = waiting;
        while (key.running.length < state.limit) {
          const next = key.waiting.shift();
          if (next === undefined) break;
          state.queued -= 1;
          run(key, next, now);
        }
        if (key.running.length === 0 && key.waiting.length === 0) keys.delete(name);
      }
    },
  };
}
