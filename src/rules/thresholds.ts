/**
 * The thresholds that alerts, panels, problems on the page and checks share, once: in base units, with the reason for
 * the default. Those of single alerts are in alerts/. The settings `alerts.threshold.*` are made of both.
 */

export interface Threshold {
  readonly value: number;
  readonly unit: 'seconds' | 'ratio' | 'count';
  /** What it decides, and why this default. */
  readonly why: string;
  /** Least and most, both included. A ratio is over 0 and at most 1. */
  readonly range: ThresholdRange;
}

export type ThresholdTable = Readonly<Record<string, Threshold>>;

interface ThresholdRange {
  readonly min: number;
  readonly max: number;
}

export const minute = 60;
export const hour = 60 * minute;

const ranges = {
  seconds: { min: 1, max: 365 * 24 * hour },
  ratio: { min: Number.MIN_VALUE, max: 1 },
  /** Transaction ids are the largest numbers here: there are 2^31 of them. */
  count: { min: 1, max: 2 ** 31 },
} as const;

export const seconds = (value: number, why: string, range: Partial<ThresholdRange> = {}): Threshold => ({
  value,
  unit: 'seconds',
  why,
  range: { ...ranges.seconds, ...range },
});
export const ratio = (value: number, why: string): Threshold => ({
  value,
  unit: 'ratio',
  why,
  range: ranges.ratio,
});
export const count = (value: number, why: string): Threshold => ({
  value,
  unit: 'count',
  why,
  range: ranges.count,
});

