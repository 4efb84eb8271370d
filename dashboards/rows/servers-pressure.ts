/** Pressure: how long processes wait for memory, CPU and disks. */

import { serversDashboard } from '../../src/monitoring/links.ts';
import { labelled, maxBy, or, rate } from '../../src/monitoring/promql/index.ts';
import {
  containerLevelMetrics,
  gitLevelMetrics,
  type PressureResource,
  podLevelMetrics,
} from '../../src/sources/cgroup/level-metrics.ts';
import type { Row } from '../board.ts';
import { timeseries } from '../kit.ts';
import { counterOfServers } from '../variables.ts';
import { perServer, range, server } from './servers.ts';

const { panels: ids, rows } = serversDashboard;

/** Of cpu, `full` says nothing before Linux 5.13, and little after it. */
function waiting(resource: PressureResource, kind: 'some' | 'full') {
  const of = { resource, kind };
  const git = maxBy(server, rate(counterOfServers(gitLevelMetrics.pressure, of), range));
  const container = maxBy(server, rate(counterOfServers(containerLevelMetrics.pressure, of), range));
  const pod = maxBy(server, rate(counterOfServers(podLevelMetrics.pressure, of), range));
  return or(
    or(labelled(git, 'level', 'git'), labelled(container, 'level', 'container')),
    labelled(pod, 'level', 'pod'),
  );
}

const panel = (id: number, title: string, tells: string, ...of: Parameters<typeof waiting>) =>
  timeseries({
    id,
    title,
    tells,
    unit: 'percentunit',
    queries: [{ expression: waiting(...of), legend: `{{level}} of ${perServer}` }],
    width: 8,
  });

export const pressure = (): Row => ({
  id: rows.pressure,
  title: 'Pressure',
  panels: [
    panel(
      ids.pressureMemory,
      'Everything waited for memory',
      'Share of the time in which nothing went on because memory had to be taken back first: it rises before an OOM kill.',
      'memory',
      'full',
    ),
    panel(ids.pressureCpu, 'Something waited for CPU', 'Share of the time, limits included.', 'cpu', 'some'),
    panel(
      ids.pressureIo,
      'Everything waited for disks',
      'Share of the time in which nothing went on because of them.',
      'io',
      'full',
    ),
  ],
});
