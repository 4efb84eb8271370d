/**
 * The names of all alert rules, and the thresholds of single alerts by the file of the alert. They are here and not next
 * to each alert, because settings are made of them, and settings do not import alerts/.
 * What alerts share with the page, checks and panels is in thresholds.ts.
 */
import {
  count,
  defaultThresholds,
  hour,
  minute,
  ratio,
  seconds,
  type Threshold,
  type ThresholdTable,
} from './thresholds.ts';

/** An alert whose name is missing here does not compile; settings and inhibitions that name another one are rejected. */
export const ruleNames = [
  'GitalyExporterDown',
  'GitalyExporterMissing',
  'GitalyExporterCollectorFailing',
  'GitalyExporterStale',
  'GitalyExporterLabelsRenamed',
  'GitalyExporterSeriesDropped',
  'GitalyExporterReloadFailed',
  'GitalyExporterClockSkew',
  'PraefectDatabaseUnreachable',
  'PraefectMetricsMissing',
  'PraefectDatabaseReadOnly',
  'PraefectDatabaseConnectionsNearLimit',
  'PraefectDatabaseQueriesBlocked',
  'PraefectDatabaseLongTransaction',
  'PraefectDatabaseBloat',
  'PraefectDatabaseWraparound',
  'PraefectDatabaseClockSkew',
  'PraefectSchemaUnknown',
  'PraefectQuorumLost',
  'PraefectInstanceDown',
  'PraefectStorageUnhealthy',
  'PraefectStorageFlapping',
  'PraefectHealthDisagreement',
  'PraefectFailover',
  'PraefectPrimarySkew',
  'PraefectRepositoriesUnavailable',
  'PraefectRepositoriesReadOnly',
  'PraefectRepositoriesLost',
  'PraefectSingleCopy',
  'PraefectBelowReplicationFactor',
  'PraefectRestartUnsafe',
  'PraefectRepositoryCountDrop',
  'PraefectVerificationOverdue',
  'PraefectReplicationStalled',
  'PraefectReplicationBacklog',
  'PraefectReplicationLockStale',
  'PraefectJobsForUnknownStorage',
  'PraefectReplicaStuck',
  'PraefectReplicasUnscheduled',
  'GitalyDown',
  'GitalyErrorBudgetBurn',
  'GitalyRestartLoop',
  'GitalyPodPending',
  'GitalyMetricsUnreadable',
  'GitalyUnwatched',
  'GitalyRequestsDroppedQueueFull',
  'GitalyRequestsDroppedQueueWait',
  'GitalyLoadShed',
  'GitalyPackObjectsDropped',
  'GitalyConcurrencySaturated',
  'GitalyAdaptiveLimitAtFloor',
  'GitalyOOMKilled',
  'GitalyOOMKilledRepeatedly',
  'GitalyGitParentOOM',
  'GitalyGitOOMKilled',
  'GitalyMemoryNearLimit',
  'GitalyMemoryPressure',
  'GitalyMemoryExhaustionForecast',
  'GitalyCPUThrottled',
  'GitalyVolumeFilling',
  'GitalyVolumeForecast',
  'GitalyInodesFilling',
  'GitalyVolumeMetricsMissing',
  'GitalyRotationSlow',
  'GitalyRolloutStuck',
  'GitalyDrainBlocked',
  'GitalyNodePressure',
  'GitalyNodeNotReady',
  'GitalyCheckRegressed',
] as const;

export type RuleName = (typeof ruleNames)[number];

