/**
 * Group kills (memory.oom.group, which the kubelet sets on containers): the OOM killer strikes one process, raises
 * oom_group_kill, and then strikes every process of the group. That takes milliseconds, and the notification of its
 * first step makes us read in the middle of it: so what is seen of one incident may come in several readings.
 */
import type { ClassifiedKill, MovedCgroup } from './classify.ts';
import type { OomLevel } from './record.ts';

/** Why a group was struck. */
export interface Incident<Place> {
  readonly level: OomLevel;
  readonly limit: Place | undefined;
}

/** What is remembered of a group for the seconds after it was struck. */
export interface GroupState<Place> {
  /** Incidents whose first victim has not been seen a second time yet. */
  readonly owed: number;
  /** The newest incident: what dies in the group right after died in it. */
  readonly recent: Incident<Place> | undefined;
  /** Its oom_group_kill has not been seen yet. */
  readonly isAwaited: boolean;
  /** Incidents of which no victim has been seen yet. */
  readonly untold: number;
}

export const noGroup: GroupState<never> = Object.freeze({
  owed: 0,
  recent: undefined,
  isAwaited: false,
  untold: 0,
});

/** Victims whose cause is not found yet. */
export interface Rest<Place> {
  readonly victim: Place;
  kills: number;
}

/**
 * Takes all of `rest`. Without oom_group_kill (kernels before 5.17) every kill that is not right after another is an
 * incident. `incidentOf` finds the reason of one.
 */
export function strikeGroups<Place>(
  { group, groupKills }: Pick<MovedCgroup<Place>, 'group' | 'groupKills'>,
  rest: readonly Rest<Place>[],
  incidentOf: () => Incident<Place>,
): { readonly kills: readonly ClassifiedKill<Place>[]; readonly group: GroupState<Place> } {
  if (rest.length === 0 && groupKills === 0) return { kills: [], group };
  const isAnnounced = group.isAwaited && groupKills > 0;
  const announced = isAnnounced ? groupKills - 1 : groupKills;
  // A kill that no oom_group_kill goes with belongs to the one before, or is ahead of its own.
  const isAhead = announced === 0 && group.recent === undefined && rest.length > 0;
  const incidents = isAhead ? 1 : announced;
  const isAwaited = isAhead || (group.isAwaited && !isAnnounced && incidents === 0);
  const owed = correct(incidents, group.owed, rest);

  const kills: ClassifiedKill<Place>[] = [];
  let { recent, untold } = group;
  const victims = totalOf(rest);
  if (incidents === 0 && recent !== undefined) take(recent, victims);
  for (let each = 0; each < incidents; each++) {
    recent = incidentOf();
    untold++;
    take(recent, Math.floor(victims / incidents) + (each < victims % incidents ? 1 : 0));
  }
  return { kills, group: { owed, recent, isAwaited, untold } };

  function take({ level, limit }: Incident<Place>, share: number): void {
    let left = share;
    for (const one of rest.toSorted((a, b) => b.kills - a.kills)) {
      const processes = Math.min(left, one.kills);
      if (processes === 0) continue;
      kills.push({ victim: one.victim, level, limit, processes, events: untold });
      one.kills -= processes;
      left -= processes;
      untold = 0;
    }
  }
}

const totalOf = <Place>(rest: readonly Rest<Place>[]): number =>
  rest.reduce((sum, { kills }) => sum + kills, 0);

/**
 * The first victim of a group is struck again with the others, and counted twice, unless it was gone by then ("already
 * exiting", seen on 6.1 and 6.12 when it was not the process that had asked for memory). Which of the two it was, no
 * counter tells. It is corrected where it can have been, in a cgroup with two kills or more; when the group was read
 * half struck, at its next kill. So the count may be one too low for a group, never too high. Returns what is owed
 * still.
 */
function correct<Place>(incidents: number, owed: number, rest: readonly Rest<Place>[]): number {
  let owing = owed + incidents;
  while (owing > 0) {
    const most = rest.reduce<Rest<Place> | undefined>(
      (a, b) => (a === undefined || b.kills > a.kills ? b : a),
      undefined,
    );
    // Of an incident that is seen for the first time, one kill stands.
    if (most === undefined || most.kills < (owing > incidents ? 1 : 2)) break;
    most.kills--;
    owing--;
  }
  return owing;
}
