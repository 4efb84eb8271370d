/**
 * When an interval collector runs next: a grid that does not drift, the budget's permission, turns among those
 * that share a source, and wakes. Pure decisions over a small record for each collector; the runner acts on them.
 *
 * Only the monotonic clock counts, so that a wall clock that is set, or a machine that slept, moves nothing.
 */

import type { Clock } from '../lib/clock.ts';
import { type Budget, createBudget } from './budget.ts';
import type { IntervalSchedule, Run } from './collector.ts';

/**
 * Woken runs ask no budget, so this is all that stands between a part that wakes in a loop and the source.
 * Half of the second within which a storage's fall must be answered.
 */
export const wakeSpacingMs = 500;

/**
 * After a failed run the next one comes this soon, where the interval is longer: when a source is back, nobody
 * should have to wait five minutes to see it.
 */
export const retryMs = 30_000;

/** A promise is stretched to this many times `maxAgeMs` at most: beyond it, old is old, whatever the cause. */
export const longestStretch = 10;

/** Less than a tenth over the wished interval is waiting for one's turn. */
const noticeable = 1.1;

/** One source's budget, with the half that `reserved` collectors may spend whatever others have spent. */
export interface Account {
  readonly budget: Budget;
  readonly reserve: Budget;
  /** Runs at the source right now. Due runs wait for their turn, so that none times out behind another. */
  atSource: number;
}

export const openAccount = (budget: Budget, clock: Clock): Account => ({
  budget,
  reserve: createBudget(budget.share / 2, clock),
  atSource: 0,
});

/** What is remembered of one interval collector. All times are monotonic. */
export interface Timetable {
  readonly schedule: IntervalSchedule;
  readonly account: Account | undefined;
  /** The first slot of its grid. */
  firstDueAt: number;
  dueAt: number;
  /** Start of the newest due run. */
  dueStartedAt: number | undefined;
  /** Start to start of the newest two due runs, if the budget kept them apart; else 0. */
  stretchedMs: number;
  wakePending: boolean;
  wokenStartedAt: number;
  /** From a run's start until its collector came back, so a hanging one is never asked again. */
  busy: boolean;
}

export const newTimetable = (
  schedule: IntervalSchedule,
  account: Account | undefined,
  dueAt: number,
): Timetable => ({
  schedule,
  account,
  firstDueAt: dueAt,
  dueAt,
  dueStartedAt: undefined,
  stretchedMs: 0,
  wakePending: false,
  wokenStartedAt: -Infinity,
  busy: false,
});

export interface Start<E> {
  readonly entry: E;
  readonly cause: 'due' | 'woken';
}

interface Entry {
  readonly timetable: Timetable;
}

/**
 * The one run that must start first at `now`; ask again after it has begun. A woken run goes before any due one:
 * it answers from memory within moments, while a due run may take long. Of the due runs at one source only one
 * goes on at a time, `reserved` first, then the longest overdue, so that each gets its turn before any other
 * gets a second.
 */
export function nextStart<E extends Entry>(entries: readonly E[], now: number): Start<E> | undefined {
  const idle = entries.filter(({ timetable }) => !timetable.busy);
  const woken = idle.find(({ timetable }) => wakeAt(timetable) <= now);
  if (woken !== undefined) return { entry: woken, cause: 'woken' };

  const due = idle.filter(({ timetable }) => isItsTurn(timetable) && allowedAt(timetable) <= now);
  const first = due.reduce<E | undefined>(
    (best, entry) => (best === undefined || goesBefore(entry.timetable, best.timetable) ? entry : best),
    undefined,
  );
  return first === undefined ? undefined : { entry: first, cause: 'due' };
}

/**
 * The next time at which `nextStart` may have something, Infinity when only the end of a run can bring it. What
 * waits for its turn is skipped: the end of the run before it makes the runner look again.
 */
export function nextStartAt(entries: readonly Entry[]): number {
  let next = Infinity;
  for (const { timetable } of entries) {
    if (timetable.busy) continue;
    next = Math.min(next, wakeAt(timetable));
    if (isItsTurn(timetable)) next = Math.min(next, allowedAt(timetable));
  }
  return next;
}

/** When the next due run may start, as far as is known now: others may spend before it. */
export const allowedAt = (timetable: Timetable): number => Math.max(timetable.dueAt, readyAt(timetable));

