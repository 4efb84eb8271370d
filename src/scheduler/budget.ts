/**
 * The ratio of a source's time that all queries to it may take together: an account that earns `ratio` seconds per
 * second and pays the wall time of each query afterwards. After a query of 0.7 s at 1% the next shared one waits
 * 70 s. Idle time is not saved up, as a burst of queries would be an incident of our own making.
 *
 * The cost of a query is known only after it, so between the start of any query and any later moment the time spent
 * exceeds `ratio` of that time by one query at most. Debt is not capped: a cap would let the heaviest queries, which
 * the limit is for, take more than their share. Two costs can be waived in part, as both come in incidents. One that
 * comes once, a first load: repaid in full, 10 s at 1% would delay the second refresh after a restart by 17 minutes. And
 * that of reserved collectors: a probe of 2 s would be the last one for 7 minutes.
 * Only the monotonic clock counts; on Linux it stops while the machine sleeps, which makes a debt last longer.
 */
import type { Clock } from '../lib/clock.ts';

export interface Budget {
  /** 0 < ratio <= 1. */
  readonly ratio: number;
  /** Pays for `ms` of the source's time, which ended now. Throws RangeError unless it is finite and not negative. */
  charge(ms: number): void;
  /** Monotonic time from which a shared query may start. */
  readyAt(): number;
  /** Monotonic time from which on, until `readyAt`, a query had to wait at every moment. */
  indebtedSince(): number;
  /**
   * Waives the part of the debt that lasts beyond `ms` from now: for a cost that comes once, or must not delay the next
   * query for longer. Returns the time of queries, in milliseconds, that it waived.
   */
  waiveBeyond(ms: number): number;
  /** Waives this much of the time that was charged. */
  waive(ms: number): void;
  /** Everything charged so far, in seconds, whether or not it was waived. */
  spentSeconds(): number;
}

export function createBudget(ratio: number, clock: Clock): Budget {
  if (!(ratio > 0 && ratio <= 1))
    throw new RangeError(`a budget's ratio is over 0 and at most 1, not ${ratio}`);
  let paidUntil = clock.monotonic();
  let indebtedSince = paidUntil;
  let spentMs = 0;
  return {
    ratio,
    charge(ms) {
      // A NaN here would make readyAt NaN forever, and no query would ever run again.
      if (!(ms >= 0 && ms < Infinity))
        throw new RangeError(`a budget is charged with a finite time of 0 ms or more, not ${ms}`);
      spentMs += ms;
      const startedAt = clock.monotonic() - ms;
      if (paidUntil < startedAt) indebtedSince = startedAt;
      paidUntil = Math.max(paidUntil, startedAt) + ms / ratio;
    },
    waiveBeyond(ms) {
      const waivedMs = Math.max(0, paidUntil - clock.monotonic() - ms);
      paidUntil -= waivedMs;
      return waivedMs * ratio;
    },
    waive(ms) {
      paidUntil -= ms / ratio;
    },
    readyAt: () => paidUntil,
    indebtedSince: () => indebtedSince,
    spentSeconds: () => spentMs / 1000,
  };
}
