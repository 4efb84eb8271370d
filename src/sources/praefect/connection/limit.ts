/** An AbortSignal that ends with any of its parents or after a time, and leaves nothing behind on them. */
import type { Clock } from '../../../lib/clock.ts';

export interface Limit {
  readonly signal: AbortSignal;
  /** True when the time was up, false while it runs or when a parent ended it. */
  timedOut(): boolean;
  /** Ends the timer; call it when the work is done. */
  release(): void;
}

/** @param ms undefined for no limit of its own */
export function limit(clock: Clock, ms: number | undefined, ...parents: readonly AbortSignal[]): Limit {
  const ends = new AbortController();
  const released = new AbortController();
  let timedOut = false;
  const end = (): void => ends.abort();
  for (const parent of parents) {
    if (parent.aborted) end();
    else parent.addEventListener('abort', end, { once: true });
  }
  if (ms !== undefined) {
    void clock.sleep(ms, released.signal).then(() => {
      if (released.signal.aborted || ends.signal.aborted) return;
      timedOut = true;
      end();
    });
  }
  return {
    signal: ends.signal,
    timedOut: () => timedOut,
    release() {
      for (const parent of parents) parent.removeEventListener('abort', end);
      released.abort();
    },
  };
}
