/** Conditions that several alerts share. */
import { promDuration } from '../src/monitoring/durations.ts';
import { clusterLabels, virtualStorageLabels } from '../src/monitoring/labels.ts';
import {
  absentOverTime,
  equals,
  type GaugeSelector,
  maxBy,
  maxOverTime,
  or,
  unless,
  type Vector,
} from '../src/monitoring/promql/index.ts';
import { eachHighest, recorded } from '../src/monitoring/recording.ts';
import { maintenanceActiveRecording } from '../src/monitoring/recordings/exporter.ts';
import { healthTrusted } from '../src/monitoring/recordings/praefect.ts';
import type { AlertThresholds } from '../src/rules/alert-thresholds.ts';

type OfCluster = (typeof clusterLabels)[number];
type OfVirtualStorage = (typeof virtualStorageLabels)[number];

/**
 * Without the virtual storages whose health is known not to be valid: PraefectQuorumLost fires for those. Unknown health
 * excludes nothing, so that missing data resolves no alert.
 */
export const whileTrusted = <Labels extends string>(
  condition: Vector<Labels | OfVirtualStorage>,
): Vector<Labels | OfVirtualStorage> =>
  unless(condition, equals(recorded(healthTrusted), 0), { on: virtualStorageLabels });

/**
 * Outside of maintenance windows, for what planned work causes. Alerts on an outage of all of Praefect, and on lost or
 * unavailable data and OOM kills, are never suppressed by a window.
 *
 * @param rangeSeconds over which the condition looks back: what happened in a window does not count after its end
 */
export const outsideMaintenance = <Labels extends string>(
  condition: Vector<Labels | OfCluster>,
  rangeSeconds?: number,
): Vector<Labels | OfCluster> => {
  const active = recorded(maintenanceActiveRecording);
  return unless(
    condition,
    rangeSeconds === undefined ? active : maxOverTime(active, promDuration(rangeSeconds)),
    { on: clusterLabels },
  );
};

/** The clusters in which the metric is absent and existed within the look-back; without any, one series without labels. */
export function unreported<Labels extends string>(
  thresholds: AlertThresholds,
  selector: GaugeSelector<Labels | OfCluster>,
): Vector<OfCluster> {
  const lookback = promDuration(thresholds.missingSeriesLookback.value);
  // Prometheus forgets a target that its service discovery no longer finds, so up does not show it.
  const missing = unless(
    maxBy(clusterLabels, maxOverTime(selector, lookback)),
    eachHighest(thresholds, selector),
    { on: clusterLabels },
  );
  return or(missing, maxBy(clusterLabels, absentOverTime(selector, lookback)));
}
