/** Starts runs, records their outcomes, and knows which collectors have not returned. */
import type { Clock } from '../lib/clock.ts';
import { durationText } from '../lib/format.ts';
import type { Log } from '../lib/log.ts';
import type { Block } from '../metrics/samples.ts';
import { type BoundedRun, type Deadlines, type Ended, startRun } from './bounded-run.ts';
import type { Run } from './collector.ts';
import { recordRun } from './record.ts';
import { noteReturn, noteStart } from './schedule.ts';
import type { Changes } from './state-changes.ts';
import { isIntervalTask, missedReading, type Reading, type Task } from './task.ts';

/** How long a run has to return an outcome of its own after its signal aborted. */
export const graceMs = 500;

export interface Launcher {
  /** Starts a run of an idle task. Resolves when it has ended, at `giveUpAt` at the latest; never rejects. */
  launch(task: Task, cause: Run['cause'], deadlines: Deadlines): Promise<Reading>;
  /** Aborts every run and waits until all have returned, at most `timeoutMs`. */
  cancelAll(timeoutMs: number): Promise<void>;
}

export interface LauncherOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly changes: Changes;
  readonly maxSeries: number;
  /** Called with each new block that several scrapes will show. */
  readonly onSnapshot: (block: Block) => void;
  /** Called when a run ended and when a collector returned: another run can start now. */
  readonly onFree: () => void;
}

export function createLauncher(options: LauncherOptions): Launcher {
  const { changes, clock, log, maxSeries, onFree, onSnapshot } = options;
  const live = new Map<BoundedRun, Task>();

  function conclude(task: Task, run: BoundedRun, ended: Ended): Reading {
    task.current = undefined;
    if (ended.kind === 'canceled') return missedReading(task, 'the exporter is shutting down', clock);
    const { record } = task;
    const before = record.snapshot?.block;
    // The snapshot of a collector that runs at each scrape is for that scrape only.
    if (!isIntervalTask(task)) record.snapshot = undefined;
    recordRun(record, run, ended, maxSeries);
    task.hung = ended.hung;
    const block = record.snapshot?.block;
    if (isIntervalTask(task) && block !== undefined && block !== before) onSnapshot(block);
    return { block, status: changes.notice(task, ended.stack) };
  }

  function noteHungReturn(task: Task, run: BoundedRun): void {
    task.hung = false;
    const message = `timed out: returned after ${durationText(clock.monotonic() - run.startedAt)}`;
    task.record.verdict = { kind: 'failed', reason: 'timeout', message };
    log.info({ collector: task.collector.name, message }, 'hung collector returned');
  }

  return {
    launch(task, cause, deadlines) {
      const timetable = isIntervalTask(task) ? task.timetable : undefined;
      const leaveSource = timetable && noteStart(timetable, cause, clock.monotonic());
      const run = startRun(task.collector, cause, deadlines, clock);
      live.set(run, task);
      const reading = run.ended.then((ended) => {
        leaveSource?.();
        onFree();
        return conclude(task, run, ended);
      });
      task.current = { run, reading };
      task.startedAt = run.startedAt;
      void Promise.all([reading, run.returned]).then(() => {
        live.delete(run);
        const failed = task.record.verdict?.kind === 'failed';
        if (timetable) noteReturn(timetable, cause, failed, clock.monotonic());
        if (task.hung) noteHungReturn(task, run);
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
        log.warn({ collector: collector.name, after }, 'collector does not stop');
      }
    },
  };
}
