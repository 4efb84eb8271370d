/** Alerts as files: Prometheus' rules, the Prometheus operator's PrometheusRule, Alertmanager's inhibitions. */
import { stringify } from 'yaml';
import { promDuration } from '../src/monitoring/durations.ts';
import { labelOfVariable } from '../src/monitoring/links.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import type { Alert, AlertGroup, AlertsNamed, Inhibition } from './alert.ts';

/** The plain rules file, for `rule_files:`. */
export function rulesFile(group: AlertGroup, settings: MonitoringSettings): string {
  return generated(`Prometheus alerting rules: ${group.name}.`, { groups: [ruleGroup(group, settings)] });
}

/** The same for the Prometheus operator. */
export function prometheusRule(group: AlertGroup, settings: MonitoringSettings): string {
  return generated(`Prometheus alerting rules for the Prometheus operator: ${group.name}.`, {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: {
      name: group.name === 'gitaly-exporter' ? group.name : `gitaly-exporter-${group.name}`,
      labels: { 'app.kubernetes.io/name': 'gitaly-exporter' },
    },
    spec: { groups: [ruleGroup(group, settings)] },
  });
}

const ruleGroup = (group: AlertGroup, settings: MonitoringSettings) => ({
  name: group.name,
  rules: group.alerts.map((alert) => rule(alert, settings)),
});

function rule(alert: Alert, { grafanaUrl, runbookUrl }: MonitoringSettings) {
  return {
    alert: alert.name,
    expr: alert.expression.text,
    ...(alert.forSeconds > 0 && { for: promDuration(alert.forSeconds) }),
    ...(alert.keepFiringForSeconds > 0 && { keep_firing_for: promDuration(alert.keepFiringForSeconds) }),
    labels: { severity: alert.severity },
    annotations: {
      summary: alert.summary,
      description: alert.description,
      ...(runbookUrl !== undefined && { runbook_url: `${runbookUrl}/${alert.name}.md` }),
      ...(grafanaUrl !== undefined && { dashboard_url: panelUrl(alert, grafanaUrl) }),
    },
  };
}

/** The panel for the series of the alert: label values only, no query. Undefined without Grafana's address. */
function panelUrl({ expression, panel }: Alert, grafanaUrl: string): string {
  const variables = panel.variables
    .filter((name) => expression.labels.includes(labelOfVariable(name)))
    .map((name) => `{{ with $labels.${labelOfVariable(name)} }}&var-${name}={{ . | urlquery }}{{ end }}`);
  return `${grafanaUrl}/d/${panel.uid}?viewPanel=${panel.panel}&from=now-3h&to=now${variables.join('')}`;
}

/**
 * An Alertmanager configuration to take the inhibitions and the routes from; its receivers are stand-ins that
 * deliver nothing.
 */
export function alertmanagerExample(groups: readonly AlertGroup[]): string {
  const inhibitions = groups.flatMap((group) => group.inhibitions);
  const severity = (name: string) => [`severity="${name}"`];
  return generated(
    'An example for Alertmanager: what silences what, and which severity goes where. Put your own receivers in.',
    {
      route: {
        receiver: 'tickets',
        // One message for all virtual storages: the Praefects that they share are what fails.
        group_by: ['alertname', 'cluster', 'namespace', 'job'],
        routes: [
          { receiver: 'on-call', matchers: severity('critical') },
          { receiver: 'tickets', matchers: severity('warning') },
          { receiver: 'nobody', matchers: severity('info') },
        ],
      },
      inhibit_rules: inhibitions.map(inhibitRule),
      receivers: [{ name: 'on-call' }, { name: 'tickets' }, { name: 'nobody' }],
    },
  );
}

const inhibitRule = ({ source, target, equal }: Inhibition) => ({
  source_matchers: matchersOf(source),
  target_matchers: matchersOf(target),
  equal,
});

const matchersOf = ({ names, severity }: AlertsNamed): readonly string[] => [
  names.length === 1 ? `alertname="${names[0]}"` : `alertname=~"${names.join('|')}"`,
  ...(severity === undefined ? [] : [`severity="${severity}"`]),
];

/** YAML with a line on where it comes from. Long lines stay whole: an expression breaks at its operators only. */
const generated = (about: string, content: object): string =>
  `# ${about}\n# Written by \`gitaly-exporter generate\`: changes here are overwritten.\n${stringify(content, { lineWidth: 0, blockQuote: 'literal' })}`;
