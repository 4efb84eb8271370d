/** `generate`: write alert rules, runbooks, dashboards and reference pages, or list the stale ones. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { choice, text, toggle } from '../../config/kinds/scalars.ts';
import type { Settings } from '../../config/sections/index.ts';
import { optional, type Section, setting, type ValuesOf } from '../../config/setting.ts';
import { unlessAborted } from '../../lib/abort.ts';
import { codeOf, errorMessageOf } from '../../lib/errors.ts';
import { readRunbooks } from '../../lib/package-folder.ts';
import { findStaleFiles, writeStaleFiles } from '../../monitoring/artifact.ts';
import type { MonitoringSettings } from '../../monitoring/settings.ts';
import { judgmentOf } from '../../rules/judgment.ts';
import { type CommandIo, defineCommand, type ExitCode } from '../command.ts';

const kindsOfFiles = ['alerts', 'dashboards', 'docs', 'chart', 'all'] as const;
type KindOfFiles = (typeof kindsOfFiles)[number];

const generateOptions = {
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

type GenerateOptions = ValuesOf<(typeof generateOptions)['settings']>;

export const generate = defineCommand({
  name: 'generate',
  summary: 'Write dashboards and alert rules',
  description:
    'Write the alert rules with their runbooks, and the dashboards, to --output-dir: both, or "generate alerts" or "generate dashboards". "generate docs" writes the reference pages, and "generate chart" the rules and dashboards of the Helm chart. Thresholds, severities and links are settings, in the configuration file of the exporter itself, so that its page and the alerts agree.',
  argument: 'only',
  options: generateOptions,
  settings: ['Alerts and dashboards', 'Thresholds', 'Dashboards'],
  readsSources: false,
  run,
});

/** @returns 0 written or up to date, 1 `--check` found a stale file, 2 no folder, one that cannot be used, or interrupted */
async function run(
  settings: Settings,
  { signal, stdout, stderr }: CommandIo,
  options: GenerateOptions,
): Promise<ExitCode> {
  const { check, only, outputDir } = options;
  if (outputDir === undefined) {
    stderr.write(
      'gitaly-exporter: generate needs --output-dir, the folder to write to (. is the current one)\n',
    );
    return 2;
  }
  const folders = foldersOf(only);
  const chart = folders.includes('deploy') ? await readChartValues(outputDir) : undefined;
  if (chart !== undefined && 'problem' in chart) {
    stderr.write(`gitaly-exporter: ${chart.problem}\n`);
    return 2;
  }
  const { artifacts } = await import('../generate/artifacts.ts');
  const all = artifacts(monitoringSettingsOf(settings), {
    runbooks: await readRunbooks(),
    chartValues: chart?.values,
  }).filter(({ path }) => folders.some((folder) => path.startsWith(`${folder}/`)));
  try {
    if (!check) {
      const written = await unlessAborted(writeStaleFiles(outputDir, all), signal);
      if (written === undefined) return interrupted(stderr);
      for (const { path } of written) stdout.write(`${join(outputDir, path)}\n`);
      stderr.write(`wrote ${written.length} files, ${all.length - written.length} unchanged\n`);
      return 0;
    }
    const stale = await unlessAborted(findStaleFiles(outputDir, all), signal);
    if (stale === undefined) return interrupted(stderr);
    for (const { path, state } of stale) stdout.write(`${join(outputDir, path)}: ${state}\n`);
    if (stale.length === 0) return 0;
    stderr.write(
      `${stale.length} of ${all.length} generated files are stale: run gitaly-exporter generate${only === undefined ? '' : ` ${only}`} --output-dir=${outputDir}\n`,
    );
    return 1;
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    stderr.write(
      `gitaly-exporter: cannot ${check ? 'read' : 'write'} ${outputDir}: ${errorMessageOf(error)}\n`,
    );
    return 2;
  }
}

/** Its README is made of the comments in values.yaml, and the other generated files are of no use without its templates. */
async function readChartValues(
  outputDir: string,
): Promise<{ readonly values: string } | { readonly problem: string }> {
  const { chartFolder } = await import('../generate/chart.ts');
  const file = join(outputDir, chartFolder, 'values.yaml');
  try {
    return { values: await readFile(file, 'utf8') };
  } catch (error) {
    return {
      problem: `cannot read ${file}: ${errorMessageOf(error)}. The chart is generated in place: set --output-dir to a clone of the repository`,
    };
  }
}

/** A file system that does not respond must not keep the program alive. */
function interrupted(stderr: CommandIo['stderr']): ExitCode {
  stderr.write('gitaly-exporter: generate was interrupted\n');
  return 2;
}

/** The folders of each kind; undefined: what an operator loads. */
function foldersOf(kind: KindOfFiles | undefined): readonly string[] {
  if (kind === undefined) return ['alerts', 'dashboards'];
  if (kind === 'all') return ['alerts', 'dashboards', 'docs', 'deploy'];
  return [kind === 'chart' ? 'deploy' : kind];
}

/** What alerts and dashboards are generated from, by the same settings as the exporter's page. */
function monitoringSettingsOf(
  settings: Pick<Settings, 'alerts' | 'dashboards' | 'praefect'>,
): MonitoringSettings {
  const { exporterJob, grafanaUrl, label = [], runbookUrl, volumeClaim, volumeMountpoint } = settings.alerts;
  const { datasource, folder, tag = [] } = settings.dashboards;
  return {
    ...judgmentOf(settings),
    exporterJob,
    volumes: { claim: volumeClaim, mountpoint: volumeMountpoint },
    labels: Object.fromEntries(label.map(({ name, value }) => [name, value])),
    grafanaUrl,
    runbookUrl,
    folder,
    tags: tag,
    datasource,
  };
}
