/**
 * The chart's config.toml.tpl as TOML: what a pod's start fills in is taken out, or stands as a word that says so.
 *
 * Its marks are gomplate's `{% %}`. Whole lines of them (conditions, assignments) go; in the place of a value there
 * is `templateValue`, in the midst of a text likewise. Of a condition both branches stay, since what decides between
 * them is known to the pod alone. Lines keep their numbers.
 *
 * One mark is read: a JSON text that becomes TOML, as the chart writes gitlab.gitaly.shell.concurrency. Left out, a
 * Gitaly with limits would look like one without. Its tables come after the last line.
 */
import { stringify } from 'smol-toml';

/** What stands where the template fills something in. */
export const templateValue = '(filled in by the template)';

export const isTemplate = (text: string): boolean => text.includes('{%');

/** TOML to read in place of the template. A mark that does not end stays as it is, and is no TOML. */
export function withoutMarks(template: string): string {
  let read = '';
  let tables = '';
  /** The quotes of the text that we are in; empty outside of one. */
  let quotes = '';
  let at = 0;
  while (at < template.length) {
    if (template.startsWith('{%', at)) {
      const end = endOfMark(template, at + 2);
      if (end === undefined) return read + template.slice(at);
      const lines = template.slice(at, end).replaceAll(/[^\n]/g, '');
      if (quotes !== '') read += templateValue;
      else if (standsForValue(read)) read += JSON.stringify(templateValue);
      else tables += tablesOf(template.slice(at + 2, end - 2));
      read += lines;
      at = end;
      continue;
    }
    const char = template[at] ?? '';
    if (quotes === '' && char === '#') {
      // A comment's quotes open nothing, and its marks mean nothing.
      const end = template.indexOf('\n', at);
      at = end === -1 ? template.length : end;
      continue;
    }
    if (quotes === '' && (char === '"' || char === "'")) {
      quotes = template.startsWith(char.repeat(3), at) ? char.repeat(3) : char;
      read += quotes;
      at += quotes.length;
      continue;
    }
    if (quotes !== '' && template.startsWith(quotes, at)) {
      read += quotes;
      at += quotes.length;
      quotes = '';
      continue;
    }
    if (quotes.startsWith('"') && char === '\\') {
      read += template.slice(at, at + 2);
      at += 2;
      continue;
    }
    // A text in single quotes marks ends with its line, so that one that is broken does not swallow the rest.
    if (quotes.length === 1 && char === '\n') quotes = '';
    read += char;
    at += 1;
  }
  return tables === '' ? read : `${read}\n${tables}`;
}

/** Of a mark that turns JSON into TOML: its tables, as TOML. Single values would belong to the table before. */
function tablesOf(mark: string): string {
  const [, json] = /^\s*`([^`]*)`\s*\|\s*data\.JSON\s*\|\s*data\.ToTOML\b/.exec(mark) ?? [];
  if (json === undefined) return '';
  try {
    const parsed: unknown = JSON.parse(json);
    const entries = Object.entries(isTable(parsed) ? parsed : {});
    const tables = entries.filter(([, value]) =>
      Array.isArray(value) ? value.every(isTable) : isTable(value),
    );
    return stringify(Object.fromEntries(tables));
  } catch {
    return '';
  }
}

const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** After the mark's `%}`, which does not count within quotes of the mark's own. */
function endOfMark(text: string, from: number): number | undefined {
  let at = from;
  while (at < text.length) {
    if (text.startsWith('%}', at)) return at + 2;
    const quote = text[at];
    if (quote === '"' || quote === '`') {
      const end = endOfGoText(text, at + 1, quote);
      if (end === undefined) return undefined;
      at = end;
    } else at += 1;
  }
  return undefined;
}

function endOfGoText(text: string, from: number, quote: string): number | undefined {
  for (let at = from; at < text.length; at += 1) {
    if (quote === '"' && text[at] === '\\') at += 1;
    else if (text[at] === quote) return at + 1;
    else if (quote === '"' && text[at] === '\n') return undefined;
  }
  return undefined;
}

/** After a `=`, or in an array: where TOML wants a value. */
function standsForValue(before: string): boolean {
  const line = before.slice(before.lastIndexOf('\n') + 1);
  return /[=[,]\s*$/.test(line);
}
