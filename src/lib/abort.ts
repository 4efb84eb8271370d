/** Waiting with an AbortSignal, without leaving listeners on signals that live for days. */
import type { Clock } from './clock.ts';

/** Calls the listener once, immediately if the signal has aborted already. Returns how to unsubscribe. */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}

/** The promise's result, or undefined when the signal aborts first. Rejects as the promise does. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const { promise: aborted, resolve } = Promise.withResolvers<undefined>();
  const unsubscribe = onAbort(signal, () => resolve(undefined));
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    unsubscribe();
  }
}

/** Resolves when the signal aborts. */
export const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => onAbort(signal, resolve));

export interface Deadline {
  /** Aborts with any of the parents, or when the time is over. */
  readonly signal: AbortSignal;
  /** True when the time is over, false while it runs or when a parent ended it. */
  isTimedOut(): boolean;
  /** Ends the timer and unsubscribes from the parents; call it when the work is done. */
  release(): void;
}

/** @param ms undefined for no limit of its own */
export function createDeadline(
  clock: Clock,
  ms: number | undefined,
  ...parents: readonly AbortSignal[]
): Deadline {
  const ends = new AbortController();
  const released = new AbortController();
  let timedOut = false;
  const end = (): void => ends.abort();
  const unsubscribe = parents.map((parent) => onAbort(parent, end));
  if (ms !== undefined) {
    void clock.sleep(ms, released.signal).then(() => {
      if (released.signal.aborted || ends.signal.aborted) return;
      timedOut = true;
      end();
    });
  }
  return {
    signal: ends.signal,
    isTimedOut: () => timedOut,
    release() {
      for (const each of unsubscribe) each();
      released.abort();
    },
  };
}
