/** What is wrong with the settings and with what they point to, found before anything starts and printed together. */
import type { Loaded } from '../config/load.ts';
import { resolvePraefect } from '../config/praefect/resolve.ts';
import { originText, problemText, type SettingProblem } from '../config/problem.ts';
import type { System } from '../config/system.ts';
import type { Output } from './command.ts';

/**
 * Everything that is wrong with the database's address, certificates and password files, Praefect's config.toml
 * and the web configuration file. What depends on a setting that could not be read itself is left out.
 */
export async function referencedFileProblems(
  { settings, origins, unreadable }: Loaded<unknown>,
  system: System,
): Promise<readonly SettingProblem[]> {
  const problems: SettingProblem[] = [];
  if (![...unreadable].some((name) => name.startsWith('praefect.'))) {
    const sources = await resolvePraefect(settings, origins, system);
    if (!sources.ok) problems.push(...sources.problems);
  }
  const webConfigFile = settings.web.config.file;
  if (webConfigFile !== undefined) {
    const where = originText(origins.get('web.config.file') ?? { source: 'default' });
    problems.push(...(await webConfigProblems(webConfigFile)).map((message) => ({ where, message })));
  }
  return problems;
}

/** Empty for a valid web configuration file whose certificates can be read. */
export async function webConfigProblems(file: string): Promise<readonly string[]> {
  const { openWebConfig } = await import('../server/web-config/source.ts');
  const opened = openWebConfig(file);
  return opened.ok ? [] : opened.problem.split('\n');
}

/** All of them, each with its place. */
export function printProblems(problems: readonly SettingProblem[], output: Output): void {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  output.write(`gitaly-exporter: ${count} with the configuration\n`);
  for (const problem of problems) output.write(`  ${problemText(problem)}\n`);
}
