/**
 * Every threshold by which alerts, panels, problems on the page, checks and runbooks judge, once: in base units, with
 * the reason for its default. `withOverrides` replaces defaults with an operator's values.
 */

export interface Threshold {
  readonly value: number;
  readonly unit: 'seconds' | 'ratio' | 'count';
  /** What it decides, and why this default. */
  readonly why: string;
}

const seconds = (value: number, why: string): Threshold => ({ value, unit: 'seconds', why });
const ratio = (value: number, why: string): Threshold => ({ value, unit: 'ratio', why });
const count = (value: number, why: string): Threshold => ({ value, unit: 'count', why });

const minute = 60;
const hour = 60 * minute;

export const defaultThresholds = Object.freeze({
  scrapeInterval: seconds(
    30,
    'How often Prometheus scrapes the exporter. Gauges are evaluated over 2.5 scrape intervals, so that one failed scrape neither fires nor resolves an alert.',
  ),
  missingSeriesLookback: seconds(
    24 * hour,
    'A series that existed within this time and is now absent is reported by name, with the labels of its cluster.',
  ),
  keepFiring: seconds(
    5 * minute,
    'keep_firing_for of critical alerts: a restarted exporter would otherwise resolve the alert and page again. 0 omits keep_firing_for, which Prometheus before 2.42 does not know.',
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
  databaseUnreported: seconds(
    15 * minute,
    'No exporter reports praefect_db_up. Longer than a rollout of the exporter or of Prometheus.',
  ),
  databaseReadOnly: seconds(2 * minute, 'Longer than a failover of the database.'),
  connectionsNearLimit: ratio(0.9, 'Connections by limit: new ones of Praefect fail soon.'),
  connectionsNearLimitFor: seconds(
    10 * minute,
    'Longer than a rollout of Praefect, which doubles its connections.',
  ),
  queryBlocked: seconds(
    minute,
    'How long a session waits for a lock. Praefect holds locks for milliseconds.',
  ),
  queryBlockedFor: seconds(5 * minute, 'Longer than a migration of a large table.'),
  longTransaction: seconds(
    hour,
    'Age of the oldest transaction. VACUUM removes nothing that is newer. Longer than a backup of the database.',
  ),
  deadRowsRatio: ratio(0.8, 'Dead rows by all rows of a table. Autovacuum starts at 0.2.'),
  deadRowsMinimum: count(10_000, 'Dead rows of a table: small tables are rewritten all the time.'),
  deadRowsFor: seconds(hour, 'Autovacuum runs every minute: for an hour it did not keep up.'),
  wraparoundWarning: count(
    500_000_000,
    'Transactions until wraparound. PostgreSQL starts its failsafe VACUUM at about this point (vacuum_failsafe_age).',
  ),
  wraparoundCritical: count(
    50_000_000,
    'PostgreSQL warns from 40 million on and rejects all writes at 3 million.',
  ),
  clockSkew: seconds(
    10,
    "More than this, and timestamps of the database differ visibly from Prometheus' time.",
  ),
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
    'Longer than a restart or a pod rotation. Shorter than gitalyDown, so that the alert on the storage fires first and inhibits the one on its server.',
  ),
  storageFlaps: count(6, 'Changes of health within storageFlapWindow: three outages.'),
  storageFlapWindow: seconds(hour, 'Range over which changes of health are counted.'),

  repositoriesUnavailable: seconds(
    5 * minute,
    'Users are affected immediately. A Gitaly restart (10 s until Praefect notices, then its start) is over by then.',
  ),
  repositoriesLost: seconds(5 * minute, 'Longer than the deletion or creation of a repository.'),
  singleCopy: seconds(15 * minute, 'Three reconciler runs: replication did not restore the second copy.'),
  restartUnsafe: seconds(5 * minute, 'One reconciler run: replication usually restores the copy by then.'),
  repositoryCountDrop: ratio(0.01, 'Repositories that disappeared within an hour, by all.'),
  repositoryCountDropMinimum: count(
    20,
    'Repositories that disappeared within an hour: a deleted group is fewer.',
  ),
  repositoryCountDropFor: seconds(2 * minute, 'The records are gone; what deletes them may still run.'),

  replicationOldestJob: seconds(
    15 * minute,
    'Age of the oldest waiting job. The queue of a healthy cluster is empty; a large repository takes minutes.',
  ),
  replicationIdle: seconds(10 * minute, 'No progress for two reconciler runs (every 5 minutes).'),
  replicationStalled: seconds(minute, 'The conditions themselves already span minutes.'),
  replicationBacklogAge: seconds(30 * minute, 'Age of the oldest job while the queue grows.'),
  replicationBacklog: seconds(
    15 * minute,
    'In addition to the 30 minutes over which the growth is measured.',
  ),
  replicationLockStale: seconds(5 * minute, 'Praefect releases stale locks within 90 s.'),
  jobsOfUnknownStorage: seconds(hour, 'Longer than a change of the configuration takes on all Praefects.'),
  replicasUnscheduled: seconds(30 * minute, 'Six reconciler runs, none of which queued a job.'),

  replicaStuckThreshold: seconds(
    15 * minute,
    'Default of --praefect.stuck-threshold: three reconciler runs, each of which queued the job again.',
  ),
  replicaStuck: seconds(5 * minute, 'In addition to the time after which a replica counts as stuck.'),
  replicaStuckLookback: seconds(
    30 * minute,
    'A restarted exporter measures from its first refresh: for this long the value of the previous one counts, while the replicas are still outdated.',
  ),

  failoverWindow: seconds(15 * minute, 'How long a failover is shown after it happened.'),
  primarySkewFor: seconds(hour, 'Primaries move only by failovers and never back: no hurry.'),
  primarySkewMinimum: count(100, 'Primaries of a virtual storage: the share of a few means nothing.'),

  rateWindow: seconds(
    5 * minute,
    'Range over which counters of Gitaly servers are evaluated: ten scrapes, so that a few failed ones change little.',
  ),
  gitalyDown: seconds(
    5 * minute,
    'Longer than a restart or a pod rotation (seconds to two minutes), shorter than users tolerate.',
  ),
  gitalyDownDuringRollout: seconds(
    10 * minute,
    'Additional time during a rollout, which explains a pod that is unavailable for minutes, not for good.',
  ),
  gitalyUnwatched: seconds(
    15 * minute,
    'A Gitaly pod is Ready, and no agent reports its cgroups: longer than the start of a node and its agent.',
  ),
  errorBudget: ratio(0.001, "Objective: 99.9 % of Gitaly's RPCs do not fail by the server's fault."),
  errorBudgetMinimum: count(3600, "Gitaly's RPCs within an hour: the ratio of fewer means nothing."),

  oomWindow: seconds(
    30 * minute,
    'How long an OOM kill at the level of container, pod or node is shown, and the range over which they are counted.',
  ),
  oomRepeatedEvents: count(
    3,
    'OOM events within oomWindow: one costs a restart of seconds, three are a loop that does not end by itself.',
  ),
  gitOomWindow: seconds(15 * minute, 'Range over which OOM kills of Git processes are counted.'),
  gitOomKills: count(
    4,
    'OOM-killed Git processes within gitOomWindow: one or two are a clone that was too large; more are a client that retries, or limits that are too low.',
  ),
  gitParentOomEvents: count(
    3,
    'OOM events of the parent of all Git processes within oomWindow: each may hit any repository.',
  ),
  memoryNearLimit: ratio(
    0.9,
    'Anonymous memory by limit: the kernel cannot reclaim it, so the next large Git process may be OOM-killed. Page cache does not count.',
  ),
  memoryNearLimitFor: seconds(15 * minute, 'Longer than the largest clones hold their memory.'),
  memoryPressure: ratio(
    0.1,
    'Ratio of time in which all tasks waited for memory: requests take visibly longer.',
  ),
  memoryPressureFor: seconds(10 * minute, 'Longer than one large clone.'),
  memoryForecastFor: seconds(
    35 * minute,
    'Longer than the 30 minutes for which one step of memory usage looks like growth.',
  ),

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
    'In addition to rateWindow: longer than a burst of CI or a large repack.',
  ),

  requestsDroppedRatio: ratio(0.01, 'Calls dropped by a limit, by all calls of the same RPC.'),
  requestsDroppedMinimum: count(10, 'Calls dropped within rateWindow: fewer are not worth an alert.'),
  requestsDropped: seconds(10 * minute, 'In addition to rateWindow: limits exist to cut short bursts.'),
  requestsDroppedWait: seconds(
    30 * minute,
    'In addition to rateWindow: clients that waited in vain retry, so that a burst of CI lasts longer.',
  ),
  concurrencySaturated: seconds(15 * minute, 'Calls waited all the time: longer than a burst of CI.'),
  adaptiveLimitAtFloor: seconds(
    30 * minute,
    'The limit rises by itself within minutes when resources are free.',
  ),

  volumeAvailable: ratio(0.1, 'Available space by size: below it Git cannot repack large repositories.'),
  volumeAvailableFor: seconds(10 * minute, 'Longer than the temporary files of one repack.'),
  volumeForecast: seconds(
    7 * 24 * hour,
    'The volume is full within this time at the rate of a day: enough to extend it, after the days that the forecast needs.',
  ),
  volumeForecastBelow: ratio(0.5, 'Available space by size: above it, a forecast of days means nothing.'),
  volumeForecastFor: seconds(
    30 * hour,
    'Longer than the day for which an import of some hours looks like growth.',
  ),
  inodesAvailable: ratio(0.1, 'Free inodes by all: without one no file can be created.'),

  restartLoop: count(3, 'Restarts of the container within 30 minutes for another reason than an OOM kill.'),
  podPending: seconds(10 * minute, 'Longer than a new node takes to start.'),
  drainBlocked: seconds(15 * minute, 'Longer than a rotation of one pod during a drain.'),
  rolloutStuck: seconds(
    30 * minute,
    'Longer than one rotation of a pod with a large volume; a pod that is not Ready pages before.',
  ),
  nodePressure: seconds(5 * minute, 'The kubelet evicts pods from such a node, sooner or later a Gitaly.'),
  serverMetricsUnread: seconds(15 * minute, 'Longer than a restart of Gitaly.'),
  rotationSlow: seconds(
    2 * minute,
    "From a pod's deletion until it is Ready: an outage for its repositories. A well-configured pod takes 10 to 30 s.",
  ),
  rotationWindow: seconds(hour, 'How long a slow rotation is shown after it ended.'),
  checkRegressed: seconds(hour, 'Longer than a change in several steps.'),

  exporterDown: seconds(5 * minute, 'Longer than a rollout of the exporter.'),
  collectorFailing: seconds(
    15 * minute,
    'A ticket: one source is not read, and alerts on it cannot fire. Heavy queries may be minutes apart.',
  ),
  collectorStale: seconds(5 * minute, 'The series of the collector are already withdrawn.'),
  labelsRenamed: seconds(15 * minute, 'A setting of the scrape: no hurry.'),
  seriesDropped: seconds(15 * minute, 'A limit of series that is too low: no hurry.'),
  reloadFailed: seconds(10 * minute, 'Longer than a change of several files.'),

  verificationOverdue: seconds(
    14 * 24 * hour,
    "Twice Praefect's default interval of 7 days between verifications of a replica.",
  ),
}) satisfies Readonly<Record<string, Threshold>>;

