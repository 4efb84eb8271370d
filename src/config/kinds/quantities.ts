/** Quantities with a unit: durations in Prometheus' syntax, bytes, and ratios. */
import { type Milliseconds, parseDuration, printDuration } from '../../lib/format.ts';
import { type Kind, Refusal, scalar } from './kind.ts';
import { type Bounds, boundsText, within } from './scalars.ts';

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
