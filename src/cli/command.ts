/** What a command is to the command line, and what the command line gives it. */
import type { Loaded } from '../config/load.ts';
import type { Origin } from '../config/problem.ts';
import type { Settings } from '../config/sections/index.ts';
import type { Section, ValuesOf } from '../config/setting.ts';
import type { System } from '../config/system.ts';
import type { Log } from '../lib/log.ts';

/** 0 good, 1 found something, 2 usage or failure. */
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
  /** A function, because looking at standard input opens it. Absent: there is none. */
  readonly stdin?: (() => Input) | undefined;
  /** For what the command was asked for; the log goes to standard error. */
  readonly stdout: Output;
  readonly stderr: Output;
  readonly log: Log;
  /** Aborts on SIGINT or SIGTERM: finish and return. */
  readonly signal: AbortSignal;
  readonly system: System;
  /** Where each setting came from, for messages about what it points to. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** Reads the same flags, the environment and the file once more, for a reload. Look at its problems first. */
  readonly reload: () => Promise<Loaded<unknown>>;
}

/** What a command's file exports. Import it lazily: a command loads nothing that another one needs. */
export interface CommandModule<Options extends Section = Section> {
  /** Flags of this command alone; its values are the third argument of `run`. */
  readonly options?: Options;
  run(settings: Settings, io: CommandIo, options: ValuesOf<Options['settings']>): Promise<number>;
}

export interface Command {
  /** One word or two: `serve`, `config check`. */
  readonly name: string;
  /** The option that a word right behind the command gives: `demo incident storage-dies`. */
  readonly argument?: string;
  /** Short flags of old, and what they stand for: `-0` for `--null`. */
  readonly short?: Readonly<Record<string, string>>;
  /** One line for the list of commands. */
  readonly summary: string;
  /** For its own help. */
  readonly description: string;
  /** Titles of the sections of settings that its help lists; the others may be given all the same. */
  readonly settings: readonly string[];
  /** Whether it reads what the settings point to (certificates, password files, Praefect's config.toml). */
  readonly readsSources: boolean;
  /** Wrong settings: a failure to do what was asked, or just what was looked for. */
  readonly exitCodeOnProblems: 1 | 2;
  load(): Promise<CommandModule>;
}
