/** What several alerts judge by: gauges over a window, of all exporters of a cluster, and whether health counts. */

import {
  above,
  avgBy,
  below,
  equals,
  type GaugeSelector,
  maxBy,
  maxOverTime,
  minOverTime,
  or,
  select,
  subtract,
  time,
  type Vector,
} from '../src/monitoring/promql/index.ts';
import type { Thresholds } from '../src/rules/thresholds.ts';
import { maintenanceActive } from '../src/sources/maintenance/source.ts';
import {
  heartbeatQuorum,
  heartbeatTimestamp,
  praefectAlive,
} from '../src/sources/praefect/queries/health.ts';
import { type ClusterLabel, clusterLabels, gaugeWindow } from './alert.ts';

/** Labels of a virtual storage, and of a Gitaly storage, of one of possibly many clusters. */
export const virtualStorageLabels = [...clusterLabels, 'virtual_storage'] as const;
export const storageLabels = [...virtualStorageLabels, 'storage'] as const;

/**
 * The highest value within the window, by the exporter that says the most: for gauges that are bad when high.
 * A value that comes and goes counts as there; a single one does not outlast what `sustained` demands.
 */
export const highest = <Labels extends string, By extends Labels>(
  thresholds: Thresholds,
  by: readonly By[],
  selector: GaugeSelector<Labels | ClusterLabel>,
): Vector<By | ClusterLabel> => maxBy(withCluster(by), maxOverTime(selector, gaugeWindow(thresholds)));

/**
 * The lowest value within the window, by the exporter that has the best of it: for gauges that are bad when low.
 * One of two exporters that fails is no fault of what it watches.
 */
export const lowest = <Labels extends string, By extends Labels>(
  thresholds: Thresholds,
  by: readonly By[],
  selector: GaugeSelector<Labels | ClusterLabel>,
): Vector<By | ClusterLabel> => maxBy(withCluster(by), minOverTime(selector, gaugeWindow(thresholds)));

const withCluster = <By extends string>(by: readonly By[]): readonly (By | ClusterLabel)[] => [
  ...new Set<By | ClusterLabel>([...clusterLabels, ...by]),
];

/**
 * Virtual storages whose Praefects do not write heartbeats by which health could be told: all storages then read
 * unhealthy through silence. What rests on health is held back, and PraefectQuorumLost fires on this very
 * condition, so that nothing is held back unseen.
 */
export const healthUnknown = (thresholds: Thresholds): Vector<(typeof virtualStorageLabels)[number]> =>
  or(
    equals(lowest(thresholds, ['virtual_storage'], select(heartbeatQuorum)), 0),
    above(
      subtract(time(), highest(thresholds, ['virtual_storage'], select(heartbeatTimestamp))),
      thresholds.heartbeatStale.value,
    ),
  );

/**
 * Clusters with a window of planned work that is open. It holds back what such work brings about; never what says
 * that data is lost or out of reach, nor OOM kills. docs/maintenance.md.
 */
export const plannedWork = (thresholds: Thresholds): Vector<ClusterLabel> =>
  equals(highest(thresholds, [], select(maintenanceActive)), 1);

/** Virtual storages of which too few Praefects are alive, of those known within the last day. */
export const praefectsMissing = (thresholds: Thresholds): Vector<(typeof virtualStorageLabels)[number]> =>
  below(
    avgBy(virtualStorageLabels, lowest(thresholds, ['virtual_storage', 'praefect'], select(praefectAlive))),
    thresholds.quorumRatio.value,
  );

/** Either: no quorum of Praefects is there to be believed. */
export const quorumLost = (thresholds: Thresholds): Vector<(typeof virtualStorageLabels)[number]> =>
  or(praefectsMissing(thresholds), healthUnknown(thresholds));
