/** The exporter itself. Every other alert depends on its metrics, so their absence has alerts of its own. */

import { webConfigLastReloadSuccess } from '../src/metrics/http-server.ts';
import type { Metric } from '../src/metrics/metric.ts';
import { durationInWords, lastInWords } from '../src/monitoring/durations.ts';
import { targetUp } from '../src/monitoring/external-metrics.ts';
import { clusterLabels } from '../src/monitoring/labels.ts';
import { overviewDashboard, serversDashboard } from '../src/monitoring/links.ts';
import {
  above,
  absoluteValue,
  countBy,
  equals,
  increase,
  like,
  maxBy,
  maxOverTime,
  minBy,
  minOverTime,
  not,
  or,
  recordedSelector,
  select,
  unless,
  type Vector,
} from '../src/monitoring/promql/index.ts';
import { eachHighest, highest, lowest, recorded, sustained } from '../src/monitoring/recording.ts';
import { exporterSkew } from '../src/monitoring/recordings/exporter.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import type { AlertThresholds } from '../src/rules/alert-thresholds.ts';
import { minute, seconds, type ThresholdTable } from '../src/rules/thresholds.ts';
import {
  buildInfo,
  collectorEnabled,
  collectorStale,
  collectorSuccess,
  reloadSuccess,
  seriesDropped,
} from '../src/scheduler/self-metrics.ts';
import { scrapeUp } from '../src/sources/gitaly/metrics.ts';
import { podReady } from '../src/sources/kubernetes/metrics.ts';
import { transactionsToWraparound } from '../src/sources/praefect/queries/tables.ts';
import { serverInfo } from '../src/sources/server-info.ts';
import { type Alert, alert, judgedWithPage } from './alert.ts';
import { unreported } from './conditions.ts';
import { withoutProblem } from './texts.ts';

const targetLabels = [...clusterLabels, 'job', 'instance'] as const;
const collectorsPanel = { dashboard: overviewDashboard, title: 'Failing collectors' };

interface ExporterSettings extends MonitoringSettings {
  readonly thresholds: AlertThresholds;
}

export const exporterThresholds = {
  exporterDown: seconds(5 * minute, 'Longer than a rollout of the exporter.'),
  labelsRenamed: seconds(15 * minute, 'A setting of the scrape: no hurry.'),
  clustersMixed: seconds(
    30 * minute,
    'An exporter that has ended is compared for 15 minutes with the one that replaces it.',
  ),
  reloadFailed: seconds(10 * minute, 'Longer than a change of several files.'),
  exporterClockSkew: seconds(30, "The exporter's clock differs from Prometheus' by more than a slow scrape."),
} satisfies ThresholdTable;

export const exporterAlerts = (settings: ExporterSettings): readonly Alert[] => [
  exporterDown(settings),
  exporterMissing(settings),
  collectorFailing(settings.thresholds),
  dataStale(settings.thresholds),
  labelsRenamed(settings.thresholds),
  clustersMixed(settings.thresholds),
  droppedSeries(settings.thresholds),
  reloadFailed(settings.thresholds),
  skewedExporterClock(settings.thresholds),
];

function exporterDown({ exporterJob, thresholds }: ExporterSettings): Alert {
  const { exporterDown: downFor } = thresholds;
  return alert({
    name: 'GitalyExporterDown',
    severity: 'warning',
    expression: equals(lowest(thresholds, targetLabels, select(targetUp, { job: like(exporterJob) })), 0),
    forSeconds: sustained(thresholds, downFor.value),
    noProblem: withoutProblem.noPage,
    panel: { dashboard: overviewDashboard, title: 'Exporters up' },
    firesWhen: `a target of the exporter's job could not be scraped for ${durationInWords(downFor.value)}`,
    summary: ({ label }) => `gitaly-exporter ${label('instance')} cannot be scraped`,
    description: ({ label }) =>
      `Job ${label('job')}. Unless another instance reports the same, what it monitors is unknown, and other alerts cannot fire; critical ones that fired before keep firing. Check its pod or unit, and the error on the page Targets of Prometheus.`,
  });
}

