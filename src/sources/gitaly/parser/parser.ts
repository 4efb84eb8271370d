/**
 * A parser of Prometheus' text format 0.0.4 that takes bytes as they arrive and keeps only the samples that are
 * wanted. A page of Gitaly holds tens of thousands of lines of which a few hundred matter here, so a line that is
 * not wanted costs a search for its end and a comparison with the name before it, and leaves nothing in memory.
 *
 * Exemplars, timestamps and what else OpenMetrics adds are read over. The rest of a line that is not wanted is not
 * checked; the beginning is, so that a page of HTML is not taken for an empty answer.
 */
import { readSample, type TextSample } from './sample-line.ts';

export interface ParserOptions {
  /** Names of samples, as they stand on the page: of a histogram `x_bucket`, `x_sum` and `x_count`. */
  readonly wanted: ReadonlySet<string>;
  /** Most wanted samples that are kept. */
  readonly maxSamples: number;
  /** `prefixes` of the page says which of these begin some name on it, wanted or not. */
  readonly prefixes?: readonly string[];
}

/** What is wrong with the text. Final: whatever came before it is not to be used either. No quotes from the page. */
export interface TextProblem {
  readonly reason: 'parse' | 'too_large';
  readonly message: string;
}

export interface TextPage {
  /** In the order of the page; no series twice. */
  readonly samples: readonly TextSample[];
  readonly prefixes: ReadonlySet<string>;
  /** The page ended with OpenMetrics' `# EOF`: nothing can have been cut off. */
  readonly ended: boolean;
}

export interface TextParser {
  /** Takes the next bytes, cut anywhere, also within a character. A problem is told again by each further call. */
  write(bytes: Uint8Array): TextProblem | undefined;
  /** After the last bytes. */
  end(): TextPage | TextProblem;
}

export const isTextProblem = (result: TextPage | TextProblem): result is TextProblem => 'reason' in result;

/** Gitaly's longest lines have a few hundred bytes. */
export const maxLineBytes = 64 * 1024;

/** A verdict is remembered for this many names; a page of Gitaly has about three hundred. */
const rememberedNames = 2000;

/** What is wrong with a line, to follow "line 7: ". */
interface Wrong {
  readonly what: string;
  /** Default `parse`. */
  readonly reason?: TextProblem['reason'];
}

const tooLong: Wrong = { what: `is longer than ${maxLineBytes} bytes`, reason: 'too_large' };

const hash = 0x23;
const blank = 0x20;
const tab = 0x09;
const brace = 0x7b;

export function createTextParser({ wanted, maxSamples, prefixes = [] }: ParserOptions): TextParser {
  const samples: TextSample[] = [];
  const values = new Map<string, number>();
  const verdicts = new Map<string, boolean>();
  const seen = new Set<string>();
  let problem: TextProblem | undefined;
  let carried = '';
  let lines = 0;
  let name = '';
  let isWanted = false;
  let ended = false;

  const fail = ({ what, reason = 'parse' }: Wrong): void => {
    problem ??= Object.freeze({ reason, message: `line ${lines}: ${what}` });
  };

  function judge(found: string): boolean {
    const known = verdicts.get(found);
    if (known !== undefined) return known;
    for (const prefix of prefixes) if (found.startsWith(prefix)) seen.add(prefix);
    const verdict = wanted.has(found);
    if (verdicts.size < rememberedNames) verdicts.set(found, verdict);
    return verdict;
  }

  /** One line of `text`, without its line feed. Each character of `text` stands for one byte. */
  function readLine(text: string, from: number, to: number): void {
    lines += 1;
    const wrong = to - from > maxLineBytes ? tooLong : readLineOf(text, from, to);
    if (wrong !== undefined) fail(wrong);
  }

  /** Returns what is wrong. */
  function readLineOf(text: string, from: number, to: number): Wrong | undefined {
    let at = from;
    while (at < to && isBlank(text.charCodeAt(at))) at += 1;
    if (at === to) return undefined;
    if (ended) return { what: 'something follows # EOF' };
    const first = text.charCodeAt(at);
    if (first === hash) {
      ended = to - at === 5 && text.startsWith('# EOF', at);
      return undefined;
    }
    // Names in quotes: none of those that are wanted here needs them.
    if (first === brace) return undefined;
    if (!continues(text, at, to)) {
      const end = endOfName(text, at, to);
      if (end === at) return { what: 'does not begin as a sample does' };
      if (end === to || !endsName(text.charCodeAt(end))) return { what: 'has no value after its name' };
      name = text.slice(at, end);
      isWanted = judge(name);
    }
    return isWanted ? keep(text.slice(at, to)) : undefined;
  }

  /** Most lines have the name of the line before. */
  const continues = (text: string, at: number, to: number): boolean =>
    name !== '' &&
    at + name.length < to &&
    endsName(text.charCodeAt(at + name.length)) &&
    text.startsWith(name, at);

  function keep(line: string): Wrong | undefined {
    const sample = readSample(line);
    if (typeof sample === 'string') return { what: sample };
    const key = seriesKey(sample);
    const before = values.get(key);
    if (before !== undefined)
      return Object.is(before, sample.value)
        ? undefined
        : { what: `${sample.name}: the same series again, with another value` };
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
      // OpenMetrics ends with a line feed after # EOF; a page without it may still be a whole one.
      if (problem === undefined && carried === '# EOF') readLine(carried, 0, carried.length);
      else if (carried !== '') {
        lines += 1;
        fail({ what: 'is cut off: no line feed ends it' });
      }
      return problem ?? { samples, prefixes: seen, ended };
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

const isNameCode = (code: number, digitsToo: boolean): boolean =>
  (code >= 0x61 && code <= 0x7a) ||
  code === 0x5f ||
  (code >= 0x41 && code <= 0x5a) ||
  code === 0x3a ||
  (digitsToo && code >= 0x30 && code <= 0x39);

/** Labels in another order make the same series. */
function seriesKey({ name, labels }: TextSample): string {
  return JSON.stringify([name, ...[...labels].sort(([a], [b]) => (a < b ? -1 : 1))]);
}
