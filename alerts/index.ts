/** All recording rules and alerts, by the file in which they are delivered. */
import { bucketRecordings } from '../src/monitoring/recordings/buckets.ts';
import { exporterRecordings } from '../src/monitoring/recordings/exporter.ts';
import { gitalyRecordings } from '../src/monitoring/recordings/gitaly.ts';
import { limitRecordings } from '../src/monitoring/recordings/limits.ts';
import { platformRecordings } from '../src/monitoring/recordings/platform.ts';
import { praefectRecordings } from '../src/monitoring/recordings/praefect.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import type { ShippedAlertGroup } from './alert.ts';
import { exporterAlerts, exporterThresholds } from './exporter.ts';
import { availabilityAlerts, availabilityThresholds } from './gitaly/availability.ts';
import { kubernetesAlerts, kubernetesThresholds } from './gitaly/kubernetes.ts';
import { limitAlerts, limitThresholds } from './gitaly/limits.ts';
import { resourceAlerts, resourceThresholds } from './gitaly/resources.ts';
import { volumeAlerts, volumeThresholds } from './gitaly/volumes.ts';
import { dataAlerts, dataThresholds } from './praefect/data.ts';
import { databaseAlerts, databaseThresholds } from './praefect/database.ts';
import { healthAlerts, healthThresholds } from './praefect/health.ts';
import { replicationAlerts, replicationThresholds } from './praefect/replication.ts';

/** Thresholds of single alerts, in the order of docs/configuration.md. */
export const declaredThresholds = Object.freeze({
  ...exporterThresholds,
  ...databaseThresholds,
  ...healthThresholds,
  ...dataThresholds,
  ...replicationThresholds,
  ...availabilityThresholds,
  ...limitThresholds,
  ...resourceThresholds,
  ...volumeThresholds,
  ...kubernetesThresholds,
});

/** `exporter` is needed by the other two, which read its recordings. With the severities that the operator chose. */
export const alertGroups = (settings: MonitoringSettings): readonly ShippedAlertGroup[] =>
  groupsOf(settings).map((group) => {
    const areas = group.areas.map(({ title, alerts }) => ({
      title,
      alerts: alerts.flatMap((alert) => {
        const severity = settings.severities.get(alert.name) ?? alert.severity;
        return severity === 'none' ? [] : [{ ...alert, severity }];
      }),
    }));
    return { ...group, areas, alerts: areas.flatMap(({ alerts }) => alerts) };
  });

function groupsOf(settings: MonitoringSettings): readonly Omit<ShippedAlertGroup, 'alerts'>[] {
  const { thresholds, volumes } = settings;
  return [
    {
      name: 'gitaly-exporter',
      file: 'exporter',
      recordings: exporterRecordings,
      areas: [{ title: 'Collection', alerts: exporterAlerts({ ...settings, thresholds }) }],
    },
    {
      name: 'praefect',
      file: 'praefect',
      recordings: praefectRecordings,
      areas: [
        { title: 'Database', alerts: databaseAlerts(thresholds) },
        { title: 'Health and failover', alerts: healthAlerts(thresholds) },
        { title: 'Repositories', alerts: dataAlerts(thresholds) },
        { title: 'Replication', alerts: replicationAlerts(thresholds) },
      ],
    },
    {
      name: 'gitaly',
      file: 'gitaly',
      recordings: [...gitalyRecordings, ...bucketRecordings, ...limitRecordings, ...platformRecordings],
      areas: [
        { title: 'Availability', alerts: availabilityAlerts(thresholds) },
        { title: 'Limits', alerts: limitAlerts(thresholds) },
        { title: 'Memory and CPU', alerts: resourceAlerts(thresholds) },
        { title: 'Volumes', alerts: volumeAlerts(thresholds, volumes) },
        { title: 'Pods and nodes', alerts: kubernetesAlerts(thresholds) },
      ],
    },
  ];
}
