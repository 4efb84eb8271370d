/**
 * The share of a source's time that all questions to it may take together: an account that earns `share`
 * seconds a second and pays each question's wall time, in arrears. After a question of 0.7 s at 1 % the next
 * shared one has to wait 70 s. Nothing is saved up while idle: a burst would be an incident of our own making.
 *
 * In arrears, since what a question costs is known only after it: between the start of any question and any
 * later moment, what was spent exceeds `share` of that time by one question at most. There is no cap on debts: it
 * would let the heaviest questions, which the limit is for, take more than their share. Only what comes once, a
 * first load, may be waived in part: paid off in full, 10 s at 1 % would leave whoever restarts the exporter in an
 * incident without a second look for 17 minutes. Only the monotonic clock counts; while a machine sleeps it stands
 * still on Linux, and a debt then lasts longer, never shorter.
 */
import type { Clock } from '../lib/clock.ts';

export interface Budget {
  /** 0 < share <= 1. */
  readonly share: number;
  /** Pays `ms` of the source's time, which ended now. Throws RangeError unless it is finite and not negative. */
  charge(ms: number): void;
  /** Monotonic time from which a shared question may start. */
  readyAt(): number;
  /** Waives the debt as far as it reaches beyond `ms` from now: for what comes once and cannot be had cheaper. */
  waiveBeyond(ms: number): void;
  /** All that was ever charged, in seconds; waived or not. */
  spentSeconds(): number;
}

export function createBudget(share: number, clock: Clock): Budget {
  if (!(share > 0 && share <= 1))
    throw new RangeError(`a budget's share is over 0 and at most 1, not ${share}`);
  let paidUntil = clock.monotonic();
  let spentMs = 0;
  return {
    share,
    charge(ms) {
      // A NaN here would make readyAt NaN for good, and no question would ever be asked again.
      if (!(ms >= 0 && ms < Infinity))
        throw new RangeError(`a budget is charged with a finite time of 0 ms or more, not ${ms}`);
      spentMs += ms;
      paidUntil = Math.max(paidUntil, clock.monotonic() - ms) + ms / share;
    },
    waiveBeyond(ms) {
      paidUntil = Math.min(paidUntil, clock.monotonic() + ms);
    },
    readyAt: () => paidUntil,
    spentSeconds: () => spentMs / 1000,
  };
}
