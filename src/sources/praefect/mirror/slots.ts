/**
 * From a repository's 64-bit key to its slot, the index under which every array of the mirror keeps it.
 *
 * An open-addressing table over typed arrays: 1,000,000 keys in a JavaScript Map of bigints take over 100 MB
 * and a second to fill; here they take 16 MB. Keys are two signed 32-bit halves, as they arrive from COPY.
 */

export interface Slots {
  /** Slots are numbers from 0 to limit - 1; removed ones leave holes, which are used again. */
  readonly limit: () => number;
  readonly size: () => number;
  /** How many slots the arrays of the owner have to hold at present. */
  readonly capacity: () => number;
  find(high: number, low: number): number | undefined;
  /** The slot of the key, added if it was not there. */
  ensure(high: number, low: number): number;
  remove(slot: number): void;
  /** Whether the slot holds a key at present. */
  used(slot: number): boolean;
  high(slot: number): number;
  low(slot: number): number;
  /** Makes room for `count` keys at once, so that loading them grows nothing step by step. */
  reserve(count: number): void;
}

/** `onGrow` is called with the new capacity before a slot beyond the old one is given out. */
export function createSlots(onGrow: (capacity: number) => void): Slots {
  let capacity = 0;
  let highs = new Int32Array(0);
  let lows = new Int32Array(0);
  let present = new Uint8Array(0);
  let buckets = new Int32Array(8); // slot + 1; 0 is empty
  let limit = 0;
  let size = 0;
  const holes: number[] = [];

  const home = (high: number, low: number, mask: number): number => {
    let hash = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b);
    hash ^= hash >>> 15;
    return (hash ^ (hash >>> 7)) & mask;
  };

  const place = (slot: number): void => {
    const mask = buckets.length - 1;
    let at = home(highs[slot] ?? 0, lows[slot] ?? 0, mask);
    while (buckets[at] !== 0) at = (at + 1) & mask;
    buckets[at] = slot + 1;
  };

  const grow = (wanted: number): void => {
    if (wanted > capacity) {
      capacity = wanted;
      highs = extended(highs, capacity);
      lows = extended(lows, capacity);
      present = extended(present, capacity);
      onGrow(capacity);
    }
    let length = buckets.length;
    while (length < capacity * 1.5) length *= 2;
    if (length === buckets.length) return;
    buckets = new Int32Array(length);
    for (let slot = 0; slot < limit; slot++) if (present[slot] === 1) place(slot);
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
    used: (slot) => present[slot] === 1,
    high: (slot) => highs[slot] ?? 0,
    low: (slot) => lows[slot] ?? 0,
    reserve: (count) => grow(Math.ceil(count * 1.1) + 64),
    find(high, low) {
      const at = bucketOf(high, low);
      return at < 0 ? undefined : (buckets[at] ?? 0) - 1;
    },
    ensure(high, low) {
      const at = bucketOf(high, low);
      if (at >= 0) return (buckets[at] ?? 0) - 1;
      let slot = holes.pop();
      if (slot === undefined) {
        if (limit === capacity) grow(Math.max(64, Math.ceil(capacity * 1.5)));
        slot = limit++;
      }
      highs[slot] = high;
      lows[slot] = low;
      present[slot] = 1;
      size++;
      place(slot);
      return slot;
    },
    remove(slot) {
      let gap = bucketOf(highs[slot] ?? 0, lows[slot] ?? 0);
      if (present[slot] !== 1 || gap < 0) return;
      present[slot] = 0;
      size--;
      holes.push(slot);
      // Linear probing without tombstones: move back whatever the gap would cut off from its home.
      const mask = buckets.length - 1;
      buckets[gap] = 0;
      for (let at = (gap + 1) & mask; buckets[at] !== 0; at = (at + 1) & mask) {
        const entry = buckets[at] ?? 0;
        const from = home(highs[entry - 1] ?? 0, lows[entry - 1] ?? 0, mask);
        if (((at - from) & mask) >= ((at - gap) & mask)) {
          buckets[gap] = entry;
          buckets[at] = 0;
          gap = at;
        }
      }
    },
  };
}

/** A longer copy of a typed array, or the array itself when it is long enough. */
export function extended<
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
