/** Amounts as people read them on the page, in logs and in reports, and durations as Prometheus writes them. */

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `100 MiB`, `1.5 GiB`, `12 KiB`: a decimal only below ten. */
export function bytesText(bytes: number): string {
  const step = Math.min(byteUnits.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  const value = bytes / 1024 ** step;
  const shown = value < 10 ? Math.round(value * 10) / 10 : Math.round(value);
  return `${shown} ${byteUnits[step]}`;
}

/** Two units at most: `420 ms`, `14 s`, `12 min 5 s`, `3 h 5 min`, `2 d 4 h`. Negative counts as zero. */
export function durationText(ms: number): string {
  if (!Number.isFinite(ms)) return 'unknown';
  if (ms < 1) return '0 s';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${Math.floor(ms / 100) / 10} s`;
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${s} s`;
  if (s < 3600) return twoUnits(Math.floor(s / 60), 'min', s % 60, 's');
  if (s < 86_400) return twoUnits(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'min');
  return twoUnits(Math.floor(s / 86_400), 'd', Math.floor((s % 86_400) / 3600), 'h');
}

const twoUnits = (large: number, largeUnit: string, small: number, smallUnit: string): string =>
  small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;

/** Every duration of the settings is in milliseconds. */
export type Milliseconds = number;

/** Prometheus' units of time in the order in which it accepts them (common/model: ParseDuration). */
const timeUnits = [
  ['y', 365 * 86_400_000, 'year'],
  ['w', 7 * 86_400_000, 'week'],
  ['d', 86_400_000, 'day'],
  ['h', 3_600_000, 'hour'],
  ['m', 60_000, 'minute'],
  ['s', 1000, 'second'],
  ['ms', 1, 'millisecond'],
] as const;

const durationPattern = new RegExp(`^${timeUnits.map(([unit]) => `(?:(\\d+)${unit})?`).join('')}$`);

/** `1h30m` to milliseconds; undefined when it is not a duration. A bare `0` is the only number without a unit. */
export function parseDuration(text: string): Milliseconds | undefined {
  if (text === '0') return 0;
  const match = text === '' ? null : durationPattern.exec(text);
  if (match === null) return undefined;
  const total = timeUnits.reduce((sum, [, factor], index) => sum + Number(match[index + 1] ?? 0) * factor, 0);
  return Number.isSafeInteger(total) ? total : undefined;
}

/** Days are the largest unit: years and weeks are rarely a whole number of them. */
function unitsOf(duration: Milliseconds) {
  let rest = Math.round(duration);
  return timeUnits.slice(2).flatMap(([symbol, factor, word]) => {
    const count = Math.floor(rest / factor);
    rest -= count * factor;
    return count === 0 ? [] : [{ count, symbol, word }];
  });
}

/** Milliseconds to the shortest text that Prometheus reads: 5400000 to `1h30m`. */
export const printDuration = (duration: Milliseconds): string =>
  unitsOf(duration)
    .map(({ count, symbol }) => `${count}${symbol}`)
    .join('') || '0s';

/** 195000 to `3 minutes 15 seconds`. */
export const durationPhrase = (duration: Milliseconds): string =>
  unitsOf(duration)
    .map(({ count, word }) => counted(count, word, `${word}s`))
    .join(' ') || '0 seconds';

/** `2026-03-01 03:12:05 UTC`; without the date when it is the day of `now`. */
export function timeText(ms: number, now?: number): string {
  if (!Number.isFinite(ms) || Math.abs(ms) > 8.64e15) return 'unknown';
  const [date = '', clock = ''] = new Date(ms).toISOString().split('T');
  const isToday = now !== undefined && new Date(now).toISOString().startsWith(date);
  return `${isToday ? '' : `${date} `}${clock.slice(0, 8)} UTC`;
}

/** 0.153 is `15.3%`. */
export const percentText = (ratio: number): string => `${Number((ratio * 100).toFixed(1))}%`;

/** `1 pod`, `1,204 pods`. */
export const counted = (count: number, one: string, several: string): string =>
  `${count.toLocaleString('en')} ${count === 1 ? one : several}`;

/** `a, b, c and 4 more`: at most five names, so that a large cluster stays readable. */
export function listText(names: readonly string[], most = 5, separator = ', '): string {
  const more = names.length - most;
  return `${names.slice(0, most).join(separator)}${more > 0 ? ` and ${more} more` : ''}`;
}

/** A text in a cell of a table in Markdown. */
export const tableCell = (text: string): string => text.replaceAll('|', '\\|');

/** Lines of at most `width` characters; a longer word has a line of its own. */
export function wrap(text: string, width: number, firstIndent = 0, indent = 0): readonly string[] {
  const result: string[] = [];
  let line = ' '.repeat(firstIndent);
  let empty = true;
  for (const word of text.split(/(?<=\S) /)) {
    if (!empty && line.length + 1 + word.length > width) {
      result.push(line);
      line = ' '.repeat(indent);
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...result, line];
}
