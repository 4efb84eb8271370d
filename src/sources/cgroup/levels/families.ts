/** From readings of one level to its samples. Pure: what is not known has no sample. */

import type { LabelSpec, Metric } from '../../../metrics/metric.ts';
import type { Family, Sample } from '../../../metrics/samples.ts';
import type { Identity } from '../../identity.ts';
import type { CgroupLimit } from '../files/reading.ts';
import { type LevelMetrics, memoryEvents, pressureKinds, pressureResources } from '../level-metrics.ts';
import { type LevelReading, workingSetOf } from './read.ts';

/** One cgroup of the level. `container` for the level that has such a label. */
export interface LevelRow {
  readonly identity: Identity;
  readonly container?: string;
  readonly reading: LevelReading;
}

type ScalarRow = Exclude<keyof LevelMetrics, 'pressure' | 'memoryEvents'>;

const microsecond = 1e6;

const seconds = (usec: number | undefined): number | undefined =>
  usec === undefined ? undefined : usec / microsecond;

const limitOf = (limit: CgroupLimit | undefined): number | undefined =>
  limit?.kind === 'limit' ? limit.value : undefined;

const rows: Readonly<Record<ScalarRow, (reading: LevelReading) => number | undefined>> = {
  memoryUsage: ({ usage }) => usage,
  memoryWorkingSet: workingSetOf,
  memoryAnon: ({ stat }) => stat.anon,
  memoryFile: ({ stat }) => stat.file,
  memoryPeak: ({ peak }) => peak,
  memoryLimit: ({ limit }) => limitOf(limit),
  cpuUsage: ({ cpu }) => seconds(cpu.usage_usec),
  cpuUser: ({ cpu }) => seconds(cpu.user_usec),
  cpuSystem: ({ cpu }) => seconds(cpu.system_usec),
  cpuLimit: ({ cores }) => limitOf(cores),
  cpuPeriods: ({ cpu }) => cpu.nr_periods,
  cpuThrottledPeriods: ({ cpu }) => cpu.nr_throttled,
  cpuThrottled: ({ cpu }) => seconds(cpu.throttled_usec),
};

const scalarRows = Object.keys(rows) as readonly ScalarRow[];

/** All families of the level; those without a sample are there, and are not rendered. */
export function levelFamilies(metrics: LevelMetrics, cgroups: readonly LevelRow[]): readonly Family[] {
  const family = (
    metric: Metric<LabelSpec>,
    samplesOf: (reading: LevelReading) => readonly { own: readonly string[]; value: number | undefined }[],
  ): Family => ({
    metric,
    samples: cgroups.flatMap(({ identity, container, reading }): Sample[] => {
      const { namespace, pod, node } = identity;
      const labels = [namespace, pod, node, ...(container === undefined ? [] : [container])];
      return samplesOf(reading).flatMap(({ own, value }) =>
        value === undefined ? [] : [{ labelValues: [...labels, ...own], value }],
      );
    }),
  });
  return [
    ...scalarRows.map((row) => family(metrics[row], (reading) => [{ own: [], value: rows[row](reading) }])),
    family(metrics.pressure, ({ pressure }) =>
      pressureResources.flatMap((resource) =>
        pressureKinds.map((kind) => ({ own: [resource, kind], value: seconds(pressure[resource]?.[kind]) })),
      ),
    ),
    family(metrics.memoryEvents, ({ events }) =>
      memoryEvents.map((event) => ({ own: [event], value: events[event] })),
    ),
  ];
}
