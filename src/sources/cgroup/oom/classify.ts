/**
 * Whose limit ran out: from what moved in every cgroup of one Gitaly to kills by level. Pure.
 *
 * Two rules of the kernel's carry it. Each call of a memory cgroup's OOM killer raises `oom` of the cgroup whose limit
 * ran out, and kills one process in it or below, or a whole group (mem_cgroup_oom of mm/memcontrol.c,
 * oom_kill_process of mm/oom_kill.c): so no cgroup's limit has more incidents than its `oom` moved, and a kill beyond
 * those of every cgroup around its victim is the node's. `oom` alone is no kill, and no number of incidents either:
 * one kill can raise it thousands of times.
 */
import { type GroupState, type Incident, type Rest, strikeGroups } from './group.ts';
import type { OomLevel } from './record.ts';

/** What moved in one cgroup between two readings. */
export interface MovedCgroup<Place> {
  readonly place: Place;
  readonly level: Exclude<OomLevel, 'node'>;
  /** oom_kill of victims in this cgroup itself, not below it. */
  readonly kills: number;
  /** Its own `oom`, as far as no kill explains it yet. */
  readonly ooms: number;
  /** Its own oom_group_kill; 0 where the kernel has no such key. */
  readonly groupKills: number;
  /** memory.oom.group: what the OOM killer strikes in it or below, for its limit or one around it, dies as one. */
  readonly isGroup: boolean;
  readonly group: GroupState<Place>;
  readonly children: readonly MovedCgroup<Place>[];
}

export interface ClassifiedKill<Place> {
  readonly victim: Place;
  readonly level: OomLevel;
  /** The cgroup whose limit ran out; undefined for the node. */
  readonly limit: Place | undefined;
  readonly processes: number;
  /**
   * How often the OOM killer struck: a process each, or a whole group at once. A group that died in several places
   * counts at the one with most victims, and 0 at the others.
   */
  readonly events: number;
}

export interface Classified<Place> {
  readonly kills: readonly ClassifiedKill<Place>[];
  /** How much of each cgroup's `ooms` these kills explain. */
  readonly spent: ReadonlyMap<Place, number>;
  /** What is to be remembered of groups, where that changed. */
  readonly groups: ReadonlyMap<Place, GroupState<Place>>;
}

/** `top`: the pod's slice, or Gitaly's own cgroup on a virtual machine. Of several levels that fit, the innermost. */
export function classify<Place>(top: MovedCgroup<Place>): Classified<Place> {
  const kills: ClassifiedKill<Place>[] = [];
  const spent = new Map<Place, number>();
  const groups = new Map<Place, GroupState<Place>>();

  const left = ({ ooms, place }: MovedCgroup<Place>): number => ooms - (spent.get(place) ?? 0);
  const spend = ({ place }: MovedCgroup<Place>, count: number): void => {
    spent.set(place, (spent.get(place) ?? 0) + count);
  };

  /** Of a group that may be struck for its own limit or for any around it: the innermost that fits. */
  function incidentOf(around: readonly MovedCgroup<Place>[]): Incident<Place> {
    const limit = around.findLast((cgroup) => left(cgroup) > 0);
    if (limit === undefined) return { level: 'node', limit: undefined };
    spend(limit, 1);
    return { level: limit.level, limit: limit.place };
  }

  /** Victims for which its own limit ran out, one by one, as far as its `oom` goes. */
  function takeOwn(cgroup: MovedCgroup<Place>, rest: readonly Rest<Place>[]): void {
    for (const one of rest) {
      const processes = Math.min(one.kills, left(cgroup));
      if (processes === 0) continue;
      spend(cgroup, processes);
      const { level, place: limit } = cgroup;
      kills.push({ victim: one.victim, level, limit, processes, events: processes });
      one.kills -= processes;
    }
  }

  function visit(cgroup: MovedCgroup<Place>, outside: readonly MovedCgroup<Place>[]): Rest<Place>[] {
    const around = [...outside, cgroup];
    const rest = cgroup.children.flatMap((child) => visit(child, around));
    if (cgroup.kills > 0) rest.push({ victim: cgroup.place, kills: cgroup.kills });
    if (cgroup.isGroup || cgroup.groupKills > 0) {
      const struck = strikeGroups(cgroup, rest, () => incidentOf(around));
      kills.push(...struck.kills);
      groups.set(cgroup.place, struck.group);
    } else takeOwn(cgroup, rest);
    return rest.filter(({ kills }) => kills > 0);
  }

  for (const { kills: processes, victim } of visit(top, []))
    kills.push({ victim, level: 'node', limit: undefined, processes, events: processes });
  return { kills, spent, groups };
}
