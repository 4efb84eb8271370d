/** How many jobs the queue has lost, as a counter that neither falls nor needs a memory of its own. */
import type { QueueLook } from './queue.ts';

export interface RemovedCounter {
  /** To be passed to `queueSql` at the next look. */
  settledId(): number;
  /** The counter's value after a look, or undefined while it is not known. */
  after(look: QueueLook): number | undefined;
}

/**
 * `removed` is what was given out less what is left, but not simply of now: a sequence counts ids of inserts that
 * are not committed yet, so the difference would rise and fall back, and a counter that falls is taken for a reset
 * of all it ever counted. So it is told up to the newest id of the look before, whose inserts have ended since.
 * An insert that takes longer than two looks keeps the counter where it was until it is caught up.
 */
export function createRemovedCounter(): RemovedCounter {
  let settledId: number | undefined;
  let highest = 0;
  return {
    settledId: () => settledId ?? 0,
    after({ groups, newestId }) {
      const upTo = settledId;
      settledId = newestId;
      if (upTo === undefined || newestId === undefined) return undefined;
      // The sequence went back: another database, or a restored one.
      if (newestId < upTo) {
        highest = 0;
        return undefined;
      }
      highest = Math.max(highest, upTo - groups.reduce((sum, group) => sum + group.settled, 0));
      return highest;
    },
  };
}
