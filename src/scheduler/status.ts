/** A collector's state as the page, the API, the logs and the self-metrics read it, so that they cannot disagree. */
import type { FailureReason } from './outcome.ts';
import type { CollectorState } from './record.ts';

export type { CollectorState } from './record.ts';

/** In effect now: the budget may make runs rarer than configured, and then extends the staleness limit. */
export interface EffectiveSchedule {
  readonly everyMs: number;
  readonly maxAgeMs: number;
  /** The budget makes runs so rare that the staleness limit was extended. */
  readonly budgetLimited: boolean;
}

/** Times ending in `At` are wall clock, in milliseconds since 1970. */
export interface CollectorStatus {
  readonly name: string;
  readonly title: string;
  /** Undefined: it runs at each scrape. */
  readonly schedule: EffectiveSchedule | undefined;
  readonly state: CollectorState;
  /** Since when it has been in this state, for this reason. */
  readonly since: number;
  /** Only when failed. */
  readonly reason: FailureReason | undefined;
  /** For people: what failed and how to fix it, why there is no data, what it waits for. Undefined when ok. */
  readonly message: string | undefined;
  /** A run has not returned since its deadline; no other starts until it does. */
  readonly hung: boolean;
  /** A snapshot was withdrawn because of its age (also when the state is `failed`). */
  readonly stale: boolean;
  /** When the source was last read with success. */
  readonly lastSuccessAt: number | undefined;
  /** Of the last run that ended; until it was given up, if it hung. */
  readonly lastDurationMs: number | undefined;
  /** When the source was read for the newest snapshot, withdrawn or not; as the wall clock stands now. */
  readonly readAt: number | undefined;
  /** Age of that snapshot, by the monotonic clock. */
  readonly ageMs: number | undefined;
  readonly failures: ReadonlyMap<FailureReason, number>;
  /** Series that a scrape shows now. */
  readonly series: number;
  /** Series cut from what is shown now because there were more than the limit. */
  readonly seriesDropped: number;
  /** The same, of all runs since the start. */
  readonly seriesDroppedTotal: number;
}

/** The last run that ended succeeded, and its snapshot is within its staleness limit. */
export const isHealthy = ({ state }: Pick<CollectorStatus, 'state'>): boolean =>
  state === 'ok' || state === 'empty';
