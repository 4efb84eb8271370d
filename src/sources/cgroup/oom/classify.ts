/**
 * Whose limit was reached: from what moved in every cgroup of one Gitaly to kills by level. Pure.
 *
 * Two rules of the kernel: each run of a memory cgroup's OOM killer raises `oom` of the cgroup whose limit was
 * reached, and kills one process in it or below, or a whole group (mem_cgroup_oom in mm/memcontrol.c, oom_kill_process
 * in mm/oom_kill.c). So no limit has more incidents than its `oom` moved, and a kill beyond those of every cgroup
 * around its victim is the node's. `oom` alone is neither a kill nor a number of incidents: one kill can raise it
 * thousands of times.
 */
import type { OomLevel } from './record.ts';

/** What moved in one cgroup between two readings. */
export interface MovedCgroup<Place> {
  readonly place: Place;
  readonly level: Exclude<OomLevel, 'node'>;
  /** oom_kill of victims in this cgroup itself, not below it. */
  readonly kills: number;
  /** Its own `oom` that no kill explains yet. */
  readonly ooms: number;
  /** Its own oom_group_kill; 0 where the kernel has no such key. */
  readonly groupKills: number;
  /** memory.oom.group: all processes in it or below are killed together, for its limit or one around it. */
  readonly isGroup: boolean;
  readonly group: GroupState<Place>;
  readonly children: readonly MovedCgroup<Place>[];
}

export interface ClassifiedKill<Place> {
  readonly victim: Place;
  readonly level: OomLevel;
  /** The cgroup whose limit was reached; undefined for the node. */
  readonly limit: Place | undefined;
  readonly processes: number;
  /**
   * Runs of the OOM killer. A group that was killed in several cgroups counts at the one with most victims, and 0 at
   * the others.
   */
  readonly events: number;
}

interface Classified<Place> {
  readonly kills: readonly ClassifiedKill<Place>[];
  /** How much of each cgroup's `ooms` these kills explain. */
  readonly spent: ReadonlyMap<Place, number>;
  /** The new state of groups that moved. */
  readonly groups: ReadonlyMap<Place, GroupState<Place>>;
}

/** Why a group was killed. */
type Cause<Place> = Pick<ClassifiedKill<Place>, 'level' | 'limit'>;

/**
 * A group kill takes milliseconds, and the notification of its first kill makes us read in the middle of it: one
 * incident may be spread over several readings. This is what one reading leaves for the next ones.
 */
export interface GroupState<Place> {
  /** oom_group_kill less the incidents that are counted; -1 when a kill was read before its oom_group_kill. */
  readonly announced: number;
  /** Counted incidents whose first victim has not been corrected yet. */
  readonly uncorrected: number;
  /** Of the newest incident: what is killed in the group without another oom_group_kill belongs to it. */
  readonly cause: Cause<Place> | undefined;
}

export const noGroup: GroupState<never> = Object.freeze({ announced: 0, uncorrected: 0, cause: undefined });

/** Victims whose cause is not found yet. */
interface Victims<Place> {
  readonly place: Place;
  kills: number;
}

