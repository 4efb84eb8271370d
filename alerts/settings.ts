/** What of the alerts and boards depends on where they are used, as plain data. */
import { defaultThresholds, type Thresholds } from '../src/rules/thresholds.ts';

export interface AlertSettings {
  readonly thresholds: Thresholds;
  /** A regular expression for the exporter's job in Prometheus, anchored. */
  readonly exporterJob: string;
  /** Where Grafana is, without a slash at its end: links to panels begin with it. */
  readonly grafanaUrl: string;
  /** Where the runbooks are: `/<alert>.md` is put behind it. */
  readonly runbookUrl: string;
}

/** The addresses are placeholders (RFC 2606): `generate --grafana-url`, `--runbook-url` put real ones in. */
export const defaultAlertSettings: AlertSettings = Object.freeze({
  thresholds: defaultThresholds,
  exporterJob: '.*gitaly-exporter.*',
  grafanaUrl: 'https://grafana.example.org',
  runbookUrl: 'https://runbooks.example.org/gitaly-exporter',
});
