/** A simulated cgroup: its processes, limits and counters, with all below it, as the kernel accounts for them. */
import { basename } from 'node:path';
import { createFolder, type Folder } from './folder.ts';
import { cpuMax, keyedLines, limitLine, memoryStat, pressureLines } from './texts.ts';

export interface Process {
  readonly pid: number;
  /** Bytes. */
  anon: number;
  /** Cores that it would use. */
  cores: number;
}

export interface Limits {
  /** Bytes; undefined is no limit, as `cores`. */
  readonly memory?: number;
  readonly cores?: number;
  /** memory.oom.group: an OOM kill in it ends all of its processes. */
  readonly oomGroup?: boolean;
  readonly weight?: number;
}

/** What memory.events counts: of this cgroup alone. */
export interface Events {
  max: number;
  oom: number;
  oom_kill: number;
  oom_group_kill: number;
}

export interface Cgroup {
  /** Below the root. */
  readonly path: string;
  readonly limits: Limits;
  readonly children: Map<string, Cgroup>;
  readonly processes: Process[];
  /** Page cache of its own, bytes. */
  file: number;
  readonly local: Events;
  readonly cpu: { usage: number; periods: number; throttledPeriods: number; throttled: number };
  readonly stalls: Readonly<Record<'cpu' | 'memory' | 'io', { some: number; full: number }>>;
  peak: number;
  child(name: string, limits?: Limits): Cgroup;
  /** As rmdir: its counts stay with the cgroups above. */
  remove(name: string): void;
  /** Of all below. */
  anon(): number;
  cache(): number;
  processCount(): number;
  usage(): number;
  events(): Events;
  /** Writes its files, and all below. */
  write(): void;
}

/** Stacks, page tables and the like. */
const kernelBytesOfProcess = 196_608;

const noEvents = (): Events => ({ max: 0, oom: 0, oom_kill: 0, oom_group_kill: 0 });

/** @param controllers those that are on here; without `pids` there are no files of it */
export function createCgroup(
  root: string,
  path: string,
  limits: Limits = {},
  controllers = 'cpuset cpu io memory pids',
): Cgroup {
  const isBucket = basename(path).startsWith('repos-');
  const folder: Folder = createFolder(path === '' ? root : `${root}/${path}`);
  const children = new Map<string, Cgroup>();
  const processes: Process[] = [];
  const local = noEvents();
  /** Of children that were removed. */
  const past = noEvents();
  const sum = (of: (child: Cgroup) => number): number =>
    [...children.values()].reduce((all, child) => all + of(child), 0);

  function events(): Events {
    const all = noEvents();
    for (const each of [local, past, ...[...children.values()].map((child) => child.events())])
      for (const key of Object.keys(all) as (keyof Events)[]) all[key] += each[key];
    return all;
  }

  const cgroup: Cgroup = {
    path,
    limits,
    children,
    processes,
    file: 0,
    local,
    cpu: { usage: 0, periods: 0, throttledPeriods: 0, throttled: 0 },
    stalls: { cpu: { some: 0, full: 0 }, memory: { some: 0, full: 0 }, io: { some: 0, full: 0 } },
    peak: 0,
    child(name, childLimits) {
      const known = children.get(name);
      if (known !== undefined) return known;
      // Gitaly switches on cpu and memory for its own, and nothing else.
      const below = name.startsWith('gitaly-') || name.startsWith('repos-') ? 'cpu memory' : controllers;
      const made = createCgroup(root, path === '' ? name : `${path}/${name}`, childLimits, below);
      children.set(name, made);
      made.write();
      return made;
    },
    remove(name) {
      const gone = children.get(name);
      if (gone === undefined) return;
      const counts = gone.events();
      for (const key of Object.keys(past) as (keyof Events)[]) past[key] += counts[key];
      children.delete(name);
      createFolder(`${root}/${gone.path}`).remove();
    },
    anon: () => processes.reduce((all, { anon }) => all + anon, 0) + sum((child) => child.anon()),
    cache: () => cgroup.file + sum((child) => child.cache()),
    processCount: () => processes.length + sum((child) => child.processCount()),
    usage: () => cgroup.anon() + cgroup.cache() + cgroup.processCount() * kernelBytesOfProcess,
    events,
    write() {
      folder.write('cgroup.procs', processes.map(({ pid }) => `${pid}\n`).join(''));
      folder.write('cpu.stat', cpuStat(cgroup));
      if (path !== '') writeMemory();
      if (!isBucket) writeRest();
      for (const child of children.values()) child.write();
    },
  };

  /** What nobody looks for in a bucket: the fewer files, the sooner the demo stands. */
  function writeRest(): void {
    folder.write('cgroup.controllers', `${controllers}\n`);
    folder.write('cgroup.subtree_control', children.size > 0 ? `${controllers}\n` : '');
    for (const resource of ['cpu', 'memory', 'io'] as const)
      folder.write(`${resource}.pressure`, pressureLines(cgroup.stalls[resource]));
    if (path === '') return;
    folder.write('cgroup.type', 'domain\n');
    folder.write('cpu.weight', `${limits.weight ?? 100}\n`);
    folder.write('memory.oom.group', limits.oomGroup ? '1\n' : '0\n');
    if (!controllers.includes('pids')) return;
    folder.write('pids.current', `${cgroup.processCount()}\n`);
    folder.write('pids.max', 'max\n');
  }

  /** What the topmost cgroup does not have. */
  function writeMemory(): void {
    const usage = Math.round(cgroup.usage());
    const eventLines = (of: Events): string => keyedLines({ low: 0, high: 0, ...of });
    folder.write('cgroup.events', keyedLines({ populated: cgroup.processCount() > 0 ? 1 : 0, frozen: 0 }));
    folder.write('cpu.max', cpuMax(limits.cores));
    folder.write('memory.current', `${usage}\n`);
    cgroup.peak = Math.max(cgroup.peak, usage);
    folder.write('memory.peak', `${cgroup.peak}\n`);
    folder.write('memory.max', limitLine(limits.memory));
    folder.write(
      'memory.stat',
      memoryStat({
        anon: cgroup.anon(),
        file: cgroup.cache(),
        kernel: cgroup.processCount() * kernelBytesOfProcess,
        scanned: local.max * 32,
      }),
    );
    folder.write('memory.events', eventLines(events()));
    folder.write('memory.events.local', eventLines(local));
  }
  return cgroup;
}

function cpuStat({ cpu }: Cgroup): string {
  const usage = Math.round(cpu.usage * 1e6);
  const user = Math.round(usage * 0.7);
  return keyedLines({
    ...{ usage_usec: usage, user_usec: user, system_usec: usage - user, nice_usec: 0 },
    ...{ nr_periods: cpu.periods, nr_throttled: cpu.throttledPeriods },
    ...{ throttled_usec: cpu.throttled * 1e6, nr_bursts: 0, burst_usec: 0 },
  });
}
