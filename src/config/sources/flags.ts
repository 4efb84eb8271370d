/**
 * Reads flags and words: `--name value`, `--name=value`, `--switch`, `--no-switch`, in any order. Node's parseArgs
 * splits the arguments; every mistake is collected here, as parseArgs in its strict mode reports only the first one.
 * An argument that is not a known flag is never quoted: it may be a part of a password.
 */
import { parseArgs } from 'node:util';
import type { Raw } from '../kinds/kind.ts';
import type { Origin, SettingProblem } from '../problem.ts';
import type { NamedSetting } from '../setting.ts';
import { didYouMean } from '../suggest.ts';

/** An argument that is neither a flag nor a flag's value: a command, or what a command works on. */
export interface Word {
  readonly text: string;
  /** Position among the arguments, from 1 on, for messages. */
  readonly position: number;
}

export interface Flags {
  /** Values by the name of the setting, in the order in which they were given. */
  readonly values: ReadonlyMap<string, Raw>;
  readonly words: readonly Word[];
  readonly help: boolean;
  readonly version: boolean;
  readonly problems: readonly SettingProblem[];
}

export interface FlagRules {
  /** Flags that mean something here. */
  readonly settings: readonly NamedSetting[];
  /** Flags of other commands, with the command's name: known, so that their values are not taken for words. */
  readonly foreign?: ReadonlyMap<string, { readonly isSwitch: boolean; readonly command: string }>;
  /** One-letter forms, by letter: `0` for `null`. `-h` and `-v` are known. */
  readonly short?: ReadonlyMap<string, string>;
}

export function readFlags(args: readonly string[], rules: FlagRules): Flags {
  const { settings, foreign = new Map(), short = new Map() } = rules;
  const byName = new Map(settings.map((setting) => [setting.name, setting]));
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    allowPositionals: true,
    tokens: true,
    options: parseOptions(byName, foreign, short),
  });
  const texts = new Map<NamedSetting, string[]>();
  const problems: SettingProblem[] = [];
  const words: Word[] = [];
  /** A flag of one dash and several letters comes as one token a letter: all of them are that argument. */
  let lastBundle = -1;
  /** The argument after an unknown flag is its value, whatever it is. */
  let unknownAt = -2;
  let help = false;
  let version = false;

  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      if (token.index !== unknownAt + 1) words.push({ text: token.value, position: token.index + 1 });
      continue;
    }
    const argument = args[token.index] ?? '';
    if (isBundle(argument)) {
      if (token.index === lastBundle) continue;
      lastBundle = token.index;
      unknownAt = token.index;
      problems.push(unknownFlag(argument.split('=')[0] ?? '', [...byName.keys()]));
      continue;
    }
    if (token.name === 'help') help = true;
    else if (token.name === 'version') version = true;
    else readOption(token.name, token.rawName, token.value, token.inlineValue === true, token.index);
  }

  function readOption(
    name: string,
    rawName: string,
    value: string | undefined,
    isInline: boolean,
    index: number,
  ): void {
    const negated = byName.get(name.replace(/^no-/, ''));
    const setting = byName.get(name) ?? (negated?.setting.kind.flag === 'switch' ? negated : undefined);
    if (setting === undefined) {
      const owner = foreign.get(name)?.command;
      problems.push(
        owner === undefined
          ? unknownFlag(rawName, [...byName.keys()])
          : { where: rawName, message: `is a flag of "gitaly-exporter ${owner}", not of this command` },
      );
      if (owner === undefined && !isInline) unknownAt = index;
    } else if (setting.setting.kind.flag === 'switch') {
      const isOff = setting.name !== name;
      if (isOff && isInline) problems.push({ where: rawName, message: 'takes no value' });
      else note(setting, isOff ? 'false' : (value ?? 'true'));
    } else if (value === undefined || (!isInline && value.startsWith('--'))) {
      problems.push({
        where: setting.flag,
        message: `has no value, expected ${setting.setting.kind.expected}`,
      });
      if (value === '--help') help = true;
    } else note(setting, value);
  }

  function note(setting: NamedSetting, text: string): void {
    texts.set(setting, [...(texts.get(setting) ?? []), text]);
  }

  const { values, repeated } = valuesOf(texts);
  return { values, words, help, version, problems: [...problems, ...repeated] };
}

/** One dash and more than one letter: Go's and Java's way of writing a long flag. */
const isBundle = (argument: string): boolean => /^-[^-]./.test(argument);

interface ParseOption {
  type: 'string' | 'boolean';
  short?: string;
}

/** What parseArgs has to know: which flags take a value, and their one-letter forms. */
function parseOptions(
  byName: ReadonlyMap<string, NamedSetting>,
  foreign: NonNullable<FlagRules['foreign']>,
  short: ReadonlyMap<string, string>,
): Record<string, ParseOption> {
  const letters = new Map([...short].map(([letter, name]) => [name, letter]));
  const option = (name: string, isSwitch: boolean): [string, ParseOption] => {
    const letter = letters.get(name);
    return [
      name,
      { type: isSwitch ? 'boolean' : 'string', ...(letter === undefined ? {} : { short: letter }) },
    ];
  };
  return Object.fromEntries([
    ['help', { type: 'boolean', short: 'h' }],
    ['version', { type: 'boolean', short: 'v' }],
    ...[...foreign].map(([name, { isSwitch }]) => option(name, isSwitch)),
    ...[...byName.values()].map(({ name, setting }) => option(name, setting.kind.flag === 'switch')),
  ]);
}

function valuesOf(texts: ReadonlyMap<NamedSetting, readonly string[]>): {
  readonly values: ReadonlyMap<string, Raw>;
  readonly repeated: readonly SettingProblem[];
} {
  const values = new Map<string, Raw>();
  const repeated: SettingProblem[] = [];
  for (const [{ name, flag, setting }, given] of texts) {
    const origin: Origin = { source: 'flag', name: flag };
    const items = given.map((text): Raw => ({ form: 'text', text, origin }));
    const [only] = items;
    const isRepeatable = setting.kind.flag === 'many';
    if (items.length === 1 && only !== undefined) values.set(name, only);
    else if (isRepeatable) values.set(name, { form: 'items', items, origin });
    else
      repeated.push({ where: flag, message: `is given ${items.length} times and takes one value; keep one` });
  }
  return { values, repeated };
}

/** @param flag as it was given, without a value */
function unknownFlag(flag: string, names: readonly string[]): SettingProblem {
  const doubled = flag.startsWith('--') ? flag : `-${flag}`;
  const known = [...names, 'help', 'version'].map((name) => `--${name}`);
  if (known.includes(doubled)) return { where: flag, message: `flags begin with two dashes: ${doubled}` };
  if (!/^--?[\w.-]{1,100}$/.test(flag))
    return { where: undefined, message: 'an argument that begins with a dash is not a flag of this program' };
  const hint = didYouMean(doubled, known);
  return { where: flag, message: `there is no such flag.${hint || ' --help lists them.'}` };
}
