/**
 * From a repository's 64-bit key to its row number, the index under which every array of the mirror keeps it.
 *
 * A hash table with open addressing over typed arrays: 1,000,000 keys in a JavaScript Map of bigints take over 100 MB
 * and a second to fill, here 16 MB. Keys are two signed 32-bit halves, as COPY sends them.
 */

export interface KeyIndex {
  /** Row numbers are below this. Removed rows leave gaps, which are reused. */
  readonly limit: () => number;
  readonly size: () => number;
  /** How many rows the owner's arrays must hold. */
  readonly capacity: () => number;
  find(high: number, low: number): number | undefined;
  /** The row of the key, added if it is new. */
  ensure(high: number, low: number): number;
  remove(row: number): void;
  /** Whether the row has a key. */
  used(row: number): boolean;
  high(row: number): number;
  low(row: number): number;
  /** Grows to hold `count` keys, so that a load does not grow the arrays step by step. */
  reserve(count: number): void;
}

/**
 * @param onGrow called with the new capacity before a row beyond the old one is returned; may throw, then nothing grows
 * @param onRow called with each row before it is used for the first time
 */
export function createKeyIndex(
  onGrow: (capacity: number) => void,
  onRow: (row: number) => void = () => undefined,
): KeyIndex {
  let capacity = 0;
  let highs = new Int32Array(0);
  let lows = new Int32Array(0);
  let present = new Uint8Array(0);
  let buckets = new Int32Array(8); // row + 1; 0 is empty
  let limit = 0;
  let size = 0;
  const gaps: number[] = [];

  const home = (high: number, low: number, mask: number): number => {
    let hash = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b);
    hash ^= hash >>> 15;
    return (hash ^ (hash >>> 7)) & mask;
  };

  const place = (row: number): void => {
    const mask = buckets.length - 1;
    let at = home(highs[row] ?? 0, lows[row] ?? 0, mask);
    while (buckets[at] !== 0) at = (at + 1) & mask;
    buckets[at] = row + 1;
  };

  const grow = (wanted: number): void => {
    if (wanted > capacity) {
      onGrow(wanted); // first, as it may refuse
      capacity = wanted;
      highs = grown(highs, capacity);
      lows = grown(lows, capacity);
      present = grown(present, capacity);
    }
    let length = buckets.length;
    while (length < capacity * 1.5) length *= 2;
    if (length === buckets.length) return;
    buckets = new Int32Array(length);
    for (let row = 0; row < limit; row++) if (present[row] === 1) place(row);
  };

  /** The bucket that holds the key, or -1. */
  const bucketOf = (high: number, low: number): number => {
    const mask = buckets.length - 1;
    let at = home(high, low, mask);
    for (;;) {
      const entry = buckets[at] ?? 0;
      if (entry === 0) return -1;
      if (lows[entry - 1] === low && highs[entry - 1] === high) return at;
      at = (at + 1) & mask;
    }
  };

  return {
    limit: () => limit,
    size: () => size,
    capacity: () => capacity,
    used: (row) => present[row] === 1,
    high: (row) => highs[row] ?? 0,
    low: (row) => lows[row] ?? 0,
    reserve: (count) => grow(Math.ceil(count * 1.1) + 64),
    find(high, low) {
      const at = bucketOf(high, low);
      return at < 0 ? undefined : (buckets[at] ?? 0) - 1;
    },
    ensure(high, low) {
      const at = bucketOf(high, low);
      if (at >= 0) return (buckets[at] ?? 0) - 1;
      let row = gaps.pop();
      if (row === undefined) {
        if (limit === capacity) grow(Math.max(64, Math.ceil(capacity * 1.5)));
        row = limit++;
        onRow(row);
      }
      // Zero for ids below 2^32: what is never written to takes no memory, 4 MB of a million rows.
      if (highs[row] !== high) highs[row] = high;
      lows[row] = low;
      present[row] = 1;
      size++;
      place(row);
      return row;
    },
    remove(row) {
      let empty = bucketOf(highs[row] ?? 0, lows[row] ?? 0);
      if (present[row] !== 1 || empty < 0) return;
      present[row] = 0;
      size--;
      gaps.push(row);
      // Linear probing without tombstones: move back every entry that the empty bucket would cut off from its home.
      const mask = buckets.length - 1;
      buckets[empty] = 0;
      for (let at = (empty + 1) & mask; buckets[at] !== 0; at = (at + 1) & mask) {
        const entry = buckets[at] ?? 0;
        const from = home(highs[entry - 1] ?? 0, lows[entry - 1] ?? 0, mask);
        if (((at - from) & mask) >= ((at - empty) & mask)) {
          buckets[empty] = entry;
          buckets[at] = 0;
          empty = at;
        }
      }
    },
  };
}

/** A longer copy of a typed array, or the array itself when it is long enough. */
export function grown<
  A extends
    | Int32Array<ArrayBuffer>
    | Uint32Array<ArrayBuffer>
    | Uint16Array<ArrayBuffer>
    | Uint8Array<ArrayBuffer>,
>(array: A, length: number): A {
  if (array.length >= length) return array;
  const longer = new (array.constructor as new (length: number) => A)(length);
  longer.set(array);
  return longer;
}
