/** Reads Praefect's TOML with the line of each mistake, and without ever quoting a line: lines hold tokens and passwords. */
import { parse, TomlError, type TomlTable } from 'smol-toml';
import { bad, type Checked, good, type Origin, type Problem, problemAt } from '../problem.ts';

/** Marks of gomplate, ERB and Helm, opened and closed on one line: the chart's config.toml.tpl and config.toml.erb. */
const templateMark = /\{%.*%\}|<%.*%>|\{\{.*\}\}/;

const praefectHint =
  "this is a template from which Praefect's configuration is made, not the configuration: give the rendered file (in a pod of Praefect: /etc/gitaly/config.toml), or praefect.database.url and praefect.virtual-storage in its place";

/** The document, or why it is none: a template (`templateHint` says what to give in its place), or not TOML. */
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
    // Only the first line of the message speaks of the mistake; the rest shows the file.
    const what = error.message.split('\n', 1)[0]?.replace(/^Invalid TOML document: /, '') ?? '';
    return bad(problemAt({ source: 'file', file, line: error.line }, `is not valid TOML: ${what}`));
  }
}

/** A table of the document, which says where it stands so that mistakes can name their line. */
export interface TableAt {
  readonly table: TomlTable;
  /** `database`, `virtual_storage.node`; empty for the document's top. */
  readonly header: string;
  /** Which of the tables under the same header it is, from 0. */
  readonly nth: number;
}

interface TypeNames {
  readonly string: string;
  readonly integer: number;
  readonly boolean: boolean;
  readonly table: TomlTable;
  readonly tables: readonly TomlTable[];
}

/** Reads keys of tables, and notes what has another type than Praefect would accept. */
export interface TomlReader {
  get<Type extends keyof TypeNames>(at: TableAt, key: string, type: Type): TypeNames[Type] | undefined;
  origin(at: TableAt, key?: string): Origin;
  wrong(at: TableAt, key: string | undefined, message: string): void;
  readonly problems: readonly Problem[];
}

export function tomlReader(text: string, file: string): TomlReader {
  const problems: Problem[] = [];
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
      const name = [at.header, key].filter((part) => part !== undefined && part !== '').join('.');
      problems.push(problemAt(origin(at, key), `${name}: ${message}`));
    },
  };
  return reader;
}

const expectedTypes: Readonly<Record<keyof TypeNames, string>> = {
  string: 'text in quotes',
  integer: 'a whole number without quotes',
  boolean: 'true or false without quotes',
  table: 'a table',
  tables: 'tables in double brackets',
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

/** The line of a key, or of its table's header; undefined for inline tables and dotted keys, which nobody writes here. */
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
      // A key of the document's top may be a table itself.
      if (header === '' && current === key) headerLine ??= index + 1;
    }
    const [, found] = /^\s*["']?([\w-]+)["']?\s*=/.exec(line) ?? [];
    if (key !== undefined && found === key && current === header && seen === nth) return index + 1;
  }
  return headerLine;
}
