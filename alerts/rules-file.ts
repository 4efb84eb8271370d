/** Alerts as files: Prometheus rules, the Prometheus operator's PrometheusRule, an example for Alertmanager. */
import { generatedYaml } from '../src/monitoring/artifact.ts';
import { promDuration } from '../src/monitoring/durations.ts';
import { labelOfVariable, type PanelLink } from '../src/monitoring/links.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import type { RuleName } from '../src/rules/alert-thresholds.ts';
import type { Alert, AlertGroup, AlertsNamed, Inhibition } from './alert.ts';

export interface RulesFileSettings extends MonitoringSettings {
  /** The ids of the panels that alerts link to. Without them the links open the whole dashboard. */
  readonly panelId?: ((link: PanelLink) => number) | undefined;
}

/** The plain rules file, for `rule_files:`. */
export function rulesFile(group: AlertGroup, settings: RulesFileSettings): string {
  return generatedYaml(`Prometheus rules: ${group.name}.`, { groups: ruleGroups(group, settings) });
}

/** The same groups for the Prometheus operator. */
export function prometheusRule(group: AlertGroup, settings: RulesFileSettings): string {
  return generatedYaml(`Prometheus rules for the Prometheus operator: ${group.name}.`, {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: {
      name: group.name === 'gitaly-exporter' ? group.name : `gitaly-exporter-${group.name}`,
      labels: { 'app.kubernetes.io/name': 'gitaly-exporter' },
    },
    spec: { groups: ruleGroups(group, settings) },
  });
}

const ruleGroups = (group: AlertGroup, settings: RulesFileSettings) => [
  {
    name: `${group.name}-recordings`,
    rules: group.recordings.flatMap(({ name, rules }) =>
      rules(settings.thresholds, settings.volumes).map(({ expression, labels }) => ({
        record: name,
        expr: expression.text,
        ...(labels !== undefined && { labels }),
      })),
    ),
  },
  { name: group.name, rules: group.alerts.map((alert) => alertRule(alert, settings)) },
];

const alertRule = (alert: Alert, { grafanaUrl, labels, panelId, runbookUrl }: RulesFileSettings) => ({
  alert: alert.name,
  expr: alert.expression.text,
  ...(alert.forSeconds > 0 && { for: promDuration(alert.forSeconds) }),
  ...(alert.keepFiringForSeconds > 0 && { keep_firing_for: promDuration(alert.keepFiringForSeconds) }),
  labels: { severity: alert.severity, ...alert.labels, ...labels },
  annotations: {
    summary: alert.summary,
    description: alert.description,
    ...(runbookUrl !== undefined && { runbook_url: `${runbookUrl}/${alert.name}.md` }),
    ...(grafanaUrl !== undefined && { dashboard_url: panelUrl(alert, grafanaUrl, panelId?.(alert.panel)) }),
  },
});

/** The panel, limited to the series of the alert. Label values only: a query in a link fails when it matters. */
function panelUrl({ expression, panel: { dashboard } }: Alert, grafanaUrl: string, panelId?: number): string {
  const variables = dashboard.variables
    .filter((name) => expression.labels.includes(labelOfVariable(name)))
    .map((name) => `{{ with $labels.${labelOfVariable(name)} }}&var-${name}={{ . | urlquery }}{{ end }}`);
  const panel = panelId === undefined ? '' : `viewPanel=${panelId}&`;
  return `${grafanaUrl}/d/${dashboard.uid}?${panel}from=now-3h&to=now${variables.join('')}`;
}

/**
 * An Alertmanager configuration to copy the inhibitions and routes from; its receivers deliver nothing. `ofNamespace`:
 * alerts that the servers of a namespace have in common, which are grouped without `pod`.
 */
export function alertmanagerExample(
  inhibitions: readonly Inhibition[],
  ofNamespace: readonly RuleName[],
): string {
  const severity = (name: string) => [`severity="${name}"`];
  const routes = () => [{ matchers: matchersOf({ names: ofNamespace }), group_by: ['cluster', 'namespace'] }];
  return generatedYaml('Alertmanager: inhibitions and routes to copy. Replace the receivers with your own.', {
    route: {
      receiver: 'tickets',
      // By the scope of an incident, not by alert: what belongs together arrives in one notification.
      group_by: ['cluster', 'namespace', 'virtual_storage', 'pod'],
      group_wait: '45s',
      group_interval: '5m',
      repeat_interval: '4h',
      routes: [
        { receiver: 'on-call', matchers: severity('critical'), routes: routes() },
        { receiver: 'tickets', matchers: severity('warning'), repeat_interval: '24h', routes: routes() },
        { receiver: 'none', matchers: severity('info') },
      ],
    },
    inhibit_rules: inhibitions.map(({ source, target, equal }) => ({
      source_matchers: matchersOf(source),
      target_matchers: matchersOf(target),
      equal: [...equal],
    })),
    receivers: [{ name: 'on-call' }, { name: 'tickets' }, { name: 'none' }],
  });
}

const matchersOf = ({ names, severity }: AlertsNamed): readonly string[] => [
  names.length === 1 ? `alertname="${names[0]}"` : `alertname=~"${names.join('|')}"`,
  ...(severity === undefined ? [] : [`severity="${severity}"`]),
];
