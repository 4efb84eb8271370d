/** The room as a whole: from servers and configurations to the collector that reads them, and what the page shows. */

import type { Clock } from '../../lib/clock.ts';
import type { Collector } from '../../scheduler/collector.ts';
import type { EventLog } from '../../scheduler/event-log.ts';
import { createGitalyCollector, type TargetRead } from './collector.ts';
import { createTurnedAwayWatch, type TurnedAway } from './dropped-requests.ts';
import type { ReadText } from './scrape/access.ts';
import type { ReadLimits } from './scrape/read-page.ts';
import type { Resolve } from './scrape/resolve.ts';
import type { ConfigSource, TargetSource } from './target.ts';

/** The names of all collectors of the room, for when it has nothing to read. */
export const gitalyCollectorNames: readonly string[] = ['gitaly_metrics'];

export interface GitalyRoomOptions {
  /** Who knows servers: the settings, and Kubernetes. No two may give the same server. */
  readonly targets: readonly TargetSource[];
  /** Who knows configurations of Gitaly. */
  readonly configs: readonly ConfigSource[];
  readonly limits: ReadLimits;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly events: EventLog;
  readonly resolve: Resolve;
  readonly readText: ReadText;
}

/** What no metric tells: why a server was not read, and since when a limit turns clients away. */
export interface GitalyView {
  readonly reads: readonly TargetRead[];
  readonly turnedAway: readonly TurnedAway[];
}

export interface GitalyRoom {
  readonly collectors: readonly Collector[];
  view(): GitalyView;
}

export function createGitalyRoom(options: GitalyRoomOptions): GitalyRoom {
  const turnedAway = createTurnedAwayWatch(options.clock, options.events);
  let reads: readonly TargetRead[] = [];
  const collector = createGitalyCollector({
    ...options,
    turnedAway,
    onRead: (newest) => {
      reads = newest;
    },
  });
  return {
    collectors: [collector],
    view: () => ({ reads, turnedAway: turnedAway.current() }),
  };
}
