/** Single values: text, numbers, switches, choices, file paths, secrets. */
import { dirname, isAbsolute, join } from 'node:path';
import { Secret } from '../../lib/secret.ts';
import { closest } from '../suggest.ts';
import { type Kind, Refusal, scalar } from './kind.ts';

export interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

export const text = (placeholder: string, check?: (text: string) => Refusal | undefined): Kind<string> =>
  scalar({
    name: 'text',
    placeholder,
    expected: `a ${placeholder.slice(1, -1)}`,
    parse: (found) => check?.(found) ?? found,
    print: (value) => value,
  });

/** A whole number within bounds, both included. */
export const integer = (bounds: Bounds = {}): Kind<number> =>
  scalar({
    name: 'whole number',
    placeholder: '<number>',
    expected: `a whole number${boundsText(bounds, String)}`,
    parse(found) {
      const value = /^[+-]?\d+$/.test(found.trim()) ? Number(found) : Number.NaN;
      return Number.isSafeInteger(value) && within(value, bounds) ? value : new Refusal();
    },
    print: (value) => value,
  });

export const float = (bounds: Bounds = {}): Kind<number> =>
  scalar({
    name: 'number',
    placeholder: '<number>',
    expected: `a number${boundsText(bounds, String)}`,
    parse(found) {
      const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(found.trim()) ? Number(found) : Number.NaN;
      return Number.isFinite(value) && within(value, bounds) ? value : new Refusal();
    },
    print: (value) => value,
  });

/** A switch: `--x`, `--no-x`, `--x=true`. */
export const toggle = (): Kind<boolean> =>
  scalar({
    name: 'switch',
    placeholder: '',
    expected: 'true or false',
    flag: 'switch',
    parse: (found) => (found === 'true' ? true : found === 'false' ? false : new Refusal()),
    print: (value) => value,
  });

export const choice = <const Choice extends string>(choices: readonly Choice[]): Kind<Choice> =>
  scalar({
    name: choices.join(', '),
    placeholder: `<${choices.join('|')}>`,
    expected: `one of ${choices.join(', ')}`,
    choices,
    parse(found) {
      const choice = choices.find((candidate) => candidate === found);
      if (choice !== undefined) return choice;
      const near = closest(found, choices);
      return new Refusal(near === undefined ? undefined : `did you mean ${near}?`);
    },
    print: (value) => value,
  });

/** A file path. In the configuration file it is relative to that file's directory. */
export const filePath = (): Kind<string> =>
  scalar({
    name: 'file',
    placeholder: '<file>',
    expected: "a file's path",
    parse: (found, origin) =>
      origin.source === 'file' && !isAbsolute(found) ? join(dirname(origin.file), found) : found,
    print: (value) => value,
  });

/** The base URL of a web application: http or https, without user, query and fragment; trailing slashes are removed. */
export const baseUrl = (example: string): Kind<string> =>
  scalar({
    name: 'URL',
    placeholder: '<url>',
    expected: `a URL such as ${example}`,
    unquotable: (found) =>
      /^[a-z]+:\/\/[^/]*@/i.test(found.trim()) ? 'has a user: remove user and password' : undefined,
    parse(found) {
      const url = URL.parse(found.trim());
      if (url === null || !/^https?:$/.test(url.protocol))
        return new Refusal('start it with https:// or http://');
      if (url.search !== '' || url.hash !== '') return new Refusal('leave out the part from ? or # on');
      return found.trim().replace(/\/+$/, '');
    },
    print: (url) => url,
  });

/** Text that is never shown. `check` can reject it with a hint that quotes nothing of it. */
export const secret = (
  placeholder: string,
  expected: string,
  check?: (text: string) => string | undefined,
): Kind<Secret> =>
  scalar({
    name: 'secret',
    placeholder,
    expected,
    secret: true,
    parse(found) {
      const hint = check?.(found);
      return hint === undefined ? new Secret(found) : new Refusal(hint);
    },
    print: (value) => value.toString(),
  });

export const within = (value: number, { min, max }: Bounds): boolean =>
  (min === undefined || value >= min) && (max === undefined || value <= max);

export function boundsText({ min, max }: Bounds, write: (value: number) => string): string {
  if (min !== undefined && max !== undefined) return ` from ${write(min)} to ${write(max)}`;
  if (min !== undefined) return ` of at least ${write(min)}`;
  return max === undefined ? '' : ` of at most ${write(max)}`;
}
