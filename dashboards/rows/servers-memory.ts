/** Memory of each level against its limit. */

import { serversDashboard } from '../../src/monitoring/links.ts';
import { maxBy } from '../../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../../src/monitoring/settings.ts';
import {
  containerLevelMetrics,
  gitLevelMetrics,
  podLevelMetrics,
} from '../../src/sources/cgroup/level-metrics.ts';
import type { Row } from '../board.ts';
import { type Query, timeseries } from '../kit.ts';
import { gaugeOfServers } from '../variables.ts';
import { memoryShare, perServer, server } from './servers.ts';

const { panels: ids, rows } = serversDashboard;

type Level = typeof podLevelMetrics | typeof gitLevelMetrics | typeof containerLevelMetrics;

const held = (of: Level): readonly Query[] => [
  { expression: maxBy(server, gaugeOfServers(of.memoryAnon)), legend: `${perServer} anonymous` },
  { expression: maxBy(server, gaugeOfServers(of.memoryFile)), legend: `${perServer} page cache` },
  { expression: maxBy(server, gaugeOfServers(of.memoryLimit)), legend: `${perServer} limit` },
];

export const memory = ({ thresholds }: MonitoringSettings): Row => ({
  id: rows.memory,
  title: 'Memory',
  panels: [
    timeseries({
      id: ids.memoryShare,
      title: 'Anonymous memory, share of the limit',
      tells: `How near the next OOM kill is, by level; without page cache, which the kernel takes back. A level without a limit is not drawn. The line is at ${thresholds.memoryNearLimit.value * 100} %. Alert: GitalyMemoryNearLimit.`,
      unit: 'percentunit',
      queries: [{ expression: memoryShare(), legend: `{{level}} of ${perServer}` }],
      limit: thresholds.memoryNearLimit.value,
      width: 24,
    }),
    timeseries({
      id: ids.gitMemoryBytes,
      title: 'All Git processes',
      tells: 'The parent of all buckets. Page cache fills what is free, and is no reason to raise the limit.',
      unit: 'bytes',
      queries: held(gitLevelMetrics),
      width: 8,
    }),
    timeseries({
      id: ids.containerMemory,
      title: "Gitaly's container",
      tells: 'Gitaly itself; Git processes too, unless their cgroups are beside it.',
      unit: 'bytes',
      queries: held(containerLevelMetrics),
      width: 8,
    }),
    timeseries({
      id: ids.podMemory,
      title: 'The pod',
      tells:
        'Gitaly, Git and sidecars together. Without a limit here, Git beside the container is held by its own limit alone.',
      unit: 'bytes',
      queries: held(podLevelMetrics),
      width: 8,
    }),
  ],
});
