/**
 * Every number that an alert, a panel or a runbook judges by, once: in base units, with the reason for its
 * default. `withOverrides` puts an operator's own in their place.
 */

export interface Threshold {
  readonly value: number;
  readonly unit: 'seconds' | 'ratio' | 'count';
  /** Why this default, and what it decides. */
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
    'How often Prometheus scrapes the exporter. Gauges are judged over a window of two and a half of these, so that one missed scrape changes nothing.',
  ),
  seriesRemembered: seconds(
    24 * hour,
    'A series that was there this recently and has gone is missed by name, with the labels of its cluster.',
  ),
  keepFiring: seconds(
    5 * minute,
    'Keeps a page open over the first minutes of a restarted exporter, which would otherwise resolve it and page again. 0 leaves keep_firing_for out, which Prometheus before 2.42 needs.',
  ),

  databaseUnreachable: seconds(
    2 * minute,
    'Longer than a restart of PostgreSQL (seconds) and most managed failovers (60 to 120 s).',
  ),
  databaseUnheard: seconds(
    15 * minute,
    'Nobody says anything of the database: longer than any roll-out of the exporter or of Prometheus.',
  ),

  heartbeatStale: seconds(
    2 * minute,
    'Praefect writes a heartbeat a second, and storages count as unhealthy after 10 s of silence; the rest allows for scraping, and for clocks that differ.',
  ),
  quorumShare: ratio(0.5, "Praefect's own quorum: half of the living Praefects, rounded up."),
  quorumLost: seconds(
    2 * minute,
    'Longer than a restart of all Praefects at once; each counts as alive for 60 s after its last attempt.',
  ),

  repositoriesUnavailable: seconds(
    5 * minute,
    'Users feel it at once; the restart of a Gitaly (10 s until noticed, and its start) is over by then.',
  ),

  replicationOldest: seconds(
    15 * minute,
    'In a healthy cluster the queue is empty; a large repository takes minutes.',
  ),
  replicationIdle: seconds(
    10 * minute,
    'Without any progress for two rounds of the reconciler (5 minutes each).',
  ),
  replicationStalled: seconds(minute, 'The conditions themselves already span minutes.'),

  replicaStuckAfter: seconds(
    15 * minute,
    'The default of --praefect.stuck-threshold: three rounds of the reconciler, each of which queued the job anew.',
  ),
  replicaStuck: seconds(5 * minute, 'On top of what counts a replica as stuck.'),
  replicaStuckRemembered: seconds(
    30 * minute,
    'A restarted exporter counts from its first look on: for this long what the last one knew is remembered, while the replicas are still behind.',
  ),

  failoverShown: seconds(15 * minute, 'How long a failover is shown after it happened.'),
  failoverManyWindow: seconds(
    30 * minute,
    'Primaries move one by one, each with the next request that needs it: this is how far back they are counted.',
  ),
  failoverManyShare: ratio(
    0.05,
    "Share of a virtual storage's repositories whose primary had to move: an outage of a storage in use, not of an idle one.",
  ),
  failoverUnplanned: seconds(
    5 * minute,
    'The storage that the primaries left is still unhealthy: longer than a restart in a roll-out.',
  ),

  rateWindow: seconds(
    5 * minute,
    'Counters of Gitaly servers are judged by what they gained over this long: ten scrapes, so that a few missed ones change little.',
  ),
  gitalyDown: seconds(
    5 * minute,
    'Longer than a restart or the rotation of a pod (seconds to two minutes), shorter than what users put up with.',
  ),
  gitalyDownInRollout: seconds(
    10 * minute,
    'How much longer that may take during a roll-out: it explains that a pod is away for minutes, not for good.',
  ),
  gitalyUnwatched: seconds(
    15 * minute,
    'A pod of Gitaly that is Ready, and no agent tells of its cgroups: longer than the start of a node and its agent.',
  ),

  oomShown: seconds(
    30 * minute,
    'How long an OOM kill of Gitaly, its pod or its node is shown, and how far back repeated ones are counted.',
  ),
  oomRepeated: count(
    3,
    'Incidents within oomShown: one costs a restart of seconds, three are a loop that does not end by itself.',
  ),
  gitOomWindow: seconds(15 * minute, 'How far back OOM kills of Git processes are counted.'),
  gitOomKills: count(
    4,
    'Git processes killed within gitOomWindow: one or two are a clone that was too large, more are somebody who tries again and again, or limits that are too low.',
  ),
  memoryNearLimit: ratio(
    0.9,
    'Anonymous memory as a share of the limit: the kernel cannot take it back, so the next large Git process may be killed. Page cache does not count.',
  ),
  memoryNearLimitFor: seconds(15 * minute, 'Longer than the largest clones hold their memory.'),

  cpuThrottled: ratio(
    0.25,
    'Share of the periods in which the CPU limit of the container or the pod held Gitaly itself back: every request waits then.',
  ),
  cpuThrottledGit: ratio(
    0.5,
    'The same for the limit of all Git processes, which is there to hold them back: half of the time is more than it is for.',
  ),
  cpuThrottledFor: seconds(10 * minute, 'On top of rateWindow: longer than a burst of CI or a large repack.'),

  requestsDroppedShare: ratio(
    0.01,
    'Calls turned away by a limit, per call of the same RPC that was let in.',
  ),
  requestsDroppedLeast: count(10, 'Calls turned away within rateWindow: fewer are nobody worth a ticket.'),
  requestsDropped: seconds(
    10 * minute,
    'On top of rateWindow: a short burst is what the limits are there for.',
  ),

  rotationSlow: seconds(
    2 * minute,
    'From the request to delete a pod until it is Ready: for its data an outage. Well set up it takes 10 to 30 s.',
  ),
  rotationShown: seconds(hour, 'How long a rotation that was too slow is shown after it ended.'),

  exporterDown: seconds(5 * minute, 'Longer than a roll-out of the exporter.'),
  collectorFailing: seconds(
    15 * minute,
    'A ticket: one question goes unanswered, and alerts on it cannot fire. Heavy questions may be minutes apart.',
  ),

  verificationOverdue: seconds(
    14 * 24 * hour,
    "Twice Praefect's default interval of 7 days between verifications of a replica.",
  ),
}) satisfies Readonly<Record<string, Threshold>>;

export type ThresholdName = keyof typeof defaultThresholds;
export type Thresholds = Readonly<Record<ThresholdName, Threshold>>;
export type ThresholdOverrides = { readonly [Name in ThresholdName]?: number };

/** The defaults with an operator's values, in the default's unit. Throws RangeError for one that makes no sense. */
export function withOverrides(overrides: ThresholdOverrides): Thresholds {
  const merged = { ...defaultThresholds } as Record<ThresholdName, Threshold>;
  for (const [name, threshold] of Object.entries(defaultThresholds) as [ThresholdName, Threshold][]) {
    const value = overrides[name];
    if (value === undefined) continue;
    const least = name === 'keepFiring' ? 0 : Number.MIN_VALUE;
    const most = threshold.unit === 'ratio' ? 1 : Number.POSITIVE_INFINITY;
    if (!(value >= least && value <= most && (threshold.unit === 'ratio' || Number.isInteger(value))))
      throw new RangeError(
        `threshold ${name}: ${value} found; expected ${expectation(threshold, least)} (the default is ${threshold.value})`,
      );
    merged[name] = { ...threshold, value };
  }
  return Object.freeze(merged);
}

const expectation = ({ unit }: Threshold, least: number): string =>
  unit === 'ratio'
    ? 'a share over 0 and at most 1'
    : `a whole number of ${unit} ${least === 0 ? 'from 0 up' : 'over 0'}`;
