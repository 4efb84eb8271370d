/**
 * The alert rules by name and severity, with what a problem on the page needs of each. Their expressions and texts are
 * in alerts/; a test holds both against this table.
 */
import type { Severity } from './finding.ts';
import { gaugeWindowSeconds, type ThresholdName, type Thresholds } from './thresholds.ts';

interface AlertRule {
  readonly name: string;
  readonly severity: Severity;
  /** How long the condition must hold; undefined: the alert fires at once. */
  readonly hold?: ThresholdName;
  /** Its gauges are evaluated over a window, which `for` must exceed. Default true. */
  readonly usesGauges?: boolean;
  /** Maintenance windows suppress it. */
  readonly isSuppressed?: true;
  /** Why no problem on the page names it. */
  readonly noProblem?: string;
}

export const alertRules = [
  { name: 'PraefectDatabaseUnreachable', severity: 'critical', hold: 'databaseUnreachable' },
  { name: 'PraefectQuorumLost', severity: 'critical', hold: 'quorumLost' },
  { name: 'PraefectRepositoriesUnavailable', severity: 'critical', hold: 'repositoriesUnavailable' },
  {
    name: 'PraefectReplicationStalled',
    severity: 'critical',
    hold: 'replicationStalled',
    isSuppressed: true,
  },
  { name: 'PraefectReplicaStuck', severity: 'warning', hold: 'replicaStuck' },
  { name: 'PraefectFailover', severity: 'critical', hold: 'massFailover', isSuppressed: true },
  {
    name: 'PraefectFailover',
    severity: 'info',
    noProblem: 'an annotation of dashboards; the page lists failovers as events',
  },
  { name: 'GitalyDown', severity: 'critical', hold: 'gitalyDown', isSuppressed: true },
  { name: 'GitalyOOMKilled', severity: 'warning' },
  { name: 'GitalyOOMKilled', severity: 'critical' },
  { name: 'GitalyGitOOMKilled', severity: 'warning' },
  { name: 'GitalyMemoryNearLimit', severity: 'warning', hold: 'memoryNearLimitFor' },
  { name: 'GitalyCPUThrottled', severity: 'warning', hold: 'cpuThrottledFor', usesGauges: false },
  { name: 'GitalyRequestsDropped', severity: 'warning', hold: 'requestsDropped', usesGauges: false },
  { name: 'GitalyRotationSlow', severity: 'warning' },
  {
    name: 'GitalyUnwatched',
    severity: 'warning',
    hold: 'gitalyUnwatched',
    noProblem:
      'only Prometheus sees that no agent reports a pod: an exporter of the cluster does not know the agents',
  },
  {
    name: 'GitalyExporterDown',
    severity: 'warning',
    hold: 'exporterDown',
    noProblem: 'an exporter that is down has no page',
  },
  { name: 'GitalyExporterCollectorFailing', severity: 'warning', hold: 'collectorFailing' },
] as const satisfies readonly AlertRule[];

export type AlertName = (typeof alertRules)[number]['name'];

const rules: readonly AlertRule[] = alertRules;

/** Undefined where no rule has this name and severity. */
export const alertRule = (name: AlertName, severity: Severity): AlertRule | undefined =>
  rules.find((rule) => rule.name === name && rule.severity === severity);

/** The rule's `for`: a bad sample stays in the window of a gauge after recovery, and that time does not count. */
export const forSeconds = ({ hold, usesGauges = true }: AlertRule, thresholds: Thresholds): number =>
  hold === undefined ? 0 : thresholds[hold].value + (usesGauges ? gaugeWindowSeconds(thresholds) : 0);
