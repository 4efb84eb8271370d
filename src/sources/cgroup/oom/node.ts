/** The cgroups of one Gitaly as a tree of counters: what was read of each, and how much of that is counted. */
import { dirname } from 'node:path/posix';
import type { CgroupFiles, CgroupFolder } from '../files/reading.ts';
import type { GitalyTree, GitParent } from '../tree.ts';
import type { Counters } from './counters.ts';
import { type GroupState, noGroup } from './group.ts';
import type { OomLevel } from './record.ts';

/** What a cgroup is to Gitaly. */
export interface Shape {
  readonly path: string;
  readonly level: Exclude<OomLevel, 'node'>;
  /** Whose limit it was, when `oom` moved below in a cgroup that is gone or unknown: the nearest that it can be. */
  readonly below: Exclude<OomLevel, 'node'>;
  readonly container: string | undefined;
  readonly bucket: number | undefined;
}

/** Where victims were, or whose limit ran out. */
export interface Place {
  readonly shape: Shape;
  /** Undefined when it is gone: then `shape` is its, if it is known which one it was, else its parent's. */
  readonly node: CgroupNode | undefined;
}

/** What one pass found. */
export type Look =
  | {
      readonly kind: 'value';
      readonly counters: Counters;
      /** Another cgroup of the same name stands there now: it counts from 0. */
      readonly isAnew: boolean;
    }
  | { readonly kind: 'removed' | 'absent' | 'failed' };

export interface CgroupNode {
  shape: Shape;
  /** Opened when it is first asked for: 10,000 take a tenth of a second to make. */
  readonly folder: CgroupFolder;
  close(): void;
  readonly children: Map<string, CgroupNode>;
  /** Of gitaly-<pid>: its buckets, as they were last told. */
  buckets: readonly number[];
  /** Some of them may have no node yet: the next look makes it. */
  isSparse: boolean;
  /** Children that went since this one was last settled. */
  readonly lost: Shape[];
  /** What the last look made of it; undefined before the first. */
  status: Look['kind'] | undefined;
  /** memory.events as last read; undefined until then. */
  last: Counters | undefined;
  /** memory.events.local as last read. */
  local: Counters | undefined;
  /** The last pass could not read it: what was killed in it meanwhile is counted with its parent. */
  isMissed: boolean;
  /**
   * Kills of `last.kills` that are counted, here or below. It runs ahead for a moment when a kill was seen in a
   * child that this one, read before it, did not have yet.
   */
  counted: number;
  /** Own `oom` that no kill explains yet, and when it last moved (monotonic ms): the kill may be yet to come. */
  ooms: number;
  oomsAt: number;
  group: GroupState<Place>;
  /** When its group last had a kill. */
  groupAt: number;
  /** Something below was never read, or went: look there although nothing moved. */
  isDirty: boolean;
  look: Look | undefined;
  lookLocal: Counters | undefined;
}

/** Buckets are many, and have neither: they share them. */
const noChildren: Map<string, CgroupNode> = new Map();
const nothingLost: Shape[] = [];

export function createNode(files: CgroupFiles, shape: Shape): CgroupNode {
  let folder: CgroupFolder | undefined;
  return {
    shape,
    get folder() {
      folder ??= files.folder(shape.path);
      return folder;
    },
    close() {
      folder?.close();
    },
    children: shape.level === 'bucket' ? noChildren : new Map(),
    buckets: [],
    isSparse: false,
    lost: shape.level === 'bucket' ? nothingLost : [],
    status: undefined,
    last: undefined,
    local: undefined,
    isMissed: false,
    counted: 0,
    ooms: 0,
    oomsAt: 0,
    group: noGroup,
    groupAt: 0,
    isDirty: true,
    look: undefined,
    lookLocal: undefined,
  };
}

/** Everything below and itself; which is still to be closed, and that may be thousands. */
export function* uproot(node: CgroupNode): Generator<CgroupNode> {
  for (const child of node.children.values()) yield* uproot(child);
  node.children.clear();
  yield node;
}

