/**
 * One run of a collector that ends in time whatever the collector does. Its signal aborts at `abortAt`. Until
 * `giveUpAt` its own outcome counts, as its message and its remaining samples are better than ours. After that the
 * run counts as timed out, even if the collector never returns.
 */
import type { Clock } from '../lib/clock.ts';
import { describeThrown, stackOf } from '../lib/errors.ts';
import { durationText } from '../lib/format.ts';
import type { Collector, Run } from './collector.ts';
import { failed, type Outcome } from './outcome.ts';
import { validateOutcome } from './validate.ts';

/** Monotonic times. */
export interface Deadlines {
  readonly abortAt: number;
  readonly giveUpAt: number;
}

export type Ended =
  | {
      readonly kind: 'finished';
      readonly outcome: Outcome;
      readonly durationMs: number;
      /** The collector did not return by `giveUpAt`. */
      readonly hung: boolean;
      /** Where an internal error was thrown. */
      readonly stack?: string;
    }
  /** The exporter is shutting down; the outcome no longer matters. */
  | { readonly kind: 'canceled' };

export interface BoundedRun {
  /** Monotonic, and wall clock. */
  readonly startedAt: number;
  readonly startedAtWall: number;
  /** Resolves at `giveUpAt` at the latest; never rejects. */
  readonly ended: Promise<Ended>;
  /** Resolves when the collector really returned, possibly never. */
  readonly returned: Promise<void>;
  /** Moves the deadlines later, never earlier; no effect once the run's signal has aborted. */
  extend(deadlines: Deadlines): void;
  /** Aborts the collector's signal and ends the run immediately. */
  cancel(): void;
}

interface RunResult {
  readonly outcome: Outcome;
  readonly stack?: string;
}

export function startRun(
  collector: Collector,
  cause: Run['cause'],
  deadlines: Deadlines,
  clock: Clock,
): BoundedRun {
  const startedAt = clock.monotonic();
  const startedAtWall = clock.now();
  let { abortAt, giveUpAt } = deadlines;
  const stop = new AbortController();
  const over = new AbortController();
  const { promise: ended, resolve } = Promise.withResolvers<Ended>();
  const end = (how: Ended): void => {
    over.abort();
    resolve(how);
  };
  const finish = (result: RunResult, hung: boolean): void =>
    end({ kind: 'finished', ...result, hung, durationMs: clock.monotonic() - startedAt });
  const limit = (): string => durationText(abortAt - startedAt);

  async function collect(): Promise<RunResult> {
    try {
      const outcome = await collector.collect({ signal: stop.signal, cause });
      return { outcome: validateOutcome(outcome, collector) };
    } catch (thrown) {
      const what = describeThrown(thrown);
      // Most libraries throw an AbortError when their signal aborts: that is the deadline, not an internal error.
      if (stop.signal.aborted) return { outcome: failed('timeout', `no result within ${limit()} (${what})`) };
      const stack = stackOf(thrown);
      const outcome = failed('internal', `internal error in ${collector.name}: ${what}`);
      return stack === undefined ? { outcome } : { outcome, stack };
    }
  }

  async function watch(): Promise<void> {
    while (!over.signal.aborted) {
      const now = clock.monotonic();
      if (now >= abortAt && !stop.signal.aborted)
        stop.abort(new DOMException(`no result within ${limit()}`, 'TimeoutError'));
      if (now >= giveUpAt) {
        const message = `no result within ${limit()}, and the run does not stop; the collector is not run again until it does`;
        finish({ outcome: failed('timeout', message) }, true);
        return;
      }
      await clock.sleep((stop.signal.aborted ? giveUpAt : abortAt) - now, over.signal);
    }
  }

  const returned = collect().then((result) => finish(result, false));
  void watch();
  return {
    startedAt,
    startedAtWall,
    ended,
    returned,
    extend(later) {
      if (stop.signal.aborted) return;
      abortAt = Math.max(abortAt, later.abortAt);
      giveUpAt = Math.max(giveUpAt, later.giveUpAt);
    },
    cancel() {
      end({ kind: 'canceled' });
      stop.abort(new DOMException('the exporter is shutting down', 'AbortError'));
    },
  };
}
