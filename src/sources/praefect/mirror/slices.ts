/** Long passes over the mirror in slices, so that no scrape waits for one. */
import { setImmediate as nextTurn } from 'node:timers/promises';

export interface Slices {
  /** Gives the event loop a turn when this slice has lasted long enough. Call it every thousand rows or so. */
  pause(): Promise<void>;
}

/** `sliceMs`: how long a slice may last. Under half the goal of 20 ms, as a garbage collection may add to it. */
export function createSlices(sliceMs = 4): Slices {
  let since = performance.now();
  return {
    async pause() {
      if (performance.now() - since < sliceMs) return;
      await nextTurn();
      since = performance.now();
    },
  };
}