function exporterMissing({ thresholds }: ExporterSettings): Alert {
  const { exporterDown: downFor, missingSeriesLookback } = thresholds;
  return alert({
    name: 'GitalyExporterMissing',
    severity: 'warning',
    expression: unreported(thresholds, select(buildInfo)),
    forSeconds: sustained(thresholds, downFor.value),
    noProblem: withoutProblem.noPage,
    panel: { dashboard: overviewDashboard, title: 'Exporters up' },
    firesWhen: `no exporter of a cluster has been scraped for ${durationInWords(downFor.value)}, or none at all within ${lastInWords(missingSeriesLookback.value)}`,
    summary: () => 'No gitaly-exporter is scraped',
    description: () =>
      'Gitaly and Praefect are not monitored, and other alerts cannot fire; critical ones that fired before keep firing. Check that the exporter runs and that Prometheus has it as a target (ServiceMonitor, labels, namespace).',
  });
}

function collectorFailing(thresholds: AlertThresholds): Alert {
  const { collectorFailing: failingFor } = thresholds;
  const by = [...targetLabels, 'collector'] as const;
  const failing = equals(lowest(thresholds, by, select(collectorSuccess)), 0);
  const unreported = unless(
    equals(highest(thresholds, by, select(collectorEnabled)), 1),
    eachHighest(thresholds, select(collectorSuccess)),
    { on: by },
  );
  return alert({
    ...judgedWithPage('GitalyExporterCollectorFailing', thresholds),
    expression: countBy(targetLabels, or(failing, unreported)),
    panel: collectorsPanel,
    firesWhen: `a collector of a running exporter has failed for ${durationInWords(failingFor.value)}`,
    summary: ({ count, label }) =>
      `gitaly-exporter ${label('instance')}: ${count('collector fails', 'collectors fail')}`,
    description: ({ list, same }) =>
      `Collectors: ${list(
        equals(maxBy(['collector'], select(collectorSuccess, same(...targetLabels))), 0),
        'collector',
        'unknown',
      )}. Alerts on what they read cannot fire. The exporter's page and log show the reason.`,
  });
}

function dataStale(thresholds: AlertThresholds): Alert {
  const { collectorStale: staleFor } = thresholds;
  const by = [...targetLabels, 'collector'] as const;
  return alert({
    name: 'GitalyExporterStale',
    severity: 'warning',
    expression: countBy(targetLabels, equals(lowest(thresholds, by, select(collectorStale)), 1)),
    forSeconds: staleFor.value,
    noProblem: 'the page shows the age of each collector, and reports it as failing',
    panel: { dashboard: overviewDashboard, title: 'Stale collectors' },
    firesWhen: `for ${durationInWords(staleFor.value)}, the data of a collector was older than its maximum age, so that its series are withdrawn`,
    summary: ({ count, label }) =>
      `gitaly-exporter ${label('instance')}: ${count('collector', 'collectors')} without current data`,
    description: ({ list, same }) =>
      `Collectors: ${list(
        equals(maxBy(['collector'], select(collectorStale, same(...targetLabels))), 1),
        'collector',
        'unknown',
      )}. Their series are withdrawn, and alerts on them cannot fire. The source does not respond, or praefect.database.max-time-ratio delays the refreshes. See the exporter's page.`,
  });
}

/** Series that have the label only if Prometheus renamed the exporter's own. */
const renamed = (metric: Metric): Vector<(typeof targetLabels)[number] | 'exported_pod'> =>
  recordedSelector<(typeof targetLabels)[number] | 'exported_pod'>(
    metric.name,
    [...targetLabels, 'exported_pod'],
    [metric],
    { exported_pod: not('') },
  );

function labelsRenamed(thresholds: AlertThresholds): Alert {
  const { labelsRenamed: renamedFor } = thresholds;
  const series = or(or(renamed(podReady), renamed(serverInfo)), renamed(scrapeUp));
  return alert({
    name: 'GitalyExporterLabelsRenamed',
    severity: 'warning',
    expression: countBy([...clusterLabels, 'job'], series),
    forSeconds: sustained(thresholds, renamedFor.value),
    noProblem: 'only Prometheus sees what its scrape makes of labels',
    panel: { dashboard: serversDashboard, title: 'Servers monitored' },
    firesWhen: `for ${durationInWords(renamedFor.value)}, series of gitaly_server_* had a label exported_pod, because the scrape renamed the exporter's labels`,
    summary: ({ label }) => `Job ${label('job')} is scraped without honor_labels`,
    description: () =>
      "Prometheus replaced namespace and pod of Gitaly by those of the exporter's pod, so alerts and dashboards of Gitaly servers mix them up. Set honor_labels: true (honorLabels in a ServiceMonitor), see docs/scraping.md.",
  });
}

