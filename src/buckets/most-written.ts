/** Of many replicas, the number of all and those with the most writes: bounded memory, however many come. */
import type { Replica } from '../sources/praefect/queries/replica-paths.ts';

export interface MostWritten {
  add(replica: Replica): void;
  total(): number;
  /** At most `limit`, the highest generation first, equal ones by path. */
  listed(): readonly Replica[];
}

export function createMostWritten(limit: number): MostWritten {
  let kept: Replica[] = [];
  let total = 0;
  const settle = (): void => {
    kept = kept.sort(byWrites).slice(0, limit);
  };
  return {
    add(replica) {
      total += 1;
      kept.push(replica);
      // Sorting at each arrival would cost more than the twofold of the memory.
      if (kept.length >= 2 * limit + 100) settle();
    },
    total: () => total,
    listed() {
      settle();
      return kept;
    },
  };
}

const byWrites = (a: Replica, b: Replica): number =>
  b.generation - a.generation || (a.relativePath < b.relativePath ? -1 : 1);
