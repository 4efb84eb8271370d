/** Flags of `generate`, and what the settings of alerts make of generated files. */

import { choice, text, toggle } from '../../config/kinds/scalars.ts';
import type { Settings } from '../../config/sections/index.ts';
import { optional, type Section, setting, type ValuesOf } from '../../config/setting.ts';
import type { MonitoringSettings } from '../../monitoring/settings.ts';
import { judgmentOf } from '../../rules/judgment.ts';

const kindsOfFiles = ['alerts', 'dashboards', 'docs', 'chart', 'all'] as const;
type KindOfFiles = (typeof kindsOfFiles)[number];

/** The folders of each kind; undefined: what an operator loads. */
export function foldersOf(kind: KindOfFiles | undefined): readonly string[] {
  if (kind === undefined) return ['alerts', 'dashboards'];
  if (kind === 'all') return ['alerts', 'dashboards', 'docs', 'deploy'];
  return [kind === 'chart' ? 'deploy' : kind];
}

export const generateOptions = {
  title: 'Generate',
  settings: {
    only: optional(choice(kindsOfFiles), {
      unset: 'alerts and dashboards',
      help: 'What to generate: alerts (rules, runbooks, an example for Alertmanager), dashboards (JSON, a provisioning file, ConfigMaps), docs (the reference pages), chart (rules and dashboards of the Helm chart, in a clone of the repository), or all of them.',
      example: 'alerts',
    }),
    outputDir: optional(text('<folder>'), {
      unset: 'none; required',
      help: 'Folder to write to. The files are written below it in alerts/ and dashboards/, docs/, or deploy/helm/.',
      example: './monitoring',
    }),
    check: setting(toggle(), {
      default: false,
      help: 'Write nothing. List the files that differ from what would be written, and exit with 1 if there are any.',
    }),
  },
} as const satisfies Section;

export type GenerateOptions = ValuesOf<(typeof generateOptions)['settings']>;

/** What alerts and dashboards are generated from, by the same settings as the exporter's page. */
export function monitoringSettingsOf(
  settings: Pick<Settings, 'alerts' | 'dashboards' | 'praefect'>,
): MonitoringSettings {
  const { exporterJob, grafanaUrl, label = [], runbookUrl } = settings.alerts;
  const { datasource, folder, tag = [] } = settings.dashboards;
  return {
    ...judgmentOf(settings),
    exporterJob,
    labels: Object.fromEntries(label.map(({ name, value }) => [name, value])),
    grafanaUrl,
    runbookUrl,
    folder,
    tags: tag,
    datasource,
  };
}
