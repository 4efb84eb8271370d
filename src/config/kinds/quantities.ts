/** Quantities with a unit: durations in Prometheus' syntax, bytes, and ratios. */
import { type Kind, Refusal, scalar } from './kind.ts';
import { type Bounds, boundsText, within } from './scalars.ts';

/** Every duration of the settings is in milliseconds. */
export type Milliseconds = number;

/** Prometheus' units of time in the order in which it accepts them (common/model: ParseDuration). */
const timeUnits = [
  ['y', 365 * 86_400_000],
  ['w', 7 * 86_400_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
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

/** Milliseconds to the shortest text that Prometheus reads: 5400000 to `1h30m`. Years and weeks are days. */
export function printDuration(duration: Milliseconds): string {
  let rest = Math.round(duration);
  let text = '';
  for (const [unit, factor] of timeUnits.slice(2)) {
    const count = Math.floor(rest / factor);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * factor;
  }
  return text === '' ? '0s' : text;
}

export const duration = (bounds: Bounds = {}): Kind<Milliseconds> =>
  scalar({
    name: 'duration',
    placeholder: '<duration>',
    expected: `a duration such as 30s or 1h30m${boundsText(bounds, printDuration)}`,
    parse(found) {
      const value = parseDuration(found.trim());
      if (value !== undefined && within(value, bounds)) return value;
      return /^\d+$/.test(found.trim()) && value === undefined
        ? new Refusal(`write ${found.trim()}s for seconds`)
        : new Refusal();
    },
    print: printDuration,
  });

const byteUnits = new Map([
  ['', 1],
  ['B', 1],
  ...['K', 'M', 'G', 'T', 'P'].flatMap((prefix, index): [string, number][] => [
    [`${prefix}B`, 1000 ** (index + 1)],
    [`${prefix}iB`, 1024 ** (index + 1)],
    // As Kubernetes writes quantities.
    [`${prefix}i`, 1024 ** (index + 1)],
    [prefix, 1000 ** (index + 1)],
  ]),
]);

/** Bytes: `512MiB`, `1.5Gi`, `2GB`. KB is 1000, KiB and Ki are 1024. */
export const bytes = (bounds: Bounds = {}): Kind<number> =>
  scalar({
    name: 'bytes',
    placeholder: '<bytes>',
    expected: `a number of bytes such as 512MiB or 2GB${boundsText(bounds, printBytes)}`,
    parse(found) {
      const [, count, unit = ''] = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(found.trim()) ?? [];
      const factor = byteUnits.get(unit);
      if (count === undefined || factor === undefined) return new Refusal();
      const value = Number(count) * factor;
      return Number.isSafeInteger(value) && within(value, bounds) ? value : new Refusal();
    },
    print: printBytes,
  });

/** 536870912 to `512MiB`: the largest binary unit that leaves a whole number. */
export function printBytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let index = 0;
  let rest = value;
  while (rest >= 1024 && rest % 1024 === 0 && index < units.length - 1) {
    rest /= 1024;
    index += 1;
  }
  return `${rest}${units[index]}`;
}

/** A ratio over 0 and at most 1: `1%` or `0.01`. */
export const unitRatio = (): Kind<number> =>
  scalar({
    name: 'ratio',
    placeholder: '<ratio>',
    expected: 'a ratio over 0 and at most 1, such as 1% or 0.01',
    parse(found) {
      const [, count, percent] = /^(\d+(?:\.\d+)?|\.\d+)\s*(%?)$/.exec(found.trim()) ?? [];
      const value = count === undefined ? Number.NaN : Number(count) / (percent === '%' ? 100 : 1);
      if (value > 0 && value <= 1) return value;
      return percent === '' && value > 1 && value <= 100
        ? new Refusal(`write ${count}% if percent was meant`)
        : new Refusal();
    },
    print: (value) => `${Number((value * 100).toPrecision(12))}%`,
  });
