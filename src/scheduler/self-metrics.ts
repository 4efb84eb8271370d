/**
 * The exporter's metrics about itself and its collectors. Alerts on data depend on `collector_success`: it exists for
 * every enabled collector from the first scrape on, and is 1 only while the data shown is current.
 *
 * docs/decisions/0003-runner.md has a table of their values in each state.
 */
import { describeThrown, stackOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { anyValue, gauge, type Metric, metricGroup } from '../metrics/metric.ts';
import { type Block, createSamples, type Family, single } from '../metrics/samples.ts';
import type { Budget } from './budget.ts';
import { failureReasons } from './outcome.ts';
import { type CollectorStatus, isHealthy } from './status.ts';

const collectors = metricGroup();
const program = metricGroup();

const runner = "the exporter's own runner";
const perCollector = { collector: anyValue } as const;

export const buildInfo = gauge('gitaly_exporter_build_info', {
  help: 'Version and Node.js version of the running exporter; always 1.',
  origin: 'package.json and process.version',
  labels: { version: anyValue, node_version: anyValue },
});

export const collectorEnabled = collectors.gauge('gitaly_exporter_collector_enabled', {
  help: 'Whether the collector is enabled (1) or disabled or unconfigured (0).',
  origin: 'configuration',
  labels: perCollector,
});

export const collectorSuccess = collectors.gauge('gitaly_exporter_collector_success', {
  help: 'Whether the last run of the collector succeeded and its data is within its maximum age.',
  details: 'Exists for every enabled collector, and is 0 before the first run has ended.',
  origin: runner,
  labels: perCollector,
});

export const collectorFailures = collectors.counter('gitaly_exporter_collector_failures_total', {
  help: 'Failed runs of the collector, by reason.',
  details:
    'A run that does not return counts once, as timeout, however long it hangs. Reasons that the collector cannot have are absent.',
  origin: runner,
  labels: { ...perCollector, reason: failureReasons },
});

export const collectorDuration = collectors.gauge('gitaly_exporter_collector_duration_seconds', {
  help: 'Duration of the last run of the collector.',
  details: 'Absent before the first run has ended.',
  origin: runner,
  labels: perCollector,
});

export const collectorLastSuccess = collectors.gauge(
  'gitaly_exporter_collector_last_success_timestamp_seconds',
  {
    help: 'Unix time of the last successful read of the source.',
    details: 'Absent until the first one.',
    origin: runner,
    labels: perCollector,
  },
);

export const collectorStale = collectors.gauge('gitaly_exporter_collector_stale', {
  help: 'Whether the data of the collector is older than its maximum age and its series are withdrawn.',
  details: 'Always 0 for collectors that run at each scrape.',
  origin: runner,
  labels: perCollector,
});

export const collectorHung = collectors.gauge('gitaly_exporter_collector_hung', {
  help: 'Whether a run of the collector passed its deadline and has not returned.',
  details: 'The collector is not run again until that run returns.',
  origin: runner,
  labels: perCollector,
});

export const collectorInterval = collectors.gauge('gitaly_exporter_collector_interval_seconds', {
  help: 'Current interval between runs of the collector.',
  details:
    "The configured interval, or longer while the limit on the database's time delays runs. Absent for collectors that run at each scrape.",
  origin: runner,
  labels: perCollector,
});

export const collectorBudgetLimited = collectors.gauge('gitaly_exporter_collector_budget_limited', {
  help: "Whether the limit on the database's time delays runs so much that the maximum age was extended.",
  origin: runner,
  labels: perCollector,
});

export const collectorSeries = collectors.gauge('gitaly_exporter_series', {
  help: 'Series of the collector in this scrape.',
  origin: runner,
  labels: perCollector,
});

export const seriesDropped = collectors.counter('gitaly_exporter_series_dropped_total', {
  help: 'Series dropped because a run exceeded the limit of series per collector, summed over runs.',
  details: 'While it increases, the data of this collector is incomplete.',
  origin: runner,
  labels: perCollector,
});

export const logLinesLost = program.counter('gitaly_exporter_log_lines_lost_total', {
  help: 'Lines of the log that could not be written to standard error.',
  details:
    'A full disk, or a reader of the pipe that has ended. Absent where the exporter is used as a library.',
  origin: 'write(2)',
});

export const databaseTime = program.counter('gitaly_exporter_database_time_seconds_total', {
  help: "Wall time of all queries to Praefect's database.",
  origin: 'measured around each query',
});

export const databaseTimeLimit = program.gauge('gitaly_exporter_database_time_limit_ratio', {
  help: "Limit of the ratio of the database's time that all queries together may take.",
  details: 'Due queries wait while it is exceeded.',
  origin: 'configuration',
});

export const exporterTime = program.gauge('gitaly_exporter_time_seconds', {
  help: "The exporter's clock, in seconds since 1970.",
  details: 'For the difference to the clock of Prometheus, by which ages are evaluated.',
  origin: 'the exporter',
});

export const reloadSuccess = program.gauge('gitaly_exporter_config_last_reload_success', {
  help: '1 if the last reload of the configuration succeeded, otherwise 0.',
  details: 'At 0, the previous configuration is in effect.',
  origin: 'the configuration',
});

export const reloadTime = program.gauge('gitaly_exporter_config_last_reload_timestamp_seconds', {
  help: 'Time at which the configuration in effect was loaded.',
  origin: 'the configuration',
});

/** All metrics of this module. */
export const selfMetrics: readonly Metric[] = [buildInfo, ...collectors.metrics, ...program.metrics];

function buildFamilies(version: string): readonly Family[] {
  const samples = createSamples();
  samples.set(buildInfo, { version, node_version: process.version }, 1);
  return samples.families();
}

/** The state of every enabled collector, and the names of those that are known but not enabled. */
function collectorFamilies(
  statuses: readonly CollectorStatus[],
  disabled: readonly string[],
): readonly Family[] {
  const samples = createSamples(collectors.metrics);
  for (const status of statuses) {
    const labels = { collector: status.name };
    const { lastDurationMs, lastSuccessAt, schedule } = status;
    samples.set(collectorEnabled, labels, 1);
    samples.set(collectorSuccess, labels, isHealthy(status));
    for (const [reason, count] of status.failures)
      samples.set(collectorFailures, { ...labels, reason }, count);
    samples.set(collectorDuration, labels, inSeconds(lastDurationMs));
    samples.set(collectorLastSuccess, labels, inSeconds(lastSuccessAt));
    samples.set(collectorStale, labels, status.stale);
    samples.set(collectorHung, labels, status.hung);
    samples.set(collectorInterval, labels, inSeconds(schedule?.everyMs));
    samples.set(collectorBudgetLimited, labels, schedule?.budgetLimited === true);
    samples.set(collectorSeries, labels, status.series);
    samples.set(seriesDropped, labels, status.seriesDroppedTotal);
  }
  for (const name of disabled) samples.set(collectorEnabled, { collector: name }, 0);
  return samples.families();
}

const inSeconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);

