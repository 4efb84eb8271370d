/**
 * Tells of each change of a collector's state or reason, once: a line in the log and a call of every listener.
 * A source that is down for a night makes two lines, not one for each failed run.
 */
import type { Clock } from '../lib/clock.ts';
import { durationText } from '../lib/duration-text.ts';
import type { Log } from '../lib/log.ts';
import { describeThrown } from '../lib/thrown.ts';
import type { FailureReason } from './outcome.ts';
import type { CollectorChange, CollectorState, CollectorStatus } from './status.ts';
import { statusOf, type Task } from './task.ts';

export interface Changes {
  /** Compares with what was told last. `stack` is where a bug was thrown. Returns the task's status. */
  notice(task: Task, stack?: string): CollectorStatus;
  /** Returns how to unsubscribe. */
  subscribe(listener: (change: CollectorChange) => void): () => void;
}

interface Told {
  readonly state: CollectorState;
  readonly reason: FailureReason | undefined;
}

export function createChanges(log: Log, clock: Clock): Changes {
  const listeners = new Set<(change: CollectorChange) => void>();
  const told = new WeakMap<Task, Told>();

  return {
    notice(task, stack) {
      const before = told.get(task) ?? { state: 'pending', reason: undefined };
      const status = statusOf(task, clock);
      if (status.state === before.state && status.reason === before.reason) return status;

      told.set(task, { state: status.state, reason: status.reason });
      const lastedMs = clock.now() - task.since;
      task.since = clock.now();
      const changed = { ...status, since: task.since };
      write(log, changed, before.state, lastedMs, stack);
      for (const listener of listeners) {
        try {
          listener({ from: before.state, status: changed });
        } catch (thrown) {
          log.error({ collector: status.name }, `a listener to collectors failed: ${describeThrown(thrown)}`);
        }
      }
      return changed;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function write(
  log: Log,
  status: CollectorStatus,
  from: CollectorState,
  lastedMs: number,
  stack: string | undefined,
): void {
  const { message, name, reason, state } = status;
  const fields = { collector: name, state, from, reason, stack };
  const detail = message === undefined ? '' : `: ${message}`;
  switch (state) {
    case 'failed':
      log[reason === 'internal' ? 'error' : 'warn'](fields, `${name} failed (${reason})${detail}`);
      break;
    case 'stale':
      log.warn(fields, `${name} is stale${detail}`);
      break;
    case 'pending':
    case 'empty':
      log.info(fields, `${name} is ${state}${detail}`);
      break;
    case 'ok': {
      const after = from === 'pending' ? '' : ` again after ${durationText(lastedMs)}`;
      log.info(fields, `${name} is ok${after}${detail}`);
    }
  }
}
