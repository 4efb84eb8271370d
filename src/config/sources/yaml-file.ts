/**
 * Reads the YAML file: the dots of a flag are its nesting. Values stay text until their kind reads them (`0123` and
 * `yes` are not converted), and aliases are rejected, so that no file can grow in memory.
 */
import {
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
} from 'yaml';
import type { Raw } from '../kinds/kind.ts';
import type { Origin, SettingProblem } from '../problem.ts';
import { problemAt, quotedValue } from '../problem.ts';
import type { NamedSetting } from '../setting.ts';
import { didYouMean } from '../suggest.ts';

export interface FileValues {
  readonly values: ReadonlyMap<string, Raw>;
  readonly problems: readonly SettingProblem[];
}

/** No real file is larger, and the parser's time grows with it. */
const maxFileLength = 1024 * 1024;
/** One mistake can make a parser report every line after it. */
const maxSyntaxProblems = 3;

interface YamlReading {
  readonly file: string;
  readonly lines: LineCounter;
  readonly byName: ReadonlyMap<string, NamedSetting>;
  readonly values: Map<string, Raw>;
  readonly problems: SettingProblem[];
}

export function readYaml(text: string, file: string, settings: readonly NamedSetting[]): FileValues {
  const lines = new LineCounter();
  const byName = new Map(settings.map((setting) => [setting.name, setting]));
  const reading: YamlReading = { file, lines, byName, values: new Map(), problems: [] };
  if (text.length > maxFileLength) {
    reading.problems.push(
      problemAt(
        { source: 'file', file, line: undefined },
        'is larger than 1 MiB, expected a configuration file',
      ),
    );
    return reading;
  }
  const document = parseDocument(text, {
    schema: 'failsafe',
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
  });
  reading.problems.push(...syntaxProblems(document, reading));
  if (reading.problems.length === 0 && !isEmpty(document.contents)) readGroup(document.contents, [], reading);
  return reading;
}

/** The parser's messages can quote the file, which may hold secrets: ours are used in their place. */
function syntaxProblems(document: Document.Parsed, reading: YamlReading): readonly SettingProblem[] {
  const faults = [...document.errors, ...document.warnings].map(({ code, pos }) => {
    const what = syntaxMessages[code] ?? 'is not valid YAML here';
    return problemAt({ ...at(pos[0], reading) }, what);
  });
  const texts = new Set<string>();
  return faults
    .filter(({ where, message }) => !texts.has(`${where} ${message}`) && texts.add(`${where} ${message}`))
    .slice(0, maxSyntaxProblems);
}

const syntaxMessages: Readonly<Record<string, string>> = {
  TAB_AS_INDENT: 'is not valid YAML: a tab cannot indent; use spaces',
  BAD_INDENT: 'is not valid YAML: wrong indentation, or an unclosed bracket',
  MISSING_CHAR: 'is not valid YAML: a quote, bracket, comma or colon is missing',
  MULTIPLE_DOCS: 'is a second document (---), expected one',
  BAD_SCALAR_START: 'is not valid YAML: a value that begins with @, ` or % needs quotes',
  MULTILINE_IMPLICIT_KEY: 'is not valid YAML: expected "name: value"',
  TAG_RESOLVE_FAILED: 'has a tag (!...), which is not supported',
  RESOURCE_EXHAUSTION: 'is nested too deeply',
};

function readGroup(node: unknown, above: readonly string[], reading: YamlReading): void {
  const name = above.join('.');
  if (!isMap(node)) {
    const found = isAlias(node) ? 'an alias' : isSeq(node) ? 'a list' : 'a single value';
    const what = name === '' ? 'the file' : name;
    problem(node, `${what}: found ${found}, expected settings of the form "name: value"`, reading);
    return;
  }
  const seen = new Set<string>();
  for (const pair of node.items) {
    const key = isPair(pair) ? keyOf(pair) : undefined;
    if (key === undefined) {
      problem(pair.key, `${name === '' ? 'the file' : name}: a key must be the name of a setting`, reading);
      continue;
    }
    if (seen.has(key)) problem(pair.key, `${[...above, key].join('.')}: is given twice; keep one`, reading);
    seen.add(key);
    readPair(pair, [...above, key], reading);
  }
}

