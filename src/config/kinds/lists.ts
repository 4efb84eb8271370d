/** Kinds of several values: lists, and the storages of a virtual storage. */
import { bad, type Checked, good } from '../problem.ts';
import { type Kind, problemOf, type Raw } from './kind.ts';

/** A list of one kind: a repeated flag, text with commas, or a YAML list. At least one item. */
export function listOf<T>(item: Kind<T>, name: string): Kind<readonly T[]> {
  const expected = `${item.expected}, or several`;
  return Object.freeze<Kind<readonly T[]>>({
    name,
    placeholder: item.placeholder,
    expected,
    flag: 'many',
    secret: item.secret,
    print: (values) => values.map((value) => String(item.print(value))),
    read(raw, settingName) {
      if (raw.form === 'entries')
        return bad(problemOf(raw.origin, settingName, `found a map, expected ${expected}`));
      const items = splitItems(raw);
      if (items.length === 0) {
        return bad(problemOf(raw.origin, settingName, `is an empty list, expected ${expected}`));
      }
      return collect(items.map((one) => item.read(one, settingName)));
    },
  });
}

/** A virtual storage and its configured storages. */
export interface ConfiguredStorages {
  readonly name: string;
  readonly storages: readonly string[];
}

const expectedStorages = 'a virtual storage and its storages, such as default=gitaly-1,gitaly-2,gitaly-3';

/**
 * The storages of each virtual storage: `name=storage,storage`, one flag each; several in one text are
 * separated by semicolons; in YAML a map of lists.
 */
export const virtualStorages = (): Kind<readonly ConfiguredStorages[]> =>
  Object.freeze<Kind<readonly ConfiguredStorages[]>>({
    name: 'storages of each virtual storage',
    placeholder: '<name=storage,...>',
    expected: expectedStorages,
    flag: 'many',
    secret: false,
    print: (values) => Object.fromEntries(values.map(({ name, storages }) => [name, storages])),
    read(raw, settingName) {
      const read = collect(entriesOf(raw, ';').map((entry) => readStorages(entry, settingName)));
      if (!read.ok) return read;
      if (read.value.length === 0)
        return bad(problemOf(raw.origin, settingName, `is empty, expected ${expectedStorages}`));
      const double = firstRepeated(read.value.map(({ name }) => name));
      return double === undefined
        ? read
        : bad(problemOf(raw.origin, settingName, `lists the virtual storage ${double} twice; list it once`));
    },
  });

function readStorages({ key: name, value }: Entry, settingName: string): Checked<ConfiguredStorages> {
  const storages = name === undefined || value.form === 'entries' ? [] : splitItems(value);
  const names = storages.map((item) => (item.form === 'text' ? item.text.trim() : ''));
  if (name === undefined || name === '' || names.length === 0 || names.includes(''))
    return bad(problemOf(value.origin, settingName, `expected ${expectedStorages}`));
  const double = firstRepeated(names);
  return double === undefined
    ? good(Object.freeze({ name, storages: Object.freeze(names) }))
    : bad(problemOf(value.origin, settingName, `lists the storage ${double} of ${name} twice; list it once`));
}

/** A name and its value, from `name=value` or a map. */
export interface Entry {
  /** Undefined without a `=`: `value` is then the whole text. */
  readonly key: string | undefined;
  readonly value: Raw;
}

/** Texts of several `name=value` with a separator, repeated flags, or the entries of a map in the file. */
export function entriesOf(raw: Raw, separator: string): readonly Entry[] {
  switch (raw.form) {
    case 'entries':
      return raw.entries.map(({ key, value }) => ({ key: key.trim(), value }));
    case 'items':
      return raw.items.flatMap((item) => entriesOf(item, separator));
    case 'text':
      return raw.text.split(separator).map((part): Entry => {
        const [key = '', ...rest] = part.split('=');
        return rest.length === 0
          ? { key: undefined, value: { ...raw, text: part.trim() } }
          : { key: key.trim(), value: { ...raw, text: rest.join('=').trim() } };
      });
  }
}

/** Text split at commas; repeated flags, each split likewise; the items of a list in the file as they are. */
function splitItems(raw: Raw): readonly Raw[] {
  switch (raw.form) {
    case 'text':
      return raw.text.split(',').map((part) => ({ ...raw, text: part.trim() }));
    case 'items':
      return raw.items.flatMap((item) => (item.origin.source === 'file' ? [item] : splitItems(item)));
    case 'entries':
      return [raw];
  }
}

/** All values, or all problems. */
export function collect<T>(results: readonly Checked<T>[]): Checked<readonly T[]> {
  const problems = results.flatMap((result) => (result.ok ? [] : result.problems));
  return problems.length > 0
    ? bad(...problems)
    : good(Object.freeze(results.flatMap((result) => (result.ok ? [result.value] : []))));
}

export const firstRepeated = (names: readonly string[]): string | undefined =>
  names.find((name, index) => names.indexOf(name) !== index);
