/** Values by name, where the names are the operator's or a closed set: labels of alerts, severities of alerts. */
import { bad, type Checked, good, quotedValue } from '../problem.ts';
import { type Kind, problemOf, type Raw, type Refusal, type ScalarDefinition, scalar } from './kind.ts';
import { collect, type Entry, entriesOf, firstRepeated } from './lists.ts';

export interface NamedValue<Name extends string, T> {
  readonly name: Name;
  readonly value: T;
}

interface NamedValuesDefinition<Name extends string, T> {
  /** For the documentation's table: `severity of each alert`. */
  readonly name: string;
  readonly placeholder: string;
  readonly expected: string;
  parseName(text: string): Name | Refusal;
  readonly value: Kind<T>;
}

/** `name=value`: repeated as a flag, or several in one text separated by commas; in YAML a map. */
export function namedValues<Name extends string, T>(
  definition: NamedValuesDefinition<Name, T>,
): Kind<readonly NamedValue<Name, T>[]> {
  const { name, placeholder, expected, value: valueKind } = definition;
  const nameKind = scalar<Name>({
    name,
    placeholder,
    expected,
    parse: (text) => definition.parseName(text.trim()),
    print: (parsed) => parsed,
  } satisfies ScalarDefinition<Name>);

  function readOne({ key, value }: Entry, settingName: string): Checked<NamedValue<Name, T>> {
    if (key === undefined)
      return bad(problemOf(value.origin, settingName, `found ${quotedText(value)}, expected ${expected}`));
    const readName = nameKind.read({ form: 'text', text: key, origin: value.origin }, settingName);
    const readValue = valueKind.read(value, `${settingName}.${key}`);
    if (readName.ok && readValue.ok)
      return good(Object.freeze({ name: readName.value, value: readValue.value }));
    return bad(...[readName, readValue].flatMap((read) => (read.ok ? [] : read.problems)));
  }

  return Object.freeze<Kind<readonly NamedValue<Name, T>[]>>({
    name,
    placeholder,
    expected: `${expected}, or several`,
    flag: 'many',
    secret: false,
    print: (values) =>
      Object.fromEntries(values.map((each) => [each.name, String(valueKind.print(each.value))])),
    read(raw, settingName) {
      const read = collect(entriesOf(raw, ',').map((entry) => readOne(entry, settingName)));
      if (!read.ok) return read;
      if (read.value.length === 0)
        return bad(problemOf(raw.origin, settingName, `is empty, expected ${expected}`));
      const repeated = firstRepeated(read.value.map((each) => each.name));
      return repeated === undefined
        ? read
        : bad(problemOf(raw.origin, settingName, `sets ${repeated} twice; set it once`));
    },
  });
}

const quotedText = (raw: Raw): string =>
  raw.form === 'text' ? quotedValue(raw.text) : raw.form === 'items' ? 'a list' : 'a map';
