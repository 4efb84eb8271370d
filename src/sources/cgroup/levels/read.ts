/** Reads one level once: what its files say at this moment, each row on its own. */
import { type CgroupFolder, type CgroupLimit, type FileReading, knownOf } from '../files/reading.ts';
import { type MemoryEvent, memoryEvents, type PressureResource } from '../level-metrics.ts';

/** Bytes, microseconds, cores. Undefined: not known, for whatever reason. */
export interface LevelReading {
  readonly usage: number | undefined;
  readonly peak: number | undefined;
  readonly limit: CgroupLimit | undefined;
  readonly stat: Readonly<Partial<Record<(typeof statKeys)[number], number>>>;
  readonly cpu: Readonly<Partial<Record<CpuKey, number>>>;
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
type CpuKey = (typeof cpuKeys)[number];
const statKeys = ['anon', 'file', 'inactive_file'] as const;

/** A level and what of it failed: not what this kernel does not have, nor what was removed meanwhile. */
export interface LevelRead {
  readonly reading: LevelReading;
  /** The cgroup was removed while it was read. */
  readonly gone: boolean;
  /** Files, as `memory.stat (permission)`. */
  readonly failures: readonly string[];
}

/** Reads ten files, memory.stat among them, which is the dear one: for levels, never for each bucket. */
export function readLevel(folder: CgroupFolder): LevelRead {
  const failures: string[] = [];
  let gone = false;
  const take = <T>(file: string, reading: FileReading<T>): T | undefined => {
    if (reading.kind === 'failed') failures.push(`${file} (${reading.reason})`);
    if (reading.kind === 'gone') gone = true;
    return knownOf(reading);
  };
  const keyed = <Key extends string>(file: string, keys: readonly Key[]) =>
    take(file, folder.keyed(file, keys)) ?? {};
  const pressure = (resource: PressureResource) => take(`${resource}.pressure`, folder.pressure(resource));

  const reading: LevelReading = {
    usage: take('memory.current', folder.number('memory.current')),
    peak: take('memory.peak', folder.number('memory.peak')),
    limit: take('memory.max', folder.limit('memory.max')),
    stat: keyed('memory.stat', statKeys),
    cpu: keyed('cpu.stat', cpuKeys),
    cores: take('cpu.max', folder.cores()),
    pressure: { cpu: pressure('cpu'), memory: pressure('memory'), io: pressure('io') },
    events: keyed('memory.events.local', memoryEvents),
  };
  return { reading, gone, failures };
}

/** memory.current less inactive page cache, as the kubelet and cAdvisor compute it: 0 where that is more. */
export const workingSetOf = ({ usage, stat }: LevelReading): number | undefined =>
  usage === undefined || stat.inactive_file === undefined
    ? undefined
    : Math.max(0, usage - stat.inactive_file);
