/** The command line: which command, with which settings, or everything that is wrong with them; and its end. */

import { loadWithOptions } from '../config/load.ts';
import type { Section } from '../config/setting.ts';
import type { System } from '../config/system.ts';
import { problemsBehind } from './behind.ts';
import type { Command, CommandIo, CommandModule, Input, Output } from './command.ts';
import { chooseCommand, commands } from './commands.ts';
import { commandHelp, programHelp, widthOf } from './help.ts';
import { createLog } from './logging.ts';
import { printProblems } from './problems.ts';
import { exitOnCrash, type SignalSource, stopOnSignals } from './signals.ts';
import { packageVersion } from './version.ts';

/** The process around the command line; tests pass their own. */
export interface Host {
  readonly system: System;
  readonly stdin?: () => Input;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly signals: SignalSource;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
}

const noOptions: Section = { title: 'Options', settings: {} };

/** Runs the command that the arguments (without node and script) name; resolves to the exit code, never rejects. */
export async function main(args: readonly string[], host: Host): Promise<number> {
  const choice = chooseCommand(args);
  switch (choice.kind) {
    case 'help':
      host.stdout.write(programHelp(commands, widthOf(host.stdout)));
      return 0;
    case 'unknown':
      host.stderr.write(`gitaly-exporter: ${choice.message}\n`);
      return 2;
    case 'command':
      return runCommand(choice.command, choice.named, choice.rest, host);
  }
}

async function runCommand(
  command: Command,
  named: boolean,
  args: readonly string[],
  host: Host,
): Promise<number> {
  const module = await command.load().catch((error: unknown) => error);
  if (!isCommandModule(module)) {
    host.stderr.write(
      `gitaly-exporter: ${command.name} is not part of this installation (${String(module)})\n`,
    );
    return 2;
  }
  const options = module.options ?? noOptions;
  const load = () => loadWithOptions(args, host.system, options);
  const loaded = await load();
  if (loaded.asked.version) {
    host.stdout.write(`gitaly-exporter ${packageVersion()} (node ${process.version})\n`);
    return 0;
  }
  if (loaded.asked.help) {
    const width = widthOf(host.stdout);
    host.stdout.write(named ? commandHelp(command, options, width) : programHelp(commands, width));
    return 0;
  }
  const behind = command.readsSources ? await problemsBehind(loaded, host.system) : [];
  const problems = [...loaded.problems, ...behind];
  if (problems.length > 0) {
    printProblems(problems, host.stderr);
    return command.exitCodeOnProblems;
  }

  const log = await createLog(loaded.settings.log, host.stderr);
  const uncaught = exitOnCrash(host.signals, log, host.exit);
  const { signal, release } = stopOnSignals({
    source: host.signals,
    log,
    exit: host.exit,
    now: () => performance.now(),
  });
  const { stdin, stdout, stderr, system } = host;
  const io: CommandIo = { stdin, stdout, stderr, log, signal, system, origins: loaded.origins, reload: load };
  try {
    return await module.run(loaded.settings, io, loaded.options);
  } catch (error) {
    log.error({ err: error }, `${command.name} failed`);
    return 2;
  } finally {
    release();
    uncaught();
  }
}

/** `demo` needs packages that a production installation leaves out. */
const isCommandModule = (value: unknown): value is CommandModule =>
  typeof value === 'object' && value !== null && 'run' in value && typeof value.run === 'function';
