/**
 * When to try again after connecting failed: exponential with full jitter, so that many exporters do not knock
 * together at a database that has just come back, and capped, so that it is seen soon.
 */
import type { Clock } from '../../../lib/clock.ts';
import type { Finding } from './finding.ts';

const firstMs = 500;
const mostMs = 10_000;

export interface Backoff {
  /** Why no attempt may be made now; undefined when one may. */
  reason(): Finding | undefined;
  failed(finding: Finding): void;
  /** How long it was away in milliseconds, when it was. */
  succeeded(): number | undefined;
}

/** @param random 0 <= x < 1, as Math.random */
export function createBackoff(clock: Clock, random: () => number): Backoff {
  let failures = 0;
  let since = { now: 0, monotonic: 0 };
  let nextAt = 0;
  let last: Finding | undefined;
  return {
    reason() {
      const waitMs = nextAt - clock.monotonic();
      if (last === undefined || waitMs <= 0) return undefined;
      const time = new Date(since.now).toISOString().replace(/\.\d+Z$/, 'Z');
      const next = `unreachable since ${time}, next attempt in ${(waitMs / 1000).toFixed(1)} s`;
      return { ...last, found: `${last.found} (${next})` };
    },
    failed(finding) {
      if (failures === 0) since = { now: clock.now(), monotonic: clock.monotonic() };
      last = finding;
      nextAt = clock.monotonic() + random() * Math.min(mostMs, firstMs * 2 ** failures);
      failures += 1;
    },
    succeeded() {
      const awayMs = failures === 0 ? undefined : clock.monotonic() - since.monotonic;
      failures = 0;
      last = undefined;
      return awayMs;
    },
  };
}
