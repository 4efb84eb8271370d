/** Work on thousands of buckets in slices of a few milliseconds, so that scrapes and health checks get their turn. */
import { setImmediate } from 'node:timers/promises';

/** Many times under the 20 ms for which nobody may hold the event loop. */
const sliceMs = 4;

export interface Slices {
  /** Between two pieces of work: true at once, or after others had their turn; false when it is time to give up. */
  next(): boolean | Promise<boolean>;
}

export function createSlices(signal?: AbortSignal): Slices {
  let sliceEnd = performance.now() + sliceMs;
  return {
    next() {
      if (signal?.aborted) return false;
      if (performance.now() < sliceEnd) return true;
      return setImmediate().then(() => {
        sliceEnd = performance.now() + sliceMs;
        return !signal?.aborted;
      });
    },
  };
}
