/**
 * Reads Gitaly's and Praefect's TOML with the line of each problem, without ever quoting a line: lines may contain
 * tokens and passwords.
 */
import { parse, TomlError, type TomlTable } from 'smol-toml';
import { goDurationOf } from '../go-duration.ts';
import { bad, type Checked, good, type Origin, problemAt, type SettingProblem } from '../problem.ts';
import { isTemplate, templateToml } from './template.ts';

/** Delimiters of gomplate, ERB and Helm on one line, as in config.toml.erb. */
const templateMark = /\{%.*%\}|<%.*%>|\{\{.*\}\}/;

function parseToml(text: string, file: string, templateHint: string): Checked<TomlTable> {
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

interface TypeNames {
  readonly string: string;
  readonly integer: number;
  readonly boolean: boolean;
  readonly table: TomlTable;
  readonly tables: readonly TomlTable[];
}

/** Reads one table of a document, and reports each value whose type Gitaly and Praefect would reject. */
export interface TableReader {
  /** False where the document does not have it, or has no table of its name: it is then empty. */
  readonly isSet: boolean;
  /** As it is in the document, of any type. */
  value(key: string): unknown;
  get<Type extends keyof TypeNames>(key: string, type: Type): TypeNames[Type] | undefined;
  /** Gitaly and Praefect read an empty string as not set. */
  text(key: string): string | undefined;
  /** Of Go's durations. An empty string is not set. */
  seconds(key: string): number | undefined;
  /** @param nth its index among the tables with the same header, for the lines of problems */
  table(key: string, nth?: number): TableReader;
  /** @param before number of tables with the same header before them */
  tables(key: string, before?: number): readonly TableReader[];
  origin(key?: string): Origin;
  wrong(key: string | undefined, message: string): void;
}

/** More say nothing new about a file. */
const maxProblems = 100;

/** The top level of Gitaly's or Praefect's configuration, also of the chart's template of one. */
export interface TomlDocument {
  /** @param problems where the reader and those of its tables report */
  top(problems: SettingProblem[]): TableReader;
}

/**
 * @param file for the messages: the path, or the ConfigMap
 * @param templateHint the message for a template of another kind, which is not TOML: what to set instead
 */
export function readToml(text: string, file: string, templateHint: string): Checked<TomlDocument> {
  const toml = isTemplate(text) ? templateToml(text) : text;
  const parsed = parseToml(toml, file, templateHint);
  if (!parsed.ok) return parsed;
  return good({ top: (problems) => reader(parsed.value, '', 0, { text: toml, file, problems }) });
}

interface Report {
  readonly text: string;
  readonly file: string;
  readonly problems: SettingProblem[];
}

/** @param header `database`, `virtual_storage.node`; empty for the top level */
function reader(table: TomlTable | undefined, header: string, nth: number, report: Report): TableReader {
  const { text, file, problems } = report;
  const below = (found: TomlTable | undefined, key: string, index: number): TableReader =>
    reader(found, header === '' ? key : `${header}.${key}`, index, report);
  const self: TableReader = {
    isSet: table !== undefined,
    value: (key) => (table !== undefined && Object.hasOwn(table, key) ? table[key] : undefined),
    get(key, type) {
      const value = self.value(key);
      if (value === undefined || is(value, type)) return value as TypeNames[typeof type] | undefined;
      self.wrong(key, `expected ${expectedTypes[type]}`);
      return undefined;
    },
    text(key) {
      const found = self.get(key, 'string');
      return found === '' ? undefined : found;
    },
    seconds(key) {
      const found = self.value(key);
      if (found === undefined || found === '') return undefined;
      const seconds = goDurationOf(found);
      if (seconds === undefined) self.wrong(key, 'expected a duration such as "1m30s" or "168h"');
      return seconds;
    },
    table: (key, index = nth) => below(self.get(key, 'table'), key, index),
    tables: (key, before = 0) =>
      (self.get(key, 'tables') ?? []).map((each, index) => below(each, key, before + index)),
    origin: (key) => ({ source: 'file', file, line: lineOf(text, header, nth, key) }),
    wrong(key, message) {
      // Each takes a pass over the text for its line.
      if (problems.length >= maxProblems) return;
      const name = [header, key].filter((part) => part !== undefined && part !== '').join('.');
      problems.push(problemAt(self.origin(key), `${name}: ${message}`));
    },
  };
  return self;
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
function lineOf(text: string, header: string, nth: number, key: string | undefined): number | undefined {
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