function readPair(pair: Pair, path: readonly string[], reading: YamlReading): void {
  const name = path.join('.');
  const known = [...reading.byName.keys()];
  const setting = reading.byName.get(name);
  if (path.some((key) => key.includes('.'))) {
    const nested = setting === undefined && !known.some((other) => other.startsWith(`${name}.`));
    const hint = nested ? '' : ' Nest it: each dot is one more level.';
    problem(pair.key, `${shownName(name)}: there is no such setting.${hint}`, reading);
  } else if (setting !== undefined) {
    readSetting(pair, setting, reading);
  } else if (known.some((other) => other.startsWith(`${name}.`))) {
    if (!isEmpty(pair.value)) readGroup(pair.value, path, reading);
  } else {
    const prefix = path
      .slice(0, -1)
      .map((key) => `${key}.`)
      .join('');
    const siblings = known
      .filter((other) => other.startsWith(prefix))
      .map((other) => other.split('.')[path.length - 1] ?? '');
    const hint = didYouMean(path.at(-1) ?? '', [...new Set(siblings)], prefix);
    problem(pair.key, `${shownName(name)}: there is no such setting.${hint}`, reading);
  }
}

function readSetting(
  pair: Pair,
  { name, flag, variable, setting }: NamedSetting,
  reading: YamlReading,
): void {
  if (!setting.inFile) {
    problem(pair.key, `${name}: is only a flag (${flag}) or a variable (${variable})`, reading);
    return;
  }
  const raw = rawOf(pair.value, name, at(offsetOf(pair.key), reading), reading);
  if (raw !== undefined) reading.values.set(name, raw);
}

/** A key that is not a name is quoted and truncated. */
const shownName = (name: string): string => (/^[\w.-]{1,100}$/.test(name) ? name : quotedValue(name));

/** The value of a setting as its kind will read it; undefined after a problem. */
function rawOf(node: unknown, name: string, origin: Origin, reading: YamlReading): Raw | undefined {
  if (isScalar(node) || node === null) {
    const plainNull =
      isScalar(node) && node.type === 'PLAIN' && ['null', 'Null', 'NULL', '~'].includes(String(node.value));
    return { form: 'text', text: node === null || plainNull ? '' : String(node.value), origin };
  }
  if (isSeq(node)) {
    const items = node.items.map((item) => rawOf(item, name, at(offsetOf(item), reading), reading));
    return items.every((item) => item !== undefined) ? { form: 'items', items, origin } : undefined;
  }
  if (isMap(node)) {
    const entries = node.items.map((pair) => {
      const key = keyOf(pair);
      const value = rawOf(pair.value, name, at(offsetOf(pair.key), reading), reading);
      return key === undefined || value === undefined ? undefined : { key, value };
    });
    return entries.every((entry) => entry !== undefined) ? { form: 'entries', entries, origin } : undefined;
  }
  problem(node, `${name}: aliases (*name) are not supported; repeat the value`, reading);
  return undefined;
}

const keyOf = (pair: Pair): string | undefined => (isScalar(pair.key) ? String(pair.key.value) : undefined);

/** `group:` without content, as when every line of it is a comment. */
const isEmpty = (node: unknown): boolean => node === null || (isScalar(node) && node.value === '');

function problem(node: unknown, message: string, reading: YamlReading): void {
  reading.problems.push(problemAt(at(offsetOf(node), reading), message));
}

const offsetOf = (node: unknown): number => {
  const range = typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined;
  return Array.isArray(range) && typeof range[0] === 'number' ? range[0] : 0;
};

const at = (offset: number, { file, lines }: YamlReading): Extract<Origin, { source: 'file' }> => ({
  source: 'file',
  file,
  line: lines.linePos(offset).line || 1,
});
