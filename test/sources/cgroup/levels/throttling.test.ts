import { describe, expect, test } from '@jest/globals';
import type { LevelReading } from '../../../../src/sources/cgroup/levels/read.ts';
import { createThrottleWatch } from '../../../../src/sources/cgroup/levels/throttling.ts';

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

describe('the share of throttled periods', () => {
  const look = (...looks: readonly (readonly [at: number, periods?: number, throttled?: number])[]) => {
    const watch = createThrottleWatch();
    for (const [at, periods, throttled] of looks)
      watch.look(at * second, new Map([['pod', reading(periods, throttled)]]));
    return watch.ratio('pod');
  };

  test('is not known before half a minute, and then of that time alone', () => {
    expect(look([0, 1000, 900])).toBeUndefined();
    expect(look([0, 1000, 900], [15, 1150, 900])).toBeUndefined();
    expect(look([0, 1000, 900], [15, 1150, 900], [30, 1300, 975])).toBe(0.25);
  });

  test('stays until the next is known, and follows it', () => {
    expect(look([0, 0, 0], [30, 300, 300], [40, 400, 300])).toBe(1);
    expect(look([0, 0, 0], [30, 300, 300], [60, 600, 300])).toBe(0);
  });

  test('is not known while nothing runs, after a re-creation, and where it cannot be read', () => {
    expect(look([0, 50, 5], [30, 50, 5])).toBeUndefined();
    expect(look([0, 500, 400], [30, 20, 1])).toBeUndefined();
    expect(look([0, 0, 0], [30, 300, 300], [45])).toBeUndefined();
  });
});
