/** The OOM counters of one cgroup as the kernel keeps them, and arithmetic on them. */
import type { CgroupFiles, CgroupFolder, ReadFailure } from '../files/reading.ts';

/**
 * memory.events counts this cgroup and all below it, memory.events.local this cgroup alone (since kernel 5.2). The
 * kernel raises `oom` at the cgroup whose limit was reached, then `oom_kill` at the victim's, each before their
 * ancestors' (memcg_memory_event in mm/memcontrol.c): reading from top to bottom never finds a kill in a parent that
 * its children do not have yet.
 */
export interface OomCounters {
  /** `oom`: how often a limit was reached and an allocation was about to fail. One kill may raise it a thousand times. */
  readonly ooms: number;
  /** `oom_kill`: processes killed by any OOM killer. In a group kill the first victim is usually counted twice. */
  readonly kills: number;
  /** `oom_group_kill`: 0 before kernel 5.17, which does not have it. */
  readonly groupKills: number;
}

export const zeroCounters: OomCounters = Object.freeze({ ooms: 0, kills: 0, groupKills: 0 });

export type CountersReading =
  | { readonly kind: 'value'; readonly value: OomCounters }
  | { readonly kind: 'absent' }
  | { readonly kind: 'removed' }
  | { readonly kind: 'failed'; readonly reason: ReadFailure };

const keys = ['oom', 'oom_kill', 'oom_group_kill'] as const;

/** A file without oom or oom_kill is malformed: every kernel with cgroup v2 writes both. */
export function readCounters(
  folder: CgroupFolder,
  file: 'memory.events' | 'memory.events.local',
): CountersReading {
  const reading = folder.keyed(file, keys);
  if (reading.kind !== 'value') return reading;
  const { oom, oom_kill, oom_group_kill: groupKills = 0 } = reading.value;
  if (oom === undefined || oom_kill === undefined) return { kind: 'failed', reason: 'malformed' };
  return { kind: 'value', value: { ooms: oom, kills: oom_kill, groupKills } };
}

/**
 * memory.events of a cgroup that is rarely read, without keeping its descriptor. Undefined if it does not exist,
 * `failed` if it cannot be read; zero without the memory controller, where no limit can be reached.
 */
export function readCountersOnce(files: CgroupFiles, path: string): OomCounters | 'failed' | undefined {
  const folder = files.folder(path);
  const reading = readCounters(folder, 'memory.events');
  folder.close();
  switch (reading.kind) {
    case 'value':
      return reading.value;
    case 'absent':
      return zeroCounters;
    case 'failed':
      return 'failed';
    case 'removed':
      return undefined;
  }
}

export const hasOnlyZeros = (counters: OomCounters | undefined): boolean =>
  counters?.kills === 0 && counters.ooms === 0;

export const haveMoved = (before: OomCounters, now: OomCounters): boolean =>
  before.kills !== now.kills || before.ooms !== now.ooms || before.groupKills !== now.groupKills;

/** The counters of a cgroup never decrease: these belong to another one that was created in its place. */
export const haveFallen = (before: OomCounters | undefined, now: OomCounters): boolean =>
  before !== undefined && (now.kills < before.kills || now.ooms < before.ooms);

const combined = (
  a: OomCounters,
  b: OomCounters,
  combine: (a: number, b: number) => number,
): OomCounters => ({
  ooms: combine(a.ooms, b.ooms),
  kills: combine(a.kills, b.kills),
  groupKills: combine(a.groupKills, b.groupKills),
});

/** The increase; counters of a re-created cgroup count from 0. */
export const increaseOf = (before: OomCounters, now: OomCounters): OomCounters =>
  haveFallen(before, now) ? now : combined(now, before, (a, b) => a - b);

export const sumOf = (a: OomCounters, b: OomCounters): OomCounters => combined(a, b, (x, y) => x + y);

/** Never below 0. */
export const remainderOf = (a: OomCounters, b: OomCounters): OomCounters =>
  combined(a, b, (x, y) => Math.max(0, x - y));
