/** One piece of work at a time, with turns between keys: a key with many waiters delays the others by one turn each. */
import { onAbort } from '../../lib/abort.ts';

export interface FairQueue {
  /** Waits for a turn of the key. `full`: too many wait already. `aborted`: the signal aborted first. */
  enter(key: string, signal: AbortSignal): Promise<{ readonly leave: () => void } | 'full' | 'aborted'>;
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

  function occupy(): { readonly leave: () => void } {
    isBusy = true;
    let hasLeft = false;
    return {
      leave() {
        if (hasLeft) return;
        hasLeft = true;
        startNext();
      },
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
