/** The values of a series, one per scrape, and their text in promtool's notation for series. */

/**
 * `undefined`: absent from a successful scrape, or the scrape failed. Prometheus marks the series as stale then.
 * `null`: Prometheus itself did not scrape, so that the series is neither there nor marked.
 */
export type Value = number | undefined | null;
export type Values = readonly Value[];

/** Runs of equal differences as `start+stepxn`, which has n more values after the first; `_` is no sample. */
export function formatValues(values: Values): string {
  const parts: string[] = [];
  for (let i = 0; i < values.length; ) {
    const length = runLength(values, i);
    parts.push(runText(values, i, length));
    i += length;
  }
  return parts.join(' ');
}

/** The number of values from `start` on that are the same kind of gap, or have the same difference. */
function runLength(values: Values, start: number): number {
  const first = values[start];
  if (typeof first !== 'number' || !Number.isFinite(first)) {
    let end = start + 1;
    // A gap that begins with a staleness marker does not continue another one.
    while (end < values.length && Object.is(values[end], first)) end += 1;
    return end - start;
  }
  const second = values[start + 1];
  if (typeof second !== 'number' || !Number.isFinite(second)) return 1;
  const step = second - first;
  let end = start + 2;
  // Sums of fractions are not exact: promtool adds the step up.
  const isExact = (i: number): boolean =>
    values[i] === first + step * (i - start) &&
    (step === 0 || (Number.isInteger(step) && Number.isInteger(first)));
  while (end < values.length && isExact(end)) end += 1;
  return end - start >= 3 || step === 0 ? end - start : 1;
}

function runText(values: Values, start: number, length: number): string {
  const first = values[start];
  const times = (text: string, count: number): string => (count === 1 ? text : `${text}x${count}`);
  if (first === undefined) {
    if (typeof values[start - 1] !== 'number') return times('_', length);
    return length === 1 ? 'stale' : `stale ${times('_', length - 1)}`;
  }
  if (first === null) return times('_', length);
  if (!Number.isFinite(first)) return Array.from({ length }, () => nonFinite(first)).join(' ');
  return linearValues(first, length === 1 ? 0 : (values[start + 1] as number) - first, length);
}

/** This many values with a constant step; none when they are not finite. */
export function linearValues(start: number, step: number, count: number): string {
  if (!Number.isFinite(start)) return `_x${count}`;
  if (count === 1) return decimal(start);
  if (step === 0) return `${decimal(start)}x${count - 1}`;
  return `${decimal(start)}${step < 0 ? '-' : '+'}${decimal(Math.abs(step))}x${count - 1}`;
}

const nonFinite = (value: number): string => (Number.isNaN(value) ? 'NaN' : value > 0 ? 'Inf' : '-Inf');

/** Without an exponent, which the notation does not have. */
function decimal(value: number): string {
  const text = String(value);
  if (!text.includes('e')) return text;
  return Math.abs(value) < 1 ? value.toFixed(12).replace(/\.?0+$/, '') : String(BigInt(value));
}

/** @throws Error for text that `formatValues` does not write */
export function parseValues(text: string): Values {
  const values: Value[] = [];
  for (const part of text.split(' ')) {
    const [, gap, number, sign, step, count] =
      /^(?:(_|stale)|(-?(?:[\d.]+|Inf)|NaN)(?:([+-])([\d.]+))?)(?:x(\d+))?$/.exec(part) ?? [];
    const repeated = count === undefined ? 0 : Number(count);
    if (gap === '_') for (let i = 0; i < (count === undefined ? 1 : repeated); i += 1) values.push(undefined);
    else if (gap === 'stale') values.push(undefined);
    else if (number !== undefined) {
      const first = number.endsWith('Inf') ? (number.startsWith('-') ? -Infinity : Infinity) : Number(number);
      const by = step === undefined ? 0 : Number(step) * (sign === '-' ? -1 : 1);
      for (let i = 0; i <= repeated; i += 1) values.push(by === 0 ? first : first + by * i);
    } else throw new Error(`not a value in promtool's notation: ${part}`);
  }
  return values;
}
