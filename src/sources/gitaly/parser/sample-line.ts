/** One line of Prometheus' text format that is a sample: its name, labels and value. */

export interface TextSample {
  readonly name: string;
  /** Unescaped, decoded from UTF-8. */
  readonly labels: ReadonlyMap<string, string>;
  /** Any float, NaN and the infinities included. */
  readonly value: number;
}

const labelName = /[a-zA-Z_][a-zA-Z0-9_]*/y;
const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const special = /^([+-]?)(inf|infinity|nan)$/i;
const escapes: Readonly<Record<string, string>> = { '\\': '\\', '"': '"', n: '\n' };

/**
 * The sample of a line, or what is wrong with it, to follow "line 7: ".
 *
 * @param line each character stands for one byte; begins with the name
 */
export function readSample(line: string): TextSample | string {
  // A copy: parts of the string that came in would keep the whole chunk that it was cut from in memory.
  const text = Buffer.from(line, 'latin1').toString('latin1');
  const nameEnd = text.search(/[{ \t]/);
  const name = text.slice(0, nameEnd);
  let at = skipBlanks(text, nameEnd);
  const labels = new Map<string, string>();
  if (text[at] === '{') {
    at += 1;
    for (;;) {
      at = skipBlanks(text, at);
      if (text[at] === '}') break;
      labelName.lastIndex = at;
      const [label] = labelName.exec(text) ?? [];
      if (label === undefined) return `${name}: a label has no name`;
      at = skipBlanks(text, at + label.length);
      if (text[at] !== '=') return `${name}: a label has no value`;
      at = skipBlanks(text, at + 1);
      if (text[at] !== '"') return `${name}: a label's value is not in quotes`;
      const value = readQuoted(text, at + 1);
      if (value === undefined) return `${name}: a label's value does not end`;
      if (labels.has(label)) return `${name}: a label stands there twice`;
      labels.set(label, decode(value.text));
      at = skipBlanks(text, value.end + 1);
      if (text[at] === ',') at += 1;
      else if (text[at] !== '}') return `${name}: its labels do not end`;
    }
    at += 1;
  }
  // What follows the value is a timestamp, an exemplar, or both: of no use here.
  const [found = '', timestamp] = text
    .slice(at)
    .trim()
    .split(/[ \t]+/, 2);
  const value = readValue(found);
  if (value === undefined) return `${name}: its value is not a number`;
  if (timestamp !== undefined && timestamp !== '#' && readValue(timestamp) === undefined)
    return `${name}: what follows its value is neither a timestamp nor an exemplar`;
  return { name, labels, value };
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\t') at += 1;
  return at;
}

/** From after the opening quote; `end` is the closing one's place. */
function readQuoted(text: string, from: number): { readonly text: string; readonly end: number } | undefined {
  let read = '';
  let at = from;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote === -1) return undefined;
    const backslash = text.indexOf('\\', at);
    if (backslash === -1 || backslash > quote) return { text: read + text.slice(at, quote), end: quote };
    const escaped = text[backslash + 1] ?? '';
    // As Prometheus reads it: a backslash before any other character stands for itself.
    read += text.slice(at, backslash) + (escapes[escaped] ?? `\\${escaped}`);
    at = backslash + 2;
  }
}

const decode = (bytes: string): string =>
  /[\u0080-\u00ff]/.test(bytes) ? Buffer.from(bytes, 'latin1').toString('utf8') : bytes;

/** A float as Go writes it: `1.79539431668e+09`, `NaN`, `+Inf`. */
export function readValue(text: string): number | undefined {
  if (number.test(text)) return Number(text);
  const [, sign, word = ''] = special.exec(text) ?? [];
  if (sign === undefined) return undefined;
  if (word.toLowerCase() === 'nan') return Number.NaN;
  return sign === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}
