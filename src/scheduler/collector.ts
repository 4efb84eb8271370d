/** What a collector is: the metrics that it owns, when it runs, and how it reads its source. */
import type { Metric } from '../metrics/metric.ts';
import type { Budget } from './budget.ts';
import type { FailureReason, Outcome } from './outcome.ts';
import type { Wake } from './wake.ts';

/** `Snapshot` is the type of the data that its blocks are made from. */
export interface Collector<Snapshot = unknown> {
  /** Stable, snake_case, a label value: `praefect_health`. */
  readonly name: string;
  /** One line for the page: what it reads. */
  readonly title: string;
  /** Every metric whose samples this collector's blocks may hold; no other collector may. */
  readonly metrics: readonly Metric[];
  /**
   * Why its runs can fail: these are counted from 0 on, any other reason from its first failure on. Default: every
   * reason.
   */
  readonly failureReasons?: readonly FailureReason[];
  readonly schedule: Schedule;
  /**
   * Reads the source once. Expected failures are values; anything thrown is an internal error, which the runner
   * turns into a failed outcome (`internal`) of this collector only. It must stop when the signal aborts and has
   * half a second to return an outcome of its own. A collector that does not return is not run again until it does.
   */
  collect(run: Run): Promise<Outcome<Snapshot>>;
}

export interface Run {
  /** Aborts at the run's deadline and when the exporter stops. */
  readonly signal: AbortSignal;
  /**
   * `woken`: early, by the schedule's wake. `scrape`: a scrape waits for it. `due`: by its own schedule; also the
   * first run of a collector that otherwise runs at each scrape.
   */
  readonly cause: 'due' | 'woken' | 'scrape';
}

export type Schedule =
  /** Cheap and bounded: run while a scrape waits, under the scrape's own deadline, at most `timeoutMs`. */
  | { readonly kind: 'scrape'; readonly timeoutMs: number }
  /** On its own schedule; a scrape shows the newest snapshot. */
  | IntervalSchedule;

export interface IntervalSchedule {
  readonly kind: 'interval';
  /** From start to start. A failed run is retried within half a minute, if that is sooner. */
  readonly everyMs: number;
  readonly timeoutMs: number;
  /**
   * Staleness limit: an older snapshot is withdrawn and `collector_stale` becomes 1. While the budget makes runs
   * rarer, the limit is extended to two of the longer intervals and a timeout, at most to ten times itself, and
   * `collector_budget_limited` becomes 1. At least `everyMs`.
   */
  readonly maxAgeMs: number;
  /**
   * Shared with all collectors of the same source. A due run (except the first) waits until the budget allows it
   * and no other run uses the source, so a run must not wait for another collector's run. The code that queries the
   * source charges the budget, not the runner.
   */
  readonly budget?: Budget;
  /**
   * `reserved`: these collectors together may always spend half the budget, whatever the others have spent (the
   * health of storages must not wait behind a heavy refresh). If they need more, their intervals get longer, up to half
   * a minute. Default `shared`.
   */
  readonly priority?: 'shared' | 'reserved';
  /**
   * Runs the collector immediately, with cause `woken`, whatever the budget: such a run must use memory only. Calls
   * during a run cause one more run after it; two woken runs start at least half a second apart. Calls before the
   * first run do nothing, as that run covers them.
   */
  readonly wake?: Wake;
}
