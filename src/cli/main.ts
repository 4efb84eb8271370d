/** The command line: runs the command that the arguments name, or prints everything that is wrong with them. */
import { loadWithOptions } from '../config/load.ts';
import type { Flags } from '../config/sources/flags.ts';
import type { System } from '../config/system.ts';
import { packageVersion } from '../lib/package-folder.ts';
import type { Command, CommandIo, Input, Output } from './command.ts';
import { type Invocation, packageCommands, readInvocation } from './commands.ts';
import { printCompletions } from './completion.ts';
import { commandHelp, groupHelp, programHelp, widthOf } from './help.ts';
import { createLog } from './logging.ts';
import { printProblems, referencedFileProblems } from './setting-problems.ts';
import { exitOnCrash, type HangUps, type SignalSource, stopOnSignals } from './signals.ts';

/** The process around the command line; tests pass their own. */
export interface HostProcess {
  readonly system: System;
  readonly stdin?: () => Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly signals: SignalSource;
  /** Ends the process immediately. */
  readonly exit: (code: number) => void;
  readonly hangUps?: HangUps;
  readonly lostLogLines?: () => number;
  /** Commands that only a checkout has. */
  readonly extraCommands?: readonly Command[];
}

type HelpInvocation = Extract<Invocation, { readonly kind: 'help' }>;

/** @param args without node and script. @returns the exit code; never rejects */
export async function main(args: readonly string[], host: HostProcess): Promise<number> {
  const { stdout, stderr } = host;
  const commands = [...packageCommands, ...(host.extraCommands ?? [])];
  if (args[0] === 'complete' && args[1] === '--') return printCompletions(args.slice(2), commands);
  const invocation = readInvocation(args, commands);
  switch (invocation.kind) {
    case 'version':
      stdout.write(`gitaly-exporter ${packageVersion()} (node ${process.version})\n`);
      return 0;
    case 'help':
      stdout.write(helpText(invocation, commands, widthOf(stdout)));
      return 0;
    case 'error':
      stderr.write(`gitaly-exporter: ${invocation.message}\n`);
      return 2;
    case 'run':
      return runCommand(invocation.command, invocation.flags, host);
  }
}

function helpText(help: HelpInvocation, commands: readonly Command[], width: number): string {
  switch (help.of) {
    case 'program':
      return programHelp(commands, width);
    case 'group':
      return groupHelp(help.commands, width);
    case 'command':
      return commandHelp(help.command, width);
  }
}

async function runCommand(command: Command, flags: Flags, host: HostProcess): Promise<number> {
  const { stdin, stdout, stderr, system, hangUps, lostLogLines } = host;
  if (command.reloads !== true) hangUps?.release();
  const load = () => loadWithOptions(flags, system, command.options);
  const loaded = await load();
  const referenced = command.readsSources ? await referencedFileProblems(loaded, system) : [];
  const problems = [...loaded.problems, ...referenced];
  if (problems.length > 0) {
    printProblems(problems, stderr);
    return 2;
  }
  const log = await createLog(loaded.settings.log, stderr, system.env);
  const stopWatchingCrashes = exitOnCrash(host.signals, log, host.exit);
  const { signal, release } = stopOnSignals({
    source: host.signals,
    log,
    exit: host.exit,
    now: () => performance.now(),
  });
  const { origins } = loaded;
  const io: CommandIo = {
    stdin,
    stdout,
    stderr,
    log,
    signal,
    system,
    origins,
    hangUps,
    lostLogLines,
    reload: load,
  };
  try {
    return await command.run(loaded.settings, io, loaded.options);
  } catch (error) {
    log.error({ err: error, command: command.name }, 'command failed');
    return 2;
  } finally {
    release();
    stopWatchingCrashes();
  }
}
