/** The settings of generated alerts and dashboards, as plain data. */
import { defaultJudgment, type Judgment } from '../rules/judgment.ts';

/** The volumes with repositories, as anchored regular expressions of Prometheus. */
export interface RepositoryVolumes {
  /** Names of PersistentVolumeClaims. */
  readonly claim: string;
  /** Mount points on virtual machines, as node_exporter reports them. */
  readonly mountpoint: string;
}

/** The chart's claims are repo-data-<release>-gitaly-<n>; the Linux package's data are below /var/opt/gitlab. */
export const defaultRepositoryVolumes: RepositoryVolumes = Object.freeze({
  claim: '.*gitaly.*',
  mountpoint: '/var/opt/gitlab.*',
});

export interface MonitoringSettings extends Judgment {
  readonly volumes: RepositoryVolumes;
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
  volumes: defaultRepositoryVolumes,
  labels: {},
  folder: 'Gitaly',
  tags: [],
});
