/** The cgroups of one Gitaly as a tree of counters: what was last read of each, and how much of that is counted. */
import { dirname } from 'node:path/posix';
import type { CgroupFiles, CgroupFolder } from '../files/reading.ts';
import type { GitalyTree } from '../tree.ts';
import { type GroupState, noGroup } from './classify.ts';
import { type CountersReading, hasOnlyZeros, type OomCounters, zeroCounters } from './counters.ts';
import type { OomLevel } from './record.ts';

/** What a cgroup is to Gitaly. */
export interface CgroupRole {
  readonly path: string;
  readonly level: Exclude<OomLevel, 'node'>;
  /** The level of what was removed below it: the nearest that fits. */
  readonly childLevel: Exclude<OomLevel, 'node'>;
  readonly container: string | undefined;
  readonly bucket: number | undefined;
}

/** Where victims were, or whose limit was reached. */
export interface KillPlace {
  /** Of a removed cgroup: its own if it is known which one it was, else its parent's. */
  readonly role: CgroupRole;
  /** Undefined if the cgroup was removed. */
  readonly node: CounterNode | undefined;
}

export interface CounterNode {
  role: CgroupRole;
  readonly folder: CgroupFolder;
  /** By path. The buckets of gitaly-<pid> are listed when it moves; other children come from the tree. */
  readonly children: Map<string, CounterNode>;
  /** Children that were removed since this node was last counted. */
  removed: CgroupRole[];
  /** What came of the last reading; undefined before the first. */
  status: CountersReading['kind'] | undefined;
  /** memory.events as last read. Undefined if what it counted so far is unknown: the next reading counts nothing. */
  last: OomCounters | undefined;
  /** memory.events.local as last read. */
  local: OomCounters | undefined;
  /** How many of `last.kills` are counted, here or below. */
  counted: number;
  /** Own `oom` that no kill explains yet, and when it last moved (monotonic ms): the kill may follow. */
  ooms: number;
  oomsAt: number;
  group: GroupState<KillPlace>;
  /** When the group last had a kill (monotonic ms). */
  groupAt: number;
  /** Whether the buckets of gitaly-<pid> have been listed: those that appear later are new. */
  isListed: boolean;
}

export interface CounterTree {
  readonly top: CounterNode;
  /** What discovery found last, and what the nodes were last made from. */
  wanted: GitalyTree;
  synced: GitalyTree | undefined;
}

/** Buckets are many, and have neither. */
const noChildren = new Map<string, CounterNode>();
const noRoles: CgroupRole[] = [];

/** `base`: memory.events as counted so far: zero for a new cgroup, undefined if unknown. */
export const createNode = (
  files: CgroupFiles,
  role: CgroupRole,
  base: OomCounters | undefined,
): CounterNode => ({
  role,
  folder: files.folder(role.path),
  children: role.level === 'bucket' ? noChildren : new Map(),
  removed: role.level === 'bucket' ? noRoles : [],
  status: undefined,
  last: base,
  local: hasOnlyZeros(base) ? base : undefined,
  counted: base?.kills ?? 0,
  ooms: 0,
  oomsAt: 0,
  group: noGroup,
  groupAt: 0,
  isListed: false,
});

/** Of a re-created cgroup (zero), or one whose kills were counted elsewhere or not at all (undefined); with all below. */
export function resetNode(node: CounterNode, base: OomCounters | undefined): void {
  node.last = base;
  node.local = base;
  node.counted = 0;
  node.ooms = 0;
  node.group = noGroup;
  node.isListed &&= base !== undefined;
  for (const child of node.children.values()) resetNode(child, base);
}

/** The node and all below it: there may be thousands. */
export function* nodesOf(node: CounterNode): Generator<CounterNode> {
  yield node;
  for (const child of node.children.values()) yield* nodesOf(child);
}

export const bucketRole = (git: string, bucket: number): CgroupRole => ({
  path: `${git}/repos-${bucket}`,
  level: 'bucket',
  childLevel: 'bucket',
  container: undefined,
  bucket,
});

/** Every cgroup from the topmost of Gitaly's own down to gitaly-<pid>. */
function rolesOf({ containers, deadGit, git, pod }: GitalyTree): readonly CgroupRole[] {
  const roles = new Map<string, CgroupRole>();
  const add = (
    path: string,
    level: CgroupRole['level'],
    childLevel: CgroupRole['level'],
    container?: string,
  ): void => {
    if (path !== '.' && !roles.has(path))
      roles.set(path, { path, level, childLevel, container, bucket: undefined });
  };
  if (pod !== undefined) add(pod, 'pod', 'container');
  for (const { name, path } of containers) add(path, 'container', 'container', name);
  for (const { path } of git === undefined ? deadGit : [git, ...deadGit]) {
    // The folder that gitaly-<pid> is in: a limit of its own applies to all Git processes.
    add(dirname(path), 'git', 'git');
    add(path, 'git', 'bucket');
  }
  return [...roles.values()].sort((a, b) => a.path.length - b.path.length);
}

/** The topmost cgroup that is Gitaly's alone: the pod's slice; on a virtual machine the parent of gitaly-<pid>. */
export const topOf = (tree: GitalyTree): CgroupRole | undefined => rolesOf(tree)[0];

/**
 * Makes the nodes those of the wanted tree; the ones that stay keep their counters. Returns those that were removed,
 * still open.
 */
export function syncTree(files: CgroupFiles, tree: CounterTree): readonly CounterNode[] {
  const { synced, top, wanted } = tree;
  if (synced === wanted) return [];
  // What appears in a tree that was complete before is new. So is all of a pod in which nothing has happened yet.
  const base = synced !== undefined || hasOnlyZeros(top.last) ? zeroCounters : undefined;
  const nodes = [top];
  for (const role of rolesOf(wanted)) {
    if (role.path === top.role.path) {
      top.role = role;
      continue;
    }
    const parent = nodes.findLast((node) => role.path.startsWith(`${node.role.path}/`)) ?? top;
    const node = parent.children.get(role.path) ?? createNode(files, role, base);
    node.role = role;
    parent.children.set(role.path, node);
    nodes.push(node);
  }
  const kept = new Set(nodes);
  const removed: CounterNode[] = [];
  for (const node of nodes)
    if (node.role.childLevel !== 'bucket')
      for (const [path, child] of node.children)
        if (!kept.has(child)) {
          node.children.delete(path);
          if (child.status !== 'removed') node.removed.push(child.role);
          removed.push(child);
        }
  tree.synced = wanted;
  return removed;
}
