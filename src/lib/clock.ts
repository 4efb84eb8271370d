/** Time as an argument: production passes the system clock, tests pass one that they move. */
export interface Clock {
  /** Wall clock, milliseconds since 1970: for timestamps that people and Prometheus read. */
  now(): number;
  /** Monotonic milliseconds: for durations, ages and deadlines, as it never jumps. */
  monotonic(): number;
  /** Resolves after `ms`, or immediately when the signal aborts (it never rejects). */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      // setTimeout overflows above 2^31-1 ms and would fire immediately.
      const timer = setTimeout(done, Math.min(Math.max(0, ms), 2 ** 31 - 1));
      signal?.addEventListener('abort', done, { once: true });
    }),
};

/**
 * Whole seconds since 1970 as the exporter's clock had them at its first use, and as the time that has passed since:
 * a clock that is set makes nothing stuck or fresh. `wallOf` gives such a time by the clock of now.
 */
export function steadySeconds(clock: Clock): { now(): number; wallOf(steady: number): number } {
  const base = { wall: clock.now() / 1000, monotonic: clock.monotonic() / 1000 };
  const exact = (): number => base.wall + clock.monotonic() / 1000 - base.monotonic;
  let step = 0;
  return {
    now: () => Math.floor(exact()),
    wallOf(steady) {
      // Whole seconds, and only when the clock was set: an unchanged time stays the same number at every read.
      const found = clock.now() / 1000 - exact();
      if (Math.abs(found - step) >= 1) step = Math.round(found);
      return steady + step;
    },
  };
}
