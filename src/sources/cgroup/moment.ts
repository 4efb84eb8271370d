/** When something happened, by both clocks: the host's clock may be set later, by hours in either direction. */
import type { Clock } from '../../lib/clock.ts';

export interface Moment {
  /** Milliseconds since 1970, by the clock of that time. */
  readonly wall: number;
  readonly monotonic: number;
}

type Clocks = Pick<Clock, 'now' | 'monotonic'>;

/** Corrections of NTP are smaller. */
const maxDriftMs = 60_000;

export const currentMoment = (clock: Clocks): Moment => ({ wall: clock.now(), monotonic: clock.monotonic() });

export const msSince = ({ monotonic }: Moment, clock: Clocks): number => clock.monotonic() - monotonic;

/**
 * Milliseconds since 1970 by the clock of now, so that the age that a reader computes is true: as recorded, unless the
 * clock was set since.
 */
export function wallTimeOf(moment: Moment, clock: Clocks): number {
  const byAge = clock.now() - msSince(moment, clock);
  return Math.abs(byAge - moment.wall) > maxDriftMs ? byAge : moment.wall;
}
