/** What a collector is: the metrics it owns, when it runs, and one question. */
import type { Metric } from '../metrics/metric.ts';
import type { Budget } from './budget.ts';
import type { Outcome } from './outcome.ts';
import type { Wake } from './wake.ts';

/** `Snapshot` is the type of the data that its blocks are made from. */
export interface Collector<Snapshot = unknown> {
  /** Stable, snake_case, a label value: `praefect_health`. */
  readonly name: string;
  /** One line for the page: what it reads. */
  readonly title: string;
  /** Every metric whose samples this collector's blocks may hold; no other collector may. */
  readonly metrics: readonly Metric[];
  readonly schedule: Schedule;
  /**
   * Asks the source once. Expected failures are values; whatever is thrown is a bug, which the runner turns
   * into a failed outcome (`internal`) of this collector alone. Must give up when the signal aborts, and has
   * half a second from then to say how it ended; one that does not come back is not asked again before it does.
   */
  collect(run: Run): Promise<Outcome<Snapshot>>;
}

export interface Run {
  /** Aborts at the run's deadline and when the exporter stops. */
  readonly signal: AbortSignal;
  /**
   * `woken`: early, by the schedule's wake. `scrape`: a scrape waits for it. `due`: in its own time; also the
   * first run of what is otherwise read at each scrape.
   */
  readonly cause: 'due' | 'woken' | 'scrape';
}

export type Schedule =
  /** Cheap and bounded: run while a scrape waits, under the scrape's own deadline, at most `timeoutMs`. */
  | { readonly kind: 'scrape'; readonly timeoutMs: number }
  /** On its own time; a scrape takes the newest snapshot. */
  | IntervalSchedule;

export interface IntervalSchedule {
  readonly kind: 'interval';
  /** From start to start. After a failed run the next comes within half a minute, if that is sooner. */
  readonly everyMs: number;
  readonly timeoutMs: number;
  /**
   * The promise: a snapshot older than this is withdrawn, and `collector_stale` says so. While the budget allows
   * runs only more rarely, the promise is stretched to two of its intervals and a timeout, at most to ten times
   * itself, and the page and a metric say that. At least `everyMs`.
   */
  readonly maxAgeMs: number;
  /**
   * Shared with all others that burden the same source: a due run waits until the budget allows it (all but the
   * first), and until no other run is at the source; so a run must not wait for another collector's. Whoever
   * asks the source charges the budget, not the runner.
   */
  readonly budget?: Budget;
  /**
   * `reserved`: those together may always spend half the budget, whatever others have spent (the health of
   * storages must not wait behind a heavy look); when they need more than that half, their intervals stretch.
   * Default `shared`.
   */
  readonly priority?: 'shared' | 'reserved';
  /**
   * Runs at once, with cause `woken`, without asking the budget: such a run must be answered from memory. Calls
   * during a run make one more after it, and two woken runs start half a second apart at least. Before the
   * first look they do nothing: that look answers them.
   */
  readonly wake?: Wake;
}
