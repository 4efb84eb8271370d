/** `generate`: writes alert rules, runbooks, dashboards and reference pages, or lists those that are stale. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Settings } from '../../config/sections/index.ts';
import { staleIn, writeTo } from '../../monitoring/artifact.ts';
import { type CommandIo, defineCommand, type ExitCode } from '../command.ts';
import { alertSettingsOf, type GenerateOptions, generateOptions } from '../generate/options.ts';
import { packageFolder } from '../generate/package-folder.ts';

export const generate = defineCommand({
  name: 'generate',
  summary: 'Write dashboards, alert rules and the reference pages',
  description:
    'Writes the dashboards, the alert rules with their runbooks, and the generated reference pages.',
  options: generateOptions,
  settings: [],
  readsSources: false,
  run,
});

/** @returns 0 written or fresh, 1 `--check` found a stale file. @throws when a folder cannot be read or written */
async function run(
  settings: Settings,
  { stdout, stderr }: CommandIo,
  chosen: GenerateOptions,
): Promise<ExitCode> {
  const { check, outputDir } = chosen;
  const alertSettings = alertSettingsOf(chosen, settings.praefect.stuckThreshold);
  const { artefacts } = await import('../generate/artifacts.ts');
  const all = artefacts(alertSettings, await readRunbooks(join(packageFolder(), 'alerts', 'runbooks')));
  if (!check) {
    const written = await writeTo(outputDir, all);
    for (const { path } of written) stdout.write(`${join(outputDir, path)}\n`);
    stderr.write(`wrote ${written.length} files, ${all.length - written.length} unchanged\n`);
    return 0;
  }
  const stale = await staleIn(outputDir, all);
  for (const { path, state } of stale) stdout.write(`${join(outputDir, path)}: ${state}\n`);
  if (stale.length === 0) return 0;
  stderr.write(
    `${stale.length} of ${all.length} generated files are stale: run gitaly-exporter generate --output-dir=${outputDir}\n`,
  );
  return 1;
}

async function readRunbooks(folder: string): Promise<ReadonlyMap<string, string>> {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.md'));
  const texts = await Promise.all(
    files.map(async (file) => [basename(file, '.md'), await readFile(join(folder, file), 'utf8')] as const),
  );
  return new Map(texts);
}
