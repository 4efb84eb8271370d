/** A recording placed on the time of an evaluation: zero is its beginning, after hours of ordinary operation. */
import type { InputSeries } from './promtool.ts';
import type { RecordedScrapes } from './recording.ts';
import { isCounter, isTime } from './series.ts';
import { formatValues, type Value, type Values } from './values.ts';

/** Alerts compare with the past, and have windows of up to an hour. */
export const historySeconds = 3600;

/**
 * The series of a recording, after an hour of history that is modelled on the time before its incident: gauges have
 * their first values, counters their mean rate, and times that advance do so.
 */
export function timelineOf(recording: RecordedScrapes): readonly InputSeries[] {
  const { startedAt, stepSeconds, series, began } = recording;
  const steps = historySeconds / stepSeconds;
  const before = Math.max(2, Math.floor(began / stepSeconds));
  return [...series].map(([name, recorded]) => {
    const values = isTime(name)
      ? recorded.map((value) => moved(value, historySeconds - startedAt))
      : recorded;
    return {
      series: name,
      values: formatValues([...history(name, values.slice(0, before), steps, stepSeconds), ...values]),
    };
  });
}

const moved = (value: Value, by: number): Value =>
  typeof value === 'number' ? Math.round((value + by) * 1000) / 1000 : value;

function history(name: string, before: Values, steps: number, stepSeconds: number): Values {
  const [first] = before;
  const last = before.at(-1);
  if (typeof first !== 'number') return Array.from({ length: steps }, () => undefined);
  const grown = typeof last === 'number' ? last - first : 0;
  const rate =
    isTime(name) && grown > 0
      ? stepSeconds
      : isCounter(name)
        ? Math.max(0, grown) / Math.max(1, before.length - 1)
        : 0;
  return Array.from({ length: steps }, (_, i) => {
    const value = first - rate * (steps - i);
    return isCounter(name) ? Math.max(0, Math.round(value)) : value;
  });
}
