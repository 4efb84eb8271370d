/** Whole seconds as Prometheus writes them, and in words. */
import type { Range } from './promql/index.ts';

const units = [
  ['d', 86_400, 'day'],
  ['h', 3600, 'hour'],
  ['m', 60, 'minute'],
  ['s', 1, 'second'],
] as const;

/** `120` -> `2m`, `195` -> `3m15s`. */
export const promDuration = (seconds: number): Range =>
  seconds === 0
    ? '0s'
    : (partsOf(seconds)
        .map(({ count, symbol }) => `${count}${symbol}`)
        .join('') as Range);

/** `120` -> `2 minutes`, `195` -> `3 minutes 15 seconds`. */
export const durationInWords = (seconds: number): string =>
  seconds === 0
    ? '0 seconds'
    : partsOf(seconds)
        .map(({ count, word }) => `${count} ${word}${count === 1 ? '' : 's'}`)
        .join(' ');

function partsOf(seconds: number) {
  let rest = seconds;
  return units.flatMap(([symbol, size, word]) => {
    const count = Math.floor(rest / size);
    rest -= count * size;
    return count === 0 ? [] : [{ count, symbol, word }];
  });
}