/** Every path between Gitaly's top and its buckets: these left out, for there may be thousands. */
function levelsOf(tree: GitalyTree): readonly Shape[] {
  const shapes = new Map<string, Shape>();
  const add = (
    path: string,
    level: Shape['level'],
    below: Shape['below'],
    container?: string | undefined,
  ): void => {
    if (path !== '' && path !== '.' && !shapes.has(path))
      shapes.set(path, { path, level, below, container, bucket: undefined });
  };
  if (tree.pod !== undefined) add(tree.pod, 'pod', 'container');
  for (const { name, path } of tree.containers) add(path, 'container', 'container', name);
  for (const git of gitParentsOf(tree)) {
    // The folder that Gitaly's own are made in: a limit of its own is one of all Git processes.
    add(dirname(git.path), 'git', 'git');
    add(git.path, 'git', 'bucket');
  }
  return [...shapes.values()].sort((a, b) => a.path.length - b.path.length);
}

const gitParentsOf = ({ deadGit, git }: GitalyTree): readonly GitParent[] =>
  git === undefined ? deadGit : [git, ...deadGit];

/** The uppermost cgroup that is Gitaly's alone: the pod's slice; on a virtual machine the parent of gitaly-<pid>. */
export const topOf = (tree: GitalyTree): Shape | undefined => levelsOf(tree)[0];

/**
 * Makes the nodes below `top` those of the tree; what stays keeps what is known of it. Nodes that went are handed to
 * `bury`, to be closed.
 */
export function reshape(
  files: CgroupFiles,
  top: CgroupNode,
  tree: GitalyTree,
  bury: (node: CgroupNode) => void,
): void {
  const wanted = new Map<CgroupNode, Set<string>>([[top, new Set()]]);
  const nodes = [top];
  const drop = (parent: CgroupNode, child: CgroupNode): void => {
    parent.children.delete(child.shape.path);
    // One that was found gone has been lost already.
    if (child.status !== 'removed') parent.lost.push(child.shape);
    bury(child);
  };
  for (const shape of levelsOf(tree)) {
    if (shape.path === top.shape.path) {
      top.shape = shape;
      continue;
    }
    const parent = nodes.findLast(({ shape: { path } }) => shape.path.startsWith(`${path}/`));
    if (parent === undefined) continue;
    const node = parent.children.get(shape.path) ?? adopt(files, nodes, parent, shape);
    node.shape = shape;
    wanted.get(parent)?.add(shape.path);
    wanted.set(node, new Set());
    nodes.push(node);
  }
  for (const { buckets, path: git } of gitParentsOf(tree)) {
    const parent = nodes.find(({ shape: { path } }) => path === git);
    if (parent === undefined) continue;
    wanted.delete(parent);
    if (hasSame(parent.buckets, buckets)) continue;
    parent.buckets = buckets;
    parent.isSparse = true;
    const there = new Set(buckets);
    for (const child of parent.children.values())
      if (!there.has(child.shape.bucket ?? -1)) drop(parent, child);
    soil(nodes, `${git}/repos`);
  }
  for (const [node, paths] of wanted)
    for (const [path, child] of node.children)
      if (!paths.has(path)) {
        drop(node, child);
        soil(nodes, path);
      }
}

const hasSame = (left: readonly number[], right: readonly number[]): boolean =>
  left.length === right.length && left.every((bucket, at) => bucket === right[at]);

export const bucketShape = (git: string, bucket: number): Shape => ({
  path: `${git}/repos-${bucket}`,
  level: 'bucket',
  below: 'bucket',
  container: undefined,
  bucket,
});

/** `nodes`: those among which `parent` and all around it are. */
function adopt(
  files: CgroupFiles,
  nodes: readonly CgroupNode[],
  parent: CgroupNode,
  shape: Shape,
): CgroupNode {
  const node = createNode(files, shape);
  parent.children.set(shape.path, node);
  soil(nodes, shape.path);
  return node;
}

/** The next pass shall look at everything from the top to the path. */
function soil(nodes: readonly CgroupNode[], path: string): void {
  for (const node of nodes) if (path.startsWith(`${node.shape.path}/`)) node.isDirty = true;
}
