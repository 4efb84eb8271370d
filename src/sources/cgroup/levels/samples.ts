/** From readings of levels and totals of OOM kills to samples. Pure: what is unknown has no sample. */
import type { LabelSpec, Metric } from '../../../metrics/metric.ts';
import { createSamples, type Family, type Sample } from '../../../metrics/samples.ts';
import { type Identity, identityKey } from '../../identity.ts';
import type { CgroupLimit } from '../files/reading.ts';
import { type LevelMetrics, memoryEvents, pressureKinds, pressureResources } from '../level-metrics.ts';
import { lastOom, oomEvents, oomKills } from '../metrics.ts';
import { type OomTotals, oomLevels } from '../oom/record.ts';
import type { LevelRead, LevelReading } from './read.ts';

/** One cgroup of a level, with the Gitaly that it is of. */
type LevelRow = Pick<LevelRead, 'container' | 'reading'> & { readonly identity: Identity };

type ScalarRow = Exclude<keyof LevelMetrics, 'pressure' | 'memoryEvents'>;

export const fromMicroseconds = (usec: number | undefined): number | undefined =>
  usec === undefined ? undefined : usec / 1e6;

export const limitOf = (limit: CgroupLimit | undefined): number | undefined =>
  limit?.kind === 'limit' ? limit.value : undefined;

const scalars: Readonly<Record<ScalarRow, (reading: LevelReading) => number | undefined>> = {
  memoryUsage: ({ usage }) => usage,
  memoryWorkingSet: workingSetOf,
  memoryAnon: ({ stat }) => stat.anon,
  memoryFile: ({ stat }) => stat.file,
  memoryPeak: ({ peak }) => peak,
  memoryLimit: ({ limit }) => limitOf(limit),
  cpuUsage: ({ cpu }) => fromMicroseconds(cpu.usage_usec),
  cpuUser: ({ cpu }) => fromMicroseconds(cpu.user_usec),
  cpuSystem: ({ cpu }) => fromMicroseconds(cpu.system_usec),
  cpuLimit: ({ cores }) => limitOf(cores),
  cpuPeriods: ({ cpu }) => cpu.nr_periods,
  cpuThrottledPeriods: ({ cpu }) => cpu.nr_throttled,
  cpuThrottled: ({ cpu }) => fromMicroseconds(cpu.throttled_usec),
};

const scalarRows = Object.keys(scalars) as readonly ScalarRow[];

/** memory.current minus inactive page cache, not below 0, as the kubelet and cAdvisor compute it. */
function workingSetOf({ usage, stat }: LevelReading): number | undefined {
  return usage === undefined || stat.inactive_file === undefined
    ? undefined
    : Math.max(0, usage - stat.inactive_file);
}

/** All families of the level; families without samples are not rendered. */
export function levelFamilies(metrics: LevelMetrics, cgroups: readonly LevelRow[]): readonly Family[] {
  const family = (
    metric: Metric<LabelSpec>,
    valuesOf: (reading: LevelReading) => readonly { own: readonly string[]; value: number | undefined }[],
  ): Family => ({
    metric,
    samples: cgroups.flatMap(({ identity, container, reading }): Sample[] => {
      const { namespace, pod, node } = identity;
      const labels = [namespace, pod, node, ...(container === undefined ? [] : [container])];
      return valuesOf(reading).flatMap(({ own, value }) =>
        value === undefined ? [] : [{ labelValues: [...labels, ...own], value }],
      );
    }),
  });
  return [
    ...scalarRows.map((row) =>
      family(metrics[row], (reading) => [{ own: [], value: scalars[row](reading) }]),
    ),
    family(metrics.pressure, ({ pressure }) =>
      pressureResources.flatMap((resource) =>
        pressureKinds.map((kind) => ({
          own: [resource, kind],
          value: fromMicroseconds(pressure[resource]?.[kind]),
        })),
      ),
    ),
    family(metrics.memoryEvents, ({ events }) =>
      memoryEvents.map((event) => ({ own: [event], value: events[event] })),
    ),
  ];
}

/** By identity (as a key): a pod that is created again continues the totals of the one before it. */
export const oomByIdentity = (totals: readonly OomTotals[]): ReadonlyMap<string, OomTotals> =>
  new Map(totals.map((each) => [identityKey(each.identity), each]));

/** Every level of each Gitaly has samples, from 0 on. */
export function oomKillFamilies(totals: readonly OomTotals[]): readonly Family[] {
  const samples = createSamples();
  for (const { identity, kills, events, last } of totals) {
    for (const level of oomLevels) {
      const labels = { ...identity, level };
      const at = last[level];
      samples.set(oomKills, labels, kills[level]);
      samples.set(oomEvents, labels, events[level]);
      samples.set(lastOom, labels, at && at / 1000);
    }
  }
  return samples.families();
}
