/**
 * A parser of Prometheus' text format 0.0.4 that takes bytes as they arrive and keeps only wanted samples. A page of
 * Gitaly has tens of thousands of lines of which a few hundred matter here, so an unwanted line costs a search for its
 * end and a comparison with the name before it, and leaves nothing in memory.
 *
 * Exemplars, timestamps and what else OpenMetrics adds are ignored. Of an unwanted line only the beginning is checked,
 * so that a page of HTML does not pass for a page without samples.
 */

interface ParserOptions {
  /** Names of samples as on the page: of a histogram `x_bucket`, `x_sum` and `x_count`. */
  readonly wanted: ReadonlySet<string>;
  /** Of wanted samples. More is a problem `too_large`. */
  readonly maxSamples: number;
  /** `prefixes` of the result holds those that begin some name on the page, wanted or not. */
  readonly prefixes?: readonly string[];
}

/** Why the text is invalid; then none of it is used. The message quotes nothing from the page. */
export interface TextProblem {
  readonly reason: 'parse' | 'too_large';
  readonly message: string;
}

export interface TextSample {
  readonly name: string;
  /** Unescaped, decoded from UTF-8. */
  readonly labels: ReadonlyMap<string, string>;
  /** Any float, NaN and the infinities included. */
  readonly value: number;
}

export interface TextPage {
  /** In the order of the page; no series twice. */
  readonly samples: readonly TextSample[];
  readonly prefixes: ReadonlySet<string>;
  /** The page ended with OpenMetrics' `# EOF`, so it is complete. */
  readonly hasEof: boolean;
}

interface TextParser {
  /** Takes the next bytes, cut anywhere, even within a character. Further calls return the same problem. */
  write(bytes: Uint8Array): TextProblem | undefined;
  /** After the last bytes. */
  end(): TextPage | TextProblem;
}

export const isTextProblem = (result: TextPage | TextProblem): result is TextProblem => 'reason' in result;

/** Gitaly's longest lines have a few hundred bytes. */
export const maxLineBytes = 64 * 1024;

/** Whether a name is wanted is cached for this many names; a page of Gitaly has about three hundred. */
const cachedNames = 2000;

interface LineProblem {
  /** Follows "line 7: ". */
  readonly what: string;
  /** Default `parse`. */
  readonly reason?: TextProblem['reason'];
}

const tooLong: LineProblem = { what: `is longer than ${maxLineBytes} bytes`, reason: 'too_large' };

const hash = 0x23;
const blank = 0x20;
const tab = 0x09;
const brace = 0x7b;

