/** How much of the time a CPU limit holds something back: from counters, over the last minute or so. */
import type { LevelReading } from './read.ts';

export interface ThrottleWatch {
  /** `at`: monotonic milliseconds. Call it at each reading; those of paths that are not named are forgotten. */
  look(at: number, readings: ReadonlyMap<string, LevelReading>): void;
  /**
   * Throttled periods by all periods in which something ran, 0 to 1. Undefined for the first half minute, while
   * nothing ran, and where it is not known.
   */
  ratio(path: string): number | undefined;
}

/** Short enough to be now, long enough for some hundred periods of 100 ms. */
const spanMs = 30_000;

interface Counted {
  readonly at: number;
  readonly periods: number;
  readonly throttled: number;
}

export function createThrottleWatch(): ThrottleWatch {
  let known = new Map<string, { readonly base: Counted; readonly ratio: number | undefined }>();
  return {
    look(at, readings) {
      const before = known;
      known = new Map();
      for (const [path, { cpu }] of readings) {
        if (cpu.nr_periods === undefined || cpu.nr_throttled === undefined) continue;
        const now: Counted = { at, periods: cpu.nr_periods, throttled: cpu.nr_throttled };
        const earlier = before.get(path);
        if (earlier === undefined || now.periods < earlier.base.periods)
          known.set(path, { base: now, ratio: undefined });
        else if (at - earlier.base.at < spanMs) known.set(path, earlier);
        else known.set(path, { base: now, ratio: ratioOf(earlier.base, now) });
      }
    },
    ratio: (path) => known.get(path)?.ratio,
  };
}

function ratioOf(from: Counted, to: Counted): number | undefined {
  const periods = to.periods - from.periods;
  const throttled = to.throttled - from.throttled;
  return periods > 0 && throttled >= 0 ? Math.min(1, throttled / periods) : undefined;
}
