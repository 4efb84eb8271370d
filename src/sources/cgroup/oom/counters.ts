/** The counters of OOM kills of one cgroup, as the kernel keeps them. */
import type { CgroupFolder, ReadFailure } from '../files/reading.ts';

/**
 * Of memory.events: this cgroup and all below it. Of memory.events.local: itself alone (kernel 5.2 on). The kernel
 * raises `oom` at the cgroup whose limit ran out, then `oom_kill` at the victim's, each before their ancestors'
 * (memcg_memory_event of mm/memcontrol.c); so who reads from top to bottom never sees a kill above that is not
 * below.
 */
export interface Counters {
  /** `oom`: times a limit was reached and an allocation about to fail. One kill can have thousands, or none come of it. */
  readonly ooms: number;
  /** `oom_kill`: processes killed by any OOM killer; in a group kill the first victim is usually counted twice. */
  readonly kills: number;
  /** `oom_group_kill`: undefined before kernel 5.17. */
  readonly groupKills: number | undefined;
}

export const zero: Counters = Object.freeze({ ooms: 0, kills: 0, groupKills: 0 });

export type CountersReading =
  | { readonly kind: 'value'; readonly value: Counters }
  | { readonly kind: 'absent' }
  | { readonly kind: 'removed' }
  | { readonly kind: 'failed'; readonly reason: ReadFailure };

const keys = ['oom', 'oom_kill', 'oom_group_kill'] as const;

/** `memory.events` or `memory.events.local`. A file without oom or oom_kill is malformed: all of v2 has both. */
export function readCounters(
  folder: CgroupFolder,
  file: 'memory.events' | 'memory.events.local',
): CountersReading {
  const reading = folder.keyed(file, keys);
  if (reading.kind !== 'value') return reading;
  const { oom, oom_kill, oom_group_kill } = reading.value;
  if (oom === undefined || oom_kill === undefined) return { kind: 'failed', reason: 'malformed' };
  return { kind: 'value', value: { ooms: oom, kills: oom_kill, groupKills: oom_group_kill } };
}

export const haveMoved = (before: Counters, now: Counters): boolean =>
  before.kills !== now.kills || before.ooms !== now.ooms || before.groupKills !== now.groupKills;

/** Counters of one cgroup never fall: these are another's, made in its place. */
export const fell = (before: Counters | undefined, now: Counters): boolean =>
  before !== undefined && (now.kills < before.kills || now.ooms < before.ooms);

/** What was added since; counters that were made anew in between count from 0. */
export const added = (before: Counters, now: Counters): Counters =>
  fell(before, now)
    ? now
    : {
        ooms: now.ooms - before.ooms,
        kills: now.kills - before.kills,
        groupKills: now.groupKills === undefined ? undefined : now.groupKills - (before.groupKills ?? 0),
      };

/** Sums, and what is left of one after another; never below 0. A key that the kernel does not have stays unknown. */
export const plus = (a: Counters, b: Counters): Counters => ({
  ooms: a.ooms + b.ooms,
  kills: a.kills + b.kills,
  groupKills: a.groupKills === undefined ? undefined : a.groupKills + (b.groupKills ?? 0),
});

export const minus = (a: Counters, b: Counters): Counters => ({
  ooms: Math.max(0, a.ooms - b.ooms),
  kills: Math.max(0, a.kills - b.kills),
  groupKills: a.groupKills === undefined ? undefined : Math.max(0, a.groupKills - (b.groupKills ?? 0)),
});
