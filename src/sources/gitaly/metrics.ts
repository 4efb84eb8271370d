/**
 * What this room says of each Gitaly: its limits, how far they are used, and whom they turn away.
 *
 * `namespace` and `pod` are empty on a virtual machine, where `node` is the host's name. What the numbers mean and
 * what they cannot say is in docs/limits.md.
 */
import { anyValue, counter, gauge, histogram, type Metric } from '../../metrics/metric.ts';

/** Why a request was not served. */
export const dropReasons = ['queue_full', 'queue_wait', 'rate', 'cancelled', 'load_shed'] as const;
export type DropReason = (typeof dropReasons)[number];

/** Those of a queue: of the pack-objects limit, and of calls whose user is told. */
export const queueDropReasons = ['queue_full', 'queue_wait', 'cancelled'] as const;

export const limitKinds = ['static', 'adaptive'] as const;
export const limitBounds = ['current', 'min', 'max', 'initial'] as const;
export const components = ['gitaly', 'praefect'] as const;
export type Component = (typeof components)[number];

const identity = { namespace: anyValue, pod: anyValue, node: anyValue } as const;
const perRpc = { ...identity, grpc_service: anyValue, grpc_method: anyValue } as const;
const limit = { kind: limitKinds, bound: limitBounds } as const;

const reasonsInWords =
  'queue_full: the queue was full. queue_wait: waited for longer than max_queue_wait. cancelled: the client left or its own deadline passed while it waited, and whatever else Gitaly calls other. rate: over a rate limit, up to GitLab 17. load_shed: ended by the load shedder, from GitLab 19.0 on.';

export const scrapeUp = gauge('gitaly_server_scrape_up', {
  help: "1 when the exporter's last read of that server's own metrics came through whole, 0 when not; then all that rests on it is absent, and the page says why. Always present for a known target.",
  origin: "the exporter's read of /metrics",
  labels: { ...identity, component: components },
});

export const scrapeDuration = gauge('gitaly_server_scrape_duration_seconds', {
  help: "How long the exporter's last read of that server's own metrics took, whether or not it came through.",
  origin: "the exporter's read of /metrics",
  unit: 'seconds',
  labels: { ...identity, component: components },
});

export const concurrencyLimit = gauge('gitaly_server_concurrency_limit', {
  help: 'How many calls of the RPC may run at once for one repository: not on the whole server, so it is not to be compared with gitaly_server_concurrency_in_progress. static: as configured. adaptive: current as Gitaly has it now; min, max and initial as configured. What is configured is absent without gitaly.config-file.',
  origin: "[[concurrency]] of Gitaly's config.toml; gitaly_concurrency_limiting_current_limit",
  labels: { ...perRpc, ...limit },
});

export const concurrencyUnauthenticatedLimit = gauge('gitaly_server_concurrency_unauthenticated_limit', {
  help: 'The same for calls without a user, where they have a limit of their own (from GitLab 18.9 on).',
  origin: "[concurrency.unauthenticated] of Gitaly's config.toml; gitaly_concurrency_limiting_current_limit",
  labels: { ...perRpc, ...limit },
});

export const concurrencyQueueLimit = gauge('gitaly_server_concurrency_queue_limit', {
  help: 'How many calls of the RPC may wait for one repository before more are turned away (up to GitLab 15 on the whole server). Absent where the configuration does not say: then it is not known to this exporter, but for the 500 of GitLab 18 and later.',
  origin: "max_queue_size of [[concurrency]] in Gitaly's config.toml",
  labels: perRpc,
});

export const concurrencyQueueWaitLimit = gauge('gitaly_server_concurrency_queue_wait_limit_seconds', {
  help: 'How long a call of the RPC may wait before it is turned away. Absent where the configuration does not say: no limit.',
  origin: "max_queue_wait of [[concurrency]] in Gitaly's config.toml",
  unit: 'seconds',
  labels: perRpc,
});

export const concurrencyInProgress = gauge('gitaly_server_concurrency_in_progress', {
  help: 'Calls of a limited RPC that run now, summed over all repositories of the server, although the limit is for each repository: it may lie far over the limit with nobody waiting. Judge saturation by gitaly_server_concurrency_queued, the waiting time and the drops.',
  origin: 'gitaly_concurrency_limiting_in_progress, up to GitLab 14.9 gitaly_rate_limiting_in_progress',
  labels: perRpc,
});

export const concurrencyQueued = gauge('gitaly_server_concurrency_queued', {
  help: 'Calls of a limited RPC that wait now because as many as may run for their repository already do, summed over all repositories.',
  origin: 'gitaly_concurrency_limiting_queued, up to GitLab 14.9 gitaly_rate_limiting_queued',
  labels: perRpc,
});

export const concurrencyWait = histogram('gitaly_server_concurrency_wait_seconds', {
  help: 'How long calls of a limited RPC waited before they ran; those that were turned away are not in it. In GitLab 13 only where grpc_latency_buckets is configured.',
  origin:
    'gitaly_concurrency_limiting_acquiring_seconds, up to GitLab 14.9 gitaly_rate_limiting_acquiring_seconds',
  unit: 'seconds',
  labels: perRpc,
});

