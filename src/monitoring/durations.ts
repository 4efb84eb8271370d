/** Whole seconds, the unit of thresholds, as Prometheus writes them, and in words. */
import { durationPhrase, printDuration } from '../lib/format.ts';
import type { Range } from './promql/index.ts';

/** `120` -> `2m`, `195` -> `3m15s`. */
export const promDuration = (seconds: number): Range => printDuration(seconds * 1000) as Range;

/** `120` -> `2 minutes`, `195` -> `3 minutes 15 seconds`. */
export const durationInWords = (seconds: number): string => durationPhrase(seconds * 1000);

/** `86400` -> `the last day`, `900` -> `the last 15 minutes`. */
export const lastInWords = (seconds: number): string =>
  `the last ${durationInWords(seconds).replace(/^1 (\w+)$/, '$1')}`;
