/**
 * Counts what a look found, each kill once: a cgroup's own total (memory.events, which keeps what its removed
 * children had) less what its children account for is what was killed in itself or in a child that is gone.
 */
import { knownOf } from '../files/reading.ts';
import type { MovedCgroup } from './classify.ts';
import { added, type Counters, minus, plus, zero } from './counters.ts';
import { noGroup } from './group.ts';
import { isFirstOf } from './look.ts';
import type { CgroupNode, Look, Place, Shape } from './node.ts';

export interface Count {
  /** oom_kill that are counted now and were not before. */
  readonly kills: number;
  /** What moved, for `classify`; undefined without a kill. */
  readonly moved: MovedCgroup<Place> | undefined;
}

export interface Moment {
  /** Monotonic ms. */
  readonly at: number;
  /** Nothing is counted: what is there is where counting starts from. */
  readonly isBaseline: boolean;
}

/**
 * An `oom` is read before its kill when a look falls between the two, and a notification of the `oom` asks for just
 * that: the kill follows within milliseconds, or within seconds where its report goes to a slow console. Beyond this
 * time a kill is another's.
 */
export const oomMemoryMs = 5000;

const nothing: Count = Object.freeze({ kills: 0, moved: undefined });

/**
 * Settles a node and all below. `budget`: a cgroup that was not read at the last look is believed no more kills than
 * its parent has beyond its other children's; Infinity for one that was read then.
 */
export function count(node: CgroupNode, moment: Moment, budget = Number.POSITIVE_INFINITY): Count {
  const { look } = node;
  if (look === undefined) return nothing;
  node.look = undefined;
  node.status = look.kind;
  if (look.kind !== 'value') {
    node.isMissed = true;
    return nothing;
  }
  const isAfterGap = isLate(node, look);
  if (isFirstOf(node, look)) restart(node);
  const before = node.last ?? zero;
  const now = look.counters;
  const fresh = isAfterGap
    ? Math.min(budget, Math.max(0, now.kills - node.counted))
    : now.kills - node.counted;

  const below = settleChildren(node, moment, isAfterGap, fresh);
  const own = Math.max(0, fresh - below.kills);
  const moved = moment.isBaseline ? undefined : movedOf(node, moment, { before, now, own, below });

  node.last = now;
  node.local = node.lookLocal ?? node.local;
  node.lookLocal = undefined;
  node.isMissed = false;
  // Until its own counters were read once, its kills have no level: look again.
  node.isDirty = node.shape.level !== 'bucket' && node.local === undefined;
  node.lost.length = 0;
  node.counted = moment.isBaseline || isAfterGap ? now.kills : node.counted + below.kills + own;
  return { kills: moment.isBaseline ? 0 : below.kills + own, moved };
}

/** Its counters of the last look are not known: it is new, made anew, or was not readable then. */
export const isLate = (node: CgroupNode, look: Look | undefined = node.look): boolean =>
  node.isMissed || (look?.kind === 'value' ? isFirstOf(node, look) : node.last === undefined);

/** Another cgroup, of which nothing is known. */
function restart(node: CgroupNode): void {
  node.last = undefined;
  node.local = undefined;
  node.counted = 0;
  node.ooms = 0;
  node.group = noGroup;
}

interface Below {
  readonly kills: number;
  readonly moved: readonly MovedCgroup<Place>[];
  /** What all children's memory.events moved. */
  readonly since: Counters;
  /** Children that went since the last look. */
  readonly lost: readonly Shape[];
}

/** What its memory.events moved since the last look. */
export const sinceLast = (node: CgroupNode, look: Extract<Look, { kind: 'value' }>): Counters =>
  added(isFirstOf(node, look) ? zero : (node.last ?? zero), look.counters);