/** Longer than a refresh: two exporters that read one server at different times have some value in common. */
const comparedRange = '15m';

function clustersMixed(thresholds: AlertThresholds): Alert {
  const { clustersMixed: mixedFor } = thresholds;
  // Of each server this is a number of its own, and it only falls until rows are frozen.
  const left = select(transactionsToWraparound);
  return alert({
    name: 'GitalyExporterClustersMixed',
    severity: 'warning',
    expression: above(
      maxBy(clusterLabels, minOverTime(left, comparedRange)),
      minBy(clusterLabels, maxOverTime(left, comparedRange)),
      { on: clusterLabels },
    ),
    forSeconds: sustained(thresholds, mixedFor.value),
    noProblem: 'an exporter does not know the other ones',
    panel: { dashboard: overviewDashboard, title: 'Exporters up' },
    firesWhen: `for ${durationInWords(mixedFor.value)}, exporters with the same labels cluster and namespace read different databases of Praefect`,
    summary: () => 'Exporters with the same label cluster read different databases',
    description: ({ list, same }) =>
      `Exporters: ${list(
        maxBy(['instance'], select(transactionsToWraparound, same(...clusterLabels))),
        'instance',
        'unknown',
      )}. A healthy storage or database of one cluster hides the failed one of the same name of another. Give each cluster a label cluster of its own in Prometheus; or an exporter reads an old database, check its address.`,
  });
}

function droppedSeries(thresholds: AlertThresholds): Alert {
  const { seriesDropped: droppedFor } = thresholds;
  const by = [...targetLabels, 'collector'] as const;
  return alert({
    ...judgedWithPage('GitalyExporterSeriesDropped', thresholds),
    expression: above(maxBy(by, increase(select(seriesDropped), '10m')), 0),
    panel: collectorsPanel,
    firesWhen: `for ${durationInWords(droppedFor.value)}, a collector produced more series than the limit, and some were dropped`,
    summary: ({ label }) => `gitaly-exporter ${label('instance')} drops series of ${label('collector')}`,
    description: () =>
      'Metrics of this collector are incomplete, so sums are too low and alerts may not fire. Raise metrics.max-series, or lower cgroup.top-buckets.',
  });
}

function reloadFailed(thresholds: AlertThresholds): Alert {
  const { reloadFailed: failedFor } = thresholds;
  const failed = or(
    equals(highest(thresholds, targetLabels, select(reloadSuccess)), 0),
    equals(highest(thresholds, targetLabels, select(webConfigLastReloadSuccess)), 0),
  );
  return alert({
    name: 'GitalyExporterReloadFailed',
    severity: 'warning',
    expression: failed,
    forSeconds: failedFor.value,
    noProblem: 'the page shows the failed reload itself',
    panel: { dashboard: overviewDashboard, title: 'Exporters up' },
    firesWhen: `for ${durationInWords(failedFor.value)}, the exporter could not load its configuration or web configuration as it is on disk`,
    summary: ({ label }) => `gitaly-exporter ${label('instance')} cannot load its configuration`,
    description: () =>
      'The previous configuration is still in use; after a restart the exporter would not start. gitaly-exporter config check shows what is wrong; its log has the error of the last reload.',
  });
}

function skewedExporterClock(thresholds: AlertThresholds): Alert {
  const { clockSkewFor, exporterClockSkew } = thresholds;
  return alert({
    name: 'GitalyExporterClockSkew',
    severity: 'warning',
    expression: above(absoluteValue(recorded(exporterSkew)), exporterClockSkew.value),
    forSeconds: clockSkewFor.value,
    noProblem: 'an exporter does not know the clock of Prometheus',
    panel: { dashboard: overviewDashboard, title: 'Exporters up' },
    firesWhen: `for ${durationInWords(clockSkewFor.value)}, the clocks of an exporter and of Prometheus differed by over ${durationInWords(exporterClockSkew.value)}`,
    summary: ({ label, value }) =>
      `The clock of gitaly-exporter ${label('instance')} is off by ${value('duration')}`,
    description: () =>
      'The ages of jobs, heartbeats, OOM kills and failovers are wrong by this much, so alerts on them fire too early, too late or not at all. Check NTP on the host of the exporter and on that of Prometheus.',
  });
}
