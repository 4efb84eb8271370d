/**
 * Counters of pods that go on through their pods' replacements. Each is of a pod's name on one node: a counter that
 * took a new `node` with it as it moved would be a new series, and Prometheus would never see it rise. So what a pod
 * went through on a node stays there, and is dropped with the name or the node.
 */
import { type Identity, identityKey } from '../identity.ts';

export interface PodTally {
  add(identity: Identity, what: string, by?: number): void;
  get(identity: Identity, what: string): number;
  /** Everything that was counted, by identity. */
  entries(): readonly { readonly identity: Identity; readonly counts: ReadonlyMap<string, number> }[];
  keep(isKept: (identity: Identity) => boolean): void;
}

export function createPodTally(): PodTally {
  const tallies = new Map<string, { identity: Identity; counts: Map<string, number> }>();
  return {
    add(identity, what, by = 1) {
      const key = identityKey(identity);
      const known = tallies.get(key) ?? { identity, counts: new Map<string, number>() };
      tallies.set(key, known);
      known.counts.set(what, (known.counts.get(what) ?? 0) + by);
    },
    get: (identity, what) => tallies.get(identityKey(identity))?.counts.get(what) ?? 0,
    entries: () => [...tallies.values()],
    keep(isKept) {
      for (const [key, { identity }] of tallies) if (!isKept(identity)) tallies.delete(key);
    },
  };
}
