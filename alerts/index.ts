/** All recording rules and alerts, by the file in which they are delivered. */
import { exporterRecordings } from '../src/monitoring/recordings/exporter.ts';
import { gitalyRecordings } from '../src/monitoring/recordings/gitaly.ts';
import { limitRecordings } from '../src/monitoring/recordings/limits.ts';
import { platformRecordings } from '../src/monitoring/recordings/platform.ts';
import { praefectRecordings } from '../src/monitoring/recordings/praefect.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import type { AlertGroup } from './alert.ts';
import { exporterAlerts } from './exporter.ts';
import { availabilityAlerts } from './gitaly/availability.ts';
import { kubernetesAlerts } from './gitaly/kubernetes.ts';
import { limitAlerts } from './gitaly/limits.ts';
import { resourceAlerts } from './gitaly/resources.ts';
import { volumeAlerts } from './gitaly/volumes.ts';
import { dataAlerts } from './praefect/data.ts';
import { databaseAlerts } from './praefect/database.ts';
import { healthAlerts } from './praefect/health.ts';
import { replicationAlerts } from './praefect/replication.ts';

/** `exporter` is needed by the other two, which read its recordings. With the severities that the operator chose. */
export const alertGroups = (settings: MonitoringSettings): readonly AlertGroup[] =>
  groupsOf(settings).map((group) => ({
    ...group,
    alerts: group.alerts.flatMap((alert) => {
      const severity = settings.severities.get(alert.name) ?? alert.severity;
      return severity === 'none' ? [] : [{ ...alert, severity }];
    }),
  }));

function groupsOf(settings: MonitoringSettings): readonly AlertGroup[] {
  const { thresholds } = settings;
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
      recordings: [...gitalyRecordings, ...limitRecordings, ...platformRecordings],
      alerts: [
        ...availabilityAlerts(thresholds),
        ...limitAlerts(thresholds),
        ...resourceAlerts(thresholds),
        ...volumeAlerts(thresholds),
        ...kubernetesAlerts(thresholds),
      ],
    },
  ];
}
