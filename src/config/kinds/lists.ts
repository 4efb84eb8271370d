/** Kinds of several values: lists, and the storages of a virtual storage. */
import type { Checked, SettingProblem } from '../problem.ts';
import { bad, good } from '../problem.ts';
import { type Kind, problemOf, type Raw, type RawEntry } from './kind.ts';

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
      const read = collect(storageEntries(raw).map((entry) => readStorages(entry, settingName)));
      if (!read.ok) return read;
      if (read.value.length === 0)
        return bad(problemOf(raw.origin, settingName, `is empty, expected ${expectedStorages}`));
      const names = read.value.map(({ name }) => name);
      const double = names.find((name, index) => names.indexOf(name) !== index);
      return double === undefined
        ? read
        : bad(problemOf(raw.origin, settingName, `lists the virtual storage ${double} twice; list it once`));
    },
  });

function storageEntries(raw: Raw): readonly (RawEntry | Raw)[] {
  switch (raw.form) {
    case 'entries':
      return raw.entries;
    case 'items':
      return raw.items.flatMap(storageEntries);
    case 'text':
      return raw.text.split(';').map((part): RawEntry | Raw => {
        const [name, ...rest] = part.split('=');
        const value: Raw = { ...raw, text: rest.join('=') };
        return name === undefined || rest.length === 0 ? { ...raw, text: part } : { key: name.trim(), value };
      });
  }
}

function readStorages(entry: RawEntry | Raw, settingName: string): Checked<ConfiguredStorages> {
  if (!('key' in entry)) return bad(problemOf(entry.origin, settingName, `expected ${expectedStorages}`));
  const { key: name, value } = entry;
  const storages = value.form === 'entries' ? [] : splitItems(value);
  const names = storages.map((item) => (item.form === 'text' ? item.text.trim() : ''));
  if (name === '' || names.length === 0 || names.includes('')) {
    return bad(problemOf(value.origin, settingName, `expected ${expectedStorages}`));
  }
  const double = names.find((storage, index) => names.indexOf(storage) !== index);
  return double === undefined
    ? good(Object.freeze({ name, storages: Object.freeze(names) }))
    : bad(problemOf(value.origin, settingName, `lists the storage ${double} of ${name} twice; list it once`));
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

function collect<T>(results: readonly Checked<T>[]): Checked<readonly T[]> {
  const problems: SettingProblem[] = [];
  const values: T[] = [];
  for (const result of results) {
    if (result.ok) values.push(result.value);
    else problems.push(...result.problems);
  }
  return problems.length > 0 ? bad(...problems) : good(Object.freeze(values));
}
