/** How long to wait before asking again: longer each time, at random, so that exporters do not ask in step. */

export interface Backoff {
  /** The wait after one more failure, in milliseconds; at least what the server asked for. */
  next(retryAfterSeconds?: number): number;
  reset(): void;
}

const leastMs = 100;
const firstMs = 1000;
/** Short, because a pod may come and go meanwhile; an API server bears it, and jitter spreads the exporters. */
const mostMs = 10_000;
/** A server that asks for more is asked again all the same. */
const mostRetryAfterMs = 300_000;

/** Full jitter: anything up to a bound that doubles. `random`: from 0 up to 1, as Math.random. */
export function createBackoff(random: () => number): Backoff {
  let failures = 0;
  return {
    next(retryAfterSeconds = 0) {
      const bound = Math.min(mostMs, firstMs * 2 ** Math.min(failures, 10));
      failures += 1;
      const jitter = Math.max(leastMs, random() * bound);
      // Those who were told the same second do not come back in the same one.
      return Math.min(mostRetryAfterMs, retryAfterSeconds * 1000) + jitter;
    },
    reset() {
      failures = 0;
    },
  };
}
