/** Reads TOML with the line of each problem, without ever quoting a line: lines may contain tokens and passwords. */
import { parse, TomlError, type TomlTable } from 'smol-toml';
import { bad, type Checked, good, type Origin, problemAt, type SettingProblem } from '../problem.ts';

/** Delimiters of gomplate, ERB and Helm on one line, as in config.toml.erb. */
const templateMark = /\{%.*%\}|<%.*%>|\{\{.*\}\}/;

const praefectHint =
  "found a template, expected Praefect's rendered configuration: set praefect.config-file to the rendered file, or set praefect.database.url and praefect.virtual-storage instead";

/** @param templateHint the message for a template, which is not TOML: what to set instead */
export function parseToml(text: string, file: string, templateHint = praefectHint): Checked<TomlTable> {
  const lines = text.split('\n');
  const template = lines.findIndex((line) => templateMark.test(line) && !/^\s*#/.test(line));
  if (template !== -1) {
    return bad(problemAt({ source: 'file', file, line: template + 1 }, templateHint));
  }
  try {
    return good(parse(text));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // Only the first line of the message: the rest quotes the file.
    const what = error.message.split('\n', 1)[0]?.replace(/^Invalid TOML document: /, '') ?? '';
    return bad(problemAt({ source: 'file', file, line: error.line }, `invalid TOML: ${what}`));
  }
}

/** A table of the document with its position, so that problems can name their line. */
export interface TableAt {
  readonly table: TomlTable;
  /** `database`, `virtual_storage.node`; empty for the top level. */
  readonly header: string;
  /** Its index among the tables with the same header. */
  readonly nth: number;
}

interface TypeNames {
  readonly string: string;
  readonly integer: number;
  readonly boolean: boolean;
  readonly table: TomlTable;
  readonly tables: readonly TomlTable[];
}

/** Reads keys of tables and collects a problem for each value whose type Praefect would reject. */
export interface TomlReader {
  get<Type extends keyof TypeNames>(at: TableAt, key: string, type: Type): TypeNames[Type] | undefined;
  origin(at: TableAt, key?: string): Origin;
  wrong(at: TableAt, key: string | undefined, message: string): void;
  readonly problems: readonly SettingProblem[];
}

/** More say nothing new about a file. */
const maxProblems = 100;

export function tomlReader(text: string, file: string): TomlReader {
  const problems: SettingProblem[] = [];
  const origin = (at: TableAt, key?: string): Origin => ({
    source: 'file',
    file,
    line: lineOf(text, at, key),
  });
  const reader: TomlReader = {
    problems,
    origin,
    get(at, key, type) {
      const value = Object.hasOwn(at.table, key) ? at.table[key] : undefined;
      if (value === undefined || is(value, type)) return value as TypeNames[typeof type] | undefined;
      reader.wrong(at, key, `expected ${expectedTypes[type]}`);
      return undefined;
    },
    wrong(at, key, message) {
      // Each takes a pass over the text for its line.
      if (problems.length >= maxProblems) return;
      const name = [at.header, key].filter((part) => part !== undefined && part !== '').join('.');
      problems.push(problemAt(origin(at, key), `${name}: ${message}`));
    },
  };
  return reader;
}

const expectedTypes: Readonly<Record<keyof TypeNames, string>> = {
  string: 'a quoted string',
  integer: 'an unquoted integer',
  boolean: 'an unquoted true or false',
  table: 'a table',
  tables: 'an array of tables ([[...]])',
};

function is(value: unknown, type: keyof TypeNames): boolean {
  switch (type) {
    case 'string':
      return typeof value === 'string';
    case 'integer':
      return Number.isSafeInteger(value);
    case 'boolean':
      return typeof value === 'boolean';
    case 'table':
      return isTable(value);
    case 'tables':
      return Array.isArray(value) && value.every(isTable);
  }
}

const isTable = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

/** The line of a key, or of its table's header; undefined for inline tables and dotted keys, which are not used here. */
function lineOf(text: string, { header, nth }: TableAt, key: string | undefined): number | undefined {
  let current = '';
  let seen = header === '' ? 0 : -1;
  let headerLine: number | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    const [, name] = /^\s*\[{1,2}([^\][]+)\]{1,2}/.exec(line) ?? [];
    if (name !== undefined) {
      current = name.replaceAll(/[\s"']/g, '');
      if (current === header) seen += 1;
      if (current === header && seen === nth) headerLine = index + 1;
      // A key of the top level may be a table itself.
      if (header === '' && current === key) headerLine ??= index + 1;
    }
    const [, found] = /^\s*["']?([\w-]+)["']?\s*=/.exec(line) ?? [];
    if (key !== undefined && found === key && current === header && seen === nth) return index + 1;
  }
  return headerLine;
}
