/**
 * Whose limit ran out: from what moved in every cgroup of one Gitaly to kills by level. Pure.
 *
 * Two rules of the kernel's carry it. Each call of a memory cgroup's OOM killer raises `oom` of the cgroup whose limit
 * ran out, and kills one process in it or below, or a whole group (mem_cgroup_oom of mm/memcontrol.c,
 * oom_kill_process of mm/oom_kill.c): so no cgroup's limit has more incidents than its `oom` moved, and a kill beyond
 * those of every cgroup around its victim is the node's. `oom` alone is no kill, and no number of incidents either:
 * one kill can raise it thousands of times.
 */
import type { OomLevel } from './record.ts';

/** What moved in one cgroup between two readings. */
export interface MovedCgroup<Place> {
  readonly place: Place;
  readonly level: Exclude<OomLevel, 'node'>;
  /** oom_kill of victims in this cgroup itself, not below it. */
  readonly kills: number;
  /** Its own `oom`, as far as no kill explains it yet. */
  readonly ooms: number;
  /**
   * Its own oom_group_kill. `unknown`: the kernel has no such key (before 5.17), and memory.oom.group is 1: then all
   * victims of one reading below it are taken for one group, which is so unless it was filled and killed twice
   * within that reading.
   */
  readonly groupKills: number | 'unknown';
  /** Group kills of the readings just before, whose victim has not been seen a second time yet. */
  readonly owed: number;
  readonly children: readonly MovedCgroup<Place>[];
}

export interface ClassifiedKill<Place> {
  readonly victim: MovedCgroup<Place>;
  readonly level: OomLevel;
  /** The cgroup whose limit ran out; undefined for the node. */
  readonly limit: MovedCgroup<Place> | undefined;
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
  readonly spent: ReadonlyMap<MovedCgroup<Place>, number>;
  /** What each cgroup owes from now on, where that changed. */
  readonly owed: ReadonlyMap<MovedCgroup<Place>, number>;
}

/** Victims whose cause is not found yet, on the way up. */
interface Rest<Place> {
  readonly victim: MovedCgroup<Place>;
  kills: number;
}

/** `top`: the pod's slice, or Gitaly's own cgroup on a virtual machine. Of several levels that fit, the innermost. */
export function classify<Place>(top: MovedCgroup<Place>): Classified<Place> {
  const kills: ClassifiedKill<Place>[] = [];
  const spent = new Map<MovedCgroup<Place>, number>();
  const owed = new Map<MovedCgroup<Place>, number>();

  const left = (cgroup: MovedCgroup<Place>): number => cgroup.ooms - (spent.get(cgroup) ?? 0);
  const spend = (cgroup: MovedCgroup<Place>, count: number): void => {
    spent.set(cgroup, (spent.get(cgroup) ?? 0) + count);
  };

  /** One incident of a group that may be killed for its own limit or for any around it: the innermost that fits. */
  function limitOfGroup(around: readonly MovedCgroup<Place>[]): MovedCgroup<Place> | undefined {
    const limit = around.findLast((cgroup) => left(cgroup) > 0);
    if (limit !== undefined) spend(limit, 1);
    return limit;
  }

  /** `around`: from the top to the group's own cgroup. Takes all that is left below. */
  function takeGroups(
    groups: number,
    rest: readonly Rest<Place>[],
    around: readonly MovedCgroup<Place>[],
  ): void {
    const victims = rest.reduce((sum, { kills }) => sum + kills, 0);
    for (let group = 0; group < groups; group++) {
      const limit = limitOfGroup(around);
      let share = Math.floor(victims / groups) + (group < victims % groups ? 1 : 0);
      let events = 1;
      for (const one of rest.toSorted((a, b) => b.kills - a.kills)) {
        const processes = Math.min(share, one.kills);
        if (processes === 0) continue;
        kills.push({ victim: one.victim, level: limit?.level ?? 'node', limit, processes, events });
        one.kills -= processes;
        share -= processes;
        events = 0;
      }
    }
  }

  /** Victims for which its own limit ran out, one by one, as far as its `oom` goes. */
  function takeOwn(cgroup: MovedCgroup<Place>, rest: readonly Rest<Place>[]): void {
    for (const one of rest) {
      const processes = Math.min(one.kills, left(cgroup));
      if (processes === 0) continue;
      spend(cgroup, processes);
      kills.push({ victim: one.victim, level: cgroup.level, limit: cgroup, processes, events: processes });
      one.kills -= processes;
    }
  }

  function visit(cgroup: MovedCgroup<Place>, outside: readonly MovedCgroup<Place>[]): Rest<Place>[] {
    const around = [...outside, cgroup];
    const rest = cgroup.children.flatMap((child) => visit(child, around));
    if (cgroup.kills > 0) rest.push({ victim: cgroup, kills: cgroup.kills });
    const groups = cgroup.groupKills === 'unknown' ? Math.min(1, rest.length) : cgroup.groupKills;
    const owing = correct(groups, cgroup.owed, rest);
    if (owing !== cgroup.owed) owed.set(cgroup, owing);
    if (groups > 0) takeGroups(groups, rest, around);
    else takeOwn(cgroup, rest);
    return rest.filter(({ kills }) => kills > 0);
  }

  for (const { kills: processes, victim } of visit(top, []))
    kills.push({ victim, level: 'node', limit: undefined, processes, events: processes });
  return { kills, spent, owed };
}

/**
 * A group kill strikes its first victim, then every process of the group, the first again: it is counted twice,
 * unless it was gone by then ("already exiting", seen on 6.1 when the victim ran on another processor). Which of the
 * two it was, no counter tells. It is corrected where it can have been, in a cgroup with two kills or more; when the
 * group was read half struck, at its next kill. So the count may be one too low for a group, never too high.
 * Returns what is owed still.
 */
function correct<Place>(groups: number, owed: number, rest: readonly Rest<Place>[]): number {
  let owing = owed + groups;
  while (owing > 0) {
    const most = rest.reduce<Rest<Place> | undefined>(
      (a, b) => (a === undefined || b.kills > a.kills ? b : a),
      undefined,
    );
    // Beyond what was owed before, one kill of each victim stands.
    if (most === undefined || most.kills < (owing > groups ? 1 : 2)) break;
    most.kills--;
    owing--;
  }
  return owing;
}
