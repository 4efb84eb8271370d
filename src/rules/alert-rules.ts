/**
 * The alert rules by name and severity, with what a problem on the page needs of each. Their expressions and texts are
 * in alerts/; a test holds both against this table.
 */
import type { Severity } from './finding.ts';
import { gaugeWindowSeconds, type ThresholdName, type Thresholds } from './thresholds.ts';

interface AlertRule {
  readonly name: string;
  readonly severity: Severity;
  /** How long the condition must hold; undefined: the alert fires immediately. */
  readonly hold?: ThresholdName;
  /** Its gauges are evaluated over a window, which `for` must exceed. Default true. */
  readonly usesGauges?: boolean;
  /** Maintenance windows suppress it. */
  readonly isSuppressed?: true;
  /** Why no problem on the page names it. */
  readonly noProblem?: string;
}

const noPage = 'without a running exporter there is no page';
const notRead = 'its metrics are from Gitaly, the kubelet or node_exporter, and only Prometheus has them';
const overTime = 'it depends on minutes to days of history, which only Prometheus has';
const shownAsValue = 'the page shows the value, without a threshold';

export const alertRules = [
  { name: 'GitalyExporterDown', severity: 'warning', hold: 'exporterDown', noProblem: noPage },
  { name: 'GitalyExporterMissing', severity: 'warning', hold: 'exporterDown', noProblem: noPage },
  { name: 'GitalyExporterCollectorFailing', severity: 'warning', hold: 'collectorFailing' },
  {
    name: 'GitalyExporterStale',
    severity: 'warning',
    hold: 'collectorStale',
    usesGauges: false,
    noProblem: 'the page shows the age of each collector, and reports it as failing',
  },
  {
    name: 'GitalyExporterLabelsRenamed',
    severity: 'warning',
    hold: 'labelsRenamed',
    noProblem: 'only Prometheus sees what its scrape makes of labels',
  },
  {
    name: 'GitalyExporterSeriesDropped',
    severity: 'warning',
    hold: 'seriesDropped',
    usesGauges: false,
    noProblem: overTime,
  },
  {
    name: 'GitalyExporterReloadFailed',
    severity: 'warning',
    hold: 'reloadFailed',
    usesGauges: false,
    noProblem: 'the page shows the failed reload itself',
  },
  { name: 'PraefectDatabaseUnreachable', severity: 'critical', hold: 'databaseUnreachable' },
  { name: 'PraefectMetricsMissing', severity: 'warning', hold: 'collectorStale', noProblem: noPage },
  { name: 'PraefectDatabaseReadOnly', severity: 'critical', hold: 'databaseReadOnly' },
  {
    name: 'PraefectDatabaseConnectionsNearLimit',
    severity: 'warning',
    hold: 'connectionsNearLimitFor',
    noProblem: shownAsValue,
  },
  {
    name: 'PraefectDatabaseQueriesBlocked',
    severity: 'warning',
    hold: 'queryBlockedFor',
    noProblem: shownAsValue,
  },
  {
    name: 'PraefectDatabaseLongTransaction',
    severity: 'warning',
    hold: 'queryBlockedFor',
    noProblem: shownAsValue,
  },
  { name: 'PraefectDatabaseBloat', severity: 'warning', hold: 'deadRowsFor', noProblem: shownAsValue },
  {
    name: 'PraefectDatabaseWraparound',
    severity: 'warning',
    hold: 'queryBlockedFor',
    noProblem: shownAsValue,
  },
  {
    name: 'PraefectDatabaseWraparound',
    severity: 'critical',
    hold: 'queryBlockedFor',
    noProblem: shownAsValue,
  },
  { name: 'PraefectDatabaseClockSkew', severity: 'warning', hold: 'clockSkewFor', noProblem: shownAsValue },
  { name: 'PraefectSchemaUnknown', severity: 'warning', hold: 'longTransaction', noProblem: shownAsValue },
  { name: 'PraefectQuorumLost', severity: 'critical', hold: 'quorumLost' },
  { name: 'PraefectInstanceDown', severity: 'warning', hold: 'praefectDown', isSuppressed: true },
  {
    name: 'PraefectStorageUnhealthy',
    severity: 'critical',
    hold: 'storageUnhealthy',
    usesGauges: false,
    isSuppressed: true,
  },
  { name: 'PraefectStorageFlapping', severity: 'critical', isSuppressed: true, noProblem: overTime },
  {
    name: 'PraefectHealthDisagreement',
    severity: 'warning',
    hold: 'healthDisagreement',
    usesGauges: false,
    isSuppressed: true,
  },
  {
    name: 'PraefectFailover',
    severity: 'info',
    noProblem: 'an annotation of dashboards; the page lists failovers as events',
  },
  {
    name: 'PraefectPrimarySkew',
    severity: 'warning',
    hold: 'primarySkewFor',
    usesGauges: false,
    noProblem: overTime,
  },
  { name: 'PraefectRepositoriesUnavailable', severity: 'critical', hold: 'repositoriesUnavailable' },
  { name: 'PraefectRepositoriesReadOnly', severity: 'critical', hold: 'repositoriesUnavailable' },
  { name: 'PraefectRepositoriesLost', severity: 'critical', hold: 'repositoriesLost' },
  {
    name: 'PraefectSingleCopy',
    severity: 'critical',
    hold: 'singleCopy',
    isSuppressed: true,
    noProblem: overTime,
  },
  {
    name: 'PraefectRestartUnsafe',
    severity: 'warning',
    hold: 'restartUnsafe',
    isSuppressed: true,
    noProblem: shownAsValue,
  },
  {
    name: 'PraefectRepositoryCountDrop',
    severity: 'critical',
    hold: 'repositoryCountDropFor',
    isSuppressed: true,
    noProblem: overTime,
  },
  {
    name: 'PraefectVerificationOverdue',
    severity: 'warning',
    hold: 'longTransaction',
    noProblem: shownAsValue,
  },
  {
    name: 'PraefectReplicationStalled',
    severity: 'critical',
    hold: 'replicationStalled',
    isSuppressed: true,
  },
  {
    name: 'PraefectReplicationBacklog',
    severity: 'warning',
    hold: 'replicationBacklog',
    usesGauges: false,
    noProblem: overTime,
  },
  { name: 'PraefectReplicationLockStale', severity: 'warning', hold: 'replicationLockStale' },
  {
    name: 'PraefectJobsForUnknownStorage',
    severity: 'warning',
    hold: 'jobsOfUnknownStorage',
    noProblem: shownAsValue,
  },
  { name: 'PraefectReplicaStuck', severity: 'warning', hold: 'replicaStuck' },
  {
    name: 'PraefectReplicasUnscheduled',
    severity: 'warning',
    hold: 'replicasUnscheduled',
    usesGauges: false,
    noProblem: overTime,
  },
  { name: 'GitalyDown', severity: 'critical', hold: 'gitalyDown', isSuppressed: true },
  {
    name: 'GitalyErrorBudgetBurn',
    severity: 'critical',
    hold: 'databaseReadOnly',
    usesGauges: false,
    noProblem: notRead,
  },
  {
    name: 'GitalyErrorBudgetBurn',
    severity: 'warning',
    hold: 'databaseReadOnly',
    usesGauges: false,
    noProblem: notRead,
  },
  { name: 'GitalyRestartLoop', severity: 'warning', noProblem: overTime },
  {
    name: 'GitalyPodPending',
    severity: 'warning',
    hold: 'podPending',
    usesGauges: false,
    noProblem: shownAsValue,
  },
  { name: 'GitalyMetricsUnreadable', severity: 'warning', hold: 'serverMetricsUnread', usesGauges: false },
  {
    name: 'GitalyUnwatched',
    severity: 'warning',
    hold: 'gitalyUnwatched',
    noProblem:
      'only Prometheus sees that no agent reports a pod: an exporter of the cluster does not know the agents',
  },
  {
    name: 'GitalyRequestsDroppedQueueFull',
    severity: 'critical',
    hold: 'requestsDropped',
    usesGauges: false,
  },
  {
    name: 'GitalyRequestsDroppedQueueWait',
    severity: 'warning',
    hold: 'requestsDroppedWait',
    usesGauges: false,
  },
  {
    name: 'GitalyLoadShed',
    severity: 'warning',
    hold: 'requestsDropped',
    usesGauges: false,
  },
  {
    name: 'GitalyPackObjectsDropped',
    severity: 'warning',
    hold: 'requestsDropped',
    usesGauges: false,
  },
  {
    name: 'GitalyConcurrencySaturated',
    severity: 'warning',
    hold: 'concurrencySaturated',
    usesGauges: false,
    noProblem: overTime,
  },
  {
    name: 'GitalyAdaptiveLimitAtFloor',
    severity: 'warning',
    hold: 'adaptiveLimitAtFloor',
    noProblem: overTime,
  },
  { name: 'GitalyOOMKilled', severity: 'warning' },
  { name: 'GitalyOOMKilledRepeatedly', severity: 'critical' },
  {
    name: 'GitalyGitParentOOM',
    severity: 'critical',
    noProblem: 'the page reports OOM kills of Git processes as one problem of each Gitaly',
  },
  { name: 'GitalyGitOOMKilled', severity: 'warning' },
  { name: 'GitalyMemoryNearLimit', severity: 'warning', hold: 'memoryNearLimitFor' },
  {
    name: 'GitalyMemoryPressure',
    severity: 'warning',
    hold: 'memoryPressureFor',
    usesGauges: false,
    noProblem: overTime,
  },
  {
    name: 'GitalyMemoryExhaustionForecast',
    severity: 'warning',
    hold: 'memoryForecastFor',
    usesGauges: false,
    noProblem: overTime,
  },
  { name: 'GitalyCPUThrottled', severity: 'warning', hold: 'cpuThrottledFor', usesGauges: false },
  { name: 'GitalyVolumeFilling', severity: 'critical', hold: 'volumeAvailableFor', noProblem: notRead },
  {
    name: 'GitalyVolumeForecast',
    severity: 'warning',
    hold: 'volumeForecastFor',
    usesGauges: false,
    noProblem: notRead,
  },
  { name: 'GitalyInodesFilling', severity: 'critical', hold: 'volumeAvailableFor', noProblem: notRead },
  { name: 'GitalyRotationSlow', severity: 'warning' },
  { name: 'GitalyRolloutStuck', severity: 'warning', hold: 'rolloutStuck', noProblem: shownAsValue },
  { name: 'GitalyDrainBlocked', severity: 'warning', hold: 'drainBlocked' },
  { name: 'GitalyNodePressure', severity: 'warning', hold: 'nodePressure', usesGauges: false },
  { name: 'GitalyNodeNotReady', severity: 'warning', hold: 'gitalyDown', usesGauges: false },
  {
    name: 'GitalyCheckRegressed',
    severity: 'warning',
    hold: 'checkRegressed',
    usesGauges: false,
    noProblem: overTime,
  },
] as const satisfies readonly AlertRule[];

export type AlertName = (typeof alertRules)[number]['name'];

const rules: readonly AlertRule[] = alertRules;

/** Undefined where no rule has this name and severity. */
export const alertRule = (name: AlertName, severity: Severity): AlertRule | undefined =>
  rules.find((rule) => rule.name === name && rule.severity === severity);

/** The rule's `for`: a bad sample stays in the window of a gauge after recovery, and that time does not count. */
export const forSeconds = ({ hold, usesGauges = true }: AlertRule, thresholds: Thresholds): number =>
  hold === undefined ? 0 : thresholds[hold].value + (usesGauges ? gaugeWindowSeconds(thresholds) : 0);
