/** How many jobs the queue has lost, as a counter that never falls and needs no storage of its own. */
interface RowsAfterRead {
  readonly jobs: readonly { readonly settled: number }[];
  /** Undefined: the role may not read the sequence. */
  readonly newestId: number | undefined;
}

interface RemovedCounter {
  /** Pass it to `queueSql` of the next read. */
  settledId(): number;
  /** The value after a read, or undefined while it is unknown. */
  after(rows: RowsAfterRead): number | undefined;
}

/**
 * Removed jobs are the ids assigned less the jobs left, but not simply those of now: a sequence includes ids of
 * inserts that are not committed yet, so the difference would rise and fall, and Prometheus takes a falling counter
 * for a reset of all it ever counted. So the count ends at the newest id of the previous read, whose inserts have
 * ended since. An insert that takes longer than two reads holds the counter until it is caught up.
 */
export function createRemovedCounter(): RemovedCounter {
  let settledId: number | undefined;
  let highest = 0;
  return {
    settledId: () => settledId ?? 0,
    after({ jobs, newestId }) {
      const upTo = settledId;
      settledId = newestId;
      if (upTo === undefined || newestId === undefined) return undefined;
      // The sequence went back: another database, or a restored one.
      if (newestId < upTo) {
        highest = 0;
        return undefined;
      }
      highest = Math.max(highest, upTo - jobs.reduce((sum, { settled }) => sum + settled, 0));
      return highest;
    },
  };
}
