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

  databaseUnreachable: seconds(
    2 * minute,
    'Longer than a restart of PostgreSQL (seconds) and most managed failovers (60 to 120 s).',
  ),
  databaseUnreported: seconds(
    15 * minute,
    'No exporter reports praefect_db_up. Longer than a rollout of the exporter or of Prometheus.',
  ),

  heartbeatStale: seconds(
    2 * minute,
    'Age of the newest heartbeat. Praefect writes one per second, and a storage is unhealthy after 10 s without one; the rest allows for scraping and clock skew.',
  ),
  quorumRatio: ratio(0.5, "Praefect's own quorum: half of the live Praefects, rounded up."),
  quorumLost: seconds(
    2 * minute,
    'Longer than a simultaneous restart of all Praefects; each counts as alive for 60 s after its last attempt.',
  ),

  repositoriesUnavailable: seconds(
    5 * minute,
    'Users are affected immediately. A Gitaly restart (10 s until Praefect notices, then its start) is over by then.',
  ),

  replicationOldestJob: seconds(
    15 * minute,
    'Age of the oldest waiting job. The queue of a healthy cluster is empty; a large repository takes minutes.',
  ),
  replicationIdle: seconds(10 * minute, 'No progress for two reconciler runs (every 5 minutes).'),
  replicationStalled: seconds(minute, 'The conditions themselves already span minutes.'),

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
  massFailoverWindow: seconds(
    30 * minute,
    'Primaries move one by one, each with the next request that needs it: failovers are counted over this time.',
  ),
  massFailoverRatio: ratio(
    0.05,
    "Ratio of a virtual storage's repositories whose primary moved: an outage of a storage in use, not of an idle one.",
  ),
  massFailover: seconds(
    5 * minute,
    'The storage that lost the primaries is still unhealthy: longer than a restart in a rollout.',
  ),

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
    'In addition to rateWindow: longer than a burst of CI or a large repack.',
  ),

  requestsDroppedRatio: ratio(0.01, 'Calls dropped by a limit, per admitted call of the same RPC.'),
  requestsDroppedMinimum: count(10, 'Calls dropped within rateWindow: fewer are not worth a ticket.'),
  requestsDropped: seconds(10 * minute, 'In addition to rateWindow: limits exist to cut short bursts.'),

  rotationSlow: seconds(
    2 * minute,
    "From a pod's deletion until it is Ready: an outage for its repositories. A well-configured pod takes 10 to 30 s.",
  ),
  rotationWindow: seconds(hour, 'How long a slow rotation is shown after it ended.'),

  exporterDown: seconds(5 * minute, 'Longer than a rollout of the exporter.'),
  collectorFailing: seconds(
    15 * minute,
    'A ticket: one source is not read, and alerts on it cannot fire. Heavy queries may be minutes apart.',
  ),

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