export const requestsDropped = counter('gitaly_server_requests_dropped_total', {
  help: `Calls that a limit of the RPC did not let through. ${reasonsInWords} Absent up to GitLab 14.7, which does not count them.`,
  origin: 'gitaly_requests_dropped_total, gitaly_loadshedder_rpcs_shed_total',
  labels: { ...perRpc, reason: dropReasons },
});

export const requestsDroppedUnauthenticated = counter(
  'gitaly_server_requests_dropped_unauthenticated_total',
  {
    help: 'Those of gitaly_server_requests_dropped_total that had no user, by those reasons of which Gitaly tells. Absent up to GitLab 18.9, which does not tell.',
    origin: 'gitaly_requests_dropped_total{authenticated="false"}',
    labels: { ...perRpc, reason: queueDropReasons },
  },
);

export const rateLimitBurst = gauge('gitaly_server_rate_limit_burst', {
  help: 'Calls of the RPC that a rate limit lets through at once for one repository. Rate limits ended with GitLab 18.0.',
  origin: "burst of [[rate_limiting]] in Gitaly's config.toml",
  labels: perRpc,
});

export const rateLimitInterval = gauge('gitaly_server_rate_limit_interval_seconds', {
  help: 'How long it takes until gitaly_server_rate_limit_burst may be used again.',
  origin: "interval of [[rate_limiting]] in Gitaly's config.toml",
  unit: 'seconds',
  labels: perRpc,
});

export const packObjectsLimit = gauge('gitaly_server_pack_objects_limit', {
  help: "How many git-pack-objects (of clones and fetches) may run at once for one client's address. Kinds and bounds as of gitaly_server_concurrency_limit. It acts only with the pack-objects cache on, and not on clients whose address is unknown or the host's own; absent where the configuration has the cache off.",
  origin: "[pack_objects_limiting] of Gitaly's config.toml; gitaly_concurrency_limiting_current_limit",
  labels: { ...identity, ...limit },
});

export const packObjectsUnauthenticatedLimit = gauge('gitaly_server_pack_objects_unauthenticated_limit', {
  help: 'The same for clients without a user, where they have a limit of their own (from GitLab 18.9 on).',
  origin:
    "[pack_objects_limiting.unauthenticated] of Gitaly's config.toml; gitaly_concurrency_limiting_current_limit",
  labels: { ...identity, ...limit },
});

export const packObjectsQueueLimit = gauge('gitaly_server_pack_objects_queue_limit', {
  help: 'How many may wait for one address before more are turned away.',
  origin: "max_queue_size or max_queue_length of [pack_objects_limiting] in Gitaly's config.toml",
  labels: identity,
});

export const packObjectsQueueWaitLimit = gauge('gitaly_server_pack_objects_queue_wait_limit_seconds', {
  help: 'How long one may wait before it is turned away. Absent where the configuration does not say: no limit.',
  origin: "max_queue_wait of [pack_objects_limiting] in Gitaly's config.toml",
  unit: 'seconds',
  labels: identity,
});

export const packObjectsInProgress = gauge('gitaly_server_pack_objects_in_progress', {
  help: 'git-pack-objects under the limit that run now, summed over all client addresses, although the limit is for each address.',
  origin: 'gitaly_pack_objects_in_progress, from GitLab 15.6 on',
  labels: identity,
});

export const packObjectsQueued = gauge('gitaly_server_pack_objects_queued', {
  help: 'Clones and fetches that wait now for their turn, summed over all client addresses.',
  origin: 'gitaly_pack_objects_queued, from GitLab 15.6 on',
  labels: identity,
});

export const packObjectsWait = histogram('gitaly_server_pack_objects_wait_seconds', {
  help: 'How long clones and fetches waited before their git-pack-objects ran; those turned away are not in it.',
  origin: 'gitaly_pack_objects_acquiring_seconds, from GitLab 15.6 on',
  unit: 'seconds',
  labels: identity,
});

export const packObjectsDropped = counter('gitaly_server_pack_objects_dropped_total', {
  help: 'Clones and fetches that the pack-objects limit did not let through: the client is told Internal, not RESOURCE_EXHAUSTED. Reasons as of gitaly_server_requests_dropped_total.',
  origin: 'gitaly_pack_objects_dropped_total, from GitLab 15.6 on',
  labels: { ...identity, reason: queueDropReasons },
});

export const adaptiveBackoffs = counter('gitaly_server_adaptive_limit_backoffs_total', {
  help: 'How often Gitaly cut its adaptive limits because its cgroup was short of what the watcher watches. Without it they creep up by themselves.',
  origin: 'gitaly_concurrency_limiting_backoff_events_total, from GitLab 16.3 on',
  labels: { ...identity, watcher: anyValue },
});

/** All metrics of this room. */
export const gitalyMetrics: readonly Metric[] = Object.freeze([
  scrapeUp,
  scrapeDuration,
  concurrencyLimit,
  concurrencyUnauthenticatedLimit,
  concurrencyQueueLimit,
  concurrencyQueueWaitLimit,
  concurrencyInProgress,
  concurrencyQueued,
  concurrencyWait,
  requestsDropped,
  requestsDroppedUnauthenticated,
  rateLimitBurst,
  rateLimitInterval,
  packObjectsLimit,
  packObjectsUnauthenticatedLimit,
  packObjectsQueueLimit,
  packObjectsQueueWaitLimit,
  packObjectsInProgress,
  packObjectsQueued,
  packObjectsWait,
  packObjectsDropped,
  adaptiveBackoffs,
]);
