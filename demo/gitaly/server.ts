/** One simulated Gitaly: calls come in by chance, its limits let them run, wait, or turn them away. */
import type { Random } from '../random.ts';
import { createLimiter, type Limiter } from './limiter.ts';
import { type DemoLimit, demoLimits, demoPackObjects, type Traffic } from './limits.ts';

export interface LimitedCalls {
  readonly limit: DemoLimit;
  readonly limiter: Limiter;
}

export interface SimulatedGitaly {
  readonly storage: string;
  /** Clock.now() of its start. */
  readonly startedAt: number;
  readonly rpcs: readonly LimitedCalls[];
  readonly packObjects: Limiter;
  /** Lives on to this moment. */
  advance(now: number): void;
}

/** Calls that come on top of a limit's own traffic: to one repository, or by one address. */
export interface Flood extends Omit<Traffic, 'keys'> {
  readonly method: string;
}

/** Adaptive limits are set anew this often: AdaptiveCalculator's default. */
const calibrationMs = 30_000;

/** Fine enough for queues that wait for seconds. */
const stepMs = 100;

/** Nobody asked for so long: what would have come in meanwhile is left out. */
const longestGapMs = 300_000;

/** @param flood what an incident has come in at this moment */
export function createSimulatedGitaly(
  storage: string,
  startedAt: number,
  random: Random,
  flood: () => Flood | undefined,
): SimulatedGitaly {
  const rpcs = demoLimits.map((limit: DemoLimit) => ({ limit, limiter: createLimiter(limit) }));
  const packObjects = createLimiter(demoPackObjects);
  let livedTo = startedAt;
  let calibratedAt = startedAt;

  /** With a mean of `seconds`, as waiting times are spread. */
  const durationMs = (seconds: number): number => -Math.log(1 - random.next()) * seconds * 1000;

  function comeIn(
    limiter: Limiter,
    { perSecond, seconds, keys }: Traffic,
    key: string | undefined,
    now: number,
  ): void {
    // A whole number whose mean is what a step brings.
    const expected = (perSecond * stepMs) / 1000;
    const count = Math.floor(expected) + (random.next() < expected % 1 ? 1 : 0);
    for (let i = 0; i < count; i++)
      limiter.arrive(key ?? `key-${random.below(keys)}`, durationMs(seconds), now);
  }

  function step(now: number): void {
    if (now - calibratedAt >= calibrationMs) {
      calibratedAt += calibrationMs;
      // Without a shortage they creep up by themselves.
      for (const { limit, limiter } of rpcs)
        if (limit.adaptive !== undefined)
          limiter.setLimit(Math.min(limit.adaptive.max, limiter.state.limit + 1));
    }
    const flooded = flood();
    for (const { limit, limiter } of rpcs) {
      limiter.advance(now);
      comeIn(limiter, limit.traffic, undefined, now);
      if (flooded?.method === limit.method) comeIn(limiter, { ...flooded, keys: 1 }, 'flooded', now);
    }
    packObjects.advance(now);
    comeIn(packObjects, demoPackObjects.traffic, undefined, now);
  }

  return {
    storage,
    startedAt,
    rpcs,
    packObjects,
    advance(now) {
      livedTo = Math.max(livedTo, now - longestGapMs);
      while (livedTo + stepMs <= now) {
        livedTo += stepMs;
        step(livedTo);
      }
    },
  };
}
