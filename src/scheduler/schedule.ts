/**
 * When an interval collector runs next: a grid that does not drift, the budget, turns among the collectors of one
 * source, and wakes. Pure decisions over a small record per collector; the runner acts on them.
 *
 * Only the monotonic clock counts, so that setting the wall clock or suspending the machine moves nothing.
 */
import type { Clock } from '../lib/clock.ts';
import { type Budget, createBudget } from './budget.ts';
import type { IntervalSchedule, Run } from './collector.ts';

/**
 * Woken runs ignore the budget, so this is what protects the source from a module that wakes in a loop. Half of the
 * second within which a storage that becomes unhealthy must show.
 */
export const wakeSpacingMs = 500;

/** A failed run is retried this soon, where the interval is longer, so that a recovery shows within half a minute. */
export const retryMs = 30_000;

/**
 * A reserved collector waits at most this long for the debt of reserved ones: a database that has become slow must be
 * watched, and its last health must not count for as long as the debt lasts.
 */
export const reservedWaitMs = 30_000;

/** The staleness limit is extended to this many times `maxAgeMs` at most, whatever the budget. */
export const maxAgeExtension = 10;

/** Up to a tenth over the configured interval is waiting for other runs at the source, not the budget. */
const tolerance = 1.1;

/** The budget of one source, with the half that `reserved` collectors may always spend. */
export interface Account {
  readonly budget: Budget;
  readonly reserve: Budget;
  /** Runs at the source right now. Due runs wait for each other, so that none times out behind another. */
  atSource: number;
}

export const openAccount = (budget: Budget, clock: Clock): Account => ({
  budget,
  reserve: createBudget(budget.ratio / 2, clock),
  atSource: 0,
});

/** The schedule of one interval collector. All times are monotonic. */
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
  /** From a run's start until its collector returned, so that a hung one is never run again. */
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
 * The run that must start first at `now`; call again after it has started. A woken run takes precedence over due
 * ones, as it uses memory only and ends within milliseconds. Of the due runs of one source one runs at a time,
 * `reserved` first, then the longest overdue, so that each gets a turn before another gets a second one.
 */
export function nextStart<E extends Entry>(entries: readonly E[], now: number): Start<E> | undefined {
  const idle = entries.filter(({ timetable }) => !timetable.busy);
  const woken = idle.find(({ timetable }) => wakeAt(timetable) <= now);
  if (woken !== undefined) return { entry: woken, cause: 'woken' };

  const due = idle.filter(({ timetable }) => isItsTurn(timetable) && allowedAt(timetable) <= now);
  const first = due.reduce<E | undefined>(
    (best, entry) => (best === undefined || precedes(entry.timetable, best.timetable) ? entry : best),
    undefined,
  );
  return first === undefined ? undefined : { entry: first, cause: 'due' };
}

/**
 * The next time at which `nextStart` can return a run; Infinity when only the end of a run can cause one. Runs that
 * wait for another run at their source are skipped: the end of that run triggers the next check.
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

/** When the next due run may start, as known now: other runs may spend the budget first. */
const allowedAt = (timetable: Timetable): number => Math.max(timetable.dueAt, readyAt(timetable));

/** Records a start. Returns what to call when that run has ended, for the account. */
export function noteStart(timetable: Timetable, cause: Run['cause'], now: number): () => void {
  const { account, schedule } = timetable;
  timetable.busy = true;
  // This run covers every wake before this moment.
  timetable.wakePending = false;
  if (cause === 'woken') timetable.wokenStartedAt = now;
  else {
    const delayed = readyAt(timetable) > timetable.dueAt;
    timetable.stretchedMs =
      delayed && timetable.dueStartedAt !== undefined
        ? now - timetable.dueStartedAt - withoutDebtMs(timetable)
        : 0;
    timetable.dueStartedAt = now;
    timetable.dueAt = nextOnGrid(timetable.firstDueAt, schedule.everyMs, now);
  }
  if (account === undefined) return () => undefined;

  account.atSource += 1;
  const spentBefore = account.budget.spentSeconds();
  return () => {
    account.atSource -= 1;
    // Measured by the account, not by the run's duration: waiting and reconnecting cost the source nothing. A woken
    // run at the same time may be counted with it, which can only make the wait longer.
    const spent = account.budget.spentSeconds() - spentBefore;
    if (schedule.priority !== 'reserved') return;
    account.reserve.charge(Math.max(0, spent * 1000));
    // Or the other collectors would repay it.
    account.budget.waive(account.reserve.waiveBeyond(reservedWaitMs));
  };
}

