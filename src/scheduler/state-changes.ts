/**
 * Logs each change of a collector's state or reason once: a source that is down for a night gives two lines, not one for
 * each failed run.
 */
import type { Clock } from '../lib/clock.ts';
import { durationText } from '../lib/format.ts';
import type { Log } from '../lib/log.ts';
import type { FailureReason } from './outcome.ts';
import type { CollectorState, CollectorStatus } from './status.ts';
import { statusOf, type Task } from './task.ts';

export interface Changes {
  /** Compares with the last reported state. `stack`: where an internal error was thrown. Returns the status. */
  notice(task: Task, stack?: string): CollectorStatus;
  /** Calls the listener at each change. It must not throw. Returns how to unsubscribe. */
  subscribe(listener: () => void): () => void;
}

interface Reported {
  readonly state: CollectorState;
  readonly reason: FailureReason | undefined;
}

export function createChanges(log: Log, clock: Clock): Changes {
  const listeners = new Set<() => void>();
  const reported = new WeakMap<Task, Reported>();

  return {
    notice(task, stack) {
      const before = reported.get(task) ?? { state: 'pending', reason: undefined };
      const status = statusOf(task, clock);
      if (status.state === before.state && status.reason === before.reason) return status;

      reported.set(task, { state: status.state, reason: status.reason });
      const lastedMs = clock.now() - task.since;
      task.since = clock.now();
      const changed = { ...status, since: task.since };
      write(log, changed, before.state, lastedMs, stack);
      for (const listener of listeners) listener();
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
  const lasted = state === 'ok' && from !== 'pending' ? durationText(lastedMs) : undefined;
  const fields = { collector: name, state, from, reason, message, after: lasted, stack };
  switch (state) {
    case 'failed':
      log[reason === 'internal' ? 'error' : 'warn'](fields, 'collector failed');
      break;
    case 'stale':
      log.warn(fields, 'collector is stale');
      break;
    case 'pending':
    case 'empty':
      log.info(fields, 'collector has no data');
      break;
    case 'ok':
      log.info(fields, from === 'pending' ? 'collector is ok' : 'collector recovered');
  }
}
