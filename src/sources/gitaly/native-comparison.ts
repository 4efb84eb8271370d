/**
 * Remembers for how many reads in a row Praefect's own count of unavailable repositories was another than ours.
 * The two are never taken in the same moment, so that one read which differs says nothing.
 */
import type { Clock } from '../../lib/clock.ts';

/** Virtual storage -> unavailable repositories. */
export type Unavailable = ReadonlyMap<string, number>;

export interface Difference {
  readonly virtualStorage: string;
  /** Reads in a row, this one included, at whose moment the two numbers differed. */
  readonly reads: number;
  /** Of the first of them: Clock.now(). */
  readonly since: number;
}

export interface NativeComparison {
  /** After each read of Praefect's page: its numbers, and ours of that moment. */
  look(native: Unavailable, ours: Unavailable): void;
  current(): readonly Difference[];
}

/** @param maxGapMs reads further apart than this are not in a row */
export function createNativeComparison(clock: Clock, maxGapMs: number): NativeComparison {
  let differences: readonly Difference[] = [];
  let lookedAt = -Infinity;
  return {
    look(native, ours) {
      const now = clock.monotonic();
      const before = now - lookedAt > maxGapMs ? [] : differences;
      lookedAt = now;
      differences = [...native].flatMap(([virtualStorage, count]): Difference[] => {
        const own = ours.get(virtualStorage);
        if (own === undefined || own === count) return [];
        const known = before.find((each) => each.virtualStorage === virtualStorage);
        return [{ virtualStorage, reads: (known?.reads ?? 0) + 1, since: known?.since ?? clock.now() }];
      });
    },
    current: () => differences,
  };
}
