/**
 * Metrics of each Gitaly: its limits, their use, and what they drop.
 *
 * `namespace` and `pod` are empty on a virtual machine, where `node` is the host's name. docs/limits.md explains what
 * the numbers mean and what they do not show.
 */
import { anyValue, type Metric, metricGroup } from '../../metrics/metric.ts';
import { components } from '../identity.ts';

const scrapes = metricGroup();
const { counter, gauge, histogram, metrics } = metricGroup();

/** Why a request was dropped. */
export const dropReasons = ['queue_full', 'queue_wait', 'rate', 'other', 'load_shed'] as const;
export type DropReason = (typeof dropReasons)[number];

/** Those of a queue: of the pack-objects limit, and of drops that report the user. */
export const queueDropReasons = ['queue_full', 'queue_wait', 'other'] as const;

const limitKinds = ['static', 'adaptive'] as const;
const limitBounds = ['current', 'min', 'max', 'initial'] as const;

const identity = { namespace: anyValue, pod: anyValue, node: anyValue } as const;
const perRpc = { ...identity, grpc_service: anyValue, grpc_method: anyValue } as const;
const limit = { kind: limitKinds, bound: limitBounds } as const;

const reasonDetails =
  'queue_full: max_queue_size was reached. queue_wait: it waited for longer than max_queue_wait. rate: over a rate limit, up to GitLab 17. load_shed: ended by the load shedder, from GitLab 19.0 on. other: the client left or its own deadline passed while it waited, and every reason that this version does not know.';

export const scrapeUp = scrapes.gauge('gitaly_server_scrape_up', {
  help: "1 when the exporter's last read of the server's own metrics succeeded, else 0.",
  details:
    "Present for every known target. While it is 0, everything that comes from the server's own metrics is absent, and the page shows why.",
  origin: "the exporter's read of /metrics",
  labels: { ...identity, component: components },
});

export const serverResponds = scrapes.gauge('gitaly_server_responds', {
  help: "1 when the server responded to the exporter's last read of its own metrics, usable or not, else 0.",
  details:
    'Also 1 where gitaly_server_scrape_up is 0 because of a certificate, credentials or the size of the page: that server runs. Absent while no request can be sent: the exporter cannot read the files for it, DNS does not respond, or the name has several addresses. On virtual machines GitalyDown is by this metric.',
  origin: "the exporter's read of /metrics",
  labels: { ...identity, component: components },
});

export const scrapeDuration = scrapes.gauge('gitaly_server_scrape_duration_seconds', {
  help: "Duration of the exporter's last read of the server's own metrics, whether it succeeded or not.",
  origin: "the exporter's read of /metrics",
  labels: { ...identity, component: components },
});

export const concurrencyLimit = gauge('gitaly_server_concurrency_limit', {
  help: 'Calls of the RPC that may run at the same time for one repository.',
  details:
    'Not comparable with gitaly_server_concurrency_in_progress, which is summed over all repositories. kind=static: as configured. kind=adaptive: bound=current is what Gitaly applies at the moment; min, max and initial are configured. Configured values are absent without gitaly.config-file.',
  origin: "[[concurrency]] of Gitaly's config.toml; gitaly_concurrency_limiting_current_limit",
  labels: { ...perRpc, ...limit },
});

export const concurrencyUnauthenticatedLimit = gauge('gitaly_server_concurrency_unauthenticated_limit', {
  help: 'Calls of the RPC without a user that may run at the same time for one repository.',
  details:
    'Only where they have a limit of their own, from GitLab 18.9 on. Kinds and bounds as in gitaly_server_concurrency_limit.',
  origin: "[concurrency.unauthenticated] of Gitaly's config.toml; gitaly_concurrency_limiting_current_limit",
  labels: { ...perRpc, ...limit },
});

export const concurrencyQueueLimit = gauge('gitaly_server_concurrency_queue_limit', {
  help: 'Calls of the RPC that may wait for one repository; further ones are dropped.',
  details:
    'Up to GitLab 15 it applies to the whole server. Absent where the configuration does not set it, except for the default of 500 of GitLab 18 and later.',
  origin: "max_queue_size of [[concurrency]] in Gitaly's config.toml",
  labels: perRpc,
});

export const concurrencyQueueWaitLimit = gauge('gitaly_server_concurrency_queue_wait_limit_seconds', {
  help: 'Time that a call of the RPC may wait before it is dropped.',
  details: 'Absent where the configuration does not set it: there is no limit then.',
  origin: "max_queue_wait of [[concurrency]] in Gitaly's config.toml",
  labels: perRpc,
});

export const concurrencyInProgress = gauge('gitaly_server_concurrency_in_progress', {
  help: 'Calls of a limited RPC that run at the moment, summed over all repositories.',
  details:
    'The limit applies per repository, so this may be far above it while nothing waits. Saturation shows in gitaly_server_concurrency_queued, gitaly_server_concurrency_wait_seconds and gitaly_server_requests_dropped_total.',
  origin: 'gitaly_concurrency_limiting_in_progress, up to GitLab 14.9 gitaly_rate_limiting_in_progress',
  labels: perRpc,
});

export const concurrencyQueued = gauge('gitaly_server_concurrency_queued', {
  help: 'Calls of a limited RPC that wait because the limit of their repository is reached, summed over all repositories.',
  origin: 'gitaly_concurrency_limiting_queued, up to GitLab 14.9 gitaly_rate_limiting_queued',
  labels: perRpc,
});

