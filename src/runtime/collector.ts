/** What a collector is: the metrics it owns, when it runs, and one question. */
import type { Metric } from '../metrics/metric.ts';
import type { Budget } from './budget.ts';
import type { Outcome } from './outcome.ts';
import type { Wake } from './wake.ts';

export interface Collector {
  /** Stable, snake_case, a label value: `praefect_health`. */
  readonly name: string;
  /** One line for the page: what it reads. */
  readonly title: string;
  /** Every metric whose samples this collector's blocks may hold; no other collector may. */
  readonly metrics: readonly Metric[];
  readonly schedule: Schedule;
  /**
   * Asks the source once. Expected failures are values; whatever is thrown is a bug, which the runner turns
   * into a failed outcome (`internal`) of this collector alone. Must give up when the signal aborts.
   */
  collect(run: Run): Promise<Outcome>;
}

export interface Run {
  /** Aborts at the run's deadline and when the exporter stops. */
  readonly signal: AbortSignal;
  /** `woken`: early, by the schedule's wake. `scrape`: a scrape waits for it. */
  readonly cause: 'due' | 'woken' | 'scrape';
}

export type Schedule =
  /** Cheap and bounded: run while a scrape waits, under the scrape's own deadline, at most `timeoutMs`. */
  | { readonly kind: 'scrape'; readonly timeoutMs: number }
  /** On its own time; a scrape takes the newest snapshot. */
  | IntervalSchedule;

export interface IntervalSchedule {
  readonly kind: 'interval';
  /** From start to start. */
  readonly everyMs: number;
  readonly timeoutMs: number;
  /**
   * The promise: a snapshot older than this is withdrawn, and `collector_stale` says so. When the budget allows
   * runs only more rarely than this, the promise is stretched and the page and a metric say that instead.
   */
  readonly maxAgeMs: number;
  /** Shared with all others that burden the same source: a due run waits until the budget allows it. */
  readonly budget?: Budget;
  /**
   * `reserved`: may always spend half the budget, whatever others have spent (the health of storages must not
   * wait behind a heavy look); when it needs more than that half, its interval stretches. Default `shared`.
   */
  readonly priority?: 'shared' | 'reserved';
  /** Runs at once, with cause `woken`, without asking the budget: such a run must be answered from memory. */
  readonly wake?: Wake;
}