/** Notes a start, and returns what to call when that run ended, so that the account knows. */
export function begin(timetable: Timetable, cause: Run['cause'], now: number): () => void {
  const { account, schedule } = timetable;
  timetable.busy = true;
  // Whatever woke it before this moment is answered by this run.
  timetable.wakePending = false;
  if (cause === 'woken') timetable.wokenStartedAt = now;
  else {
    const delayed = readyAt(timetable) > timetable.dueAt;
    timetable.stretchedMs =
      delayed && timetable.dueStartedAt !== undefined ? now - timetable.dueStartedAt : 0;
    timetable.dueStartedAt = now;
    timetable.dueAt = nextOnGrid(timetable.firstDueAt, schedule.everyMs, now);
  }
  if (account === undefined) return () => undefined;

  account.atSource += 1;
  const spentBefore = account.budget.spentSeconds();
  return () => {
    account.atSource -= 1;
    // Measured by the account, not by the run's duration, in which waiting and reconnecting cost the source
    // nothing. A woken run beside this one may be counted with it: at most a longer wait.
    const spent = account.budget.spentSeconds() - spentBefore;
    if (schedule.priority === 'reserved') account.reserve.charge(Math.max(0, spent * 1000));
  };
}

/** Notes that the collector came back. A due run that outlasted its interval skips the slots it missed. */
export function comeBack(timetable: Timetable, cause: Run['cause'], failed: boolean, now: number): void {
  timetable.busy = false;
  if (cause === 'due' && timetable.dueAt <= now)
    timetable.dueAt = nextOnGrid(timetable.firstDueAt, timetable.schedule.everyMs, now);
  if (failed) timetable.dueAt = Math.min(timetable.dueAt, now + retryMs);
}

/**
 * Start to start as it is now: the wished interval, or longer when the budget kept the last two runs further
 * apart or will do so with the next one.
 */
export function effectiveIntervalMs(timetable: Timetable): number {
  const { dueStartedAt, schedule, stretchedMs } = timetable;
  if (dueStartedAt === undefined) return schedule.everyMs;
  return Math.max(schedule.everyMs, stretchedMs, readyAt(timetable) - dueStartedAt);
}

/** How old a snapshot may get before it is withdrawn: longer than promised only on the budget's account. */
export function promiseMs(timetable: Timetable): number {
  const { everyMs, maxAgeMs, timeoutMs } = timetable.schedule;
  const effectiveMs = effectiveIntervalMs(timetable);
  if (effectiveMs <= everyMs * noticeable) return maxAgeMs;
  return Math.max(maxAgeMs, Math.min(2 * effectiveMs + timeoutMs, longestStretch * maxAgeMs));
}

/** The budget keeps runs so far apart that the promise had to be stretched. */
export const isBudgetLimited = (timetable: Timetable): boolean =>
  promiseMs(timetable) > timetable.schedule.maxAgeMs;

/** The first slot of the grid through `slot` that lies after `now`. */
export function nextOnGrid(slot: number, everyMs: number, now: number): number {
  const next = slot + everyMs * (Math.floor(Math.max(0, now - slot) / everyMs) + 1);
  // Rounding can put the slot at `now` itself, and the same slot would run twice.
  return next > now ? next : next + everyMs;
}

/** First runs do not wait for what other first runs cost: after a restart each soon has something to say. */
const readyAt = ({ account, dueStartedAt, schedule }: Timetable): number =>
  account === undefined || dueStartedAt === undefined
    ? -Infinity
    : schedule.priority === 'reserved'
      ? account.reserve.readyAt()
      : account.budget.readyAt();

/** A wake before the first look is answered by that look: there is no memory yet to answer from. */
const wakeAt = ({ wakePending, dueStartedAt, wokenStartedAt }: Timetable): number =>
  wakePending && dueStartedAt !== undefined ? wokenStartedAt + wakeSpacingMs : Infinity;

const isItsTurn = ({ account }: Timetable): boolean => account === undefined || account.atSource === 0;

const isReserved = ({ schedule }: Timetable): boolean => schedule.priority === 'reserved';

const goesBefore = (a: Timetable, b: Timetable): boolean =>
  isReserved(a) === isReserved(b) ? a.dueAt < b.dueAt : isReserved(a);
