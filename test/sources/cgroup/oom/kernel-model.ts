/**
 * A model of the kernel's rules for OOM kills, to compare the tracker's counts with the real number of kills.
 * From mm/oom_kill.c and mm/memcontrol.c (6.1 and 6.12):
 * - memcg_memory_event raises a counter of the cgroup's own, then its total and each ancestor's, one after
 * another;
 * - mem_cgroup_oom raises `oom` of the cgroup whose limit was reached, then kills;
 * - all processes of the highest cgroup with memory.oom.group between the victim and that one are killed:
 * `oom_group_kill` there, and the first victim is killed again with the others unless it has exited by then;
 * - a removed cgroup loses its own counters; its ancestors keep their totals.
 */
import type { CgroupFiles, CgroupFolder, FileReading } from '../../../../src/sources/cgroup/files/reading.ts';

type Event = 'oom' | 'oom_kill' | 'oom_group_kill';
type Events = Record<Event, number>;

interface Cgroup {
  readonly path: string;
  readonly own: Events;
  readonly total: Events;
  readonly isGroup: boolean;
  /** The number of living processes in it. */
  processes: number;
}

export interface KernelModel {
  readonly files: CgroupFiles;
  /** The direct children of a cgroup. */
  children(path: string): readonly string[] | undefined;
  /** Creates missing ancestors too. */
  make(path: string, options?: { isGroup?: boolean }): void;
  /** Removes its descendants too. */
  remove(path: string): void;
  exists(path: string): boolean;
  /** The processes that a group kill there would kill. */
  populate(path: string, processes: number): void;
  /**
   * Kills a process in `victim` because the limit of `limit` was reached (undefined: the node ran out of
   * memory). Returns the number of killed processes. `hasVictimExited`: the first victim has exited before its
   * group is killed.
   */
  kill(
    victim: string,
    limit: string | undefined,
    options?: { ooms?: number; hasVictimExited?: boolean },
  ): number;
  /** Reaches a limit without a kill. */
  reachLimit(path: string, ooms: number): void;
  /** Applies the given number of pending increments; all by default. */
  run(steps?: number): void;
  /** Called before each file is read. */
  onRead: (path: string, file: string) => void;
  /** Cgroups whose files are unreadable. */
  readonly broken: Set<string>;
  readonly reads: () => number;
}

const none = (): Events => ({ oom: 0, oom_kill: 0, oom_group_kill: 0 });

export function createKernelModel({ hasGroupKills = true }: { hasGroupKills?: boolean } = {}): KernelModel {
  const cgroups = new Map<string, Cgroup>();
  const due: (() => void)[] = [];
  let reads = 0;
  const broken = new Set<string>();

  const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
  const upwards = (from: Cgroup): Cgroup[] => {
    const all: Cgroup[] = [];
    for (let path = from.path; path !== ''; path = parentOf(path)) {
      const cgroup = cgroups.get(path);
      if (cgroup !== undefined) all.push(cgroup);
    }
    return all;
  };
  const the = (path: string): Cgroup => {
    const cgroup = cgroups.get(path);
    if (cgroup === undefined) throw new Error(`no cgroup ${path}`);
    return cgroup;
  };
  const isBelow = (path: string, above: string): boolean => path === above || path.startsWith(`${above}/`);

  /** The ancestors at this moment: a cgroup that is removed later still passes its events on. */
  function raise(cgroup: Cgroup, event: Event): void {
    const chain = upwards(cgroup);
    due.push(() => {
      cgroup.own[event]++;
      cgroup.total[event]++;
    });
    for (const above of chain.slice(1)) due.push(() => above.total[event]++);
  }

  function folder(path: string): CgroupFolder {
    let open: Cgroup | undefined;
    function read(file: string): FileReading<Cgroup> {
      reads++;
      model.onRead(path, file);
      if (broken.has(path)) return { kind: 'failed', reason: 'too_many_open_files' };
      const now = cgroups.get(path);
      if (open !== undefined && open !== now) {
        open = undefined;
        return { kind: 'removed' };
      }
      if (now === undefined) return { kind: 'removed' };
      open = now;
      return { kind: 'value', value: now };
    }
    return {
      path,
      number: (file) => {
        const found = read(file);
        if (found.kind !== 'value') return found;
        return { kind: 'value', value: file === 'memory.oom.group' && found.value.isGroup ? 1 : 0 };
      },
      keyed: (file, keys) => {
        const found = read(file);
        if (found.kind !== 'value') return found;
        const { own, total } = found.value;
        const events: Partial<Events> = file === 'memory.events.local' ? { ...own } : { ...total };
        if (!hasGroupKills) delete events.oom_group_kill;
        const entries = keys.map((key) => [key, (events as Record<string, number>)[key]] as const);
        return {
          kind: 'value',
          value: Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as never,
        };
      },
      limit: () => ({ kind: 'absent' }),
      cores: () => ({ kind: 'absent' }),
      pressure: () => ({ kind: 'absent' }),
      processes: () => ({ kind: 'absent' }),
      close() {},
    };
  }

  const model: KernelModel = {
    broken,
    reads: () => reads,
    onRead: () => {},
    files: {
      folder,
      failures: () => ({ permission: 0, too_many_open_files: 0, malformed: 0, io: 0 }),
      openDescriptors: () => 0,
      close() {},
    },
    children(path) {
      if (path !== '' && !cgroups.has(path)) return undefined;
      return [...cgroups.keys()].filter((each) => parentOf(each) === path);
    },
    make(path, { isGroup = false } = {}) {
      const above = parentOf(path);
      if (above !== '' && !cgroups.has(above)) model.make(above);
      if (!cgroups.has(path)) cgroups.set(path, { path, own: none(), total: none(), isGroup, processes: 1 });
    },
    remove(path) {
      for (const each of [...cgroups.keys()]) if (isBelow(each, path)) cgroups.delete(each);
    },
    exists: (path) => cgroups.has(path),
    populate(path, processes) {
      the(path).processes = processes;
    },
    kill(victimPath, limitPath, { ooms = 1, hasVictimExited = false } = {}) {
      const victim = the(victimPath);
      const domain = limitPath === undefined ? undefined : the(limitPath);
      if (domain !== undefined) for (let each = 0; each < ooms; each++) raise(domain, 'oom');
      raise(victim, 'oom_kill');
      const group = upwards(victim)
        .filter(({ isGroup, path }) => isGroup && (domain === undefined || isBelow(path, domain.path)))
        .at(-1);
      if (group === undefined) return 1;
      raise(group, 'oom_group_kill');
      let killed = 0;
      for (const cgroup of cgroups.values()) {
        if (!isBelow(cgroup.path, group.path)) continue;
        const isVictims = cgroup === victim;
        const processes = isVictims ? Math.max(1, cgroup.processes) : cgroup.processes;
        const struck = isVictims && hasVictimExited ? processes - 1 : processes;
        for (let each = 0; each < struck; each++) raise(cgroup, 'oom_kill');
        killed += processes;
      }
      return killed;
    },
    reachLimit(path, ooms) {
      for (let each = 0; each < ooms; each++) raise(the(path), 'oom');
    },
    run(steps = due.length) {
      for (const step of due.splice(0, steps)) step();
    },
  };
  return model;
}
