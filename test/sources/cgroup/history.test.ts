import { describe, expect, test } from '@jest/globals';
import { createThrottlingHistory } from '../../../src/sources/cgroup/history.ts';
import type { LevelReading } from '../../../src/sources/cgroup/levels/read.ts';

const reading = (periods?: number, throttled?: number): LevelReading => ({
  usage: undefined,
  peak: undefined,
  limit: undefined,
  stat: {},
  cpu: {
    ...(periods !== undefined && { nr_periods: periods }),
    ...(throttled !== undefined && { nr_throttled: throttled }),
  },
  cores: undefined,
  pressure: { cpu: undefined, memory: undefined, io: undefined },
  events: {},
});

const second = 1000;

describe('the throttling of a CPU limit', () => {
  const throttlingAfter = (
    ...reads: readonly (readonly [at: number, periods?: number, throttled?: number])[]
  ) => {
    const history = createThrottlingHistory(300 * second);
    for (const [at, periods, throttled] of reads)
      history.record(at * second, new Map([['pod', reading(periods, throttled)]]));
    return history.of('pod');
  };

  test('is unknown for the first half minute', () => {
    expect(throttlingAfter([0, 1000, 900])).toBeUndefined();
    expect(throttlingAfter([0, 1000, 900], [15, 1150, 900])).toBeUndefined();
    expect(throttlingAfter([0, 1000, 900], [15, 1150, 900], [30, 1300, 975])).toEqual({
      ratio: 0.25,
      periods: 300,
    });
  });

  test('is that of the window, excluding the time before it', () => {
    expect(throttlingAfter([0, 0, 0], [30, 300, 300], [40, 400, 300])?.ratio).toBe(0.75);
    expect(throttlingAfter([0, 0, 0], [60, 600, 300], [300, 3000, 300])).toEqual({
      ratio: 0.1,
      periods: 3000,
    });
    expect(throttlingAfter([0, 0, 0], [60, 600, 300], [360, 3600, 300])).toEqual({ ratio: 0, periods: 3000 });
  });

  test('is unknown while no task runs, after the cgroup was created again, and while cpu.stat is unreadable', () => {
    expect(throttlingAfter([0, 50, 5], [30, 50, 5])).toBeUndefined();
    expect(throttlingAfter([0, 500, 400], [30, 20, 1])).toBeUndefined();
    expect(throttlingAfter([0, 0, 0], [30, 300, 300], [45])).toBeUndefined();
  });

  test('is unknown after a pause longer than the window', () => {
    expect(throttlingAfter([0, 0, 0], [301, 3000, 3000])).toBeUndefined();
  });
});
