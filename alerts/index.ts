/** All alerts, by the file in which they are delivered. A new area is one file and one line here. */

import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import type { AlertGroup } from './alert.ts';
import { exporterAlerts } from './exporter.ts';
import { gitalyAlerts } from './gitaly.ts';
import { praefectAlerts } from './praefect.ts';

export const alertGroups = (settings: MonitoringSettings): readonly AlertGroup[] => [
  praefectAlerts(settings.thresholds),
  gitalyAlerts(settings.thresholds),
  exporterAlerts(settings),
];
