/**
 * The slice that a node's pods are in (kubepods.slice, or its part for a class of service): its total says in one
 * file that nothing moved in any of them, and what a pod had that was removed at the moment of a kill.
 */
import type { Slices } from '../buckets/slices.ts';
import type { CgroupFiles } from '../files/reading.ts';
import type { MovedCgroup } from './classify.ts';
import { count, isLate, type Moment, sinceLast } from './count.ts';
import { added, type Counters, fell, haveMoved, minus, plus, readCounters, zero } from './counters.ts';
import { noGroup } from './group.ts';
import type { Looker } from './look.ts';
import { type Children, maxNeighbours, readOnce, type Start } from './neighbours.ts';
import type { CgroupNode, Place, Shape } from './node.ts';

export interface TopKills {
  readonly tree: string;
  readonly moved: MovedCgroup<Place>;
}

export interface Settled {
  readonly found: readonly TopKills[];
  /** oom_kill in pods that are gone, of which it cannot be told whether they were Gitaly's. */
  readonly unattributed: number;
}

export interface PodSlice {
  /** Gitaly's pods in it, by tree. */
  readonly tops: Map<string, CgroupNode>;
  /** This Gitaly is no longer told of: what happened at its end is in the slice's total. */
  lose(tree: string, shape: Shape): void;
  /** Undefined when it was given up: then nothing of it is counted. */
  settle(looker: Looker, slices: Slices, moment: Moment): Promise<Settled | undefined>;
  close(): void;
}

/** Names are listed so often even while nothing moves: what went in between is known to have had no kill. */
const listEveryMs = 2000;

interface Lost {
  /** Undefined: a neighbour. */
  readonly tree: string | undefined;
  readonly shape: Shape;
}

