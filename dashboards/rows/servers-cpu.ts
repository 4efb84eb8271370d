/** CPU of each level, and what its limits hold back. */

import { serversDashboard } from '../../src/monitoring/links.ts';
import type { MonitoringSettings } from '../../src/monitoring/settings.ts';
import type { Row } from '../board.ts';
import { timeseries } from '../kit.ts';
import { ofLevels, perServer, rateBy, throttledShare } from './servers.ts';

const { panels: ids, rows } = serversDashboard;
const legend = `{{level}} of ${perServer}`;

export const cpu = ({ thresholds }: MonitoringSettings): Row => ({
  id: rows.cpu,
  title: 'CPU',
  panels: [
    timeseries({
      id: ids.throttledShare,
      title: 'Throttled, share of the periods',
      tells: `How often the CPU limit of a level held something back. The line is at ${thresholds.cpuThrottled.value * 100} %, where Gitaly itself is slow; the limit of all Git processes is there to hold them back, and may be at ${thresholds.cpuThrottledGit.value * 100} %. Alert: GitalyCPUThrottled.`,
      unit: 'percentunit',
      queries: [{ expression: throttledShare(), legend }],
      limit: thresholds.cpuThrottled.value,
      width: 8,
    }),
    timeseries({
      id: ids.throttledSeconds,
      title: 'Throttled, seconds per second',
      tells: 'Summed over CPUs: how much work waits.',
      unit: 'none',
      queries: [{ expression: ofLevels((of, by) => rateBy(by, of.cpuThrottled)), legend }],
      width: 8,
    }),
    timeseries({
      id: ids.cores,
      title: 'Cores in use',
      tells: 'A level includes those below it: the pod its containers and Git, all of Git its buckets.',
      unit: 'none',
      queries: [{ expression: ofLevels((of, by) => rateBy(by, of.cpuUsage)), legend }],
      width: 8,
    }),
  ],
});