/** Records that the collector returned. A due run that outlasted its interval skips the slots that it missed. */
export function noteReturn(timetable: Timetable, cause: Run['cause'], failed: boolean, now: number): void {
  timetable.busy = false;
  if (cause === 'due' && timetable.dueAt <= now)
    timetable.dueAt = nextOnGrid(timetable.firstDueAt, timetable.schedule.everyMs, now);
  if (failed) timetable.dueAt = Math.min(timetable.dueAt, now + retryMs);
}

/**
 * Start to start as it is now: the configured interval, or longer when the budget delayed the last run or will
 * delay the next one.
 */
export function effectiveIntervalMs(timetable: Timetable): number {
  const { dueStartedAt, schedule, stretchedMs } = timetable;
  if (dueStartedAt === undefined) return schedule.everyMs;
  const untilReadyMs = readyAt(timetable) - dueStartedAt - withoutDebtMs(timetable);
  return Math.max(schedule.everyMs, stretchedMs, untilReadyMs);
}

/** How old a snapshot may get before it is withdrawn: longer than configured only because of the budget. */
export function maxAgeMsOf(timetable: Timetable): number {
  const { everyMs, maxAgeMs, timeoutMs } = timetable.schedule;
  const effectiveMs = effectiveIntervalMs(timetable);
  if (effectiveMs <= everyMs * tolerance) return maxAgeMs;
  return Math.max(maxAgeMs, Math.min(2 * effectiveMs + timeoutMs, maxAgeExtension * maxAgeMs));
}

/** The budget makes runs so rare that the staleness limit was extended. */
export const isBudgetLimited = (timetable: Timetable): boolean =>
  maxAgeMsOf(timetable) > timetable.schedule.maxAgeMs;

/** The first slot of the grid through `slot` that lies after `now`. */
export function nextOnGrid(slot: number, everyMs: number, now: number): number {
  const next = slot + everyMs * (Math.floor(Math.max(0, now - slot) / everyMs) + 1);
  // Rounding can put the slot at `now` itself, and the same slot would run twice.
  return next > now ? next : next + everyMs;
}

/** What a reserved or a shared collector waits for. */
const debtOf = ({ account, schedule }: Timetable): Budget | undefined =>
  schedule.priority === 'reserved' ? account?.reserve : account?.budget;

/**
 * How long the next run has been due while the budget allowed it: the process was suspended, or other runs used the
 * source. The budget did not cause that, and what was read before does not stay valid for it.
 */
const withoutDebtMs = (timetable: Timetable): number =>
  Math.max(0, (debtOf(timetable)?.indebtedSince() ?? -Infinity) - timetable.dueAt);

/** First runs do not wait for the cost of other first runs, so that every collector has data soon after a restart. */
const readyAt = (timetable: Timetable): number =>
  timetable.dueStartedAt === undefined ? -Infinity : (debtOf(timetable)?.readyAt() ?? -Infinity);

/** The first run covers every wake before it: there is no data in memory yet. */
const wakeAt = ({ wakePending, dueStartedAt, wokenStartedAt }: Timetable): number =>
  wakePending && dueStartedAt !== undefined ? wokenStartedAt + wakeSpacingMs : Infinity;

const isItsTurn = ({ account }: Timetable): boolean => account === undefined || account.atSource === 0;

const isReserved = ({ schedule }: Timetable): boolean => schedule.priority === 'reserved';

const precedes = (a: Timetable, b: Timetable): boolean =>
  isReserved(a) === isReserved(b) ? a.dueAt < b.dueAt : isReserved(a);
