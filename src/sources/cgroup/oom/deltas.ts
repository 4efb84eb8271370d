/**
 * Counts what moved in a counter tree, each kill once. A cgroup's total (memory.events, which keeps what its removed
 * children had) less what its children account for was killed in itself or in a removed child. Reading goes from top
 * to bottom, and no further down than something moved: in a quiet minute it is one file.
 */
import { basename } from 'node:path/posix';
import type { Yielder } from '../../../lib/yielder.ts';
import { bucketOf } from '../discovery/names.ts';
import type { CgroupFiles } from '../files/reading.ts';
import { knownOf } from '../files/reading.ts';
import { type MovedCgroup, noGroup } from './classify.ts';
import {
  bucketRole,
  type CounterNode,
  type CounterTree,
  createNode,
  type KillPlace,
  nodesOf,
  resetNode,
  syncTree,
} from './counter-tree.ts';
import {
  hasOnlyZeros,
  haveFallen,
  haveMoved,
  increaseOf,
  type OomCounters,
  readCounters,
  remainderOf,
  sumOf,
  zeroCounters,
} from './counters.ts';

interface TreeDelta {
  /** oom_kill that are counted now and were not before. */
  readonly kills: number;
  /** For `classify`; undefined without a kill. */
  readonly moved: MovedCgroup<KillPlace> | undefined;
}

/** The paths of the cgroups directly below one; undefined if they cannot be listed. */
export type ListChildren = (
  path: string,
) => readonly string[] | undefined | Promise<readonly string[] | undefined>;

export interface CounterPass {
  /** Reads and counts one Gitaly. Gives the event loop its turns. */
  count(tree: CounterTree): Promise<TreeDelta>;
  /** Closes nodes that were removed from a tree, with all below. */
  close(removed: Iterable<CounterNode>): Promise<void>;
  /** Gives the event loop a turn if one is due. */
  yieldIfDue(): Promise<void>;
}

/**
 * An `oom` or the first kill of a group may be read before what belongs to it, since its notification triggers the
 * reading: the rest follows within milliseconds, or within seconds if the report goes to a slow console. After this time a
 * kill has another cause.
 */
const sameIncidentMs = 5000;

interface Delta extends TreeDelta {
  /** The increase of memory.events. */
  readonly increase: OomCounters;
}

const noDelta: Delta = Object.freeze({ kills: 0, moved: undefined, increase: zeroCounters });

/** What the children of one node come to. */
interface Below {
  kills: number;
  increase: OomCounters;
  readonly moved: MovedCgroup<KillPlace>[];
}