export function createTextParser({ wanted, maxSamples, prefixes = [] }: ParserOptions): TextParser {
  const samples: TextSample[] = [];
  const values = new Map<string, number>();
  const isWantedByName = new Map<string, boolean>();
  const seen = new Set<string>();
  let problem: TextProblem | undefined;
  let carried = '';
  let lines = 0;
  let name = '';
  let isWanted = false;
  let hasEof = false;

  const fail = ({ what, reason = 'parse' }: LineProblem): void => {
    problem ??= Object.freeze({ reason, message: `line ${lines}: ${what}` });
  };

  function checkName(found: string): boolean {
    const known = isWantedByName.get(found);
    if (known !== undefined) return known;
    for (const prefix of prefixes) if (found.startsWith(prefix)) seen.add(prefix);
    const isFoundWanted = wanted.has(found);
    if (isWantedByName.size < cachedNames) isWantedByName.set(found, isFoundWanted);
    return isFoundWanted;
  }

  /** One line of `text`, without its line feed. Each character of `text` stands for one byte. */
  function readLine(text: string, from: number, to: number): void {
    lines += 1;
    const found = to - from > maxLineBytes ? tooLong : lineProblem(text, from, to);
    if (found !== undefined) fail(found);
  }

  function lineProblem(text: string, from: number, to: number): LineProblem | undefined {
    let at = from;
    while (at < to && isBlank(text.charCodeAt(at))) at += 1;
    if (at === to) return undefined;
    if (hasEof) return { what: 'something follows # EOF' };
    const first = text.charCodeAt(at);
    if (first === hash) {
      hasEof = to - at === 5 && text.startsWith('# EOF', at);
      return undefined;
    }
    if (first === brace) return quotedNameProblem(text.slice(at, Math.min(to, at + maxQuotedBytes)));
    if (!continues(text, at, to)) {
      const end = endOfName(text, at, to);
      if (end === at) return { what: 'is not a sample' };
      if (end === to || !endsName(text.charCodeAt(end))) return { what: 'has no value after its name' };
      name = text.slice(at, end);
      isWanted = checkName(name);
    }
    return isWanted ? keep(text.slice(at, to)) : undefined;
  }

  /** None of the wanted names needs quotes, but a writer may quote it all the same. */
  function quotedNameProblem(line: string): LineProblem | undefined {
    const quoted = /^\{[ \t]*"([a-zA-Z0-9_:]+)"/.exec(line)?.[1];
    return quoted !== undefined && checkName(quoted)
      ? { what: `${quoted}: a name in quotes is not supported` }
      : undefined;
  }

  /** Most lines have the name of the line before. */
  const continues = (text: string, at: number, to: number): boolean =>
    name !== '' &&
    at + name.length < to &&
    endsName(text.charCodeAt(at + name.length)) &&
    text.startsWith(name, at);

  function keep(line: string): LineProblem | undefined {
    const sample = readSample(line);
    if (typeof sample === 'string') return { what: sample };
    const key = seriesKey(sample);
    const before = values.get(key);
    if (before !== undefined)
      return Object.is(before, sample.value)
        ? undefined
        : { what: `${sample.name}: duplicate series with a different value` };
    if (samples.length >= maxSamples)
      return { what: `more than ${maxSamples} samples of interest`, reason: 'too_large' };
    values.set(key, sample.value);
    samples.push(sample);
    return undefined;
  }

  return {
    write(bytes) {
      if (problem !== undefined || bytes.length === 0) return problem;
      const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
      let from = 0;
      let end = text.indexOf('\n');
      if (end !== -1 && carried !== '') {
        const line = carried + text.slice(0, end);
        carried = '';
        readLine(line, 0, line.length);
        from = end + 1;
        end = text.indexOf('\n', from);
      }
      while (end !== -1 && problem === undefined) {
        readLine(text, from, end);
        from = end + 1;
        end = text.indexOf('\n', from);
      }
      carried += text.slice(from);
      if (problem === undefined && carried.length > maxLineBytes) {
        lines += 1;
        fail(tooLong);
      }
      return problem;
    },
    end() {
      // OpenMetrics requires a line feed after # EOF; a page without it is still complete.
      if (problem === undefined && carried === '# EOF') readLine(carried, 0, carried.length);
      else if (carried !== '') {
        lines += 1;
        fail({ what: 'is cut off: no line feed ends it' });
      }
      return problem ?? { samples, prefixes: seen, hasEof };
    },
  };
}

const isBlank = (code: number): boolean => code === blank || code === tab;

const endsName = (code: number): boolean => code === brace || code === blank || code === tab;

/** [a-zA-Z_:][a-zA-Z0-9_:]* */
function endOfName(text: string, from: number, to: number): number {
  let at = from;
  while (at < to && isNameCode(text.charCodeAt(at), at > from)) at += 1;
  return at;
}

const isNameCode = (code: number, isDigitAllowed: boolean): boolean =>
  (code >= 0x61 && code <= 0x7a) ||
  code === 0x5f ||
  (code >= 0x41 && code <= 0x5a) ||
  code === 0x3a ||
  (isDigitAllowed && code >= 0x30 && code <= 0x39);

/** The order of labels does not matter. */
function seriesKey({ name, labels }: TextSample): string {
  return JSON.stringify([name, ...[...labels].sort(([a], [b]) => (a < b ? -1 : 1))]);
}

/** Longer than any wanted name. */
const maxQuotedBytes = 300;

const labelName = /[a-zA-Z_][a-zA-Z0-9_]*/y;
const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const special = /^([+-]?)(inf|infinity|nan)$/i;
const escapes: Readonly<Record<string, string>> = { '\\': '\\', '"': '"', n: '\n' };

/**
 * The sample of a line, or what is wrong with it, to follow "line 7: ".
 *
 * @param line begins with the name; each character stands for one byte
 */
function readSample(line: string): TextSample | string {
  // A copy: substrings would keep the whole chunk that the line was cut from in memory.
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
      if (value === undefined) return `${name}: a label's value has no closing quote`;
      if (labels.has(label)) return `${name}: duplicate label`;
      labels.set(label, decode(value.text));
      at = skipBlanks(text, value.end + 1);
      if (text[at] === ',') at += 1;
      else if (text[at] !== '}') return `${name}: its labels have no closing brace`;
    }
    at += 1;
  }
  // A timestamp, an exemplar or both may follow the value; neither is used.
  const [found = '', timestamp] = text
    .slice(at)
    .trim()
    .split(/[ \t]+/, 2);
  const value = readValue(found);
  if (value === undefined) return `${name}: its value is not a number`;
  if (timestamp !== undefined && timestamp !== '#' && readValue(timestamp) === undefined)
    return `${name}: text after its value is neither a timestamp nor an exemplar`;
  return { name, labels, value };
}

function skipBlanks(text: string, from: number): number {
  let at = from;
  while (text[at] === ' ' || text[at] === '\t') at += 1;
  return at;
}

/** `from` is after the opening quote; `end` is the index of the closing one. */
function readQuoted(text: string, from: number): { readonly text: string; readonly end: number } | undefined {
  let read = '';
  let at = from;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote === -1) return undefined;
    const backslash = text.indexOf('\\', at);
    if (backslash === -1 || backslash > quote) return { text: read + text.slice(at, quote), end: quote };
    const escaped = text[backslash + 1] ?? '';
    // As in Prometheus' own parser, a backslash before any other character is literal.
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