export const defaultThresholds = Object.freeze({
  scrapeInterval: seconds(
    30,
    'How often Prometheus scrapes the exporter. Gauges are evaluated over 2.5 scrape intervals, so that one failed scrape neither fires nor resolves an alert.',
    // Prometheus looks back 5 minutes for the newest sample.
    { max: 2 * minute },
  ),
  clockTolerance: seconds(
    2 * minute,
    'A timestamp that is further in the future than this has no known age: the clock that set it is ahead.',
  ),
  missingSeriesLookback: seconds(
    24 * hour,
    'A series that existed within this time and is now absent is reported by name, with the labels of its cluster.',
  ),
  keepFiring: seconds(
    5 * minute,
    'keep_firing_for of critical alerts: a restarted exporter would otherwise resolve the alert and page again. 0 omits keep_firing_for, which Prometheus before 2.42 does not know.',
    { min: 0 },
  ),

  staleHold: seconds(
    6 * hour,
    'While its source cannot be read, the last value of a critical condition counts for this long, so that missing data does not resolve a page. Longer than a night without anyone to repair the exporter.',
  ),
  serverLookback: seconds(
    7 * 24 * hour,
    'A Gitaly on a virtual machine that served within this time counts as down when it does not; an unused address in the configuration does not.',
  ),

  databaseUnreachable: seconds(
    2 * minute,
    'Longer than a restart of PostgreSQL (seconds) and most managed failovers (60 to 120 s).',
  ),
  databaseReadOnly: seconds(2 * minute, 'Longer than a failover of the database.'),
  longTransaction: seconds(
    hour,
    'Age of the oldest transaction. VACUUM removes nothing that is newer. Longer than a backup of the database.',
  ),
  wraparoundWarning: count(
    500_000_000,
    'Transactions until wraparound. PostgreSQL starts its failsafe VACUUM at about this point (vacuum_failsafe_age).',
  ),
  wraparoundCritical: count(
    50_000_000,
    'PostgreSQL warns from 40 million on and rejects all writes at 3 million.',
  ),

  clockSkew: seconds(10, 'More than this, and a clock is not synchronized.'),
  clockSkewFor: seconds(10 * minute, 'Longer than a step of NTP.'),
  heartbeatStale: seconds(
    2 * minute,
    'Age of the newest heartbeat. Praefect writes one per second, and a storage is unhealthy after 10 s without one; the rest allows for scraping and clock skew.',
  ),
  quorumRatio: ratio(0.5, "Praefect's own quorum: half of the live Praefects, rounded up."),
  quorumLost: seconds(
    2 * minute,
    'Longer than a simultaneous restart of all Praefects; each counts as alive for 60 s after its last attempt.',
  ),
  praefectDown: seconds(10 * minute, 'Longer than a rollout of one Praefect.'),
  healthDisagreement: seconds(10 * minute, 'Longer than a restart of one side.'),
  storageUnhealthy: seconds(
    4 * minute,
    'Longer than a restart or a pod rotation. Shorter than gitaly-down, so that the alert on the storage fires first and inhibits the one on its server.',
  ),

  repositoriesUnavailable: seconds(
    5 * minute,
    'Users are affected immediately. A Gitaly restart (10 s until Praefect notices, then its start) is over by then.',
  ),
  repositoriesLost: seconds(5 * minute, 'Longer than the deletion or creation of a repository.'),

  replicationOldestJob: seconds(
    15 * minute,
    'Age of the oldest waiting job. The queue of a healthy cluster is empty; a large repository takes minutes.',
  ),
  replicationIdle: seconds(10 * minute, 'No progress for two reconciler runs (every 5 minutes).'),
  replicationStalled: seconds(minute, 'The conditions themselves already span minutes.'),
  replicationLockStale: seconds(5 * minute, 'Praefect releases stale locks within 90 s.'),

  replicaStuckThreshold: seconds(
    15 * minute,
    'Default of --praefect.stuck-threshold: three reconciler runs, each of which queued the job again.',
  ),
  replicaStuck: seconds(5 * minute, 'In addition to the time after which a replica counts as stuck.'),

  failoverWindow: seconds(15 * minute, 'How long a failover is shown after it happened.'),

  rateWindow: seconds(
    5 * minute,
    'Range over which counters of Gitaly servers are evaluated: ten scrapes, so that a few failed ones change little.',
  ),
  gitalyDown: seconds(
    5 * minute,
    'Longer than a restart or a pod rotation (seconds to two minutes), shorter than users tolerate.',
  ),
  rolloutStep: seconds(
    3 * minute,
    'A rollout suppresses alerts for this long after each of its steps (a pod is deleted, scheduled, started or Ready), which take seconds, or a minute or two with a volume or a large image; not while a container cannot start.',
  ),
  errorBudget: ratio(0.001, "Objective: 99.9% of Gitaly's RPCs do not fail by the server's fault."),

  oomWindow: seconds(
    30 * minute,
    'How long an OOM kill at the level of container, pod or node is shown, and the range over which they are counted.',
  ),
  oomRepeatedEvents: count(
    3,
    'OOM events within oom-window: behind Praefect one costs a restart of seconds, while other replicas serve; three are a loop that does not end by itself. Without Praefect the first kill of the container pages (GitalyContainerOOMKilled).',
  ),
  gitOomWindow: seconds(15 * minute, 'Range over which OOM kills of Git processes are counted.'),
  gitOomKills: count(
    4,
    'OOM-killed Git processes within git-oom-window: one or two are a clone that was too large; more are a client that retries, or limits that are too low.',
  ),
  memoryNearLimit: ratio(
    0.9,
    'Anonymous memory by limit: the kernel cannot reclaim it, so the next large Git process may be OOM-killed. Page cache does not count.',
  ),
  memoryNearLimitFor: seconds(15 * minute, 'Longer than the largest clones hold their memory.'),

  cpuThrottled: ratio(
    0.25,
    'Throttled periods by all periods at the CPU limit of the container or the pod: every request waits then.',
  ),
  cpuThrottledGit: ratio(
    0.5,
    'The same at the limit of all Git processes, which exists to throttle them: half of the time is more than intended.',
  ),
  cpuThrottledFor: seconds(
    10 * minute,
    'In addition to rate-window: longer than a burst of CI or a large repack.',
  ),

  requestsDroppedRatio: ratio(0.01, 'Calls dropped by a limit, by all calls of the same RPC.'),
  requestsDroppedMinimum: count(10, 'Calls dropped within rate-window: fewer are not worth an alert.'),
  requestsDropped: seconds(10 * minute, 'In addition to rate-window: limits exist to cut short bursts.'),
  requestsDroppedWait: seconds(
    30 * minute,
    'In addition to rate-window: clients that waited in vain retry, so that a burst of CI lasts longer.',
  ),

  volumeAvailable: ratio(0.1, 'Available space by size: below it Git cannot repack large repositories.'),
  inodesAvailable: ratio(0.1, 'Free inodes by all: without one no file can be created.'),

  drainBlocked: seconds(15 * minute, 'Longer than a rotation of one pod during a drain.'),
  nodePressure: seconds(5 * minute, 'The kubelet evicts pods from such a node, sooner or later a Gitaly.'),
  serverMetricsUnread: seconds(15 * minute, 'Longer than a restart of Gitaly.'),
  rotationSlow: seconds(
    2 * minute,
    "From a pod's deletion until it is Ready: an outage for its repositories. A well-configured pod takes 10 to 30 s.",
  ),
  rotationWindow: seconds(hour, 'How long a slow rotation is shown after it ended.'),

  seriesDropped: seconds(15 * minute, 'A limit of series that is too low: no hurry.'),
  collectorFailing: seconds(
    15 * minute,
    'A ticket: one source is not read, and alerts on it cannot fire. Heavy queries may be minutes apart.',
  ),
  collectorStale: seconds(5 * minute, 'The series of the collector are already withdrawn.'),

  verificationOverdue: seconds(
    14 * 24 * hour,
    "Twice Praefect's default interval of 7 days between verifications of a replica.",
  ),
}) satisfies ThresholdTable;

export type ThresholdName = keyof typeof defaultThresholds;
export type Thresholds = Readonly<Record<ThresholdName, Threshold>>;

/** Two and a half scrapes: a window in which one missed scrape leaves a sample. */
export const gaugeWindowSeconds = ({ scrapeInterval }: Thresholds): number =>
  Math.ceil(scrapeInterval.value * 2.5);
