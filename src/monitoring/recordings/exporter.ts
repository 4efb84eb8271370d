/** Recorded from the exporter's own metrics: what the other recordings, alerts and panels depend on. */
import { collectorFailures, collectorSuccess, exporterTime } from '../../scheduler/self-metrics.ts';
import { watchRestarts } from '../../sources/kubernetes/metrics.ts';
import { maintenanceActive } from '../../sources/maintenance/source.ts';
import { promDuration } from '../durations.ts';
import { clusterLabels } from '../labels.ts';
import { above, equals, maxBy, not, rate, select, subtract, timestampOf } from '../promql/index.ts';
import { highest, lowest, recording } from '../recording.ts';

/** The clusters with an open maintenance window, in the exporter's own namespace. */
export const maintenanceActiveRecording = recording(
  'gitaly:maintenance:active',
  clusterLabels,
  (thresholds) => equals(highest(thresholds, clusterLabels, select(maintenanceActive)), 1),
);

/** 1 while some exporter of the cluster reads the source of this collector. */
export const collectorSuccessRecording = recording(
  'gitaly_exporter:collector_success:max',
  [...clusterLabels, 'collector'],
  (thresholds) => lowest(thresholds, [...clusterLabels, 'collector'], select(collectorSuccess)),
);

const exporterLabels = [...clusterLabels, 'job', 'instance'] as const;

/**
 * Failed runs per second. Each exporter has a series for every reason of every collector; recorded are only those that
 * counted something within the rate window.
 */
export const collectorFailureRate = recording(
  'gitaly_exporter:collector_failures:rate',
  [...exporterLabels, 'collector', 'reason'],
  ({ rateWindow }) =>
    maxBy(
      [...exporterLabels, 'collector', 'reason'],
      above(rate(select(collectorFailures), promDuration(rateWindow.value)), 0),
    ),
);

/** Watches per second that ended otherwise than after the requested time; likewise. */
export const watchFailureRate = recording(
  'gitaly_exporter:kubernetes_watch_failures:rate',
  [...exporterLabels, 'resource', 'reason'],
  ({ rateWindow }) =>
    maxBy(
      [...exporterLabels, 'resource', 'reason'],
      above(rate(select(watchRestarts, { reason: not('expired') }), promDuration(rateWindow.value)), 0),
    ),
);

/** The exporter's clock minus that of Prometheus, to within the duration of a scrape. */
export const exporterSkew = recording('gitaly_exporter:clock_skew:seconds', exporterLabels, () => {
  const own = select(exporterTime);
  // A target that Prometheus finds twice, as by two services, has its series twice.
  return subtract(maxBy(exporterLabels, own), maxBy(exporterLabels, timestampOf(own)), {
    on: exporterLabels,
  });
});

export const exporterRecordings = [
  exporterSkew,
  maintenanceActiveRecording,
  collectorSuccessRecording,
  collectorFailureRate,
  watchFailureRate,
] as const;