/** First those whose counters are known from the last look, then the others, from what is left. */
function settleChildren(node: CgroupNode, moment: Moment, isAfterGap: boolean, fresh: number): Below {
  const moved: MovedCgroup<Place>[] = [];
  const lost = [...node.lost];
  let kills = 0;
  let since: Counters = zero;
  const late: CgroupNode[] = [];
  const take = (child: CgroupNode, budget?: number): void => {
    const counted = count(child, moment, budget);
    kills += counted.kills;
    if (counted.moved !== undefined) moved.push(counted.moved);
  };
  for (const child of node.children.values()) {
    const { look } = child;
    if (look === undefined) continue;
    if (look.kind === 'value') {
      since = plus(since, sinceLast(child, look));
      if (look.isAnew) lost.push(child.shape);
      if (isAfterGap || isLate(child, look)) {
        child.isMissed = true;
        late.push(child);
        continue;
      }
    } else if (look.kind === 'removed' && child.status !== 'removed') lost.push(child.shape);
    take(child);
  }
  for (const child of late) take(child, Math.max(0, fresh - kills));
  return { kills, moved, since, lost };
}

interface Found {
  readonly before: Counters;
  readonly now: Counters;
  /** Kills that no child accounts for. */
  readonly own: number;
  readonly below: Below;
}

/** Splits what no child accounts for into the cgroup's own and that of children which are gone. */
function movedOf(
  node: CgroupNode,
  { at }: Moment,
  { before, below, now, own }: Found,
): MovedCgroup<Place> | undefined {
  const { folder, local, lookLocal, shape } = node;
  const rest = minus(added(before, now), below.since);
  const isLeaf = shape.level === 'bucket';
  // Where its own cannot be read, it is what its children do not have; the kills of children that went, all the same.
  const itself = isLeaf
    ? rest
    : lookLocal === undefined
      ? { ...rest, kills: 0 }
      : added(local ?? zero, lookLocal);
  // Of a cgroup that had its kills before anybody told of it, what it had beside them is of then.
  const isPast = node.last === undefined && own + below.kills === 0 && now.kills > 0;
  if (isPast) return undefined;
  if (at - node.oomsAt > oomMemoryMs) node.ooms = 0;
  if (itself.ooms > 0) node.oomsAt = at;
  node.ooms += itself.ooms;
  if (at - node.groupAt > oomMemoryMs) node.group = noGroup;
  const groupKills = itself.groupKills ?? 0;
  if (own + below.kills + groupKills === 0 && below.moved.length === 0) return undefined;

  // Deeper cgroups of a container's own (scope/init) are the container as well, as far as none of Git's went there.
  const isWhole = isLeaf || (shape.level === 'container' && below.lost.length === 0);
  const kills = isWhole ? own : Math.min(own, itself.kills);
  const elsewhere = minus(rest, itself);
  const hidden: MovedCgroup<Place> = {
    place: goneOf(shape, below.lost),
    level: goneLevel(shape, below.lost),
    kills: own - kills,
    ooms: elsewhere.ooms,
    groupKills: elsewhere.groupKills ?? 0,
    isGroup: false,
    group: noGroup,
    children: [],
  };
  // Of a bucket only where it shows: Gitaly does not set it.
  const isGroup = groupKills > 0 || (!isLeaf && knownOf(folder.number('memory.oom.group')) === 1);
  return {
    place: { shape, node },
    level: shape.level,
    kills,
    ooms: node.ooms,
    groupKills,
    isGroup: isGroup || node.group.recent !== undefined,
    group: node.group,
    children: hidden.kills > 0 ? [...below.moved, hidden] : below.moved,
  };
}

/** The one that went, when it was only one. */
function goneOf(shape: Shape, lost: readonly Shape[]): Place {
  const [only] = lost;
  return { shape: only !== undefined && lost.length === 1 ? only : shape, node: undefined };
}

/** The nearest level at which a limit below can have been. */
function goneLevel({ below }: Shape, lost: readonly Shape[]): Shape['level'] {
  const [first] = lost;
  return first !== undefined && lost.every(({ level }) => level === first.level) ? first.level : below;
}
