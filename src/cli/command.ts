/** What a command is to the command line, and what the command line gives it. */
import type { Loaded } from '../config/load.ts';
import type { Origin } from '../config/problem.ts';
import type { Settings } from '../config/sections/index.ts';
import type { Section, ValuesOf } from '../config/setting.ts';
import type { System } from '../config/system.ts';
import type { Log } from '../lib/log.ts';
import type { HangUps } from './signals.ts';

/** 0 success, 1 problems found, 2 usage or internal error. */
export type ExitCode = 0 | 1 | 2;

/** A stream to write to: process.stdout, or a test's own. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** Standard input: process.stdin, or a test's own. */
export type Input = AsyncIterable<Uint8Array | string> & {
  readonly isTTY?: boolean | undefined;
  destroy?(): unknown;
};

export interface CommandIo {
  /** A function, because reading process.stdin opens it. Absent: there is none. */
  readonly stdin?: (() => Input) | undefined;
  /** For the command's result; the log goes to standard error. */
  readonly stdout: Output;
  readonly stderr: Output;
  readonly log: Log;
  /** Aborts on SIGINT or SIGTERM: finish and return. */
  readonly signal: AbortSignal;
  readonly system: System;
  /** Where each setting came from, for messages about what it points to. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** SIGHUP, for a command that reloads its configuration. */
  readonly hangUps?: HangUps | undefined;
  /** Lines of the log that could not be written. */
  readonly lostLogLines?: (() => number) | undefined;
  /** Reads the same flags, the environment and the file again, for a reload. Check its problems first. */
  readonly reload: () => Promise<Loaded<unknown>>;
}

export interface CommandDefinition<Options extends Section> {
  /** One word or two: `serve`, `config check`. */
  readonly name: string;
  /** One line for the list of commands, imperative and without a full stop. */
  readonly summary: string;
  /** For its own help. */
  readonly description: string;
  /** The option that a word gives: `demo incident storage-dies`. */
  readonly argument?: string;
  /** One-letter flags, by letter: `0` for `null`. */
  readonly short?: Readonly<Record<string, string>>;
  /** Flags of this command only: no variable and no file sets them. */
  readonly options?: Options;
  /** Titles of the sections of settings that its help lists; the others are accepted too. */
  readonly settings: readonly string[];
  /** Whether it reads what the settings point to (certificates, password files, Praefect's config.toml). */
  readonly readsSources: boolean;
  /** It reloads its configuration on SIGHUP; other commands end then, as by default. */
  readonly reloads?: boolean;
  /** Import what is heavy in here, so that a command loads nothing that only another one needs. */
  run(settings: Settings, io: CommandIo, options: ValuesOf<Options['settings']>): Promise<number>;
}

/** A command whose options' values are its own affair: `run` takes what loading `options` gave. */
export interface Command extends Omit<CommandDefinition<Section>, 'options' | 'run'> {
  readonly options: Section;
  run(settings: Settings, io: CommandIo, options: unknown): Promise<number>;
}

const noOptions = { title: 'Options', settings: {} } as const satisfies Section;

export const defineCommand = <Options extends Section>(definition: CommandDefinition<Options>): Command => ({
  options: noOptions,
  ...definition,
  run: (settings, io, options) => definition.run(settings, io, options as ValuesOf<Options['settings']>),
});

/** Colors on a terminal, unless NO_COLOR (https://no-color.org) or a dumb terminal says otherwise. */
export const usesColor = ({ isTTY }: Output, env: System['env']): boolean =>
  isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
