/**
 * Parses the formats in which cgroup v2 writes numbers, from bytes without creating strings: a node with 10,000 buckets
 * has tens of thousands of such files per scrape. The formats are the kernel's
 * (Documentation/admin-guide/cgroup-v2.rst, "Interface Files"). What differs from them in a single byte is malformed,
 * because a truncated file must not be read as a smaller number.
 */

/** Returned for what is not a number. No number of a cgroup is negative. */
export const malformed = -1;

const newline = 0x0a;
const blank = 0x20;
const zero = 0x30;

/** Numbers of up to this many digits are exact as doubles. */
const exactDigits = 15;
/** Digits of 2^63-1. */
const mostDigits = 19;
const tooLarge = 2n ** 63n;

/** The decimal number in `bytes[start, end)`: 0 to 2^63-1, without sign, blanks or leading zeros. */
function wholeNumber(bytes: Buffer, start: number, end: number): number {
  const digits = end - start;
  if (digits < 1 || digits > mostDigits) return malformed;
  if (digits > 1 && bytes[start] === zero) return malformed;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] ?? 0) - zero;
    if (digit < 0 || digit > 9) return malformed;
    value = value * 10 + digit;
  }
  return digits <= exactDigits ? value : largeNumber(bytes.toString('latin1', start, end));
}

const largeNumber = (digits: string): number => (BigInt(digits) < tooLarge ? Number(digits) : malformed);

/** A file with one number: `<number>\n`. */
export const singleNumber = (bytes: Buffer, length: number): number =>
  bytes[length - 1] === newline ? wholeNumber(bytes, 0, length - 1) : malformed;

/** A file with one number, or `max\n` for Infinity. */
export const singleLimit = (bytes: Buffer, length: number): number =>
  isUnlimited(bytes, 0, length - 1) && bytes[length - 1] === newline
    ? Number.POSITIVE_INFINITY
    : singleNumber(bytes, length);

/** cpu.max, `<quota or max> <period>\n`, both in microseconds: quota / period, or Infinity. */
export function coresOf(bytes: Buffer, length: number): number {
  const gap = bytes.subarray(0, length).indexOf(blank);
  if (gap < 0 || bytes[length - 1] !== newline) return malformed;
  const period = wholeNumber(bytes, gap + 1, length - 1);
  if (period <= 0) return malformed;
  if (isUnlimited(bytes, 0, gap)) return Number.POSITIVE_INFINITY;
  const quota = wholeNumber(bytes, 0, gap);
  return quota === malformed ? malformed : quota / period;
}

const isUnlimited = (bytes: Buffer, start: number, end: number): boolean =>
  end - start === 3 && bytes[start] === 0x6d && bytes[start + 1] === 0x61 && bytes[start + 2] === 0x78;

/** Values by key, and how many of the wanted lines were malformed. */
export interface Lines<Key extends string> {
  readonly values: Partial<Record<Key, number>>;
  readonly malformed: number;
}

/**
 * Lines of `<key> <number>\n`. A wanted line that is malformed, repeated or truncated omits its key; undefined when the
 * file has no such line at all. `patterns`: the keys' bytes, in the same order.
 */
export function keyedNumbers<Key extends string>(
  bytes: Buffer,
  length: number,
  keys: readonly Key[],
  patterns: readonly Buffer[],
): Lines<Key> | undefined {
  const values: Partial<Record<Key, number>> = {};
  let lost: Set<Key> | undefined;
  let found = false;
  let wrong = 0;
  let start = 0;
  while (start < length) {
    let gap = start;
    let byte = bytes[gap];
    while (gap < length && byte !== blank && byte !== newline) byte = bytes[++gap];
    let end = gap;
    while (end < length && byte !== newline) byte = bytes[++end];
    const index = indexOf(patterns, bytes, start, gap);
    // keys[-1] would be looked up as a property named "-1", which takes longer than the line.
    const key = index < 0 ? undefined : keys[index];
    if (key !== undefined) {
      found = true;
      const value = end < length ? wholeNumber(bytes, gap + 1, end) : malformed;
      if (value !== malformed && values[key] === undefined && !lost?.has(key)) values[key] = value;
      else {
        delete values[key];
        lost ??= new Set();
        lost.add(key);
        wrong++;
      }
    } else if (end >= length) wrong++;
    start = end + 1;
  }
  return found || hasSomeNumber(bytes, length) ? { values, malformed: wrong } : undefined;
}

function indexOf(patterns: readonly Buffer[], bytes: Buffer, start: number, end: number): number {
  for (let index = 0; index < patterns.length; index++) {
    const pattern = patterns[index];
    if (pattern === undefined || pattern.length !== end - start) continue;
    let at = 0;
    while (at < pattern.length && pattern[at] === bytes[start + at]) at++;
    if (at === pattern.length) return index;
  }
  return -1;
}

/** Checked only when no key was found: whether this is a file of keys and numbers at all. */
const hasSomeNumber = (bytes: Buffer, length: number): boolean =>
  /^\S+ \d+\n/m.test(bytes.toString('latin1', 0, length));

const pressureLine = /^(some|full) avg10=\S+ avg60=\S+ avg300=\S+ total=(0|[1-9]\d{0,18})$/;

/**
 * *.pressure (Documentation/accounting/psi.rst): `some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n`, and `full` where
 * the kernel has it. Returns the totals in microseconds; undefined when there is none.
 */
export function pressureTotals(bytes: Buffer, length: number): Lines<'some' | 'full'> | undefined {
  const values: Partial<Record<'some' | 'full', number>> = {};
  let wrong = 0;
  const lines = bytes.toString('latin1', 0, length).split('\n');
  if (lines.pop() !== '') wrong++;
  for (const line of lines) {
    const [, kind, digits = ''] = pressureLine.exec(line) ?? [];
    const value = digits === '' ? malformed : largeNumber(digits);
    if ((kind !== 'some' && kind !== 'full') || value === malformed) wrong++;
    else if (values[kind] !== undefined) return undefined;
    else values[kind] = value;
  }
  return values.some === undefined && values.full === undefined ? undefined : { values, malformed: wrong };
}

/** Progress of counting the lines of cgroup.procs, one chunk at a time. */
interface LineCount {
  /** Complete lines so far. */
  readonly lines: number;
  /** The chunk ended within a line. */
  readonly isOpen: boolean;
}

/** Counts lines of `<number>\n`; undefined when one is not a number. `before`: the count of the previous chunks. */
export function countNumbers(bytes: Buffer, length: number, before: LineCount): LineCount | undefined {
  let { lines, isOpen } = before;
  for (let at = 0; at < length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === newline) {
      if (!isOpen) return undefined;
      lines++;
      isOpen = false;
    } else if (byte < zero || byte > zero + 9) return undefined;
    else isOpen = true;
  }
  return { lines, isOpen };
}
