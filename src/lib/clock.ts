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