export function createPodSlice(
  files: CgroupFiles,
  childrenOf: Children,
  path: string,
  start: Start,
): PodSlice {
  const folder = files.folder(path);
  const tops = new Map<string, CgroupNode>();
  /** By path, as last read; undefined until then. */
  const neighbours = new Map<string, Counters | undefined>();
  /** What went since the total last moved. */
  let lost: Lost[] = [];
  let isCrowded = false;
  let listedAt = Number.NEGATIVE_INFINITY;
  let last: Counters | undefined;
  let local: Counters | undefined;
  /** Kills of the total that are counted, or known to be others'. */
  let counted = 0;
  /** Kills are held back until a pod that could not be read can be. */
  let isHeld = false;

  function list(at: number): void {
    const names = childrenOf(path);
    if (names === undefined) return;
    listedAt = at;
    isCrowded = names.length > maxNeighbours;
    const own = new Set([...tops.values()].map(({ shape }) => shape.path));
    const there = new Set(names);
    lost = lost.filter(({ shape }) => !there.has(shape.path));
    for (const name of neighbours.keys()) {
      if (there.has(name) && !own.has(name)) continue;
      neighbours.delete(name);
      if (!there.has(name)) lost.push({ tree: undefined, shape: podShape(name) });
    }
    if (isCrowded) return;
    for (const name of names) if (!own.has(name) && !neighbours.has(name)) neighbours.set(name, undefined);
  }

  /** All of Gitaly's, or those of which something is not known yet. */
  async function lookAtTops(looker: Looker, all: boolean): Promise<boolean> {
    for (const node of tops.values()) if ((all || node.isDirty) && !(await looker.look(node))) return false;
    return true;
  }

  /** `fresh`: kills of which at most so many are those of pods that were not read before. */
  function countTops(moment: Moment, fresh: number): { kills: number; found: TopKills[] } {
    const found: TopKills[] = [];
    let kills = 0;
    const ordered = [...tops].sort(([, a], [, b]) => Number(isLate(a)) - Number(isLate(b)));
    for (const [tree, node] of ordered) {
      const budget = isLate(node) ? Math.max(0, fresh - kills) : undefined;
      const counts = count(node, moment, budget);
      kills += counts.kills;
      if (counts.moved !== undefined) found.push({ tree, moved: counts.moved });
    }
    return { kills, found };
  }

  function begin(now: Counters, { isBaseline }: Moment): Counters {
    const then = isBaseline ? 'unknown' : start.of(path);
    const first = then === 'unknown' ? now : then === 'new' ? zero : then;
    const own = readCounters(folder, 'memory.events.local');
    local = own.kind === 'value' ? own.value : undefined;
    counted = first.kills;
    last = first;
    return first;
  }

  /** Another slice of its name. */
  function restart(): void {
    counted = 0;
    last = zero;
    local = zero;
  }

  /** What neighbours account for: those that were read before, and those that are read for the first time. */
  async function readNeighbours(
    slices: Slices,
  ): Promise<ReadonlyMap<string, Counters | undefined> | undefined> {
    const read = new Map<string, Counters | undefined>();
    for (const name of neighbours.keys()) {
      read.set(name, readOnce(files, name));
      if (!(await slices.next())) return undefined;
    }
    return read;
  }

  /** From here on nothing waits: it is counted whole or not at all. */
  function countAll(
    moment: Moment,
    now: Counters,
    nowLocal: Counters | undefined,
    read: ReadonlyMap<string, Counters | undefined>,
  ): Settled {
    let explained = zero;
    let late = 0;
    for (const [name, counters] of read) {
      const earlier = neighbours.get(name);
      if (counters === undefined) {
        neighbours.delete(name);
        lost.push({ tree: undefined, shape: podShape(name) });
        continue;
      }
      const since = added(earlier ?? zero, counters);
      explained = plus(explained, earlier === undefined ? { ...since, kills: 0 } : since);
      if (earlier === undefined) late += since.kills;
      neighbours.set(name, counters);
    }
    const fresh = now.kills - counted;
    let isUnread = false;
    for (const [tree, node] of tops) {
      const { look, shape, status } = node;
      if (look?.kind === 'value') explained = plus(explained, { ...sinceLast(node, look), kills: 0 });
      else if (look?.kind === 'failed') isUnread = true;
      else if (look?.kind === 'removed' && status !== 'removed') lost.push({ tree, shape });
    }
    const { found, kills } = countTops(moment, fresh - explained.kills);
    const known = explained.kills + kills;
    const rest = Math.max(0, fresh - known - Math.min(late, Math.max(0, fresh - known)));
    const total = minus(added(last ?? zero, now), explained);
    const elsewhere = minus(total, nowLocal === undefined ? zero : added(local ?? zero, nowLocal));

    last = now;
    local = nowLocal ?? local;
    isHeld = isUnread && rest > 0;
    counted = moment.isBaseline ? now.kills : counted + Math.max(fresh, known) - (isHeld ? rest : 0);
    if (moment.isBaseline || isHeld) return { found, unattributed: 0 };
    const settled = attribute(rest, elsewhere, found);
    lost = [];
    return settled;
  }

  /** Kills that no cgroup which is left accounts for: Gitaly's only when nobody else can have had them. */
  function attribute(rest: number, elsewhere: Counters, found: TopKills[]): Settled {
    const [first] = lost.filter(({ tree }) => tree !== undefined);
    if (rest === 0 || first?.tree === undefined) return { found, unattributed: 0 };
    if (isCrowded || lost.some(({ tree }) => tree !== first.tree)) return { found, unattributed: rest };
    const moved: MovedCgroup<Place> = {
      place: { shape: first.shape, node: undefined },
      level: 'pod',
      kills: rest,
      ooms: elsewhere.ooms,
      groupKills: elsewhere.groupKills ?? 0,
      isGroup: false,
      group: noGroup,
      children: [],
    };
    return { found: [...found, { tree: first.tree, moved }], unattributed: 0 };
  }

  return {
    tops,
    lose(tree, shape) {
      lost.push({ tree, shape });
    },
    async settle(looker, slices, moment) {
      if (moment.at - listedAt > listEveryMs) list(moment.at);
      const first = readCounters(folder, 'memory.events');
      const reading = first.kind === 'removed' ? readCounters(folder, 'memory.events') : first;
      if (reading.kind !== 'value') {
        // Then each pod by itself. What is new is believed nothing, and what a pod had that goes now is lost.
        if (!(await lookAtTops(looker, true))) return undefined;
        const { found, kills } = countTops(moment, 0);
        counted += kills;
        return { found, unattributed: 0 };
      }
      const now = reading.value;
      if (last !== undefined && (first.kind === 'removed' || fell(last, now))) restart();
      const before = last ?? begin(now, moment);
      if (!moment.isBaseline && !isHeld && !haveMoved(before, now)) {
        if (!(await lookAtTops(looker, false))) return undefined;
        lost = [];
        const { found, kills } = countTops(moment, 0);
        counted += kills;
        return { found, unattributed: 0 };
      }
      list(moment.at);
      if (!(await lookAtTops(looker, true))) return undefined;
      const read = await readNeighbours(slices);
      if (read === undefined) return undefined;
      const own = readCounters(folder, 'memory.events.local');
      return countAll(moment, now, own.kind === 'value' ? own.value : undefined, read);
    },
    close() {
      folder.close();
    },
  };
}

const podShape = (path: string): Shape => ({
  path,
  level: 'pod',
  below: 'container',
  container: undefined,
  bucket: undefined,
});
