/**
 * Reads flags: `--name value`, `--name=value`, `--switch`, `--no-switch`. Written out here because Node's parseArgs
 * stops at the first mistake, and what is not a known flag must never be quoted: it may be half of a password.
 */
import type { Raw } from '../kinds/kind.ts';
import type { Origin, Problem } from '../problem.ts';
import type { NamedSetting } from '../setting.ts';
import { didYouMean } from '../suggest.ts';

export interface Flags {
  /** Values by the name of the setting, in the order in which they were given. */
  readonly values: ReadonlyMap<string, Raw>;
  readonly help: boolean;
  readonly version: boolean;
  readonly problems: readonly Problem[];
}

const helpFlags = ['--help', '-h'];

export function readFlags(args: readonly string[], settings: readonly NamedSetting[]): Flags {
  const byFlag = new Map(settings.map((setting) => [setting.flag, setting]));
  const texts = new Map<NamedSetting, string[]>();
  const problems: Problem[] = [];
  let help = false;
  let version = false;

  for (let index = 0; index < args.length; index += 1) {
    const arg = args[index] ?? '';
    if (helpFlags.includes(arg)) help = true;
    else if (arg === '--version') version = true;
    else if (!arg.startsWith('-') || arg === '-' || arg === '--') problems.push(strayArgument(index));
    else {
      const [flag = '', ...rest] = arg.split('=');
      const inline = arg.includes('=') ? rest.join('=') : undefined;
      const switchedOff = byFlag.get(flag.replace(/^--no-/, '--'));
      const setting =
        byFlag.get(flag) ?? (switchedOff?.setting.kind.flag === 'switch' ? switchedOff : undefined);
      if (setting === undefined) {
        problems.push(unknownFlag(flag, [...byFlag.keys(), '--help', '--version']));
        // What follows belongs to it, and must not be taken for something else.
        if (inline === undefined && isValue(args[index + 1])) index += 1;
      } else if (setting.setting.kind.flag === 'switch') {
        const off = setting.flag !== flag;
        if (off && inline !== undefined) problems.push({ where: flag, message: 'takes no value' });
        else note(setting, off ? 'false' : (inline ?? 'true'));
      } else if (inline !== undefined) note(setting, inline);
      else if (isValue(args[index + 1])) {
        index += 1;
        note(setting, args[index] ?? '');
      } else
        problems.push({
          where: setting.flag,
          message: `has no value, expected ${setting.setting.kind.expected}`,
        });
    }
  }

  function note(setting: NamedSetting, text: string): void {
    texts.set(setting, [...(texts.get(setting) ?? []), text]);
  }

  const values = new Map<string, Raw>();
  for (const [setting, given] of texts) {
    const origin: Origin = { source: 'flag', name: setting.flag };
    const items = given.map((text): Raw => ({ form: 'text', text, origin }));
    const [only] = items;
    if (items.length > 1 && setting.setting.kind.flag !== 'many') {
      problems.push({
        where: setting.flag,
        message: `is given ${items.length} times and takes one value; keep one`,
      });
    }
    if (items.length === 1 && only !== undefined) values.set(setting.name, only);
    else if (setting.setting.kind.flag === 'many') values.set(setting.name, { form: 'items', items, origin });
  }
  return { values, help, version, problems };
}

/** A value may begin with one dash (a negative number), but two are the next flag. */
const isValue = (arg: string | undefined): boolean => arg !== undefined && !arg.startsWith('--');

/** Named by its place, because it may be a secret that lost its flag. */
const strayArgument = (index: number): Problem => ({
  where: undefined,
  message: `argument ${index + 1} belongs to no flag; write values as --flag=value`,
});

function unknownFlag(flag: string, known: readonly string[]): Problem {
  // One dash and more than one letter: Go's and Java's habit.
  const doubled = flag.startsWith('--') ? flag : `-${flag}`;
  if (known.includes(doubled)) return { where: flag, message: `flags begin with two dashes: ${doubled}` };
  const name = /^--?[\w.-]{1,100}$/.test(flag) ? flag : undefined;
  const hint = didYouMean(doubled, known);
  return name === undefined
    ? { where: undefined, message: 'an argument that begins with a dash is no flag of this program' }
    : { where: name, message: `there is no such flag.${hint || ' --help lists them.'}` };
}