export const concurrencyWait = histogram('gitaly_server_concurrency_wait_seconds', {
  help: 'Time that calls of a limited RPC waited before they ran.',
  details:
    'In four of the buckets that Gitaly has, at or above 0.1, 1, 10 and 60 s. Dropped calls are not counted. In GitLab 13 only where grpc_latency_buckets is configured.',
  origin:
    'gitaly_concurrency_limiting_acquiring_seconds, up to GitLab 14.9 gitaly_rate_limiting_acquiring_seconds',
  labels: perRpc,
});

export const requestsDropped = counter('gitaly_server_requests_dropped_total', {
  help: 'Calls of the RPC that a limit or the load shedder dropped.',
  details: `${reasonDetails} Absent up to GitLab 14.7, which does not count them.`,
  origin: 'gitaly_requests_dropped_total, gitaly_loadshedder_rpcs_shed_total',
  labels: { ...perRpc, reason: dropReasons },
});

export const requestsDroppedUnauthenticated = counter(
  'gitaly_server_requests_dropped_unauthenticated_total',
  {
    help: 'The part of gitaly_server_requests_dropped_total that had no user.',
    details:
      'For the reasons for which Gitaly reports it. Absent up to GitLab 18.9, which does not report it.',
    origin: 'gitaly_requests_dropped_total{authenticated="false"}',
    labels: { ...perRpc, reason: queueDropReasons },
  },
);

export const rateLimitBurst = gauge('gitaly_server_rate_limit_burst', {
  help: 'Calls of the RPC that a rate limit admits for one repository within its interval.',
  details: 'GitLab 18.0 removed rate limits.',
  origin: "burst of [[rate_limiting]] in Gitaly's config.toml",
  labels: perRpc,
});

export const rateLimitInterval = gauge('gitaly_server_rate_limit_interval_seconds', {
  help: 'Time after which gitaly_server_rate_limit_burst calls are admitted again.',
  origin: "interval of [[rate_limiting]] in Gitaly's config.toml",
  labels: perRpc,
});

export const packObjectsLimit = gauge('gitaly_server_pack_objects_limit', {
  help: 'git-pack-objects processes (of clones and fetches) that may run at the same time for one client address.',
  details:
    "Kinds and bounds as in gitaly_server_concurrency_limit. It acts only with the pack-objects cache on, and not on clients whose address is unknown or the host's own. Absent where the configuration has the cache off.",
  origin: "[pack_objects_limiting] of Gitaly's config.toml; gitaly_concurrency_limiting_current_limit",
  labels: { ...identity, ...limit },
});

export const packObjectsUnauthenticatedLimit = gauge('gitaly_server_pack_objects_unauthenticated_limit', {
  help: 'git-pack-objects processes that may run at the same time for one client address without a user.',
  details: 'Only where they have a limit of their own, from GitLab 18.9 on.',
  origin:
    "[pack_objects_limiting.unauthenticated] of Gitaly's config.toml; gitaly_concurrency_limiting_current_limit",
  labels: { ...identity, ...limit },
});

export const packObjectsQueueLimit = gauge('gitaly_server_pack_objects_queue_limit', {
  help: 'Clones and fetches that may wait for one client address; further ones are dropped.',
  origin: "max_queue_size or max_queue_length of [pack_objects_limiting] in Gitaly's config.toml",
  labels: identity,
});

export const packObjectsQueueWaitLimit = gauge('gitaly_server_pack_objects_queue_wait_limit_seconds', {
  help: 'Time that a clone or fetch may wait before it is dropped.',
  details: 'Absent where the configuration does not set it: there is no limit then.',
  origin: "max_queue_wait of [pack_objects_limiting] in Gitaly's config.toml",
  labels: identity,
});

export const packObjectsInProgress = gauge('gitaly_server_pack_objects_in_progress', {
  help: 'git-pack-objects processes under the limit that run at the moment, summed over all client addresses.',
  origin: 'gitaly_pack_objects_in_progress, from GitLab 15.6 on',
  labels: identity,
});

export const packObjectsQueued = gauge('gitaly_server_pack_objects_queued', {
  help: 'Clones and fetches that wait because the limit of their address is reached, summed over all addresses.',
  origin: 'gitaly_pack_objects_queued, from GitLab 15.6 on',
  labels: identity,
});

export const packObjectsWait = histogram('gitaly_server_pack_objects_wait_seconds', {
  help: 'Time that clones and fetches waited before their git-pack-objects ran.',
  details:
    'In the same four buckets as gitaly_server_concurrency_wait_seconds. Dropped ones are not counted.',
  origin: 'gitaly_pack_objects_acquiring_seconds, from GitLab 15.6 on',
  labels: identity,
});

export const packObjectsDropped = counter('gitaly_server_pack_objects_dropped_total', {
  help: 'Clones and fetches that the pack-objects limit dropped.',
  details:
    'The client sees the status Internal, not RESOURCE_EXHAUSTED. Reasons as in gitaly_server_requests_dropped_total.',
  origin: 'gitaly_pack_objects_dropped_total, from GitLab 15.6 on',
  labels: { ...identity, reason: queueDropReasons },
});

export const adaptiveBackoffs = counter('gitaly_server_adaptive_limit_backoffs_total', {
  help: 'Cuts of the adaptive limits because the cgroup was short of what the watcher watches.',
  details: 'Between cuts the limits rise by themselves.',
  origin: 'gitaly_concurrency_limiting_backoff_events_total, from GitLab 16.3 on',
  labels: { ...identity, watcher: anyValue },
});

/** All metrics of the collector `gitaly_metrics`. */
export const limitMetrics = metrics;
export const gitalyMetrics: readonly Metric[] = [...scrapes.metrics, ...limitMetrics];
