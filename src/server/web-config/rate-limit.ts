/** exporter-toolkit's `rate_limit`: a token bucket for all requests together. */
import type { Clock } from '../../lib/clock.ts';
import type { WebConfig } from './parse.ts';

/** Takes a token; false when there is none. Starts full again whenever the setting changes. */
export function createRateLimit(clock: Clock): (limit: WebConfig['rateLimit']) => boolean {
  let inForce: WebConfig['rateLimit'];
  let tokens = 0;
  let at = 0;
  return (limit) => {
    if (limit === undefined) return true;
    const now = clock.monotonic();
    if (inForce?.intervalMs !== limit.intervalMs || inForce.burst !== limit.burst) {
      tokens = limit.burst;
    } else {
      tokens = Math.min(limit.burst, tokens + (now - at) / limit.intervalMs);
    }
    inForce = limit;
    at = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}
