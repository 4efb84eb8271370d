/** Alerts as files: Prometheus' rules, the Prometheus operator's PrometheusRule, Alertmanager's inhibitions. */
import { stringify } from 'yaml';
import { limits, servers } from '../dashboards/panels.ts';
import {
  type BoardVariable,
  labelOf,
  praefectVariables,
  serverVariables,
} from '../dashboards/variable-names.ts';
import type { Alert, AlertGroup, AlertsNamed, Inhibition } from './alert.ts';
import { duration } from './durations.ts';
import type { AlertSettings } from './settings.ts';

/** The plain rules file, for `rule_files:`. */
export function rulesFile(group: AlertGroup, settings: AlertSettings): string {
  return generated(`Prometheus alerting rules: ${group.name}.`, { groups: [ruleGroup(group, settings)] });
}

/** The same for the Prometheus operator. */
export function prometheusRule(group: AlertGroup, settings: AlertSettings): string {
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

const ruleGroup = (group: AlertGroup, settings: AlertSettings) => ({
  name: group.name,
  rules: group.alerts.map((alert) => rule(alert, settings)),
});

function rule(alert: Alert, settings: AlertSettings) {
  return {
    alert: alert.name,
    expr: alert.expression.text,
    ...(alert.forSeconds > 0 && { for: duration(alert.forSeconds) }),
    ...(alert.keepFiringForSeconds > 0 && { keep_firing_for: duration(alert.keepFiringForSeconds) }),
    labels: { severity: alert.severity },
    annotations: {
      summary: alert.summary,
      description: alert.description,
      runbook_url: `${settings.runbookUrl}/${alert.name}.md`,
      dashboard_url: panelLink(alert, settings.grafanaUrl),
    },
  };
}

/** How far before the alert a linked panel begins. */
const shownBeforeSeconds = 3 * 3600;

/** The panel, from some time before the moment at which the alert was evaluated, for the alert's own series. */
function panelLink({ expression, panel }: Alert, grafanaUrl: string): string {
  const from = `{{ with query "(time() - ${shownBeforeSeconds}) * 1000" }}{{ . | first | value | printf "%.0f" }}{{ end }}`;
  const variables = variablesOf(panel.uid)
    .filter((name) => expression.labels.includes(labelOf(name)))
    .map((name) => `{{ with $labels.${labelOf(name)} }}&var-${name}={{ . | urlquery }}{{ end }}`);
  return `${grafanaUrl}/d/${panel.uid}?viewPanel=${panel.panel}&from=${from}&to=now${variables.join('')}`;
}

const serverBoards: readonly string[] = [servers.uid, limits.uid];

const variablesOf = (uid: string): readonly BoardVariable[] =>
  serverBoards.includes(uid) ? serverVariables : praefectVariables;

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
