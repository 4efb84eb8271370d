/** One piece of work at a time: in the order of arrival, or with turns between keys. */
import { onAbort } from './abort.ts';

/** Call it when the work is done; the next one starts. */
export type Leave = () => void;

export interface FairQueue {
  /**
   * Waits for a turn of the key. A key with many waiters delays the others by one turn each. `full`: too many wait
   * already. `aborted`: the signal aborted first, and the place in the queue is given up.
   */
  enter(key: string, signal: AbortSignal): Promise<Leave | 'full' | 'aborted'>;
}

interface Waiter {
  readonly start: () => void;
}

/** @param limits how many may wait for one key, and in all */
export function createFairQueue(limits: { readonly maxPerKey: number; readonly max: number }): FairQueue {
  /** In the order of their next turn; a key is removed with its last waiter. */
  const waiting = new Map<string, Set<Waiter>>();
  let count = 0;
  let isBusy = false;

  function remove(key: string, waiter: Waiter): void {
    const own = waiting.get(key);
    if (own?.delete(waiter) !== true) return;
    count -= 1;
    if (own.size === 0) waiting.delete(key);
  }

  function startNext(): void {
    isBusy = false;
    const [next] = waiting;
    if (next === undefined) return;
    const [key, own] = next;
    const [waiter] = own;
    waiting.delete(key);
    // The key goes to the end of the line with its other waiters.
    if (own.size > 1) waiting.set(key, own);
    if (waiter === undefined) return;
    own.delete(waiter);
    count -= 1;
    waiter.start();
  }

  function occupy(): Leave {
    isBusy = true;
    let hasLeft = false;
    return () => {
      if (hasLeft) return;
      hasLeft = true;
      startNext();
    };
  }

  return {
    async enter(key, signal) {
      if (signal.aborted) return 'aborted';
      if (!isBusy) return occupy();
      const own = waiting.get(key) ?? new Set<Waiter>();
      if (own.size >= limits.maxPerKey || count >= limits.max) return 'full';
      return new Promise((resolve) => {
        const waiter: Waiter = {
          start() {
            unsubscribe();
            resolve(occupy());
          },
        };
        waiting.set(key, own.add(waiter));
        count += 1;
        const unsubscribe = onAbort(signal, () => {
          remove(key, waiter);
          resolve('aborted');
        });
      });
    },
  };
}

interface SerialQueue {
  /** Waits for its turn; undefined when the signal aborts first. */
  enter(signal?: AbortSignal): Promise<Leave | undefined>;
  /** Runs the work in its turn; the next waits until it has settled. Rejects as the work does. */
  run<T>(work: () => Promise<T>): Promise<T>;
}

const neverAborts = new AbortController().signal;

/** In the order of arrival, without a bound on who waits. */
export function createSerialQueue(): SerialQueue {
  const queue = createFairQueue({ maxPerKey: Infinity, max: Infinity });
  async function enter(signal: AbortSignal = neverAborts): Promise<Leave | undefined> {
    const entered = await queue.enter('', signal);
    return typeof entered === 'function' ? entered : undefined;
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
