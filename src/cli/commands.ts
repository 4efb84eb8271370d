/** The commands, and which of them the arguments name. */
import { sections } from '../config/sections/index.ts';
import { closest } from '../config/suggest.ts';
import type { Command, CommandModule } from './command.ts';

const allSettings = sections.map(({ title }) => title);

export const serve: Command = {
  name: 'serve',
  summary: 'run the exporter (the default)',
  description: 'Watches what is configured and serves its metrics until SIGTERM or SIGINT.',
  settings: allSettings,
  readsSources: true,
  exitCodeOnProblems: 2,
  load: () => import('./commands/serve.ts'),
};

export const commands: readonly Command[] = [
  serve,
  {
    name: 'demo',
    summary: 'run the exporter against a living simulated cluster',
    description:
      'Starts an embedded PostgreSQL with a simulated Gitaly Cluster in it and the exporter on that, and lets you set off incidents. Everything is gone when it stops.',
    settings: ['Web', 'Log'],
    readsSources: false,
    exitCodeOnProblems: 2,
    load: () => fromFile('../../demo/command.ts'),
  },
  {
    name: 'demo incident',
    argument: 'name',
    summary: 'set off an incident in a running demo, or end it',
    description:
      'Sets off an incident in a demo that runs in another terminal: `demo incident storage-dies`. --list explains all of them, --stop ends one.',
    settings: [],
    readsSources: false,
    exitCodeOnProblems: 2,
    load: () => fromFile('../../demo/incident-command.ts'),
  },
  {
    name: 'generate',
    summary: 'write dashboards, alert rules and the reference pages',
    description: 'Writes the dashboards, the alert rules and the generated pages of the documentation.',
    settings: [],
    readsSources: false,
    exitCodeOnProblems: 2,
    load: () => import('./commands/generate.ts'),
  },
  {
    name: 'bucket',
    argument: 'of',
    short: { '-0': '--null' },
    summary: 'tell which repositories share a bucket of Gitaly, or which bucket a repository is in',
    description:
      "Gitaly runs the Git processes of a repository in one of its buckets, the cgroups repos-0, repos-1 and so on. `bucket 17 --storage gitaly-1` lists the repositories that share repos-17, `bucket @hashed/ab/cd/abcd.git` tells a repository's own. Paths come from Praefect's database, or from standard input. Exit code 1 when there is no such repository.",
    settings: ['Praefect', "Gitaly's and Praefect's own metrics"],
    readsSources: true,
    exitCodeOnProblems: 2,
    load: () => fromFile('./commands/bucket.ts'),
  },
  {
    name: 'doctor',
    summary: 'look once whether all is well: rights, reachability, and how Gitaly is set up',
    description:
      "Tries all that the exporter would do (Praefect's database, Kubernetes' API, cgroups, every server's metrics) and runs every recommendation for Gitaly as a check, once. Says what was found, what is expected and how to mend it. Changes nothing. Exit code 1 when something fails.",
    settings: allSettings,
    readsSources: false,
    exitCodeOnProblems: 2,
    load: () => fromFile('./commands/doctor.ts'),
  },
  {
    name: 'config check',
    summary: 'check the configuration, and print it with its defaults',
    description:
      'Checks every setting and the files that they point to, and prints the settings that hold and where each came from, secrets hidden. Connects to nothing. Exit code 1 when something is wrong.',
    settings: allSettings,
    readsSources: true,
    exitCodeOnProblems: 1,
    load: () => import('./config-check.ts'),
  },
];

const fromFile = (path: string): Promise<CommandModule> => import(path) as Promise<CommandModule>;

export type Choice =
  /** `named`: by a word of its own, not because none was given. */
  | {
      readonly kind: 'command';
      readonly command: Command;
      readonly named: boolean;
      readonly rest: readonly string[];
    }
  /** `gitaly-exporter help serve` is `gitaly-exporter serve --help`. */
  | { readonly kind: 'help' }
  | { readonly kind: 'unknown'; readonly message: string };

/** The command that the arguments begin with; `serve` when they begin with a flag or there are none. */
export function chooseCommand(args: readonly string[]): Choice {
  const [first, second] = args;
  if (first === 'help') {
    const choice = chooseCommand(args.slice(1));
    return choice.kind === 'command' && choice.named ? { ...choice, rest: ['--help'] } : { kind: 'help' };
  }
  if (first === undefined || first.startsWith('-'))
    return { kind: 'command', command: serve, named: false, rest: args };
  for (const words of [2, 1]) {
    const command = commands.find(({ name }) => name === args.slice(0, words).join(' '));
    if (command !== undefined)
      return { kind: 'command', command, named: true, rest: withArgument(command, args.slice(words)) };
  }
  const names = commands.map(({ name }) => name);
  const longer = names.filter((name) => name.startsWith(`${first} `));
  if (longer.length > 0)
    return { kind: 'unknown', message: `${first} is not complete: write ${longer.join(' or ')}` };
  // A word that is no command may be anything, even a password that lost its flag: only a near miss is shown.
  const near = closest(first, names) ?? closest(`${first} ${second ?? ''}`, names);
  const hint = near === undefined ? `the commands are ${names.join(', ')}` : `did you mean ${near}?`;
  return { kind: 'unknown', message: `the first argument is neither a command nor a flag; ${hint}` };
}

/** A word for which the command has an option becomes that option's flag, and a short flag its long one. */
function withArgument({ argument, short = {} }: Command, given: readonly string[]): readonly string[] {
  const rest = given.map((word) => short[word] ?? word);
  const [word] = rest;
  if (argument === undefined || word === undefined || word.startsWith('-')) return rest;
  return [`--${argument}=${word}`, ...rest.slice(1)];
}