/** For the database's budget; hand it to the runner as extra families when a database is configured. */
export function databaseTimeFamilies(budget: Budget): readonly Family[] {
  return [single(databaseTime, budget.spentSeconds()), single(databaseTimeLimit, budget.ratio)];
}

/** Called at each scrape; must be quick and use memory only. */
export type ExtraFamilies = () => readonly Family[];

interface SelfBlockOptions {
  readonly version: string;
  readonly disabled: readonly string[];
  readonly extraFamilies: readonly ExtraFamilies[];
  readonly log: Log;
}

/** A source of extra families that throws loses its own families only; each such error is logged once. */
export function createSelfBlock(options: SelfBlockOptions): (statuses: readonly CollectorStatus[]) => Block {
  const { version, disabled, extraFamilies, log } = options;
  const logged = new Set<string>();

  function familiesOf(extra: ExtraFamilies): readonly Family[] {
    try {
      return [...extra()];
    } catch (thrown) {
      const error = describeThrown(thrown);
      if (!logged.has(error))
        log.error({ error, stack: stackOf(thrown) }, 'internal error: own metrics are missing');
      logged.add(error);
      return [];
    }
  }

  return (statuses) => ({
    families: [
      ...buildFamilies(version),
      ...collectorFamilies(statuses, disabled),
      ...extraFamilies.flatMap(familiesOf),
    ],
  });
}
