/** Reads every level of every Gitaly: the pod's slice, Gitaly's container, and the parent cgroup of Git processes. */
import {
  type CgroupFiles,
  type CgroupFolder,
  type CgroupLimit,
  type FileReading,
  knownOf,
} from '../files/reading.ts';
import {
  type Level,
  levels,
  type MemoryEvent,
  memoryEvents,
  type PressureResource,
} from '../level-metrics.ts';
import type { GitalyTree } from '../tree.ts';

/** Bytes, microseconds, cores. Undefined: unknown, for whatever reason. */
export interface LevelReading {
  readonly usage: number | undefined;
  readonly peak: number | undefined;
  readonly limit: CgroupLimit | undefined;
  readonly stat: Readonly<Partial<Record<(typeof statKeys)[number], number>>>;
  readonly cpu: Readonly<Partial<Record<(typeof cpuKeys)[number], number>>>;
  readonly cores: CgroupLimit | undefined;
  readonly pressure: Readonly<
    Record<PressureResource, { readonly some?: number; readonly full?: number } | undefined>
  >;
  readonly events: Readonly<Partial<Record<MemoryEvent, number>>>;
}

const cpuKeys = [
  'usage_usec',
  'user_usec',
  'system_usec',
  'nr_periods',
  'nr_throttled',
  'throttled_usec',
] as const;
const statKeys = ['anon', 'file', 'inactive_file'] as const;

/** One cgroup of a Gitaly. */
interface LevelCgroup {
  readonly level: Level;
  readonly path: string;
  /** Of the level `container`. */
  readonly container: string | undefined;
}

export interface LevelRead extends LevelCgroup {
  readonly reading: LevelReading;
  /** Files that could not be read, as `memory.stat (permission)`: neither those that this kernel lacks nor removed ones. */
  readonly readErrors: readonly string[];
}

export interface GitalyRead {
  readonly tree: GitalyTree;
  /** Without those that were removed since the scan. */
  readonly levels: readonly LevelRead[];
  /** A cgroup of the tree was removed since the scan. */
  readonly isOutdated: boolean;
}

/** Reads each cgroup of the trees once, and closes those that are in none of the trees any more. */
type LevelReader = (trees: readonly GitalyTree[]) => readonly GitalyRead[];

export function createLevelReader(files: CgroupFiles): LevelReader {
  let open = new Map<string, CgroupFolder>();
  return (trees) => {
    const before = open;
    open = new Map();
    const reads = trees.map((tree): GitalyRead => {
      const cgroups = cgroupsOf(tree);
      const present = cgroups.flatMap((cgroup): readonly LevelRead[] => {
        const { path } = cgroup;
        const folder = before.get(path) ?? open.get(path) ?? files.folder(path);
        open.set(path, folder);
        const read = readLevel(folder);
        return read === undefined ? [] : [{ ...cgroup, ...read }];
      });
      return { tree, levels: present, isOutdated: present.length < cgroups.length };
    });
    for (const [path, folder] of before) if (!open.has(path)) folder.close();
    return reads;
  };
}

function cgroupsOf(tree: GitalyTree): readonly LevelCgroup[] {
  const paths: Readonly<Record<Level, readonly { path: string; container?: string }[]>> = {
    pod: tree.pod === undefined ? [] : [{ path: tree.pod }],
    container: gitalyContainers(tree),
    git: tree.git === undefined ? [] : [{ path: tree.git.path }],
  };
  return levels.flatMap((level) => paths[level].map(({ path, container }) => ({ level, path, container })));
}

/** Gitaly's own; until it is known which one that is, every container that may be. */
function gitalyContainers({ containers }: GitalyTree): readonly { path: string; container: string }[] {
  const own = containers.filter(({ gitaly }) => gitaly === true);
  const possible = own.length > 0 ? own : containers.filter(({ gitaly }) => gitaly === undefined);
  const names = new Set<string>();
  return possible.map(({ id, name, path }) => {
    // A restarted container may leave its scope for a moment: two with one name.
    const container = names.has(name) ? id.slice(0, 12) : name;
    names.add(container);
    return { path, container };
  });
}

/**
 * Reads ten files. memory.stat among them is expensive: read it per level, never per bucket. Undefined when the cgroup
 * was removed.
 */
export function readLevel(folder: CgroupFolder): Pick<LevelRead, 'reading' | 'readErrors'> | undefined {
  const readErrors: string[] = [];
  let isRemoved = false;
  const take = <T>(file: string, reading: FileReading<T>): T | undefined => {
    if (reading.kind === 'failed') readErrors.push(`${file} (${reading.reason})`);
    if (reading.kind === 'removed') isRemoved = true;
    return knownOf(reading);
  };
  /** `always`: every kernel with cgroup v2 writes this key, so that a file without it is not the kernel's. */
  const keyed = <Key extends string>(file: string, keys: readonly Key[], always: Key) => {
    const values = take(file, folder.keyed(file, keys));
    if (values !== undefined && values[always] === undefined) readErrors.push(`${file} (incomplete)`);
    return values ?? {};
  };
  const pressure = (resource: PressureResource) => take(`${resource}.pressure`, folder.pressure(resource));

  const reading: LevelReading = {
    usage: take('memory.current', folder.number('memory.current')),
    peak: take('memory.peak', folder.number('memory.peak')),
    limit: take('memory.max', folder.limit('memory.max')),
    stat: keyed('memory.stat', statKeys, 'anon'),
    cpu: keyed('cpu.stat', cpuKeys, 'usage_usec'),
    cores: take('cpu.max', folder.cores()),
    pressure: { cpu: pressure('cpu'), memory: pressure('memory'), io: pressure('io') },
    events: keyed('memory.events.local', memoryEvents, 'oom'),
  };
  return isRemoved ? undefined : { reading, readErrors };
}
