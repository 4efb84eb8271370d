/**
 * Ages of timestamps in rules. Each has two bounds: a clock that is ahead makes them negative, and without a lower bound
 * an event of the future stays recent, and a heartbeat fresh, until that clock is reached. GitalyExporterClockSkew
 * reports the clock.
 */
import type { Thresholds } from '../rules/thresholds.ts';
import { above, below, isAtMost, subtract, time, type Vector } from './promql/index.ts';

/** Time since a timestamp, in seconds; negative where the clock that set it is ahead of Prometheus'. */
export const secondsSinceTimestamp = <Labels extends string>(timestamp: Vector<Labels>): Vector<Labels> =>
  subtract(time(), timestamp);

/** Events within the last `seconds`, with their age. One in the future, by more than clocks differ, is none. */
export const happenedWithin = <Labels extends string>(
  { clockTolerance }: Thresholds,
  timestamp: Vector<Labels>,
  seconds: number,
): Vector<Labels> => above(below(secondsSinceTimestamp(timestamp), seconds), -clockTolerance.value);

/**
 * 1 where the timestamp is at most `seconds` old, else 0. No series where it is in the future by more than clocks
 * differ: its age is not known, which is neither fresh nor stale.
 */
export const isFresh = <Labels extends string>(
  { clockTolerance }: Thresholds,
  timestamp: Vector<Labels>,
  seconds: number,
): Vector<Labels> => isAtMost(above(secondsSinceTimestamp(timestamp), -clockTolerance.value), seconds);
