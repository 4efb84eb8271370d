/** `config check`: prints the settings that hold and what they lead to. The command line has found no problem. */
import { praefectSources } from '../config/praefect/sources.ts';
import type { Settings } from '../config/sections/index.ts';
import { settingsText } from '../config/settings-text.ts';
import type { CommandIo } from './command.ts';
import { printProblems } from './problems.ts';

export async function run(settings: Settings, io: CommandIo): Promise<number> {
  const sources = await praefectSources(settings, io.origins, io.system);
  if (!sources.ok) {
    printProblems(sources.problems, io.stderr);
    return 1;
  }
  const { databaseText, configuredStorages } = sources.value;
  const storages = configuredStorages
    ?.map(({ name, storages }) => `${name} on ${storages.join(', ')}`)
    .join('; ');
  io.stdout.write(settingsText(settings, io.origins));
  io.stdout.write(`\n# ${databaseText}\n`);
  io.stdout.write(
    `# configured storages: ${storages ?? 'not known; those that Praefect contacted of late'}\n`,
  );
  return 0;
}
