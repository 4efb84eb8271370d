/**
 * The chart's config.toml.tpl as TOML, without the values that gomplate fills in when a pod starts.
 *
 * Template actions (`{% %}`) on lines of their own, such as conditions and assignments, are removed; an action in place
 * of a value or within a string becomes `templateValue`. Both branches of a condition stay, as only the pod knows which
 * one applies. Line numbers do not change.
 *
 * One action is evaluated: JSON that becomes TOML, as the chart writes gitlab.gitaly.shell.concurrency. Without it, a
 * Gitaly with limits would look like one without. Its tables follow the last line.
 */
import { stringify } from 'smol-toml';

/** In place of what the template fills in. */
export const templateValue = '(filled in by the template)';

export const isTemplate = (text: string): boolean => text.includes('{%');

/** An action that does not end stays as it is, which is invalid TOML. */
export function templateToml(template: string): string {
  let read = '';
  let tables = '';
  /** The opening quotes of the current string; empty outside of one. */
  let quotes = '';
  let at = 0;
  while (at < template.length) {
    if (template.startsWith('{%', at)) {
      const end = endOfAction(template, at + 2);
      if (end === undefined) return read + template.slice(at);
      const lines = template.slice(at, end).replaceAll(/[^\n]/g, '');
      if (quotes !== '') read += templateValue;
      else if (isValuePosition(read)) read += JSON.stringify(templateValue);
      else tables += tablesOf(template.slice(at + 2, end - 2));
      read += lines;
      at = end;
      continue;
    }
    const char = template[at] ?? '';
    if (quotes === '' && char === '#') {
      // Quotes and actions in a comment mean nothing.
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
    // A string on one line ends with the line, so that one without its closing quote does not hide the rest.
    if (quotes.length === 1 && char === '\n') quotes = '';
    read += char;
    at += 1;
  }
  return tables === '' ? read : `${read}\n${tables}`;
}

/** The tables of an action that turns JSON into TOML. Single values would belong to the table before. */
function tablesOf(action: string): string {
  const [, json] = /^\s*`([^`]*)`\s*\|\s*data\.JSON\s*\|\s*data\.ToTOML\b/.exec(action) ?? [];
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

/** The index after the action's `%}`, which does not count within a string of the action. */
function endOfAction(text: string, from: number): number | undefined {
  let at = from;
  while (at < text.length) {
    if (text.startsWith('%}', at)) return at + 2;
    const quote = text[at];
    if (quote === '"' || quote === '`') {
      const end = endOfGoString(text, at + 1, quote);
      if (end === undefined) return undefined;
      at = end;
    } else at += 1;
  }
  return undefined;
}

function endOfGoString(text: string, from: number, quote: string): number | undefined {
  for (let at = from; at < text.length; at += 1) {
    if (quote === '"' && text[at] === '\\') at += 1;
    else if (text[at] === quote) return at + 1;
    else if (quote === '"' && text[at] === '\n') return undefined;
  }
  return undefined;
}

/** After a `=`, or in an array: where TOML expects a value. */
function isValuePosition(before: string): boolean {
  const line = before.slice(before.lastIndexOf('\n') + 1);
  return /[=[,]\s*$/.test(line);
}
