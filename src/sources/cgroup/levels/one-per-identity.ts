/** A pod that is made anew under its old name leaves its slice behind for a moment: two trees, one set of labels. */
import { identityKey } from '../../identity.ts';
import type { GitalyTree } from '../tree.ts';

/** Of trees with the same identity the one that lives: with Git cgroups, else with more containers, else the later. */
export function onePerIdentity(trees: readonly GitalyTree[]): readonly GitalyTree[] {
  const chosen = new Map<string, GitalyTree>();
  for (const tree of trees) {
    const key = identityKey(tree.identity);
    const other = chosen.get(key);
    if (other === undefined || lifeOf(tree) >= lifeOf(other)) chosen.set(key, tree);
  }
  return [...chosen.values()];
}

const lifeOf = ({ git, containers }: GitalyTree): number =>
  (git === undefined ? 0 : 1000) + Math.min(999, containers.length);
