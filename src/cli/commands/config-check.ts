/** `config check`: prints the settings in effect and what they lead to, once no problem was found with them. */
import { resolvePraefect } from '../../config/praefect/resolve.ts';
import { problemText } from '../../config/problem.ts';
import { listedTitles, type Settings } from '../../config/sections/index.ts';
import { settingsText } from '../../config/settings-text.ts';
import { type CommandIo, defineCommand } from '../command.ts';
import { printProblems } from '../setting-problems.ts';

export const configCheck = defineCommand({
  name: 'config check',
  summary: 'Check the configuration and print it with its defaults',
  description:
    'Checks every setting and the files that they point to, and prints the settings in effect and where each came from, secrets hidden. Connects to nothing.',
  settings: listedTitles,
  readsSources: true,
  run,
});

async function run(settings: Settings, io: CommandIo): Promise<number> {
  const sources = await resolvePraefect(settings, io.origins, io.system);
  if (!sources.ok) {
    printProblems(sources.problems, io.stderr);
    return 2;
  }
  const { databaseText, configuredStorages, problems } = sources.value;
  const storages = configuredStorages
    ?.map(({ name, storages }) => `${name} on ${storages.join(', ')}`)
    .join('; ');
  io.stdout.write(settingsText(settings, io.origins));
  io.stdout.write(`\n# ${databaseText}\n`);
  for (const problem of problems) io.stdout.write(`# left out: ${problemText(problem)}\n`);
  io.stdout.write(
    `# configured storages: ${storages ?? 'unknown; those that Praefect contacted within the last minute'}\n`,
  );
  return 0;
}