/** `at`: monotonic ms. */
export function createCounterPass(
  files: CgroupFiles,
  listChildren: ListChildren,
  yielder: Yielder,
  at: number,
): CounterPass {
  async function count(tree: CounterTree): Promise<TreeDelta> {
    const { top } = tree;
    const now = readTotal(top, undefined);
    if (now === undefined) return noDelta;
    await close(syncTree(files, tree));
    return countNode(top, now);
  }

  async function countNode(node: CounterNode, now: OomCounters): Promise<Delta> {
    const { last, local, role } = node;
    const isLeaf = role.level === 'bucket';
    if (last !== undefined && (isLeaf || local !== undefined) && !haveMoved(last, now)) return noDelta;
    const below: Below = { kills: 0, increase: zeroCounters, moved: [] };
    if (isLeaf) return settleNode(node, now, now, below);
    if (role.childLevel === 'bucket') await listBuckets(node);
    for (const child of node.children.values()) {
      const total = readTotal(child, node);
      // Of thousands of buckets nearly none has moved.
      if (total !== undefined && (child.last === undefined || haveMoved(child.last, total)))
        addTo(below, await countNode(child, total));
      if (yielder.isDue()) await yielder.yield();
    }
    // After all below: the `oom` that a kill there belongs to has moved before it.
    const reading = readCounters(node.folder, 'memory.events.local');
    return settleNode(node, now, reading.kind === 'value' ? reading.value : undefined, below);
  }

  /** Undefined if there is nothing to count. `parent`: undefined for the top. */
  function readTotal(node: CounterNode, parent: CounterNode | undefined): OomCounters | undefined {
    const wasRemoved = node.status === 'removed';
    const first = readCounters(node.folder, 'memory.events');
    // Another cgroup may have been created in its place.
    const reading = first.kind === 'removed' ? readCounters(node.folder, 'memory.events') : first;
    const isBack = wasRemoved || first.kind === 'removed';
    if (first.kind === 'removed' && !wasRemoved) parent?.removed.push(node.role);
    node.status = reading.kind;
    if (reading.kind !== 'value') {
      // Its kills are counted with its parent until it can be read. Those of the top wait for it.
      if (reading.kind !== 'removed' && parent !== undefined) resetNode(node, undefined);
      return undefined;
    }
    if (haveFallen(node.last, reading.value)) resetNode(node, zeroCounters);
    else if (isBack && parent !== undefined && node.last !== undefined) resetNode(node, zeroCounters);
    // The same top, whose mount was absent: its counts continue, but only its own total shows which kills are new.
    else if (isBack) for (const child of node.children.values()) resetNode(child, undefined);
    return reading.value;
  }

  async function listBuckets(node: CounterNode): Promise<void> {
    const paths = await listChildren(node.role.path);
    if (paths === undefined) return;
    const base = node.isListed || hasOnlyZeros(node.last) ? zeroCounters : undefined;
    node.isListed = true;
    const present = new Set<string>();
    for (const path of paths) {
      const bucket = bucketOf(basename(path));
      if (bucket === undefined) continue;
      present.add(path);
      if (!node.children.has(path))
        node.children.set(path, createNode(files, bucketRole(node.role.path, bucket), base));
      if (yielder.isDue()) await yielder.yield();
    }
    for (const [path, child] of node.children) {
      if (present.has(path)) continue;
      node.children.delete(path);
      if (child.status !== 'removed') node.removed.push(child.role);
      child.folder.close();
      if (yielder.isDue()) await yielder.yield();
    }
  }

  /** What neither the node's counted kills nor its children account for is its own, or that of removed children. */
  function settleNode(
    node: CounterNode,
    now: OomCounters,
    local: OomCounters | undefined,
    below: Below,
  ): Delta {
    const { last } = node;
    const own = last === undefined ? 0 : Math.max(0, now.kills - node.counted - below.kills);
    const increase = last === undefined ? zeroCounters : increaseOf(last, now);
    const moved = movedOf(node, remainderOf(increase, below.increase), local, own, below);
    node.counted = last === undefined ? now.kills : node.counted + below.kills + own;
    node.last = now;
    node.local = local ?? node.local;
    node.removed.length = 0;
    return { kills: below.kills + own, moved, increase };
  }

  /** `rest`: the increase that no child accounts for. Splits it into the cgroup's own and that of removed children. */
  function movedOf(
    node: CounterNode,
    rest: OomCounters,
    local: OomCounters | undefined,
    own: number,
    below: Below,
  ): MovedCgroup<KillPlace> | undefined {
    const { folder, removed, role } = node;
    const isLeaf = role.level === 'bucket';
    const itself = isLeaf || local === undefined ? rest : increaseOf(node.local ?? local, local);
    if (at - node.oomsAt > sameIncidentMs) node.ooms = 0;
    if (at - node.groupAt > sameIncidentMs) node.group = noGroup;
    if (itself.ooms > 0) node.oomsAt = at;
    node.ooms += itself.ooms;
    const { groupKills } = itself;
    if (own + below.kills + groupKills === 0 && below.moved.length === 0) return undefined;

    // Cgroups that a container makes for itself (scope/init) are the container as well, unless Git's were removed.
    const isWhole = isLeaf || (role.level === 'container' && removed.length === 0);
    const kills = isWhole ? own : Math.min(own, itself.kills);
    const [onlyRemoved] = removed.length === 1 ? removed : [];
    const ofRemoved = remainderOf(rest, itself);
    const hidden: MovedCgroup<KillPlace> = {
      place: { role: onlyRemoved ?? role, node: undefined },
      level: onlyRemoved?.level ?? role.childLevel,
      kills: own - kills,
      ooms: ofRemoved.ooms,
      groupKills: ofRemoved.groupKills,
      isGroup: false,
      group: noGroup,
      children: [],
    };
    return {
      place: { role, node },
      level: role.level,
      kills,
      ooms: node.ooms,
      groupKills,
      isGroup: node.group !== noGroup || knownOf(folder.number('memory.oom.group')) === 1,
      group: node.group,
      children: hidden.kills > 0 ? [...below.moved, hidden] : below.moved,
    };
  }

  async function close(removed: Iterable<CounterNode>): Promise<void> {
    for (const top of removed)
      for (const node of nodesOf(top)) {
        node.folder.close();
        if (yielder.isDue()) await yielder.yield();
      }
  }

  return { count, close, yieldIfDue: () => yielder.yieldIfDue() };
}

function addTo(below: Below, delta: Delta): void {
  below.kills += delta.kills;
  below.increase = sumOf(below.increase, delta.increase);
  if (delta.moved !== undefined) below.moved.push(delta.moved);
}
