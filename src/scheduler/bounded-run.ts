/**
 * One run of a collector that ends in time whatever the collector does: it is told to stop at `abortAt`, has
 * until `giveUpAt` to say for itself how it ended (its own message, and what can still be said truthfully, are
 * better than ours), and counts as timed out after that, though it may hang on for ever.
 */

import type { Clock } from '../lib/clock.ts';
import { durationText } from '../lib/duration-text.ts';
import { describeThrown, stackOf } from '../lib/thrown.ts';
import { acceptOutcome } from './accept.ts';
import type { Collector, Run } from './collector.ts';
import { failed, type Outcome } from './outcome.ts';

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
      /** The collector did not come back by `giveUpAt`. */
      readonly hung: boolean;
      /** Where a bug was thrown. */
      readonly stack?: string;
    }
  /** The exporter stops; how the run would have ended is nobody's concern any more. */
  | { readonly kind: 'cancelled' };

export interface BoundedRun {
  /** Monotonic, and wall clock. */
  readonly startedAt: number;
  readonly startedAtWall: number;
  /** Resolves at `giveUpAt` at the latest; never rejects. */
  readonly ended: Promise<Ended>;
  /** Resolves when the collector really came back, perhaps never. */
  readonly returned: Promise<void>;
  /** Moves the deadlines out, never in; too late once the run was told to stop. */
  prolong(deadlines: Deadlines): void;
  /** Tells the collector to stop and ends the run at once. */
  cancel(): void;
}

interface Answer {
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
  const finish = (answer: Answer, hung: boolean): void =>
    end({ kind: 'finished', ...answer, hung, durationMs: clock.monotonic() - startedAt });
  const limit = (): string => durationText(abortAt - startedAt);

  async function ask(): Promise<Answer> {
    try {
      const outcome = await collector.collect({ signal: stop.signal, cause });
      return { outcome: acceptOutcome(outcome, collector) };
    } catch (thrown) {
      const what = describeThrown(thrown);
      // Told to stop, most things throw an AbortError: the deadline's doing, and no bug.
      if (stop.signal.aborted) return { outcome: failed('timeout', `no answer within ${limit()} (${what})`) };
      const stack = stackOf(thrown);
      const outcome = failed('internal', `a bug in ${collector.name}: ${what}`);
      return stack === undefined ? { outcome } : { outcome, stack };
    }
  }

  async function watch(): Promise<void> {
    while (!over.signal.aborted) {
      const now = clock.monotonic();
      if (now >= abortAt && !stop.signal.aborted)
        stop.abort(new DOMException(`no answer within ${limit()}`, 'TimeoutError'));
      if (now >= giveUpAt) {
        const message = `no answer within ${limit()}, and it does not stop when told to; it is not asked again before it does`;
        finish({ outcome: failed('timeout', message) }, true);
        return;
      }
      await clock.sleep((stop.signal.aborted ? giveUpAt : abortAt) - now, over.signal);
    }
  }

  const returned = ask().then((answer) => finish(answer, false));
  void watch();
  return {
    startedAt,
    startedAtWall,
    ended,
    returned,
    prolong(later) {
      if (stop.signal.aborted) return;
      abortAt = Math.max(abortAt, later.abortAt);
      giveUpAt = Math.max(giveUpAt, later.giveUpAt);
    },
    cancel() {
      end({ kind: 'cancelled' });
      stop.abort(new DOMException('the exporter stops', 'AbortError'));
    },
  };
}
