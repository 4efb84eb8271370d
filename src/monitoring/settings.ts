/** The settings of generated alerts and dashboards, as plain data. */
import { defaultThresholds, type Thresholds } from '../rules/thresholds.ts';

export interface MonitoringSettings {
  readonly thresholds: Thresholds;
  /** Anchored regular expression for the exporter's job in Prometheus. */
  readonly exporterJob: string;
  /** Base URL of Grafana, without a trailing slash. Undefined omits the links to panels. */
  readonly grafanaUrl?: string | undefined;
  /** Base URL of the runbooks, without a trailing slash: `/<alert>.md` follows. Undefined omits the links to runbooks. */
  readonly runbookUrl?: string | undefined;
}

export const defaultMonitoringSettings: MonitoringSettings = Object.freeze({
  thresholds: defaultThresholds,
  exporterJob: '.*gitaly-exporter.*',
});
