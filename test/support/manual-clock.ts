/** A clock that only a test advances; sleepers resume in order of their time. */
import type { Clock } from '../../src/lib/clock.ts';

export interface ManualClock extends Clock {
  /** Advances the time: each sleeper that is due on the way resumes at its time. */
  advance(ms: number): Promise<void>;
  /** The process is suspended (SIGSTOP, a stalled host): no sleeper resumes before the next `advance`. */
  stall(ms: number): void;
  /** Sets the wall clock. */
  setWall(ms: number): void;
  /** The number of current sleepers. */
  sleepers(): number;
}

interface Sleeper {
  readonly until: number;
  readonly resume: () => void;
}

/** Runs everything that can run without the time advancing. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Advances the clock step by step, with time for requests and responses in between. @throws after 1000 steps */
export async function advanceUntil(clock: ManualClock, what: () => boolean, stepMs: number): Promise<void> {
  for (let step = 0; !what(); step++) {
    if (step > 1000) throw new Error(`not within 1000 steps of ${stepMs} ms: ${what.toString()}`);
    await clock.advance(stepMs);
    for (let turn = 0; turn < 20 && !what(); turn++) await settle();
  }
}

/** Starts at monotonic 1,000,000 ms and 2026-01-01T00:00:00Z, so that no test confuses the two. */
export function createManualClock(): ManualClock {
  let monotonic = 1_000_000;
  let wallAhead = Date.UTC(2026, 0, 1) - monotonic;
  const sleepers = new Set<Sleeper>();

  const next = (end: number): Sleeper | undefined => {
    let first: Sleeper | undefined;
    for (const sleeper of sleepers)
      if (sleeper.until <= end && (first === undefined || sleeper.until < first.until)) first = sleeper;
    return first;
  };

  return {
    now: () => monotonic + wallAhead,
    monotonic: () => monotonic,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted || ms <= 0) return resolve();
        const resume = (): void => {
          sleepers.delete(sleeper);
          signal?.removeEventListener('abort', resume);
          resolve();
        };
        const sleeper: Sleeper = { until: monotonic + ms, resume };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', resume);
      }),
    async advance(ms) {
      await settle();
      const end = monotonic + ms;
      for (let sleeper = next(end); sleeper !== undefined; sleeper = next(end)) {
        monotonic = Math.max(monotonic, sleeper.until);
        sleeper.resume();
        await settle();
      }
      monotonic = end;
      await settle();
    },
    stall(ms) {
      monotonic += ms;
    },
    setWall(ms) {
      wallAhead = ms - monotonic;
    },
    sleepers: () => sleepers.size,
  };
}
