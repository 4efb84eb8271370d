/** Starts runs, enters what comes of them, and knows which collectors have not come back. */

import type { Clock } from '../lib/clock.ts';
import { durationText } from '../lib/duration-text.ts';
import type { Log } from '../lib/log.ts';
import type { Block } from '../metrics/samples.ts';
import { type BoundedRun, type Deadlines, type Ended, startRun } from './bounded-run.ts';
import type { Changes } from './changes.ts';
import type { Run } from './collector.ts';
import { enter } from './record.ts';
import { begin, comeBack } from './schedule.ts';
import { isIntervalTask, missedReading, type Reading, type Task } from './task.ts';

/** What a run has, once told to stop, to say for itself how it ended. */
export const graceMs = 500;

export interface Launcher {
  /** Starts a run of a task that has none. Resolves when it ended, by `giveUpAt` at the latest; never rejects. */
  launch(task: Task, cause: Run['cause'], deadlines: Deadlines): Promise<Reading>;
  /** Tells every run to stop and waits until all came back, at most `timeoutMs`. */
  cancelAll(timeoutMs: number): Promise<void>;
}

export interface LauncherOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly changes: Changes;
  readonly maxSeries: number;
  /** Called with each new block that scrapes will show more than once. */
  readonly onSnapshot: (block: Block) => void;
  /** Called when a run ended and when a collector came back: something else may start now. */
  readonly onFree: () => void;
}

export function createLauncher(options: LauncherOptions): Launcher {
  const { changes, clock, log, maxSeries, onFree, onSnapshot } = options;
  const live = new Map<BoundedRun, Task>();

  function conclude(task: Task, run: BoundedRun, ended: Ended): Reading {
    task.current = undefined;
    if (ended.kind === 'cancelled') return missedReading(task, 'the exporter stops', clock);
    const { record } = task;
    const before = record.snapshot?.block;
    // What is read at each scrape never outlives it.
    if (!isIntervalTask(task)) record.snapshot = undefined;
    enter(record, run, ended, maxSeries);
    task.hung = ended.hung;
    const block = record.snapshot?.block;
    if (isIntervalTask(task) && block !== undefined && block !== before) onSnapshot(block);
    return { block, status: changes.notice(task, ended.stack) };
  }

  function noteReturn(task: Task, run: BoundedRun): void {
    task.hung = false;
    const message = `no answer in time: it came back after ${durationText(clock.monotonic() - run.startedAt)}`;
    task.record.verdict = { kind: 'failed', reason: 'timeout', message };
    log.info({ collector: task.collector.name }, `${task.collector.name}: ${message}`);
  }

  return {
    launch(task, cause, deadlines) {
      const timetable = isIntervalTask(task) ? task.timetable : undefined;
      const leaveSource = timetable && begin(timetable, cause, clock.monotonic());
      const run = startRun(task.collector, cause, deadlines, clock);
      live.set(run, task);
      const reading = run.ended.then((ended) => {
        leaveSource?.();
        onFree();
        return conclude(task, run, ended);
      });
      task.current = { run, reading };
      void Promise.all([reading, run.returned]).then(() => {
        live.delete(run);
        const failed = task.record.verdict?.kind === 'failed';
        if (timetable) comeBack(timetable, cause, failed, clock.monotonic());
        if (task.hung) noteReturn(task, run);
        onFree();
      });
      return reading;
    },

    async cancelAll(timeoutMs) {
      const runs = [...live.keys()];
      for (const run of runs) run.cancel();
      const waited = new AbortController();
      await Promise.race([
        Promise.all(runs.map(({ returned }) => returned)),
        clock.sleep(timeoutMs, waited.signal),
      ]);
      waited.abort();
      for (const [run, { collector }] of live) {
        const after = durationText(clock.monotonic() - run.startedAt);
        log.warn({ collector: collector.name }, `${collector.name} runs since ${after} and does not stop`);
      }
    },
  };
}
