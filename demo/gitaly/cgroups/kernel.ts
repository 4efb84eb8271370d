/** What the kernel does to cgroups as time passes: shares out CPU, takes page cache back, kills for want of memory. */
import type { Cgroup, Process } from './cgroup.ts';

/** CPU and pressure of so many seconds, of the cgroup and all below. */
export const runFor = (cgroup: Cgroup, seconds: number): void => {
  use(cgroup, seconds, 1);
};

const periodSeconds = 0.1;

const demandOf = (cgroup: Cgroup): number => {
  const own = cgroup.processes.reduce((all, { cores }) => all + cores, 0);
  const all = [...cgroup.children.values()].reduce((sum, child) => sum + demandOf(child), own);
  return Math.min(all, cgroup.limits.cores ?? Number.POSITIVE_INFINITY);
};

/**
 * CPU seconds, of all below too.
 *
 * @param share of what it asks for that the cgroups above let it have
 */
function use(cgroup: Cgroup, seconds: number, share: number): number {
  const wanted = [...cgroup.children.values()].reduce(
    (sum, child) => sum + demandOf(child),
    cgroup.processes.reduce((all, { cores }) => all + cores, 0),
  );
  const granted = share * (wanted === 0 ? 1 : demandOf(cgroup) / wanted);
  let used = cgroup.processes.reduce((all, { cores }) => all + cores, 0) * seconds * granted;
  for (const child of cgroup.children.values()) used += use(child, seconds, granted);
  cgroup.cpu.usage += used;
  if (cgroup.limits.cores !== undefined && wanted > 0) {
    const periods = seconds / periodSeconds;
    const over = Math.max(0, wanted - cgroup.limits.cores);
    cgroup.cpu.periods += periods;
    cgroup.cpu.throttledPeriods += over > 0 ? periods : 0;
    cgroup.cpu.throttled += over * seconds;
  }
  stall(cgroup, seconds, 1 - granted);
  return used;
}

function stall(cgroup: Cgroup, seconds: number, withheld: number): void {
  if (cgroup.processCount() === 0) return;
  const { cpu, io, memory } = cgroup.stalls;
  const limit = cgroup.limits.memory;
  const isFull = limit !== undefined && cgroup.usage() > 0.97 * limit;
  const add = (to: { some: number; full: number }, some: number, full: number): void => {
    to.some += seconds * some;
    to.full += seconds * full;
  };
  add(cpu, Math.min(1, 0.01 + withheld), withheld * 0.5);
  add(io, 0.01, 0.004);
  add(memory, isFull ? 0.4 : 0, isFull ? 0.25 : 0);
}

/** A process that the OOM killer ended, and the cgroup whose limit ran out. */
export interface Killed {
  readonly victim: Process;
  /** Where the victim was. */
  readonly cgroup: Cgroup;
  /** The cgroup whose limit ran out. */
  readonly limited: Cgroup;
  /** All that died, the victim among them. */
  readonly processes: number;
}

/** Holds every limit, from the bottom up: page cache goes first, then the process with the most memory. */
export function enforceLimits(cgroup: Cgroup): readonly Killed[] {
  const killed = [...cgroup.children.values()].flatMap(enforceLimits);
  const { memory } = cgroup.limits;
  while (memory !== undefined && cgroup.usage() > memory) {
    const over = cgroup.usage() - memory;
    cgroup.local.max += Math.ceil(over / 2 ** 20);
    if (takeBack(cgroup, over) >= over) break;
    cgroup.local.oom += 1;
    const found = kill(cgroup);
    if (found === undefined) break;
    killed.push(found);
  }
  return killed;
}

/** Page cache of all below, the largest first. */
function takeBack(cgroup: Cgroup, wanted: number): number {
  let taken = Math.min(cgroup.file, wanted);
  cgroup.file -= taken;
  for (const child of [...cgroup.children.values()].sort((a, b) => b.cache() - a.cache())) {
    if (taken >= wanted) break;
    taken += takeBack(child, wanted - taken);
  }
  return taken;
}

function kill(limited: Cgroup): Killed | undefined {
  const [found] = placesOf(limited, []).sort((a, b) => b.process.anon - a.process.anon);
  if (found === undefined) return undefined;
  const { process: victim, way } = found;
  const cgroup = way.at(-1) ?? limited;
  // The topmost one from the victim up to the cgroup that ran out, as mem_cgroup_get_oom_group() has it.
  const group = way.find(({ limits }) => limits.oomGroup === true);
  if (group === undefined) {
    cgroup.processes.splice(cgroup.processes.indexOf(victim), 1);
    cgroup.local.oom_kill += 1;
    return { victim, cgroup, limited, processes: 1 };
  }
  // The victim is counted once for itself, and once more with its group.
  cgroup.local.oom_kill += 1;
  group.local.oom_group_kill += 1;
  return { victim, cgroup, limited, processes: killAll(group) };
}

function killAll(cgroup: Cgroup): number {
  const own = cgroup.processes.splice(0).length;
  cgroup.local.oom_kill += own;
  return [...cgroup.children.values()].reduce((all, child) => all + killAll(child), own);
}

interface Place {
  readonly process: Process;
  /** From the cgroup that ran out down to that of the process. */
  readonly way: readonly Cgroup[];
}

const placesOf = (cgroup: Cgroup, above: readonly Cgroup[]): Place[] => {
  const way = [...above, cgroup];
  return [
    ...cgroup.processes.map((process) => ({ process, way })),
    ...[...cgroup.children.values()].flatMap((child) => placesOf(child, way)),
  ];
};
