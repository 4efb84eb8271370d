/** A collector's state as the page, the API, the logs and the self-metrics read it: they cannot disagree. */
import type { FailureReason } from './outcome.ts';
import type { CollectorState } from './record.ts';

export type { CollectorState } from './record.ts';

export type ScheduleStatus =
  | { readonly kind: 'scrape'; readonly timeoutMs: number }
  | {
      readonly kind: 'interval';
      /** As wished. */
      readonly everyMs: number;
      /** As the budget allows. */
      readonly effectiveEveryMs: number;
      readonly timeoutMs: number;
      /** As promised. */
      readonly maxAgeMs: number;
      /** As it holds now: longer than `maxAgeMs` only when `budgetLimited`. */
      readonly effectiveMaxAgeMs: number;
      /** The budget keeps runs so far apart that the promise had to be stretched. */
      readonly budgetLimited: boolean;
    };

/** Times ending in `At` are wall clock, in milliseconds since 1970. */
export interface CollectorStatus {
  readonly name: string;
  readonly title: string;
  readonly schedule: ScheduleStatus;
  readonly state: CollectorState;
  /** Since when it has been in this state, for this reason. */
  readonly since: number;
  /** Only when failed. */
  readonly reason: FailureReason | undefined;
  /** For people: what failed and the mend, why there is nothing, what it waits for. Undefined when all is well. */
  readonly message: string | undefined;
  /** A run goes on, within its deadline. */
  readonly running: boolean;
  /** A run did not come back at its deadline and has not since; no other starts meanwhile. */
  readonly hung: boolean;
  /** A snapshot was withdrawn because it was older than its promise (also when the state is `failed`). */
  readonly stale: boolean;
  /** Start of the last run that ended. */
  readonly lastRunAt: number | undefined;
  /** When the source was last read with success. */
  readonly lastSuccessAt: number | undefined;
  /** Undefined for what runs with scrapes, while a run goes on, and while one hangs. */
  readonly nextRunAt: number | undefined;
  /** Of the last run that ended; up to the moment it was given up, if it hung. */
  readonly lastDurationMs: number | undefined;
  /** When the source was read for the newest snapshot, withdrawn or not; as the wall clock stands now. */
  readonly readAt: number | undefined;
  /** Age of that snapshot, by the monotonic clock. */
  readonly ageMs: number | undefined;
  readonly failures: Readonly<Record<FailureReason, number>>;
  /** Series that a scrape shows now. */
  readonly series: number;
  /** Series cut from what is shown now because there were more than the limit. */
  readonly seriesDropped: number;
  /** The same, of all runs since the start. */
  readonly seriesDroppedTotal: number;
}

/** The last run that ended was good, and what it read is within its promise. */
export const isHealthy = ({ state }: Pick<CollectorStatus, 'state'>): boolean =>
  state === 'ok' || state === 'empty';

/** A collector's state or reason changed. */
export interface CollectorChange {
  readonly from: CollectorState;
  readonly status: CollectorStatus;
}
