/** A simulated cgroup with its processes, limits and counters, written to files as a kernel 6.12 shows them. */
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';

export interface SimulatedProcess {
  readonly pid: number;
  /** Bytes. */
  anon: number;
  /** CPU demand in cores. */
  cores: number;
}

export interface CgroupLimits {
  /** Bytes; undefined for no limit, as with `cores`. */
  readonly memory?: number;
  readonly cores?: number;
  /** memory.oom.group: an OOM kill ends all processes of the cgroup. */
  readonly oomGroup?: boolean;
  readonly weight?: number;
}

/** memory.events.local: the counters of this cgroup alone. */
interface MemoryEvents {
  max: number;
  oom: number;
  oom_kill: number;
  oom_group_kill: number;
}

export interface Cgroup {
  /** Relative to the root. */
  readonly path: string;
  readonly limits: CgroupLimits;
  readonly children: Map<string, Cgroup>;
  readonly processes: SimulatedProcess[];
  /** Page cache of its own, bytes. */
  file: number;
  readonly local: MemoryEvents;
  readonly cpu: { usage: number; periods: number; throttledPeriods: number; throttled: number };
  readonly stalls: Readonly<Record<'cpu' | 'memory' | 'io', { some: number; full: number }>>;
  peak: number;
  child(name: string, limits?: CgroupLimits): Cgroup;
  /** As rmdir: its events remain in the totals of its ancestors. */
  remove(name: string): void;
  /** Totals of the subtree. */
  anon(): number;
  cache(): number;
  processCount(): number;
  usage(): number;
  events(): MemoryEvents;
  /** Writes the files of the subtree. */
  write(): void;
}

/** Stacks, page tables and other memory of the kernel. */
const kernelBytesOfProcess = 196_608;

const noEvents = (): MemoryEvents => ({ max: 0, oom: 0, oom_kill: 0, oom_group_kill: 0 });

function add(to: MemoryEvents, more: MemoryEvents): void {
  to.max += more.max;
  to.oom += more.oom;
  to.oom_kill += more.oom_kill;
  to.oom_group_kill += more.oom_group_kill;
}

