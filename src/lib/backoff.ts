/** How long to wait before trying again: exponential with full jitter, so that exporters do not retry in step. */

export interface Backoff {
  /** The wait after one more failure, in milliseconds: at least `minMs`, plus the server's Retry-After. */
  next(retryAfterMs?: number): number;
  reset(): void;
}

export interface BackoffOptions {
  readonly minMs?: number;
  /** Upper bound after the first failure; it doubles with each further one. */
  readonly firstMs: number;
  readonly maxMs: number;
  /** From 0 up to 1, as Math.random. */
  readonly random: () => number;
}

export function createBackoff({ minMs = 0, firstMs, maxMs, random }: BackoffOptions): Backoff {
  let failures = 0;
  return {
    next(retryAfterMs = 0) {
      const bound = Math.min(maxMs, firstMs * 2 ** Math.min(failures, 30));
      failures += 1;
      return retryAfterMs + Math.max(minMs, random() * bound);
    },
    reset() {
      failures = 0;
    },
  };
}
