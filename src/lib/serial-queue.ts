/** One piece of work at a time, in the order of arrival. */
import { onAbort } from './abort.ts';

export interface SerialQueue {
  /**
   * Waits for its turn. Returns a function to call when the work is done, or undefined when the signal aborts
   * first: its place in the queue is then given up.
   */
  enter(signal?: AbortSignal): Promise<(() => void) | undefined>;
  /** Runs the work in its turn; the next waits until it has settled. Rejects as the work does. */
  run<T>(work: () => Promise<T>): Promise<T>;
}

const neverAborts = new AbortController().signal;

export function createSerialQueue(): SerialQueue {
  const waiting: (() => void)[] = [];
  let isTaken = false;

  function leaveOnce(): () => void {
    let hasLeft = false;
    return () => {
      if (hasLeft) return;
      hasLeft = true;
      const next = waiting.shift();
      if (next === undefined) isTaken = false;
      else next();
    };
  }

  async function enter(signal: AbortSignal = neverAborts): Promise<(() => void) | undefined> {
    if (signal.aborted) return undefined;
    if (!isTaken) {
      isTaken = true;
      return leaveOnce();
    }
    return new Promise((resolve) => {
      const turn = (): void => {
        unsubscribe();
        resolve(leaveOnce());
      };
      waiting.push(turn);
      const unsubscribe = onAbort(signal, () => {
        waiting.splice(waiting.indexOf(turn), 1);
        resolve(undefined);
      });
    });
  }

  return {
    enter,
    async run(work) {
      const leave = await enter();
      try {
        return await work();
      } finally {
        leave?.();
      }
    },
  };
}
