/** All recording rules and alerts, by the file in which they are delivered. */
import { exporterRecordings } from '../src/monitoring/recordings/exporter.ts';
import { gitalyRecordings } from '../src/monitoring/recordings/gitaly.ts';
import { praefectRecordings } from '../src/monitoring/recordings/praefect.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import { defaultThresholds, type Thresholds, type ThresholdTable } from '../src/rules/thresholds.ts';
import type { AlertGroup } from './alert.ts';
import { exporterAlerts, exporterThresholds } from './exporter.ts';
import { availabilityAlerts, availabilityThresholds } from './gitaly/availability.ts';
import { kubernetesAlerts, kubernetesThresholds } from './gitaly/kubernetes.ts';
import { limitAlerts, limitsThresholds } from './gitaly/limits.ts';
import { resourceAlerts, resourcesThresholds } from './gitaly/resources.ts';
import { volumeAlerts, volumesThresholds } from './gitaly/volumes.ts';
import { dataAlerts, dataThresholds } from './praefect/data.ts';
import { databaseAlerts, databaseThresholds } from './praefect/database.ts';
import { healthAlerts, healthThresholds } from './praefect/health.ts';
import { replicationAlerts, replicationThresholds } from './praefect/replication.ts';

/** Of single alerts, each declared in the alert's file. */
const ownThresholds = {
  ...exporterThresholds,
  ...availabilityThresholds,
  ...kubernetesThresholds,
  ...limitsThresholds,
  ...resourcesThresholds,
  ...volumesThresholds,
  ...dataThresholds,
  ...databaseThresholds,
  ...healthThresholds,
  ...replicationThresholds,
};

/** Every threshold that an operator can override. */
export const alertThresholds = { ...defaultThresholds, ...ownThresholds } satisfies ThresholdTable;

export interface AlertSettings extends MonitoringSettings {
  /** Those of single alerts have their defaults unless they are given. */
  readonly thresholds: Thresholds & Partial<typeof ownThresholds>;
}

/** `exporter` is needed by the other two, which read its recordings. */
export const alertGroups = (settings: AlertSettings): readonly AlertGroup[] => {
  const thresholds = { ...ownThresholds, ...settings.thresholds };
  return [
    {
      name: 'gitaly-exporter',
      file: 'exporter',
      recordings: exporterRecordings,
      alerts: exporterAlerts({ ...settings, thresholds }),
    },
    {
      name: 'praefect',
      file: 'praefect',
      recordings: praefectRecordings,
      alerts: [
        ...databaseAlerts(thresholds),
        ...healthAlerts(thresholds),
        ...dataAlerts(thresholds),
        ...replicationAlerts(thresholds),
      ],
    },
    {
      name: 'gitaly',
      file: 'gitaly',
      recordings: gitalyRecordings,
      alerts: [
        ...availabilityAlerts(thresholds),
        ...limitAlerts(thresholds),
        ...resourceAlerts(thresholds),
        ...volumeAlerts(thresholds),
        ...kubernetesAlerts(thresholds),
      ],
    },
  ];
};
