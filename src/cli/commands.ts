/** The commands, and which of them the arguments name. */
import { sections } from '../config/sections/index.ts';
import { namedSettings } from '../config/setting.ts';
import { type Flags, readFlags, type Word } from '../config/sources/flags.ts';
import { closest } from '../config/suggest.ts';
import type { Command } from './command.ts';
import { bucket } from './commands/bucket.ts';
import { configCheck } from './commands/config-check.ts';
import { doctor } from './commands/doctor.ts';
import { generate } from './commands/generate.ts';
import { healthcheck } from './commands/healthcheck.ts';
import { serve } from './commands/serve.ts';
import { completion } from './completion.ts';

export const packageCommands: readonly Command[] = [
  serve,
  healthcheck,
  doctor,
  bucket,
  generate,
  configCheck,
  completion,
];

/** What the arguments request. */
export type Invocation =
  | { readonly kind: 'run'; readonly command: Command; readonly flags: Flags }
  | { readonly kind: 'version' }
  /** Of the whole program, of one command, or of the commands that share a first word. */
  | { readonly kind: 'help'; readonly of: 'program' }
  | { readonly kind: 'help'; readonly of: 'command'; readonly command: Command }
  | { readonly kind: 'help'; readonly of: 'group'; readonly commands: readonly Command[] }
  | { readonly kind: 'error'; readonly message: string };

/** Reads the arguments (without node and script); `serve` when they name no command. Flags and words in any order. */
export function readInvocation(args: readonly string[], commands: readonly Command[]): Invocation {
  const { words, help, version } = readFlags(args, rulesFor(undefined, commands));
  const [first, ...rest] = words;
  if (first === undefined) {
    if (version) return { kind: 'version' };
    if (help) return { kind: 'help', of: 'program' };
    return invocationOf(serve, [], args, commands);
  }
  if (first.text === 'version') return { kind: 'version' };
  const wantsHelp = first.text === 'help';
  const named = wantsHelp ? rest : words;
  if (named.length === 0) return { kind: 'help', of: 'program' };
  const found = findCommand(named, commands);
  if (found.kind === 'error') return found;
  if (found.kind === 'group')
    return wantsHelp || help
      ? { kind: 'help', of: 'group', commands: found.commands }
      : {
          kind: 'error',
          message: `${named[0]?.text} needs a subcommand: ${found.commands.map(({ name }) => name).join(', ')}`,
        };
  if (wantsHelp || help) return { kind: 'help', of: 'command', command: found.command };
  if (version) return { kind: 'version' };
  return invocationOf(found.command, found.words, args, commands);
}

function invocationOf(
  command: Command,
  words: readonly Word[],
  args: readonly string[],
  commands: readonly Command[],
): Invocation {
  const flags = readFlags(args, rulesFor(command, commands));
  const { argument, name } = command;
  const [word, ...more] = words;
  const unexpected = argument === undefined ? word : more[0];
  if (unexpected !== undefined)
    return {
      kind: 'error',
      message: `unexpected argument at position ${unexpected.position} (see gitaly-exporter ${name} --help)`,
    };
  if (argument === undefined || word === undefined) return { kind: 'run', command, flags };
  if (flags.values.has(argument))
    return { kind: 'error', message: `--${argument} is given twice: as a flag and as an argument` };
  const raw = { form: 'text', text: word.text, origin: { source: 'flag', name: `--${argument}` } } as const;
  return {
    kind: 'run',
    command,
    flags: { ...flags, values: new Map([...flags.values, [argument, raw]]) },
  };
}

type Found =
  | { readonly kind: 'command'; readonly command: Command; readonly words: readonly Word[] }
  /** A first word that several commands share, or that needs a second one: `config`. */
  | { readonly kind: 'group'; readonly commands: readonly Command[] }
  | { readonly kind: 'error'; readonly message: string };

function findCommand(words: readonly Word[], commands: readonly Command[]): Found {
  for (const length of [2, 1]) {
    const name = words
      .slice(0, length)
      .map(({ text }) => text)
      .join(' ');
    const command = commands.find((candidate) => candidate.name === name);
    if (command !== undefined) return { kind: 'command', command, words: words.slice(length) };
  }
  const [first, second] = words.map(({ text }) => text);
  const group = commands.filter(({ name }) => name.startsWith(`${first} `));
  if (group.length > 0 && second === undefined) return { kind: 'group', commands: group };
  const names = group.length > 0 ? group.map(({ name }) => name) : commands.map(({ name }) => name);
  // A word that is not a command may be a password whose flag was forgotten: it is not quoted.
  const near = closest(`${first} ${second ?? ''}`, names) ?? closest(first ?? '', names);
  const hint = near === undefined ? `the commands are ${names.join(', ')}` : `did you mean ${near}?`;
  const message =
    first === 'demo'
      ? 'the demo is part of a checkout, not of this package: clone the project and run npm ci && npm start'
      : `unknown command; ${hint}`;
  return { kind: 'error', message };
}

/** Which flags mean something for the command, and which belong to others; without a command, all are foreign. */
function rulesFor(command: Command | undefined, commands: readonly Command[]) {
  const own = command === undefined ? [] : namedSettings([command.options]);
  const foreign = new Map(
    commands
      .filter((other) => other !== command)
      .flatMap(({ name, options }) =>
        namedSettings([options]).map((named) => [
          named.name,
          { isSwitch: named.setting.kind.flag === 'switch', command: name },
        ]),
      ),
  );
  for (const { name } of own) foreign.delete(name);
  const letters = command === undefined ? commands.flatMap(shortFlags) : shortFlags(command);
  return { settings: [...namedSettings(sections), ...own], foreign, short: new Map(letters) };
}

const shortFlags = ({ short = {} }: Command): readonly [string, string][] => Object.entries(short);
