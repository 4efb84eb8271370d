/**
 * Shell completion of commands, flags and values. @bomb.sh/tab writes the scripts and speaks each shell's protocol;
 * the scripts call `gitaly-exporter complete -- <words>`.
 */
import type { RootCommand } from '@bomb.sh/tab';
import { choice } from '../config/kinds/scalars.ts';
import { sections } from '../config/sections/index.ts';
import { type NamedSetting, namedSettings, optional, type Section } from '../config/setting.ts';
import { type Command, defineCommand } from './command.ts';

const shells = ['bash', 'zsh', 'fish'] as const;

const completionOptions = {
  title: 'Completion',
  settings: {
    shell: optional(choice(shells), {
      unset: 'none',
      help: 'The shell that the script is for; can follow the command as a word.',
      example: 'bash',
    }),
  },
} as const satisfies Section;

export const completion = defineCommand({
  name: 'completion',
  summary: 'Print a completion script for bash, zsh or fish',
  description:
    'Prints a script that completes commands, flags and values: source <(gitaly-exporter completion bash).',
  argument: 'shell',
  options: completionOptions,
  settings: [],
  readsSources: false,
  async run(_settings, { stderr }, { shell }) {
    if (shell === undefined) {
      stderr.write(
        `gitaly-exporter: completion needs the name of a shell: gitaly-exporter completion ${shells.join('|')}\n`,
      );
      return 2;
    }
    const { script } = await import('@bomb.sh/tab');
    script(shell, 'gitaly-exporter', 'gitaly-exporter');
    return 0;
  },
});

/** Prints the completions of the words so far on standard output, in the form that the scripts expect. */
export async function printCompletions(
  words: readonly string[],
  commands: readonly Command[],
): Promise<number> {
  const { RootCommand } = await import('@bomb.sh/tab');
  const root = new RootCommand();
  const settings = namedSettings(sections);
  addOptions(root, settings);
  for (const { name, summary, argument, options } of commands) {
    const own = namedSettings([options]);
    const command = root.command(name, summary);
    addOptions(command, [...own, ...settings]);
    const first = own.find((named) => named.name === argument);
    const choices = first?.setting.kind.choices ?? [];
    if (first !== undefined)
      command.argument(first.name, (complete) => {
        for (const choice of choices) complete(choice, '');
      });
  }
  root.parse([...words]);
  return 0;
}

function addOptions(command: Pick<RootCommand, 'option'>, settings: readonly NamedSetting[]): void {
  for (const { name, setting } of settings) {
    const { choices = [], flag } = setting.kind;
    // A handler, even one without completions, is how the library knows that a value follows.
    if (flag === 'switch') command.option(name, setting.help);
    else
      command.option(name, setting.help, (complete) => {
        for (const choice of choices) complete(choice, '');
      });
  }
}
