/** One collector inside the runner: its record, when it runs next, and the run in progress. */
import type { Clock } from '../lib/clock.ts';
import { durationText } from '../lib/format.ts';
import type { Block } from '../metrics/samples.ts';
import type { BoundedRun } from './bounded-run.ts';
import type { Budget } from './budget.ts';
import type { Collector } from './collector.ts';
import { type Assessment, assess, type CollectorRecord, newRecord } from './record.ts';
import {
  type Account,
  effectiveIntervalMs,
  isBudgetLimited,
  maxAgeMsOf,
  newTimetable,
  openAccount,
  type Timetable,
} from './schedule.ts';
import type { CollectorStatus } from './status.ts';

export interface Task {
  readonly collector: Collector;
  readonly record: CollectorRecord;
  /** Wall clock of the newest change of state or reason. */
  since: number;
  /** The run in progress within its deadlines, and its future result. */
  current: { readonly run: BoundedRun; readonly reading: Promise<Reading> } | undefined;
  /** Monotonic: the start of its newest run, or its creation. */
  startedAt: number;
  /** A run passed its deadlines and has not returned. */
  hung: boolean;
}

/** A task with a schedule of its own. */
export interface IntervalTask extends Task {
  readonly timetable: Timetable;
}

export const isIntervalTask = (task: Task): task is IntervalTask => 'timetable' in task;

/** In the order of the collectors; those with the same budget share one account. */
export function createTasks(
  collectors: readonly Collector[],
  clock: Clock,
): readonly (Task | IntervalTask)[] {
  const accounts = new Map<Budget, Account>();
  const accountOf = (budget: Budget): Account => {
    const account = accounts.get(budget) ?? openAccount(budget, clock);
    accounts.set(budget, account);
    return account;
  };
  return collectors.map((collector) => {
    const { schedule } = collector;
    const record = newRecord(collector.failureReasons);
    const task: Task = {
      collector,
      record,
      since: clock.now(),
      current: undefined,
      startedAt: clock.monotonic(),
      hung: false,
    };
    if (schedule.kind === 'scrape') return task;
    const account = schedule.budget && accountOf(schedule.budget);
    return { ...task, timetable: newTimetable(schedule, account, clock.monotonic()) };
  });
}

/** What one scrape shows of one collector. */
export interface Reading {
  readonly block: Block | undefined;
  readonly status: CollectorStatus;
}

/**
 * A snapshot that was read for a scrape is for that scrape only. On the page it counts as stale after this long
 * without a scrape: Prometheus' own lookback for a sample.
 */
const scrapeMaxAgeMs = 5 * 60_000;

const assessTask = (task: Task, now: number): Assessment =>
  assess(task.record, isIntervalTask(task) ? maxAgeMsOf(task.timetable) : scrapeMaxAgeMs, now);

/** The newest snapshot, if it is within its staleness limit. */
export function newestReading(task: Task, clock: Clock): Reading {
  const { shown } = assessTask(task, clock.monotonic());
  return { block: shown?.block, status: statusOf(task, clock) };
}

/** The typed data of the newest snapshot, exactly as long as its samples are shown. */
export const newestData = (task: Task, clock: Clock): unknown =>
  assessTask(task, clock.monotonic()).shown?.data;

/** What a scrape shows of a collector that it could not wait for: no older snapshot replaces it. */
export function missedReading(task: Task, why: string, clock: Clock): Reading {
  const status = statusOf(task, clock);
  const missed = { state: 'failed', reason: 'timeout', message: why, stale: false, series: 0 } as const;
  return { block: undefined, status: { ...status, ...missed, seriesDropped: 0 } };
}

export function statusOf(task: Task, clock: Clock): CollectorStatus {
  const { collector, record } = task;
  const assessment = assessTask(task, clock.monotonic());
  const { ageMs, shown, state, withdrawn } = assessment;
  const { verdict } = record;
  return {
    name: collector.name,
    title: collector.title,
    schedule: isIntervalTask(task)
      ? {
          everyMs: effectiveIntervalMs(task.timetable),
          maxAgeMs: maxAgeMsOf(task.timetable),
          budgetLimited: isBudgetLimited(task.timetable),
        }
      : undefined,
    state,
    since: task.since,
    reason: verdict?.kind === 'failed' ? verdict.reason : undefined,
    message: messageOf(task, assessment),
    hung: task.hung,
    stale: withdrawn && isIntervalTask(task),
    lastSuccessAt: record.lastSuccessAt,
    lastDurationMs: record.lastDurationMs,
    readAt: ageMs === undefined ? undefined : clock.now() - ageMs,
    ageMs,
    failures: new Map(record.failures),
    series: shown?.series ?? 0,
    seriesDropped: shown?.dropped ?? 0,
    seriesDroppedTotal: record.droppedTotal,
  };
}

function messageOf(task: Task, { ageMs, shown, state }: Assessment): string | undefined {
  const { verdict } = task.record;
  switch (state) {
    case 'pending':
      return task.current === undefined ? 'waiting for the first run' : 'the first run is in progress';
    case 'stale': {
      const age = durationText(ageMs ?? 0);
      if (!isIntervalTask(task)) return `last read ${age} ago; no scrape since`;
      return `the data is ${age} old, over the limit of ${durationText(maxAgeMsOf(task.timetable))}`;
    }
    case 'ok':
      if (!shown?.dropped) return undefined;
      return `incomplete: ${shown.dropped} series over the limit of series per collector were dropped`;
    case 'empty':
    case 'failed':
      return verdict?.kind === 'ok' ? undefined : verdict?.message;
  }
}
