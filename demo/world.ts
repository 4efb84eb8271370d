/**
 * The state outside the database: which Gitalys run, what is on their disks, which network links are cut. The
 * Praefects detect it only through requests; incidents change it.
 */
import { storagesOf, type Topology } from './topology.ts';

export interface GitalyState {
  /** `stopped`: as after SIGSTOP, connections open and get no response. `dead`: connections are refused. */
  process: 'running' | 'stopped' | 'dead';
  /** Behavior of ReplicateRepository. Health checks succeed in every case. */
  replication: 'works' | 'slow' | 'hangs' | 'refuses';
  /** Whether it votes in time on the reference transactions of writes. */
  votes: boolean;
  /** Repositories in which a killed Git left refs/heads/main.lock. */
  readonly lockedReferences: Set<number>;
  /** Repositories that are missing on its disk. */
  readonly missing: Set<number>;
}

export interface World {
  gitaly(storage: string): GitalyState;
  /** Cuts the network between a Praefect and a storage; both keep running. */
  cutLink(praefect: string, storage: string): void;
  restoreLink(praefect: string, storage: string): void;
  /** The result of a request from that Praefect to that storage. */
  contact(praefect: string, storage: string): 'responds' | 'refuses' | 'hangs';
  /** Repositories in use by an incident; no other incident may choose them. */
  readonly chosen: Set<number>;
}

export function createWorld(topology: Topology): World {
  const gitalys = new Map<string, GitalyState>(
    storagesOf(topology).map((storage) => [
      storage,
      {
        process: 'running',
        replication: 'works',
        votes: true,
        lockedReferences: new Set(),
        missing: new Set(),
      },
    ]),
  );
  const cut = new Set<string>();
  const link = (praefect: string, storage: string): string => `${praefect} ${storage}`;

  function gitaly(storage: string): GitalyState {
    const found = gitalys.get(storage);
    if (found === undefined) throw new RangeError(`no Gitaly ${storage}`);
    return found;
  }

  return {
    gitaly,
    chosen: new Set(),
    cutLink: (praefect, storage) => {
      cut.add(link(praefect, storage));
    },
    restoreLink: (praefect, storage) => {
      cut.delete(link(praefect, storage));
    },
    contact(praefect, storage) {
      if (cut.has(link(praefect, storage))) return 'refuses';
      const { process } = gitaly(storage);
      return process === 'running' ? 'responds' : process === 'stopped' ? 'hangs' : 'refuses';
    },
  };
}

export interface Random {
  /** 0 <= x < 1. */
  next(): number;
  /** A whole number, 0 <= n < end. */
  below(end: number): number;
  pick<T>(from: readonly T[]): T | undefined;
}

/** Seeded, so that a run of the demo or of a test can be repeated. Mulberry32: 32 bits of state are enough here. */
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
