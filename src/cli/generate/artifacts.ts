/** Everything that is generated, from the settings and the texts that people write: pure. */
import type { Alert, AlertGroup } from '../../../alerts/alert.ts';
import { alertGroups } from '../../../alerts/index.ts';
import { inhibitions, sharedLoad } from '../../../alerts/inhibitions.ts';
import {
  alertmanagerExample,
  prometheusRule,
  type RulesFileSettings,
  rulesFile,
} from '../../../alerts/rules-file.ts';
import type { Dashboard } from '../../../dashboards/dashboard.ts';
import { dashboardFiles } from '../../../dashboards/files.ts';
import { dashboards } from '../../../dashboards/index.ts';
import { catalog } from '../../app/catalog.ts';
import { configurationReference } from '../../config/reference.ts';
import { metricsReference } from '../../metrics/reference.ts';
import type { Artifact } from '../../monitoring/artifact.ts';
import type { PanelLink } from '../../monitoring/links.ts';
import type { MonitoringSettings } from '../../monitoring/settings.ts';
import { checksReference } from '../../rules/checks/reference.ts';
import { alertsReference } from './alerts-reference.ts';
import { chartFiles } from './chart.ts';
import { withFacts } from './runbook.ts';

/** Texts that people write. */
export interface WrittenTexts {
  /** Of each runbook by the name of its alert, and of the pages that they share. */
  readonly runbooks: ReadonlyMap<string, string>;
  /** values.yaml of the Helm chart; undefined: the chart's files are not generated. */
  readonly chartValues: string | undefined;
}

export function artifacts(
  settings: MonitoringSettings,
  { runbooks, chartValues }: WrittenTexts,
): readonly Artifact[] {
  const groups = alertGroups(settings);
  const generated = dashboards({ ...settings, alertsOn: alertsOnPanels(groups) });
  const panelId = panelIdsOf(generated);
  // Without a URL of Grafana the rules have no links, and a wrong title would pass.
  for (const { panel } of groups.flatMap(({ alerts }) => alerts)) panelId(panel);
  const ruleSettings = { ...settings, panelId };
  return [
    ...groups.flatMap((group) => ruleFiles(group, ruleSettings)),
    { path: 'alerts/alertmanager.example.yaml', content: alertmanagerExample(inhibitions, sharedLoad) },
    ...runbookFiles(groups, runbooks),
    ...dashboardFiles(generated, settings),
    ...(chartValues === undefined
      ? []
      : chartFiles({ groups, dashboards: generated, settings: ruleSettings, values: chartValues })),
    { path: 'docs/alerts.md', content: alertsReference(groups) },
    { path: 'docs/metrics.md', content: metricsReference(catalog) },
    { path: 'docs/configuration.md', content: configurationReference() },
    { path: 'docs/checks.md', content: checksReference() },
  ];
}

/** The names of the alerts that link to a panel, each once. */
export const alertsOnPanels =
  (groups: readonly AlertGroup[]) =>
  (uid: string, panelTitle: string): readonly string[] =>
    namesIn(
      groups.map((group) => ({
        ...group,
        alerts: group.alerts.filter(
          ({ panel: { dashboard, title } }) => dashboard.uid === uid && title === panelTitle,
        ),
      })),
    );

/** The id of a panel that an alert links to. Throws where no dashboard has it. */
export const panelIdsOf =
  (generated: readonly Dashboard[]) =>
  ({ dashboard: { uid }, title }: PanelLink): number => {
    const id = generated.find((each) => each.uid === uid)?.panelIds.get(title);
    if (id === undefined)
      throw new Error(`an alert links to the panel "${title}", which the dashboard ${uid} does not have`);
    return id;
  };

const ruleFiles = (group: AlertGroup, settings: RulesFileSettings): readonly Artifact[] => [
  { path: `alerts/${group.file}.rules.yaml`, content: rulesFile(group, settings) },
  { path: `alerts/${group.file}.prometheusrule.yaml`, content: prometheusRule(group, settings) },
];

/** The names of all alerts, each once: two rules of one name, as by severity, share a runbook. */
export const namesIn = (groups: readonly AlertGroup[]): readonly string[] => [
  ...new Set(groups.flatMap(({ alerts }) => alerts.map(({ name }) => name))),
];

function runbookFiles(
  groups: readonly AlertGroup[],
  runbooks: ReadonlyMap<string, string>,
): readonly Artifact[] {
  const alerts: readonly Alert[] = groups.flatMap((group) => group.alerts);
  const names = namesIn(groups);
  const missing = names.filter((name) => !runbooks.has(name));
  if (missing.length > 0) throw new Error(`alerts/runbooks lacks a page for ${missing.join(', ')}`);
  return [...runbooks]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, text]) => {
      const rules = alerts.filter((alert) => alert.name === name);
      const content = rules.length === 0 ? text : withFacts(text, rules, inhibitions);
      return { path: `alerts/runbooks/${name}.md`, content };
    });
}
