/**
 * Times of the database by the exporter's clock, with which page, alerts and dashboards compare them. Without the
 * correction a database whose clock is an hour behind would have no heartbeat for an hour.
 */
import type { Clock } from '../../lib/clock.ts';

/** In the details of each metric that is such a time. */
export const localTimeNote = "By the exporter's clock, to a second: see praefect_db_clock_skew_seconds.";

export interface DatabaseClock {
  /** @param databaseNow the database's now(), in seconds since 1970, of a query that has just returned */
  measured(databaseNow: number): void;
  /** A time of the database; unchanged while both clocks agree, and before the first measurement. */
  local(time: number): number;
}

/** Below this the difference may be that of a slow query. */
const minSkewSeconds = 2;

export function createDatabaseClock(clock: Clock): DatabaseClock {
  /** In whole seconds, and changed by a whole second only: an unchanged time stays the same number at every read. */
  let skew = 0;
  return {
    measured(databaseNow) {
      const found = databaseNow - clock.now() / 1000;
      if (Math.abs(found) < minSkewSeconds) skew = 0;
      else if (Math.abs(found - skew) >= 1) skew = Math.round(found);
    },
    local: (time) => time - skew,
  };
}
