/**
 * What the exporter says of itself and of each collector. Alerts on data rest on `collector_success`: it exists
 * for every enabled collector from the first scrape on, and is 1 only while what is shown may be believed.
 *
 * docs/decisions/0003-runner.md has the table of what each of these says in each state.
 */
import { anyValue, counter, gauge, type Metric } from '../metrics/metric.ts';
import { type Family, samplesOf, single } from '../metrics/samples.ts';
import type { Budget } from './budget.ts';
import { failureReasons } from './outcome.ts';
import { type CollectorStatus, isHealthy } from './status.ts';

const runner = "the exporter's own runner";
const perCollector = { collector: anyValue } as const;

export const buildInfo = gauge('gitaly_exporter_build_info', {
  help: 'Always 1; the labels say which build of the exporter runs, on which Node.js.',
  origin: 'package.json and process.version',
  labels: { version: anyValue, revision: anyValue, node_version: anyValue },
});

export const collectorEnabled = gauge('gitaly_exporter_collector_enabled', {
  help: '1 for each collector that runs, 0 for each that is switched off or has nothing configured to read.',
  origin: 'configuration',
  labels: perCollector,
});

export const collectorSuccess = gauge('gitaly_exporter_collector_success', {
  help: '1 when the last run that ended was good and what it read is within its promised age; 0 before the first run ended, from the first failed run on, and when stale. Exists for every enabled collector.',
  origin: runner,
  labels: perCollector,
});

export const collectorFailures = counter('gitaly_exporter_collector_failures_total', {
  help: 'Runs that failed, by reason. A run that does not come back counts once, as timeout, however long it hangs.',
  origin: runner,
  labels: { ...perCollector, reason: failureReasons },
});

export const collectorDuration = gauge('gitaly_exporter_collector_duration_seconds', {
  unit: 'seconds',
  help: 'How long the last run that ended took, good or failed. Absent before the first run ended.',
  origin: runner,
  labels: perCollector,
});

export const collectorLastSuccess = gauge('gitaly_exporter_collector_last_success_timestamp_seconds', {
  unit: 'seconds',
  help: 'When the source was last read with success. Absent until then.',
  origin: runner,
  labels: perCollector,
});

export const collectorStale = gauge('gitaly_exporter_collector_stale', {
  help: '1 when what was last read is older than its promise, so that its series were withdrawn. Always 0 for what is read at each scrape.',
  origin: runner,
  labels: perCollector,
});

export const collectorHung = gauge('gitaly_exporter_collector_hung', {
  help: '1 while a run that passed its deadline has not come back; it is not asked again before it does.',
  origin: runner,
  labels: perCollector,
});

export const collectorInterval = gauge('gitaly_exporter_collector_interval_seconds', {
  unit: 'seconds',
  help: 'Time from one run to the next as it is now: the configured interval, or longer when the budget allows no more. Absent for what is read at each scrape.',
  origin: runner,
  labels: perCollector,
});

export const collectorBudgetLimited = gauge('gitaly_exporter_collector_budget_limited', {
  help: "1 when the limit on the database's time keeps runs so far apart that what was read may get older than configured before it counts as stale.",
  origin: runner,
  labels: perCollector,
});

export const collectorSeries = gauge('gitaly_exporter_series', {
  help: 'Series that this collector shows in this scrape.',
  origin: runner,
  labels: perCollector,
});

export const seriesDropped = counter('gitaly_exporter_series_dropped_total', {
  help: 'Series left out because a run brought more than the limit, summed over runs. When it grows, what is shown of this collector is incomplete.',
  origin: runner,
  labels: perCollector,
});

export const databaseTime = counter('gitaly_exporter_database_time_seconds_total', {
  unit: 'seconds',
  help: "Wall time that all questions to Praefect's database took.",
  origin: 'measured around each question',
});

export const databaseTimeLimit = gauge('gitaly_exporter_database_time_limit_ratio', {
  unit: 'ratio',
  help: "Share of the database's time that all questions together may take; due questions wait beyond it.",
  origin: 'configuration',
});

/** All metrics that this room answers. */
export const selfMetrics: readonly Metric[] = Object.freeze([
  buildInfo,
  collectorEnabled,
  collectorSuccess,
  collectorFailures,
  collectorDuration,
  collectorLastSuccess,
  collectorStale,
  collectorHung,
  collectorInterval,
  collectorBudgetLimited,
  collectorSeries,
  seriesDropped,
  databaseTime,
  databaseTimeLimit,
]);

export interface BuildInfo {
  readonly version: string;
  /** Commit; empty when unknown. */
  readonly revision: string;
  /** As process.version says it. */
  readonly nodeVersion: string;
}

export function buildFamilies({ version, revision, nodeVersion }: BuildInfo): readonly Family[] {
  return [samplesOf(buildInfo).set({ version, revision, node_version: nodeVersion }, 1).family()];
}

/** The state of every enabled collector, and the names of those that are known but not enabled. */
export function collectorFamilies(
  statuses: readonly CollectorStatus[],
  disabled: readonly string[],
): readonly Family[] {
  const enabled = samplesOf(collectorEnabled);
  const success = samplesOf(collectorSuccess);
  const failures = samplesOf(collectorFailures);
  const duration = samplesOf(collectorDuration);
  const lastSuccess = samplesOf(collectorLastSuccess);
  const stale = samplesOf(collectorStale);
  const hung = samplesOf(collectorHung);
  const interval = samplesOf(collectorInterval);
  const budgetLimited = samplesOf(collectorBudgetLimited);
  const series = samplesOf(collectorSeries);
  const dropped = samplesOf(seriesDropped);

  for (const status of statuses) {
    const labels = { collector: status.name };
    enabled.set(labels, 1);
    success.set(labels, isHealthy(status) ? 1 : 0);
    for (const reason of failureReasons) failures.set({ ...labels, reason }, status.failures[reason]);
    if (status.lastDurationMs !== undefined) duration.set(labels, status.lastDurationMs / 1000);
    if (status.lastSuccessAt !== undefined) lastSuccess.set(labels, status.lastSuccessAt / 1000);
    stale.set(labels, status.stale ? 1 : 0);
    hung.set(labels, status.hung ? 1 : 0);
    const { schedule } = status;
    if (schedule.kind === 'interval') interval.set(labels, schedule.effectiveEveryMs / 1000);
    budgetLimited.set(labels, schedule.kind === 'interval' && schedule.budgetLimited ? 1 : 0);
    series.set(labels, status.series);
    dropped.set(labels, status.seriesDroppedTotal);
  }
  for (const name of disabled) enabled.set({ collector: name }, 0);

  return [
    enabled,
    success,
    failures,
    duration,
    lastSuccess,
    stale,
    hung,
    interval,
    budgetLimited,
    series,
    dropped,
  ].map((samples) => samples.family());
}

/** For the database's budget; hand it to the runner as extra families when a database is configured. */
export function databaseTimeFamilies(budget: Budget): readonly Family[] {
  return [single(databaseTime, budget.spentSeconds()), single(databaseTimeLimit, budget.share)];
}
