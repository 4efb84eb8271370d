/**
 * The share of a source's time that all questions to it may take together: an account that earns `share`
 * seconds a second and pays each question's wall time, in arrears. After a question of 0.7 s at 1 % the next
 * shared one has to wait 70 s. Nothing is saved up while idle: a burst would be an incident of our own making.
 */
import type { Clock } from './clock.ts';

export interface Budget {
  /** 0 < share <= 1. */
  readonly share: number;
  /** Pays `ms` of the source's time. */
  charge(ms: number): void;
  /** Monotonic time from which a shared question may start. */
  readyAt(): number;
  /** All that was ever charged, in seconds. */
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
      spentMs += ms;
      paidUntil = Math.max(paidUntil, clock.monotonic() - ms) + ms / share;
    },
    readyAt: () => paidUntil,
    spentSeconds: () => spentMs / 1000,
  };
}