/** Every threshold that an operator can set. */
export const alertThresholds = Object.freeze({
  ...defaultThresholds,
  // The exporter.
  exporterDown: seconds(5 * minute, 'Longer than a rollout of the exporter.'),
  labelsRenamed: seconds(15 * minute, 'A setting of the scrape: no hurry.'),
  reloadFailed: seconds(10 * minute, 'Longer than a change of several files.'),
  exporterClockSkew: seconds(30, "The exporter's clock differs from Prometheus' by more than a slow scrape."),
  // Praefect's database.
  databaseUnreported: seconds(
    15 * minute,
    'No exporter reports praefect_db_up. Longer than a rollout of the exporter or of Prometheus.',
  ),
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
  deadRowsRatio: ratio(0.8, 'Dead rows by all rows of a table. Autovacuum starts at 0.2.'),
  deadRowsMinimum: count(10_000, 'Dead rows of a table: small tables are rewritten all the time.'),
  deadRowsFor: seconds(hour, 'Autovacuum runs every minute: for an hour it did not keep up.'),
  // Praefects and the health of storages.
  storageFlaps: count(6, 'Changes of health within storageFlapWindow: three outages.'),
  storageFlapWindow: seconds(hour, 'Range over which changes of health are counted.'),
  failoverShare: ratio(
    0.5,
    'Primaries that moved off one storage, by all of its virtual storage. A failover of one of three storages moves a third, which is usual; over half, most writes failed, and the others take over more than they had.',
  ),
  primarySkewFor: seconds(hour, 'Primaries move only by failovers and never back: no hurry.'),
  primarySkewMinimum: count(100, 'Primaries of a virtual storage: the share of a few means nothing.'),
  // Repositories at risk.
  singleCopy: seconds(15 * minute, 'Three reconciler runs: replication did not restore the second copy.'),
  belowReplicationFactor: seconds(
    6 * hour,
    'Longer than the repair of a storage and the replication after it: a ticket about configuration, not an outage.',
  ),
  restartUnsafe: seconds(5 * minute, 'One reconciler run: replication usually restores the copy by then.'),
  repositoryCountDrop: ratio(0.01, 'Repositories that disappeared within an hour, by all.'),
  repositoryCountDropMinimum: count(
    20,
    'Repositories that disappeared within an hour: a deleted group is fewer.',
  ),
  repositoryCountDropFor: seconds(2 * minute, 'The records are gone; what deletes them may still run.'),
  // Replication.
  replicationBacklogAge: seconds(30 * minute, 'Age of the oldest job while the queue grows.'),
  replicationBacklog: seconds(
    15 * minute,
    'In addition to the 30 minutes over which the growth is measured.',
  ),
  jobsOfUnknownStorage: seconds(hour, 'Longer than a change of the configuration takes on all Praefects.'),
  replicasUnscheduled: seconds(30 * minute, 'Six reconciler runs, none of which queued a job.'),
  replicaStuckLookback: seconds(
    30 * minute,
    'A restarted exporter measures from its first refresh: for this long the value of the previous one counts, while the replicas are still outdated.',
  ),
  // Whether Gitaly serves.
  gitalyUnwatched: seconds(
    15 * minute,
    'A Gitaly pod is Ready, and no agent reports its cgroups: longer than the start of a node and its agent.',
  ),
  errorBudgetMinimum: count(3600, "Gitaly's RPCs within an hour: the ratio of fewer means nothing."),
  errorBudgetSlowFor: seconds(
    3 * hour,
    'A ticket about three days: no hurry, and longer than the short history of a new Prometheus misleads.',
  ),
  restartLoop: count(3, 'Restarts of the container within 30 minutes for another reason than an OOM kill.'),
  podPending: seconds(10 * minute, 'Longer than a new node takes to start.'),
  // Limits.
  concurrencySaturated: seconds(15 * minute, 'Calls waited all the time: longer than a burst of CI.'),
  adaptiveLimitAtFloor: seconds(
    30 * minute,
    'The limit rises by itself within minutes when resources are free.',
  ),
  // Memory and CPU.
  gitParentOomEvents: count(
    3,
    'OOM events of the parent of all Git processes within oomWindow: each may hit any repository.',
  ),
  memoryPressure: ratio(
    0.1,
    'Ratio of time in which all tasks waited for memory: requests take visibly longer.',
  ),
  memoryPressureFor: seconds(10 * minute, 'Longer than one large clone.'),
  memoryForecastFor: seconds(
    35 * minute,
    'Longer than the 30 minutes for which one step of memory usage looks like growth.',
  ),
  // Volumes.
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
  volumeMetricsMissing: seconds(
    15 * minute,
    'The kubelet or node_exporter stopped reporting a volume: longer than the restart of a node.',
  ),
  // Pods and nodes.
  rolloutStuck: seconds(
    30 * minute,
    'Longer than one rotation of a pod with a large volume; a pod that is not Ready pages before.',
  ),
  checkRegressed: seconds(hour, 'Longer than a change in several steps.'),
} satisfies ThresholdTable);

export type AlertThresholdName = keyof typeof alertThresholds;
export type AlertThresholds = Readonly<Record<AlertThresholdName, Threshold>>;
export type ThresholdOverrides = { readonly [Name in AlertThresholdName]?: number };

export const thresholdNames = Object.keys(alertThresholds) as readonly AlertThresholdName[];

/** Two thresholds of which one must be lower: `factor` times the lower one is at most the higher one. */
interface ThresholdOrder {
  readonly lower: AlertThresholdName;
  readonly higher: AlertThresholdName;
  readonly factor?: number;
  /** What breaks otherwise. Completes "because ...". */
  readonly why: string;
}

const thresholdOrders: readonly ThresholdOrder[] = [
  {
    lower: 'wraparoundCritical',
    higher: 'wraparoundWarning',
    why: 'the ticket must come before the page',
  },
  {
    lower: 'storageUnhealthy',
    higher: 'gitalyDown',
    why: 'PraefectStorageUnhealthy must fire before GitalyDown of the same server, which it inhibits',
  },
  {
    lower: 'volumeAvailable',
    higher: 'volumeForecastBelow',
    why: 'the forecast must come before GitalyVolumeFilling',
  },
  {
    lower: 'scrapeInterval',
    higher: 'rateWindow',
    factor: 4,
    why: 'a rate needs several samples within its window',
  },
];

/** The first two thresholds that are out of order. */
export const firstConflict = (of: (name: AlertThresholdName) => number): ThresholdOrder | undefined =>
  thresholdOrders.find(({ factor, lower, higher }) =>
    factor === undefined ? of(lower) >= of(higher) : of(lower) * factor > of(higher),
  );

/**
 * The defaults with an operator's values, in each default's unit. Throws RangeError for a value out of range, and for
 * two that are out of order.
 */
export function withOverrides(overrides: ThresholdOverrides): AlertThresholds {
  const merged: Record<AlertThresholdName, Threshold> = { ...alertThresholds };
  for (const name of thresholdNames) {
    const threshold = alertThresholds[name];
    const value = overrides[name];
    if (value === undefined) continue;
    const { min, max } = threshold.range;
    if (!(value >= min && value <= max && (threshold.unit === 'ratio' || Number.isInteger(value))))
      throw new RangeError(
        `threshold ${name}: found ${value}, expected ${expectation(threshold)} (default ${threshold.value})`,
      );
    merged[name] = { ...threshold, value };
  }
  const conflict = firstConflict((name) => merged[name].value);
  if (conflict !== undefined) {
    const { factor, lower, higher, why } = conflict;
    throw new RangeError(
      `threshold ${lower} (${merged[lower].value}) must be ${factor === undefined ? 'lower than' : `at most 1/${factor} of`} ${higher} (${merged[higher].value}), because ${why}`,
    );
  }
  return Object.freeze(merged);
}

const expectation = ({ unit, range }: Threshold): string =>
  unit === 'ratio'
    ? 'a ratio greater than 0 and at most 1'
    : `a whole number of ${unit} from ${range.min} to ${range.max}`;
