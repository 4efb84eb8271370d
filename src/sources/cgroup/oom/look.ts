/**
 * One look at the counters below a cgroup, from top to bottom, and no further down than something moved: in a quiet
 * minute it is one file. Nothing is counted here, so that a look can be given up at any file.
 */
import { basename } from 'node:path/posix';
import type { Slices } from '../buckets/slices.ts';
import type { CgroupFiles } from '../files/reading.ts';
import { added, type Counters, fell, haveMoved, readCounters, zero } from './counters.ts';
import type { Children } from './neighbours.ts';
import { bucketShape, type CgroupNode, createNode, type Look } from './node.ts';

export interface Looker {
  /** False when it was given up: then all of this look is void. */
  look(node: CgroupNode): Promise<boolean>;
}

/** Reads a node's memory.events; a second time where another cgroup may have been made in its place. */
export function lookAt(node: CgroupNode): void {
  const first = readCounters(node.folder, 'memory.events');
  const reading = first.kind === 'removed' ? readCounters(node.folder, 'memory.events') : first;
  const wasGone = first.kind === 'removed' || node.status === 'removed';
  node.lookLocal = undefined;
  node.look =
    reading.kind === 'value'
      ? { kind: 'value', counters: reading.value, isAnew: wasGone || fell(node.last, reading.value) }
      : { kind: reading.kind };
}

/**
 * Of thousands nearly none has moved: those need not be settled. Nor need one that never had a kill, when it is read
 * for the first time: it is known then.
 */
function lookAtBucket(node: CgroupNode): void {
  lookAt(node);
  const { look } = node;
  if (look?.kind !== 'value') return;
  if (node.last === undefined && !look.isAnew && !haveMoved(neverMoved(look.counters), look.counters)) {
    node.last = look.counters;
    node.status = 'value';
    node.isDirty = false;
    node.isMissed = false;
  }
  if (!isOpen(node)) node.look = undefined;
}

/** In the form of this kernel. */
const neverMoved = ({ groupKills }: Counters): Counters =>
  groupKills === undefined ? { ...zero, groupKills } : zero;

export const isFirstOf = (node: CgroupNode, look: Extract<Look, { kind: 'value' }>): boolean =>
  node.last === undefined || look.isAnew;

/** Whether to look below: something moved, or something there is not known yet. */
function isOpen({ isDirty, isMissed, last, look }: CgroupNode): boolean {
  if (look?.kind !== 'value') return false;
  return isDirty || isMissed || look.isAnew || last === undefined || haveMoved(last, look.counters);
}

/** `childrenOf`: for buckets that nobody has told of. */
export function createLooker(files: CgroupFiles, childrenOf: Children, slices: Slices): Looker {
  async function look(node: CgroupNode): Promise<boolean> {
    lookAt(node);
    if (!isOpen(node)) return true;
    if (!(await addToldBuckets(node)) || !(await lookBelow(node))) return false;
    if (node.shape.below === 'bucket' && node.shape.level === 'git' && isShort(node)) {
      addUnknownBuckets(files, childrenOf, node);
      if (!(await lookBelow(node, true))) return false;
    }
    // After all below: the `oom` that a kill there belongs to has moved before it.
    if (node.shape.level !== 'bucket') {
      const local = readCounters(node.folder, 'memory.events.local');
      node.lookLocal = local.kind === 'value' ? local.value : undefined;
    }
    return true;
  }

  async function addToldBuckets(node: CgroupNode): Promise<boolean> {
    if (!node.isSparse) return true;
    for (const bucket of node.buckets) {
      addBucket(files, node, bucket);
      const more = slices.next();
      if (!(typeof more === 'boolean' ? more : await more)) return false;
    }
    node.isSparse = false;
    return true;
  }

  async function lookBelow(node: CgroupNode, onlyNew = false): Promise<boolean> {
    for (const child of node.children.values()) {
      if (onlyNew && child.status !== undefined) continue;
      if (child.shape.level === 'bucket') lookAtBucket(child);
      else if (!(await look(child))) return false;
      const more = slices.next();
      if (!(typeof more === 'boolean' ? more : await more)) return false;
    }
    return true;
  }

  return { look };
}

/** More kills than its children have. */
function isShort(node: CgroupNode): boolean {
  if (node.look?.kind !== 'value') return false;
  let kills = node.look.counters.kills - node.counted;
  for (const { last, look } of node.children.values())
    if (look?.kind === 'value' && last !== undefined) kills -= added(last, look.counters).kills;
  return kills > 0;
}

/** A bucket is made at its first use, and may have had its first kill before anybody looked for it. */
function addUnknownBuckets(files: CgroupFiles, childrenOf: Children, node: CgroupNode): void {
  for (const path of childrenOf(node.shape.path) ?? []) {
    const [, digits] = /^repos-(0|[1-9]\d{0,8})$/.exec(basename(path)) ?? [];
    if (digits !== undefined) addBucket(files, node, Number(digits));
  }
}

function addBucket(files: CgroupFiles, node: CgroupNode, bucket: number): void {
  const shape = bucketShape(node.shape.path, bucket);
  if (!node.children.has(shape.path)) node.children.set(shape.path, createNode(files, shape));
}