/** `top`: the pod's slice, or Gitaly's own cgroup on a virtual machine. Of several levels that fit, the innermost. */
export function classify<Place>(top: MovedCgroup<Place>): Classified<Place> {
  const kills: ClassifiedKill<Place>[] = [];
  const spent = new Map<Place, number>();
  const groups = new Map<Place, GroupState<Place>>();

  const unexplained = ({ ooms, place }: MovedCgroup<Place>): number => ooms - (spent.get(place) ?? 0);
  const spend = ({ place }: MovedCgroup<Place>, count: number): void => {
    spent.set(place, (spent.get(place) ?? 0) + count);
  };

  function visit(cgroup: MovedCgroup<Place>, outside: readonly MovedCgroup<Place>[]): Victims<Place>[] {
    const around = [...outside, cgroup];
    const victims = cgroup.children.flatMap((child) => visit(child, around));
    if (cgroup.kills > 0) victims.push({ place: cgroup.place, kills: cgroup.kills });
    if (cgroup.isGroup || cgroup.groupKills > 0) takeGroup(cgroup, victims, around);
    else takeSingle(cgroup, victims);
    return victims.filter(({ kills }) => kills > 0);
  }

  /** One process per `oom` of this cgroup. */
  function takeSingle(cgroup: MovedCgroup<Place>, victims: readonly Victims<Place>[]): void {
    for (const each of victims) {
      const processes = Math.min(each.kills, unexplained(cgroup));
      if (processes === 0) continue;
      spend(cgroup, processes);
      const { level, place: limit } = cgroup;
      kills.push({ victim: each.place, level, limit, processes, events: processes });
      each.kills -= processes;
    }
  }

  /** All that is left. On kernels before 5.17, which announce no group kill, what is read together is one incident. */
  function takeGroup(
    { group, groupKills, place }: MovedCgroup<Place>,
    victims: readonly Victims<Place>[],
    around: readonly MovedCgroup<Place>[],
  ): void {
    const announced = group.announced + groupKills;
    if (victims.length === 0) {
      groups.set(place, { ...group, announced });
      return;
    }
    const incidents = announced <= 0 && group.cause !== undefined ? 0 : Math.max(1, announced);
    const uncorrected = correctFirstVictims(victims, incidents, group.uncorrected);
    let { cause } = group;
    const total = victims.reduce((sum, each) => sum + each.kills, 0);
    if (incidents === 0 && cause !== undefined) takeShare(victims, total, cause, 0);
    for (let each = 0; each < incidents; each++) {
      cause = causeAround(around);
      const share = Math.floor(total / incidents) + (each < total % incidents ? 1 : 0);
      takeShare(victims, share, cause, 1);
    }
    groups.set(place, { announced: announced - incidents, uncorrected, cause });
  }

  /** The innermost limit, the group's own or one around it, whose `oom` is not explained yet. */
  function causeAround(around: readonly MovedCgroup<Place>[]): Cause<Place> {
    const limit = around.findLast((cgroup) => unexplained(cgroup) > 0);
    if (limit === undefined) return { level: 'node', limit: undefined };
    spend(limit, 1);
    return { level: limit.level, limit: limit.place };
  }

  function takeShare(
    victims: readonly Victims<Place>[],
    share: number,
    cause: Cause<Place>,
    incidents: 0 | 1,
  ): void {
    let processesLeft = share;
    let events: number = incidents;
    for (const each of victims.toSorted((a, b) => b.kills - a.kills)) {
      const processes = Math.min(processesLeft, each.kills);
      if (processes === 0 && events === 0) continue;
      kills.push({ victim: each.place, ...cause, processes, events });
      each.kills -= processes;
      processesLeft -= processes;
      events = 0;
    }
  }

  for (const { kills: processes, place } of visit(top, []))
    kills.push({ victim: place, level: 'node', limit: undefined, processes, events: processes });
  return { kills, spent, groups };
}

/**
 * The first victim of a group is struck again with the others, and counted twice, unless it has exited by then
 * ("already exiting", seen on 6.1 and 6.12 when another process had caused the OOM). No counter distinguishes the two. One
 * kill per incident is taken off where it can have been counted twice: in a cgroup with two kills or more, or with one
 * when the incident's first kill was read before. So a group's count may be one too low, never too high. Returns how
 * many incidents remain to be corrected.
 */
function correctFirstVictims<Place>(
  victims: readonly Victims<Place>[],
  incidents: number,
  uncorrectedBefore: number,
): number {
  let uncorrected = uncorrectedBefore + incidents;
  while (uncorrected > 0) {
    const most = victims.reduce((a, b) => (b.kills > a.kills ? b : a), { kills: 0 });
    if (most.kills < (uncorrected > incidents ? 1 : 2)) break;
    most.kills--;
    uncorrected--;
  }
  return uncorrected;
}
