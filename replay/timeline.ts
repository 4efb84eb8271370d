/** A recording placed on the time of an evaluation: zero is its beginning, after hours of ordinary operation. */
import type { InputSeries } from './promtool.ts';
import type { RecordedScrapes } from './recording.ts';
import { isCounter, isTime } from './series.ts';
import { formatValues, type Value, type Values } from './values.ts';

/** Some alerts compare with past values, and have windows of half an hour. */
export const historySeconds = 3600;

/** A part of a timeline, in steps: its first step is the zero of its times. */
export interface TimelinePart {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/**
 * The series of a recording, after an hour of history that is modeled on the time before its incident: gauges have
 * their last values, counters their mean rate, and timestamps that advance keep advancing.
 */
export function timelineOf(recording: RecordedScrapes, part?: TimelinePart): readonly InputSeries[] {
  const { startedAt, stepSeconds, series, began } = recording;
  const steps = historySeconds / stepSeconds;
  const before = Math.max(2, Math.floor(began / stepSeconds));
  return [...series].map(([name, recorded]) => {
    const values = isTime(name)
      ? recorded.map((value) => moved(value, historySeconds - startedAt))
      : recorded;
    const all = [...history(name, values.slice(0, before), steps, stepSeconds), ...values];
    return { series: name, values: formatValues(part === undefined ? all : partOf(name, all, part)) };
  });

  function partOf(name: string, all: Values, { from, to }: TimelinePart): Values {
    const values = all.slice(from, to);
    return isTime(name) ? values.map((value) => moved(value, -from * stepSeconds)) : values;
  }
}

const moved = (value: Value, by: number): Value =>
  typeof value === 'number' ? Math.round((value + by) * 1000) / 1000 : value;

function history(name: string, before: Values, steps: number, stepSeconds: number): Values {
  const present = before.filter((value) => typeof value === 'number');
  const [first] = present;
  const last = present.at(-1);
  if (first === undefined || last === undefined) return Array.from({ length: steps }, () => undefined);
  const grown = last - first;
  if (isTime(name) && grown > 0)
    return Array.from({ length: steps }, (_, i) => first - stepSeconds * (steps - i));
  if (!isCounter(name)) return Array.from({ length: steps }, () => last);
  const rate = Math.max(0, grown) / Math.max(1, present.length - 1);
  return Array.from({ length: steps }, (_, i) => Math.max(0, Math.round(first - rate * (steps - i))));
}