export type ThresholdName = keyof typeof defaultThresholds;
export type Thresholds = Readonly<Record<ThresholdName, Threshold>>;
export type ThresholdOverrides = { readonly [Name in ThresholdName]?: number };

/** Two and a half scrapes: a window in which one missed scrape leaves a sample. */
export const gaugeWindowSeconds = ({ scrapeInterval }: Thresholds): number =>
  Math.ceil(scrapeInterval.value * 2.5);

/** The defaults with an operator's values, in each default's unit. Throws RangeError for a value out of range. */
export function withOverrides(overrides: ThresholdOverrides): Thresholds {
  const merged = { ...defaultThresholds } as Record<ThresholdName, Threshold>;
  for (const [name, threshold] of Object.entries(defaultThresholds) as [ThresholdName, Threshold][]) {
    const value = overrides[name];
    if (value === undefined) continue;
    const least = name === 'keepFiring' ? 0 : Number.MIN_VALUE;
    const most = threshold.unit === 'ratio' ? 1 : Number.POSITIVE_INFINITY;
    if (!(value >= least && value <= most && (threshold.unit === 'ratio' || Number.isInteger(value))))
      throw new RangeError(
        `threshold ${name}: found ${value}, expected ${expectation(threshold, least)} (default ${threshold.value})`,
      );
    merged[name] = { ...threshold, value };
  }
  return Object.freeze(merged);
}

const expectation = ({ unit }: Threshold, least: number): string =>
  unit === 'ratio'
    ? 'a ratio greater than 0 and at most 1'
    : `a whole number of ${unit} ${least === 0 ? 'of at least 0' : 'greater than 0'}`;
