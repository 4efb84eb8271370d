/** Recorded from the exporter's own metrics: what the other recordings and alerts depend on. */
import { collectorSuccess } from '../../scheduler/self-metrics.ts';
import { maintenanceActive } from '../../sources/maintenance/source.ts';
import { clusterLabels } from '../labels.ts';
import { equals, select } from '../promql/index.ts';
import { highest, lowest, recording } from '../recording.ts';

/** The clusters with an open maintenance window, in the exporter's own namespace. */
export const maintenanceActiveRecording = recording(
  'gitaly:maintenance:active',
  clusterLabels,
  (thresholds) => [{ expression: equals(highest(thresholds, clusterLabels, select(maintenanceActive)), 1) }],
);

/** 1 while some exporter of the cluster reads the source of this collector. */
export const collectorSuccessRecording = recording(
  'gitaly_exporter:collector_success:max',
  [...clusterLabels, 'collector'],
  (thresholds) => [
    { expression: lowest(thresholds, [...clusterLabels, 'collector'], select(collectorSuccess)) },
  ],
);

export const exporterRecordings = [maintenanceActiveRecording, collectorSuccessRecording] as const;
