/** The settings of generated alerts and dashboards, as plain data. */
import { defaultJudgment, type Judgment } from '../rules/judgment.ts';

export interface MonitoringSettings extends Judgment {
  /** Anchored regular expression for the exporter's job in Prometheus. */
  readonly exporterJob: string;
  /** Labels that every alert gets. */
  readonly labels: Readonly<Record<string, string>>;
  /** Base URL of Grafana, without a trailing slash. Undefined omits the links to panels. */
  readonly grafanaUrl?: string | undefined;
  /** Base URL of the runbooks, without a trailing slash: `/<alert>.md` follows. Undefined omits the links to runbooks. */
  readonly runbookUrl?: string | undefined;
  /** Grafana's folder for the dashboards. */
  readonly folder: string;
  /** Tags of Grafana besides `gitaly-exporter`, by which the menu finds the dashboards. */
  readonly tags: readonly string[];
  /** uid of the data source that dashboards select at first. Undefined: Grafana's default one. */
  readonly datasource?: string | undefined;
}

export const defaultMonitoringSettings: MonitoringSettings = Object.freeze({
  ...defaultJudgment,
  exporterJob: '.*gitaly-exporter.*',
  labels: {},
  folder: 'Gitaly',
  tags: [],
});
