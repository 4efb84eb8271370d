/** Long work in slices, so that scrapes and health checks are served while it runs. */
import { setImmediate as nextTurn } from 'node:timers/promises';

export interface Yielder {
  /** True when this slice has lasted long enough: then await `yield`. Cheap enough to call for every item. */
  isDue(): boolean;
  /** Gives the event loop a turn and begins the next slice. */
  yield(): Promise<void>;
  /** Both: waits for a turn of the loop if one is due. */
  yieldIfDue(): Promise<void>;
}

/**
 * @param sliceMs how long a slice may last. The default is far under the goal of 20 ms, as a garbage collection
 * may come on top.
 */
export function createYielder(sliceMs = 4): Yielder {
  let sliceEnd = performance.now() + sliceMs;
  const isDue = (): boolean => performance.now() >= sliceEnd;
  async function yieldNow(): Promise<void> {
    await nextTurn();
    sliceEnd = performance.now() + sliceMs;
  }
  return {
    isDue,
    yield: yieldNow,
    async yieldIfDue() {
      if (isDue()) await yieldNow();
    },
  };
}
