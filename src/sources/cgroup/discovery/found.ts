/** What a look for Gitaly's cgroups comes to. */
import type { Failure } from '../../../scheduler/outcome.ts';
import type { GitalyTree } from '../tree.ts';

export type Found =
  | {
      readonly kind: 'found';
      /** By key; those of pods before the host's. */
      readonly trees: readonly GitalyTree[];
      /** What is not known and why, a line each, with the mend: for the page. */
      readonly missing: readonly string[];
      /** Uids of pods that hold Gitaly's cgroups, and that a whole list of pods does not have: not among the trees. */
      readonly unlisted: readonly string[];
      /** What could not be read; the trees are those that could. */
      readonly failures: readonly Failure[];
      /** Folders in which trees come and go, relative to the root: what `watchTrees` follows. */
      readonly folders: readonly string[];
    }
  /** There is no cgroup v2 to look into, or time ran out. */
  | ({ readonly kind: 'failed' } & Failure);

export interface Finder {
  /**
   * Looks for trees: at what is known to hold some, and each minute everywhere. One look at a time; a call during
   * another waits for it. Never rejects. Holds the event loop for a few milliseconds at a time, and no descriptor
   * after it has returned.
   */
  find(signal: AbortSignal): Promise<Found>;
}
