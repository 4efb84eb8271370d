/** The memory that all replica tables of a mirror may take together. */
import { UnacceptableRows } from '../database.ts';

/** Bounds the arrays of a whole mirror, so that rows without end do not fill the memory. */
export interface MirrorMemory {
  /** Throws UnacceptableRows when the arrays of all tables would become too large. */
  grow(cells: number): void;
}

/** Five million repositories on three storages, or two million on fifteen: 300 to 500 MB. */
const maxCells = 48_000_000;
/** What a repository takes besides its storages, in cells. */
export const cellsPerRow = 6;

export function createMirrorMemory(): MirrorMemory {
  let used = 0;
  return {
    grow(cells) {
      if (!(used + cells <= maxCells))
        throw new UnacceptableRows(
          'too_large',
          'more repositories and storages than the exporter keeps in memory (five million repositories with three replicas)',
        );
      used += cells;
    },
  };
}
