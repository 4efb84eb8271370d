/** A kind of setting (text, duration, list): how it is parsed, described and printed. */
import type { Checked, Origin, SettingProblem } from '../problem.ts';
import { bad, good, originText, quotedValue } from '../problem.ts';

/**
 * An unparsed value of a source. Flags and variables give text (a repeated flag gives items), YAML gives all three
 * forms.
 */
export type Raw =
  | { readonly form: 'text'; readonly text: string; readonly origin: Origin }
  | { readonly form: 'items'; readonly items: readonly Raw[]; readonly origin: Origin }
  | { readonly form: 'entries'; readonly entries: readonly RawEntry[]; readonly origin: Origin };

export interface RawEntry {
  readonly key: string;
  readonly value: Raw;
}

/** A value as YAML can hold it and `config check` prints it. */
export type Printable =
  | string
  | number
  | boolean
  | readonly string[]
  | Readonly<Record<string, string | readonly string[]>>;

export interface Kind<T> {
  /** For the documentation's table: `duration`, `list of addresses`. */
  readonly name: string;
  /** Shown after the flag in the help: `<duration>`; empty for a switch. */
  readonly placeholder: string;
  /** Follows "expected": `a duration such as 30s or 1h30m`. */
  readonly expected: string;
  /** `switch`: the flag takes no value and has a `--no-` form. `many`: the flag is repeatable. */
  readonly flag: 'value' | 'switch' | 'many';
  /** Values are never shown. */
  readonly secret: boolean;
  /** All values, where the set is closed: for shell completion. */
  readonly choices?: readonly string[];
  /** Reports every problem together; `name` is the setting's name in the file. */
  read(raw: Raw, name: string): Checked<T>;
  print(value: T): Printable;
}

/** A parser's result for invalid text, with an optional hint: why, or what to write instead. */
export class Refusal {
  readonly hint: string | undefined;
  constructor(hint?: string) {
    this.hint = hint;
  }
}

export interface ScalarDefinition<T> {
  readonly name: string;
  readonly placeholder: string;
  readonly expected: string;
  readonly flag?: 'value' | 'switch';
  readonly secret?: boolean;
  readonly choices?: readonly string[];
  /** Why the text may not even be quoted, which may then hold a password. */
  unquotable?(text: string): string | undefined;
  parse(text: string, origin: Origin): T | Refusal;
  print(value: T): Printable;
}

/** A kind whose value is a single text. */
export function scalar<T>(definition: ScalarDefinition<T>): Kind<T> {
  const secret = definition.secret ?? false;
  const { name: kindName, placeholder, expected, flag = 'value', choices = [], print } = definition;
  return Object.freeze<Kind<T>>({
    name: kindName,
    placeholder,
    expected,
    flag,
    secret,
    choices,
    print,
    read(raw, name) {
      if (raw.form !== 'text') {
        const found = raw.form === 'items' ? 'a list' : 'a map';
        return bad(problemOf(raw.origin, name, `found ${found}, expected ${expected}`));
      }
      if (raw.text.trim() === '') {
        return bad(
          problemOf(raw.origin, name, `has no value, expected ${expected}; set one or leave it out`),
        );
      }
      const unquotable = definition.unquotable?.(raw.text);
      if (unquotable !== undefined)
        return bad(problemOf(raw.origin, name, `its value (not shown) ${unquotable}`));
      const value = definition.parse(raw.text, raw.origin);
      if (!(value instanceof Refusal)) return good(value);
      const found = secret ? 'its value (not shown) is not usable' : `found ${quotedValue(raw.text)}`;
      const hint = value.hint === undefined ? '' : `: ${value.hint}`;
      return bad(problemOf(raw.origin, name, `${found}, expected ${expected}${hint}`));
    },
  });
}

/** A flag or a variable already names its setting; a line of a file does not. */
export function problemOf(origin: Origin, name: string, message: string): SettingProblem {
  return {
    where: originText(origin),
    message: origin.source === 'file' ? `${name}: ${message}` : message,
  };
}
