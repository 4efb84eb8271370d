/** All Gitalys of this host as trees of counters, grown and pruned as they come and go. */
import { dirname } from 'node:path/posix';
import type { Slices } from '../buckets/slices.ts';
import type { CgroupFiles } from '../files/reading.ts';
import type { GitalyTree } from '../tree.ts';
import { count, type Moment } from './count.ts';
import { fell } from './counters.ts';
import { createLooker, type Looker } from './look.ts';
import type { Children, Start } from './neighbours.ts';
import { type CgroupNode, createNode, reshape, topOf, uproot } from './node.ts';
import { createPodSlice, type PodSlice, type Settled } from './slice.ts';

export interface Forest {
  /** Not while it settles. */
  follow(trees: readonly GitalyTree[]): void;
  /** Counts what moved since the last time; hands on each part as soon as it is counted. False when given up. */
  settle(slices: Slices, moment: Moment, take: (settled: Settled) => void): Promise<boolean>;
  /** The uppermost node of a tree that is followed. */
  top(tree: string): CgroupNode | undefined;
  close(): void;
}

interface Followed {
  tree: GitalyTree | undefined;
  readonly top: CgroupNode;
  /** Undefined where nothing of the kubelet's is around. */
  readonly slice: PodSlice | undefined;
}

export function createForest(files: CgroupFiles, childrenOf: Children, start: Start): Forest {
  const followed = new Map<string, Followed>();
  /** By path. One that has no Gitaly left stays for what its last had; there are three at most. */
  const podSlices = new Map<string, PodSlice>();
  /** Cgroups that are followed no more, still open. */
  const buried: CgroupNode[] = [];

  function sliceOf(tree: GitalyTree, top: string): PodSlice | undefined {
    const path = dirname(top);
    if (tree.pod === undefined || path === '.') return undefined;
    const known = podSlices.get(path) ?? createPodSlice(files, childrenOf, path, start);
    podSlices.set(path, known);
    return known;
  }

  function grow(tree: GitalyTree): Followed | undefined {
    const shape = topOf(tree);
    if (shape === undefined) return undefined;
    const one: Followed = {
      tree: undefined,
      top: createNode(files, shape),
      slice: sliceOf(tree, shape.path),
    };
    one.slice?.tops.set(tree.key, one.top);
    followed.set(tree.key, one);
    return one;
  }

  function bury(key: string, { slice, top }: Followed): void {
    followed.delete(key);
    slice?.tops.delete(key);
    if (top.status !== 'removed') slice?.lose(key, top.shape);
    buried.push(top);
  }

  /** In slices: thousands of buckets go with their gitaly-<pid>. */
  async function closeBuried(slices: Slices): Promise<boolean> {
    for (let node = buried.pop(); node !== undefined; node = buried.pop())
      for (const each of uproot(node)) {
        each.close();
        if (!(await slices.next())) {
          for (const left of uproot(node)) left.close();
          return false;
        }
      }
    return true;
  }

  async function settleAlone({ top }: Followed, looker: Looker, moment: Moment) {
    if (!(await looker.look(top))) return undefined;
    return count(top, moment, moment.isBaseline ? undefined : budgetOf(top));
  }

  /** Nothing is around it that would bound what is believed of one that was not there at the last look. */
  function budgetOf({ counted, last, look, shape, status }: CgroupNode): number | undefined {
    if (look?.kind !== 'value') return undefined;
    const { kills } = look.counters;
    if (last === undefined) return since(shape.path, kills);
    // Back after it was gone: another one, or the same behind a mount that was away, where its counters stand higher.
    return status === 'removed' && !fell(last, look.counters) ? kills - counted : undefined;
  }

  /** Kills since the start in a cgroup that is read for the first time. */
  function since(path: string, kills: number): number {
    const then = start.of(path);
    if (then === 'new') return kills;
    return then === 'unknown' ? 0 : Math.max(0, kills - then.kills);
  }

  return {
    follow(trees) {
      const tops = new Map(trees.map((tree) => [tree.key, topOf(tree)?.path]));
      for (const [key, one] of followed) if (tops.get(key) !== one.top.shape.path) bury(key, one);
      for (const tree of trees) {
        const one = followed.get(tree.key) ?? grow(tree);
        if (one === undefined || one.tree === tree) continue;
        reshape(files, one.top, tree, (node) => buried.push(node));
        one.tree = tree;
      }
    },
    async settle(slices, moment, take) {
      if (!(await closeBuried(slices))) return false;
      const looker = createLooker(files, childrenOf, slices);
      for (const slice of podSlices.values()) {
        const settled = await slice.settle(looker, slices, moment);
        if (settled === undefined) return false;
        take(settled);
      }
      for (const [tree, one] of followed) {
        if (one.slice !== undefined) continue;
        const counts = await settleAlone(one, looker, moment);
        if (counts === undefined) return false;
        if (counts.moved !== undefined) take({ found: [{ tree, moved: counts.moved }], unattributed: 0 });
      }
      return true;
    },
    top: (tree) => followed.get(tree)?.top,
    close() {
      for (const node of [...buried, ...[...followed.values()].map(({ top }) => top)])
        for (const each of uproot(node)) each.close();
      for (const slice of podSlices.values()) slice.close();
      followed.clear();
      podSlices.clear();
    },
  };
}
