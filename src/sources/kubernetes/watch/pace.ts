/** When to ask again, by how it ended. */
import type { WatchEnd } from '../store.ts';
import { createBackoff } from './backoff.ts';
import type { Ending } from './ending.ts';

export interface Pace {
  /** Milliseconds; 0 after an end that was to come. `listed`: the server has answered this watch before. */
  waitMs(ending: Ending, listed: boolean): number;
  /** All went well: the next failure is the first again. */
  reset(): void;
}

/** Rights are granted by people. */
const permissionRetryMs = 60_000;
/** Tokens are renewed by nobody's hand; but each attempt is a line in the audit log. */
const authenticationRetryMs = 20_000;
/** So many refusals of one who was heard before are taken for a server that starts. */
const startingRefusals = 5;

/** `random`: from 0 up to 1, as Math.random. */
export function createPace(random: () => number): Pace {
  const backoff = createBackoff(random);
  let last: WatchEnd | undefined;
  /** How often it ended so in a row, this one included. */
  let inRow = 0;
  const about = (ms: number): number => ms * (0.75 + 0.5 * random());

  return {
    reset: backoff.reset,
    waitMs({ end, retryAfterSeconds }, listed) {
      inRow = end === last ? inRow + 1 : 1;
      last = end;
      switch (end) {
        case 'expired':
          return 0;
        case 'permission':
          // A server that has just started refuses everybody for some seconds, until it has read who may do what.
          if (!listed || inRow > startingRefusals) return about(permissionRetryMs);
          if (inRow === 1) backoff.reset();
          return backoff.next();
        case 'authentication':
          return inRow > 1 ? about(authenticationRetryMs) : backoff.next();
        case 'gone':
          // The server is back, and only what it had to say is gone: no wait as long as while it was away.
          if (inRow === 1) backoff.reset();
          return backoff.next();
        default:
          return backoff.next(retryAfterSeconds);
      }
    },
  };
}
