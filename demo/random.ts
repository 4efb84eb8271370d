/** Chance with a seed, so that a demo or a test that went wrong can be had again. */

export interface Random {
  /** 0 <= x < 1. */
  next(): number;
  /** A whole number, 0 <= n < end. */
  below(end: number): number;
  pick<T>(from: readonly T[]): T | undefined;
}

/** Mulberry32: 32 bits of state, good enough for choosing repositories. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (end: number): number => Math.floor(next() * end);
  return { next, below, pick: (from) => from[below(from.length)] };
}
