/**
 * Alerts on the exporter itself. Every other alert rests on what it says: what it cannot say must not read as
 * healthy, so its silence fires here.
 */

import { gauge } from '../src/metrics/metric.ts';
import { durationInWords, promDuration } from '../src/monitoring/durations.ts';
import { overviewDashboard, panelLink } from '../src/monitoring/links.ts';
import {
  absentOverTime,
  countBy,
  equals,
  labelled,
  like,
  maxBy,
  maxOverTime,
  or,
  select,
  unless,
} from '../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import type { Thresholds } from '../src/rules/thresholds.ts';
import { buildInfo, collectorEnabled, collectorSuccess } from '../src/scheduler/self-metrics.ts';
import { type Alert, type AlertGroup, alert, clusterLabels, gaugeWindow, sustained } from './alert.ts';
import { lowest } from './conditions.ts';

/** Prometheus' own: 1 when the last scrape of a target succeeded. Not of this exporter. */
export const scrapeUp = gauge('up', {
  help: 'Whether the last scrape of a target succeeded.',
  origin: 'Prometheus',
});

const exporterLabels = [...clusterLabels, 'instance'] as const;

export function exporterAlerts(settings: MonitoringSettings): AlertGroup {
  return {
    name: 'gitaly-exporter',
    file: 'exporter',
    alerts: [exporterDown(settings), collectorFailing(settings.thresholds)],
    inhibitions: [],
  };
}

function exporterDown({ exporterJob, thresholds }: MonitoringSettings): Alert {
  const { exporterDown: downFor, missingSeriesLookback } = thresholds;
  const remembered = promDuration(missingSeriesLookback.value);
  const down = equals(lowest(thresholds, ['instance'], select(scrapeUp, { job: like(exporterJob) })), 0);
  // Prometheus forgets a target that its service discovery no longer finds: then only the past tells.
  const gone = unless(
    maxBy(clusterLabels, maxOverTime(select(buildInfo), remembered)),
    maxBy(clusterLabels, maxOverTime(select(buildInfo), gaugeWindow(thresholds))),
    { on: clusterLabels },
  );
  const never = maxBy(clusterLabels, absentOverTime(select(buildInfo), remembered));
  const nobody = or(unless(gone, down, { on: clusterLabels }), unless(never, down, { on: [] }));
  return alert({
    name: 'GitalyExporterDown',
    severity: 'warning',
    expression: or(down, labelled(nobody, 'instance', 'all')),
    forSeconds: sustained(thresholds, downFor.value),
    panel: panelLink(overviewDashboard, 'exporters'),
    firesWhen: `a target of the exporter's job, or every one of a cluster, has not been scraped for ${durationInWords(downFor.value)}`,
    summary: ({ label }) => `gitaly-exporter ${label('instance')}: not scraped`,
    description: ({ label, since }) =>
      `Since ${since}, job "${label('job')}", instance ${label('instance')}. What it watches is not known meanwhile: silence of the other alerts is no good sign.`,
  });
}

function collectorFailing(thresholds: Thresholds): Alert {
  const { collectorFailing: failingFor } = thresholds;
  const collectorLabels = [...exporterLabels, 'collector'] as const;
  const failing = equals(lowest(thresholds, ['instance', 'collector'], select(collectorSuccess)), 0);
  // A collector without any state would be a fault of the exporter; it must not pass for a good one.
  const missing = unless(
    maxBy(collectorLabels, equals(select(collectorEnabled), 1)),
    maxBy(collectorLabels, select(collectorSuccess)),
    { on: collectorLabels },
  );
  return alert({
    name: 'GitalyExporterCollectorFailing',
    severity: 'warning',
    expression: countBy(exporterLabels, or(failing, missing)),
    forSeconds: sustained(thresholds, failingFor.value),
    panel: panelLink(overviewDashboard, 'collectors'),
    firesWhen: `a collector of a running exporter has had no good answer for ${durationInWords(failingFor.value)}`,
    summary: ({ counted, label }) =>
      `gitaly-exporter ${label('instance')}: ${counted('collector', 'collectors')} without a good answer`,
    description: ({ list, same, since }) => {
      const failed = equals(maxBy(['collector'], select(collectorSuccess, same(...exporterLabels))), 0);
      return `Since ${since}: ${list(failed, 'collector')}. Their series are withdrawn or old, and alerts on them cannot fire. The exporter's page says why, and its log at the moment when it began.`;
    },
  });
}
