/** `generate`: writes alert rules, runbooks, dashboards and reference pages, or says which of them are stale. */
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Settings } from '../../config/sections/index.ts';
import { staleIn, writeTo } from '../../monitoring/artifact.ts';
import type { CommandIo, ExitCode } from '../command.ts';
import { artefacts } from '../generate/artifacts.ts';
import { alertSettingsOf, type GenerateOptions, generateOptions } from '../generate/options.ts';
import { packageFolder } from '../generate/package-folder.ts';

export const options = generateOptions;

/** 0: written, or fresh. 1: `--check` found a stale file. A folder that cannot be read or written is thrown. */
export async function run(
  settings: Settings,
  { stdout, stderr }: CommandIo,
  chosen: GenerateOptions,
): Promise<ExitCode> {
  const { check, outputDir } = chosen;
  const alertSettings = alertSettingsOf(chosen, settings.praefect.stuckThreshold);
  const all = artefacts(alertSettings, await readRunbooks(join(packageFolder(), 'alerts', 'runbooks')));
  if (!check) {
    const written = await writeTo(outputDir, all);
    for (const { path } of written) stdout.write(`${join(outputDir, path)}\n`);
    stderr.write(`${written.length} of ${all.length} files written, the others were as they should be\n`);
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