/** @param controllers the enabled controllers; without `pids` there are no pids files */
export function createCgroup(
  root: string,
  path: string,
  limits: CgroupLimits = {},
  controllers = 'cpuset cpu io memory pids',
): Cgroup {
  const isBucket = basename(path).startsWith('repos-');
  const folder: CgroupFolder = createFolder(path === '' ? root : `${root}/${path}`);
  const children = new Map<string, Cgroup>();
  const processes: SimulatedProcess[] = [];
  const local = noEvents();
  /** Events of removed children. */
  const removed = noEvents();
  function sum(of: (child: Cgroup) => number): number {
    let all = 0;
    for (const child of children.values()) all += of(child);
    return all;
  }
  /** What the memory files were last written for. */
  let written = '';

  function events(): MemoryEvents {
    const all = { ...local };
    add(all, removed);
    for (const child of children.values()) add(all, child.events());
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
      const existing = children.get(name);
      if (existing !== undefined) return existing;
      // Gitaly enables only cpu and memory for its own cgroups.
      const below = name.startsWith('gitaly-') || name.startsWith('repos-') ? 'cpu memory' : controllers;
      const created = createCgroup(root, path === '' ? name : `${path}/${name}`, childLimits, below);
      children.set(name, created);
      created.write();
      return created;
    },
    remove(name) {
      const child = children.get(name);
      if (child === undefined) return;
      add(removed, child.events());
      children.delete(name);
      createFolder(`${root}/${child.path}`).remove();
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

  /** Files that the exporter does not read in buckets; without them the demo starts faster. */
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

  /** Files that the root cgroup does not have. */
  function writeMemory(): void {
    const [anon, file, count] = [cgroup.anon(), cgroup.cache(), cgroup.processCount()];
    const all = events();
    // Most cgroups are idle most of the time.
    const state = [anon, file, count, Object.values(all), Object.values(local)].join();
    if (state === written) return;
    written = state;
    const kernel = count * kernelBytesOfProcess;
    const usage = Math.round(anon + file + kernel);
    const eventLines = (of: MemoryEvents): string => keyedLines({ low: 0, high: 0, ...of });
    folder.write('cgroup.events', keyedLines({ populated: count > 0 ? 1 : 0, frozen: 0 }));
    folder.write('cpu.max', cpuMax(limits.cores));
    folder.write('memory.current', `${usage}\n`);
    cgroup.peak = Math.max(cgroup.peak, usage);
    folder.write('memory.peak', `${cgroup.peak}\n`);
    folder.write('memory.max', limitLine(limits.memory));
    folder.write('memory.stat', memoryStat({ anon, file, kernel, scanned: local.max * 32 }));
    folder.write('memory.events', eventLines(all));
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

// --- Files

interface CgroupFolder {
  /** Rewrites the file in place if its text changed, synchronously, so that no reader sees a part of it. */
  write(file: string, text: string): void;
  remove(): void;
}

/**
 * Files that are rewritten in place: a reader with an open descriptor reads the new text from position 0, as with a
 * kernel's files. Throws the errors of node:fs.
 */
function createFolder(path: string): CgroupFolder {
  mkdirSync(path, { recursive: true });
  const texts = new Map<string, string>();
  return {
    write(file, text) {
      const before = texts.get(file);
      if (before === text) return;
      const descriptor = openSync(join(path, file), before === undefined ? 'w' : 'r+');
      try {
        writeSync(descriptor, text, 0);
        if (before !== undefined && text.length < before.length) ftruncateSync(descriptor, text.length);
      } finally {
        closeSync(descriptor);
      }
      texts.set(file, text);
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

// --- Texts: lines and their order as on a real kernel

function keyedLines(values: Readonly<Record<string, number>>): string {
  let text = '';
  for (const key in values) text += `${key} ${Math.round(values[key] ?? 0)}\n`;
  return text;
}

const limitLine = (limit: number | undefined): string => `${limit ?? 'max'}\n`;

/** Quota and period in microseconds. */
const cpuMax = (cores: number | undefined): string =>
  `${cores === undefined ? 'max' : Math.round(cores * 100_000)} 100000\n`;

/** Totals in seconds. The averages stay 0: the exporter does not read them. */
function pressureLines({ some, full }: { readonly some: number; readonly full: number }): string {
  const line = (kind: string, seconds: number): string =>
    `${kind} avg10=0.00 avg60=0.00 avg300=0.00 total=${Math.round(seconds * 1e6)}\n`;
  return line('some', some) + line('full', full);
}

interface MemoryStat {
  /** Bytes. */
  readonly anon: number;
  readonly file: number;
  readonly kernel: number;
  /** Pages scanned by reclaim. */
  readonly scanned: number;
}

const keysAfterFile =
  'kernel kernel_stack pagetables sec_pagetables percpu sock vmalloc shmem zswap zswapped file_mapped file_dirty file_writeback swapcached anon_thp file_thp shmem_thp inactive_anon active_anon inactive_file active_file unevictable slab_reclaimable slab_unreclaimable slab workingset_refault_anon workingset_refault_file workingset_activate_anon workingset_activate_file workingset_restore_anon workingset_restore_file workingset_nodereclaim pgdemote_kswapd pgdemote_direct pgdemote_khugepaged pgpromote_success pgscan pgsteal pgscan_kswapd pgscan_direct pgscan_khugepaged pgsteal_kswapd pgsteal_direct pgsteal_khugepaged pgfault pgmajfault pgrefill pgactivate pgdeactivate pglazyfree pglazyfreed swpin_zero swpout_zero zswpin zswpout zswpwb thp_fault_alloc thp_collapse_alloc thp_swpout thp_swpout_fallback numa_pages_migrated numa_pte_updates numa_hint_faults'.split(
    ' ',
  );
const zeros: Readonly<Record<string, number>> = Object.fromEntries(keysAfterFile.map((key) => [key, 0]));

function memoryStat({ anon, file, kernel, scanned }: MemoryStat): string {
  const inactiveFile = file * 0.8;
  return keyedLines({
    anon,
    file,
    ...zeros,
    kernel,
    slab: kernel,
    slab_reclaimable: kernel,
    active_anon: anon,
    inactive_file: inactiveFile,
    active_file: file - inactiveFile,
    ...{ pgscan: scanned, pgscan_direct: scanned, pgsteal: scanned, pgsteal_direct: scanned },
    pgfault: (anon + file) / 4096,
  });
}
