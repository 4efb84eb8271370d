/** Buckets of repositories: the largest, the busiest, and how many are at their limit. */

import { serversDashboard } from '../../src/monitoring/links.ts';
import { above, maxBy, rate, topK } from '../../src/monitoring/promql/index.ts';
import {
  bucketCpuThrottled,
  bucketCpuUsage,
  bucketMemoryLimit,
  bucketMemoryUsage,
  bucketReadErrors,
  bucketsActive,
  bucketsNearLimit,
  gitProcesses,
} from '../../src/sources/cgroup/metrics.ts';
import type { Row } from '../board.ts';
import { timeseries } from '../kit.ts';
import { counterOfServers, gaugeOfServers } from '../variables.ts';
import { perServer, range, server } from './servers.ts';

const { panels: ids, rows } = serversDashboard;
const bucket = [...server, 'bucket'] as const;
const perBucket = `repos-{{bucket}} of ${perServer}`;
const which = 'gitaly-exporter bucket says which repositories share one.';
const shown = 10;

export const bucketRow = (): Row => ({
  id: rows.buckets,
  title: 'Buckets of repositories',
  panels: [
    timeseries({
      id: ids.bucketMemory,
      title: `Memory, the ${shown} largest`,
      tells: `Page cache included, so that one at its limit is not in danger by that alone. ${which}`,
      unit: 'bytes',
      queries: [
        { expression: topK(shown, maxBy(bucket, gaugeOfServers(bucketMemoryUsage))), legend: perBucket },
        {
          expression: maxBy(server, gaugeOfServers(bucketMemoryLimit)),
          legend: `limit of each, ${perServer}`,
        },
      ],
      width: 8,
    }),
    timeseries({
      id: ids.bucketCpu,
      title: `Cores, the ${shown} busiest`,
      tells: `Which repositories keep Gitaly busy. ${which}`,
      unit: 'none',
      queries: [
        {
          expression: topK(shown, maxBy(bucket, rate(counterOfServers(bucketCpuUsage), range))),
          legend: perBucket,
        },
      ],
      width: 8,
    }),
    timeseries({
      id: ids.bucketThrottled,
      title: 'Held back by the CPU limit of their bucket',
      tells: 'Seconds per second, summed over CPUs: clones and fetches of these repositories are slow.',
      unit: 'none',
      queries: [
        {
          expression: topK(shown, above(maxBy(bucket, rate(counterOfServers(bucketCpuThrottled), range)), 0)),
          legend: perBucket,
        },
      ],
      width: 8,
    }),
    timeseries({
      id: ids.bucketCounts,
      title: 'Buckets and Git processes',
      tells:
        'Near the limit: the next large Git process in them may be killed. Unread: of those nothing is known.',
      unit: 'short',
      queries: [
        { expression: maxBy(server, gaugeOfServers(bucketsActive)), legend: `${perServer} active` },
        { expression: maxBy(server, gaugeOfServers(bucketsNearLimit)), legend: `${perServer} near limit` },
        { expression: maxBy(server, gaugeOfServers(bucketReadErrors)), legend: `${perServer} unread` },
        { expression: maxBy(server, gaugeOfServers(gitProcesses)), legend: `${perServer} processes` },
      ],
      width: 24,
    }),
  ],
});
