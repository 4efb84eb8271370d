/** The kernel's part of cgroups: distributes CPU time, reclaims page cache, kills at memory limits. */
import type { Cgroup, SimulatedProcess } from './cgroup.ts';

/** Accounts CPU time and pressure of the subtree for a number of seconds. */
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
 * Accounts the subtree's CPU time and returns it in seconds.
 *
 * @param share of its demand that the ancestors' limits allow
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

function stall(cgroup: Cgroup, seconds: number, stalledShare: number): void {
  if (cgroup.processCount() === 0) return;
  const { cpu, io, memory } = cgroup.stalls;
  const limit = cgroup.limits.memory;
  // A limit that is full of page cache causes no stall: the kernel reclaims clean pages at no cost.
  const isFull = limit !== undefined && cgroup.usage() - cgroup.cache() > 0.97 * limit;
  const add = (to: { some: number; full: number }, some: number, full: number): void => {
    to.some += seconds * some;
    to.full += seconds * full;
  };
  add(cpu, Math.min(1, 0.01 + stalledShare), stalledShare * 0.5);
  add(io, 0.01, 0.004);
  add(memory, isFull ? 0.4 : 0, isFull ? 0.25 : 0);
}

/** A victim of the OOM killer, and the cgroup whose limit was exceeded. */
interface OomKill {
  readonly victim: SimulatedProcess;
  /** The victim's cgroup. */
  readonly cgroup: Cgroup;
  /** The cgroup whose limit was exceeded. */
  readonly limited: Cgroup;
  /** Number of killed processes, including the victim. */
  readonly processes: number;
}

/** Enforces every memory limit, leaves first: reclaims page cache, then kills the process with the most memory. */
export function enforceLimits(cgroup: Cgroup): readonly OomKill[] {
  const killed = [...cgroup.children.values()].flatMap(enforceLimits);
  const { memory } = cgroup.limits;
  while (memory !== undefined && cgroup.usage() > memory) {
    const over = cgroup.usage() - memory;
    cgroup.local.max += Math.ceil(over / 2 ** 20);
    if (reclaim(cgroup, over) >= over) break;
    cgroup.local.oom += 1;
    const found = kill(cgroup);
    if (found === undefined) break;
    killed.push(found);
  }
  return killed;
}

/** Reclaims page cache of the subtree, the largest first. Returns the bytes. */
function reclaim(cgroup: Cgroup, wanted: number): number {
  let taken = Math.min(cgroup.file, wanted);
  cgroup.file -= taken;
  for (const child of [...cgroup.children.values()].sort((a, b) => b.cache() - a.cache())) {
    if (taken >= wanted) break;
    taken += reclaim(child, wanted - taken);
  }
  return taken;
}

function kill(limited: Cgroup): OomKill | undefined {
  const [found] = candidatesOf(limited, []).sort((a, b) => b.process.anon - a.process.anon);
  if (found === undefined) return undefined;
  const { process: victim, path } = found;
  const cgroup = path.at(-1) ?? limited;
  // The topmost ancestor up to the exceeded cgroup, as in mem_cgroup_get_oom_group().
  const group = path.find(({ limits }) => limits.oomGroup === true);
  if (group === undefined) {
    cgroup.processes.splice(cgroup.processes.indexOf(victim), 1);
    cgroup.local.oom_kill += 1;
    return { victim, cgroup, limited, processes: 1 };
  }
  // The victim is counted twice: for itself and with its group.
  cgroup.local.oom_kill += 1;
  group.local.oom_group_kill += 1;
  return { victim, cgroup, limited, processes: killAll(group) };
}

function killAll(cgroup: Cgroup): number {
  const own = cgroup.processes.splice(0).length;
  cgroup.local.oom_kill += own;
  return [...cgroup.children.values()].reduce((all, child) => all + killAll(child), own);
}

interface VictimCandidate {
  readonly process: SimulatedProcess;
  /** From the exceeded cgroup down to that of the process. */
  readonly path: readonly Cgroup[];
}

const candidatesOf = (cgroup: Cgroup, above: readonly Cgroup[]): VictimCandidate[] => {
  const path = [...above, cgroup];
  return [
    ...cgroup.processes.map((process) => ({ process, path })),
    ...[...cgroup.children.values()].flatMap((child) => candidatesOf(child, path)),
  ];
};
