/**
 * The cgroup that a node's pods are in (kubepods.slice, or its part for a QoS class). Its total shows in one file that
 * nothing moved in any pod, and that there were kills in pods that have been removed.
 */

import type { Identity } from '../../identity.ts';
import { parentPath } from '../discovery/directory-cache.ts';
import type { CgroupFiles } from '../files/reading.ts';
import type { GitalyTree } from '../tree.ts';
import type { MovedCgroup } from './classify.ts';
import {
  type CgroupRole,
  type CounterNode,
  type CounterTree,
  createNode,
  type KillPlace,
  nodesOf,
  topOf,
} from './counter-tree.ts';
import {
  haveFallen,
  haveMoved,
  increaseOf,
  type OomCounters,
  readCounters,
  readCountersOnce,
  zeroCounters,
} from './counters.ts';
import type { CounterPass, ListChildren } from './deltas.ts';

/** What existed when counting began. */
export interface Baseline {
  /** The kubelet's cgroups, in which pods may be. */
  readonly podParents: readonly string[];
  /** Whether the cgroup was created since. False if that is unknown. */
  isNew(path: string): boolean;
}

/** kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice */
const maxDepth = 3;

export async function readBaseline(listChildren: ListChildren): Promise<Baseline> {
  const listed = new Map<string, ReadonlySet<string>>();
  let level = [''];
  for (let depth = 0; depth <= maxDepth; depth++) {
    const next: string[] = [];
    for (const path of level) {
      const children = await listChildren(path);
      if (children === undefined) continue;
      listed.set(path, new Set(children));
      next.push(...children.filter((each) => /kube/.test(each) && !/pod[0-9a-f]{8}[^/]*$/.test(each)));
    }
    level = next;
  }
  return {
    podParents: [...listed.keys()].filter((path) => path !== ''),
    isNew(path) {
      for (let at = path; at !== ''; at = parentPath(at))
        if (listed.get(parentPath(at))?.has(at) === false) return true;
      return false;
    },
  };
}

interface ParentDelta {
  readonly trees: readonly { readonly identity: Identity; readonly moved: MovedCgroup<KillPlace> }[];
  /** oom_kill in pods that were removed before they could be read, at least one of them Gitaly's. */
  readonly unattributed: number;
}

export interface PodParent {
  /** The Gitalys in it from now on. Returns the topmost nodes of those that are not in it any more, still open. */
  follow(trees: readonly GitalyTree[]): readonly CounterNode[];
  tree(key: string): CounterTree | undefined;
  count(pass: CounterPass): Promise<ParentDelta>;
  close(): void;
}

export function createPodParent(
  path: string,
  files: CgroupFiles,
  listChildren: ListChildren,
  baseline: Baseline,
): PodParent {
  const folder = files.folder(path);
  const gitalys = new Map<string, CounterTree>();
  /** Other pods by path, as last read. */
  let siblings = new Map<string, OomCounters>();
  /** Undefined before the first reading, which counts nothing. */
  let last: OomCounters | undefined = baseline.isNew(path) ? zeroCounters : undefined;
  /** Kills of the total that pods accounted for, or that were counted as unattributed or not Gitaly's. */
  let counted = 0;
  let isBaselineRead = false;
  let hasLostGitaly = false;

  function readTotal(): OomCounters | undefined {
    const first = readCounters(folder, 'memory.events');
    const reading = first.kind === 'removed' ? readCounters(folder, 'memory.events') : first;
    return reading.kind === 'value' ? reading.value : undefined;
  }

  /** Kills in other pods. `isComplete`: false if one of them could not be read, which may have the kills. */
  async function countSiblings(pass: CounterPass): Promise<{ kills: number; isComplete: boolean }> {
    const own = new Set([...gitalys.values()].map(({ top }) => top.role.path));
    const read = new Map<string, OomCounters>();
    let kills = 0;
    const children = await listChildren(path);
    let isComplete = children !== undefined;
    for (const sibling of children ?? []) {
      const counters = own.has(sibling) ? undefined : readCountersOnce(files, sibling);
      await pass.yieldIfDue();
      if (counters === 'failed') isComplete = false;
      if (counters === undefined || counters === 'failed') continue;
      kills += increaseOf(siblings.get(sibling) ?? zeroCounters, counters).kills;
      read.set(sibling, counters);
    }
    // Without a list, what was read before still counts.
    siblings = children === undefined ? siblings : read;
    return { kills, isComplete };
  }

  const isSettled = ({ synced, top, wanted }: CounterTree): boolean =>
    synced === wanted && top.status === 'value' && top.local !== undefined;

  function newTree(role: CgroupRole, wanted: GitalyTree): CounterTree {
    const known = siblings.get(role.path) ?? (baseline.isNew(role.path) ? zeroCounters : undefined);
    siblings.delete(role.path);
    return { top: createNode(files, role, known), wanted, synced: undefined };
  }

  function remove(key: string, top: CounterNode): CounterNode {
    gitalys.delete(key);
    if (top.status !== 'removed') hasLostGitaly = true;
    if (top.last !== undefined) siblings.set(top.role.path, top.last);
    return top;
  }

  return {
    follow(trees) {
      const tops = new Map(trees.map((tree) => [tree.key, topOf(tree)]));
      const removed = [...gitalys].flatMap(([key, { top }]) =>
        tops.get(key)?.path === top.role.path ? [] : [remove(key, top)],
      );
      for (const tree of trees) {
        const known = gitalys.get(tree.key);
        const role = tops.get(tree.key);
        if (known !== undefined) known.wanted = tree;
        else if (role !== undefined) gitalys.set(tree.key, newTree(role, tree));
      }
      return removed;
    },
    tree: (key) => gitalys.get(key),
    async count(pass) {
      const trees: { identity: Identity; moved: MovedCgroup<KillPlace> }[] = [];
      if (isBaselineRead && gitalys.size === 0 && !hasLostGitaly) return { trees, unattributed: 0 };
      const now = readTotal();
      if (now !== undefined && haveFallen(last, now)) {
        last = zeroCounters;
        counted = 0;
      }
      const isQuiet = now !== undefined && last !== undefined && !haveMoved(last, now);
      let kills = 0;
      let isUnread = false;
      for (const each of gitalys.values()) {
        if (isQuiet && isSettled(each)) continue;
        const wasRemoved = each.top.status === 'removed';
        const delta = await pass.count(each);
        kills += delta.kills;
        if (delta.moved !== undefined) trees.push({ identity: each.wanted.identity, moved: delta.moved });
        if (each.top.status === 'failed') isUnread = true;
        if (each.top.status === 'removed' && !wasRemoved) hasLostGitaly = true;
      }
      let unattributed = 0;
      if (now === undefined || isQuiet) counted += kills;
      else {
        const others = await countSiblings(pass);
        kills += others.kills;
        const rest = last === undefined ? 0 : Math.max(0, now.kills - counted - kills);
        if (hasLostGitaly && !isUnread && others.isComplete) unattributed = rest;
        // What a pod had that cannot be read now is counted when it can.
        counted = last === undefined ? now.kills : counted + kills + (isUnread ? 0 : rest);
        last = now;
      }
      isBaselineRead = true;
      hasLostGitaly = false;
      return { trees, unattributed };
    },
    close() {
      folder.close();
      for (const { top } of gitalys.values()) for (const node of nodesOf(top)) node.folder.close();
    },
  };
}
