/**
 * The alert rules that a problem on the page names: severity and duration, which both quote. Their expressions and texts
 * are in alerts/, where the alerts without a problem are declared whole.
 */
import type { Severity } from './finding.ts';
import { gaugeWindowSeconds, type ThresholdName, type Thresholds } from './thresholds.ts';

interface AlertRule {
  readonly severity: Severity;
  /** How long the condition must hold; undefined: the alert fires immediately. */
  readonly hold?: ThresholdName;
  /** Its gauges are evaluated over a window, which `for` must exceed. Default true. */
  readonly usesGauges?: boolean;
  /** Maintenance windows suppress it. */
  readonly isSuppressed?: true;
}

export const alertRules = {
  GitalyExporterCollectorFailing: { severity: 'warning', hold: 'collectorFailing' },
  GitalyExporterSeriesDropped: { severity: 'warning', hold: 'seriesDropped', usesGauges: false },
  PraefectDatabaseUnreachable: { severity: 'critical', hold: 'databaseUnreachable' },
  PraefectDatabaseReadOnly: { severity: 'critical', hold: 'databaseReadOnly' },
  PraefectDatabaseClockSkew: { severity: 'warning', hold: 'clockSkewFor' },
  PraefectQuorumLost: { severity: 'critical', hold: 'quorumLost' },
  PraefectInstanceDown: { severity: 'warning', hold: 'praefectDown', isSuppressed: true },
  PraefectStorageUnhealthy: {
    severity: 'critical',
    hold: 'storageUnhealthy',
    usesGauges: false,
    isSuppressed: true,
  },
  PraefectHealthDisagreement: {
    severity: 'warning',
    hold: 'healthDisagreement',
    usesGauges: false,
    isSuppressed: true,
  },
  PraefectRepositoriesUnavailable: { severity: 'critical', hold: 'repositoriesUnavailable' },
  PraefectRepositoriesReadOnly: { severity: 'critical', hold: 'repositoriesUnavailable' },
  PraefectRepositoriesLost: { severity: 'critical', hold: 'repositoriesLost' },
  PraefectReplicationStalled: { severity: 'critical', hold: 'replicationStalled', isSuppressed: true },
  PraefectReplicationLockStale: { severity: 'warning', hold: 'replicationLockStale' },
  PraefectReplicaStuck: { severity: 'warning', hold: 'replicaStuck' },
  GitalyDown: { severity: 'critical', hold: 'gitalyDown', isSuppressed: true },
  GitalyMetricsUnreadable: { severity: 'warning', hold: 'serverMetricsUnread', usesGauges: false },
  GitalyRequestsDroppedQueueFull: { severity: 'critical', hold: 'requestsDropped', usesGauges: false },
  GitalyRequestsDroppedQueueWait: { severity: 'warning', hold: 'requestsDroppedWait', usesGauges: false },
  GitalyLoadShed: { severity: 'warning', hold: 'requestsDropped', usesGauges: false },
  GitalyPackObjectsDropped: { severity: 'warning', hold: 'requestsDropped', usesGauges: false },
  GitalyContainerOOMKilled: { severity: 'critical' },
  GitalyOOMKilled: { severity: 'warning' },
  GitalyOOMKilledRepeatedly: { severity: 'critical' },
  GitalyGitOOMKilled: { severity: 'warning' },
  GitalyMemoryNearLimit: { severity: 'warning', hold: 'memoryNearLimitFor' },
  GitalyCPUThrottled: { severity: 'warning', hold: 'cpuThrottledFor', usesGauges: false },
  GitalyRotationSlow: { severity: 'warning' },
  GitalyDrainBlocked: { severity: 'warning', hold: 'drainBlocked' },
  GitalyNodePressure: { severity: 'warning', hold: 'nodePressure', usesGauges: false },
  GitalyNodeNotReady: { severity: 'warning', hold: 'gitalyDown', usesGauges: false },
} as const satisfies Readonly<Record<string, AlertRule>>;

export type AlertName = keyof typeof alertRules;

export const alertRule = (name: AlertName): AlertRule => alertRules[name];

/** The rule's `for`: a bad sample stays in the window of a gauge after recovery, and that time does not count. */
export const forSeconds = ({ hold, usesGauges = true }: AlertRule, thresholds: Thresholds): number =>
  hold === undefined ? 0 : thresholds[hold].value + (usesGauges ? gaugeWindowSeconds(thresholds) : 0);
