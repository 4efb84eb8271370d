/** One simulated Gitaly: calls arrive at random; its limits run, queue or drop them. */
import type { Random } from '../world.ts';
import {
  type CallRate,
  createLimiter,
  type DemoLimit,
  demoLimits,
  demoPackObjects,
  type Limiter,
} from './limits.ts';

interface LimitedRpc {
  readonly limit: DemoLimit;
  readonly limiter: Limiter;
}

export interface SimulatedGitaly {
  readonly storage: string;
  /** Clock.now() of its start. */
  readonly startedAt: number;
  readonly rpcs: readonly LimitedRpc[];
  readonly packObjects: Limiter;
  /** Simulates the time up to `now`. */
  advance(now: number): void;
}

/** Additional calls to one repository, or from one address. */
export interface Flood extends Omit<CallRate, 'keys'> {
  readonly method: string;
}

/** Interval at which adaptive limits change: the default of Gitaly's AdaptiveCalculator. */
const calibrationMs = 30_000;

/** Fine enough for waiting times of seconds. */
const stepMs = 100;

/** After a longer time without a scrape, earlier calls are skipped. */
const longestGapMs = 300_000;

/** @param flood the incident's additional calls, if any */
export function createSimulatedGitaly(
  storage: string,
  startedAt: number,
  random: Random,
  flood: () => Flood | undefined,
): SimulatedGitaly {
  const rpcs = demoLimits.map((limit: DemoLimit) => ({ limit, limiter: createLimiter(limit) }));
  const packObjects = createLimiter(demoPackObjects);
  let simulatedTo = startedAt;
  let calibratedAt = startedAt;

  /** Exponentially distributed with a mean of `seconds`. */
  const durationMs = (seconds: number): number => -Math.log(1 - random.next()) * seconds * 1000;

  function arrivals(
    limiter: Limiter,
    { perSecond, seconds, keys }: CallRate,
    key: string | undefined,
    now: number,
  ): void {
    // A whole number whose mean is the expected value.
    const expected = (perSecond * stepMs) / 1000;
    const count = Math.floor(expected) + (random.next() < expected % 1 ? 1 : 0);
    for (let i = 0; i < count; i++)
      limiter.arrive(key ?? `key-${random.below(keys)}`, durationMs(seconds), now);
  }

  function step(now: number): void {
    if (now - calibratedAt >= calibrationMs) {
      calibratedAt += calibrationMs;
      // Without resource pressure, Gitaly raises them by one each time.
      for (const { limit, limiter } of rpcs)
        if (limit.adaptive !== undefined)
          limiter.setLimit(Math.min(limit.adaptive.max, limiter.state.limit + 1));
    }
    const flooded = flood();
    for (const { limit, limiter } of rpcs) {
      limiter.advance(now);
      arrivals(limiter, limit.traffic, undefined, now);
      if (flooded?.method === limit.method) arrivals(limiter, { ...flooded, keys: 1 }, 'flooded', now);
    }
    packObjects.advance(now);
    arrivals(packObjects, demoPackObjects.traffic, undefined, now);
  }

  return {
    storage,
    startedAt,
    rpcs,
    packObjects,
    advance(now) {
      simulatedTo = Math.max(simulatedTo, now - longestGapMs);
      while (simulatedTo + stepMs <= now) {
        simulatedTo += stepMs;
        step(simulatedTo);
      }
    },
  };
}
