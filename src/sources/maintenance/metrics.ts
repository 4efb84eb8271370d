/** What alerts are held by. docs/maintenance.md says how. */
import { anyValue, gauge, type Metric } from '../../metrics/metric.ts';

export const maintenance = gauge('gitaly_exporter_maintenance', {
  help: '1 while the window of planned work is open, else 0. Those of the settings by their names; annotation:KIND/NAME for what is annotated with gitaly-exporter/maintenance-until; rollout:NAMESPACE/NAME for each StatefulSet. What Kubernetes would tell is absent while its API is not heard.',
  origin: 'maintenance.window; annotations and StatefulSets of the Kubernetes API',
  labels: { window: anyValue },
});

export const maintenanceActive = gauge('gitaly_exporter_maintenance_active', {
  help: '1 while any window of planned work is known to be open, else 0: what is not known holds no alert. Always present.',
  origin: 'gitaly_exporter_maintenance',
});

export const maintenanceEnd = gauge('gitaly_exporter_maintenance_end_timestamp_seconds', {
  help: 'When the open window ends as planned. Absent while it is not open; of a roll-out, when it stops to hold alerts if no further pod is renewed.',
  origin: 'maintenance.window; annotations and StatefulSets of the Kubernetes API',
  unit: 'seconds',
  labels: { window: anyValue },
});

export const maintenanceMetrics: readonly Metric[] = Object.freeze([
  maintenance,
  maintenanceActive,
  maintenanceEnd,
]);
