/** Concurrency limits: who is turned away and why, who waits and how long, and what is configured. */

import { limitsDashboard } from '../../src/monitoring/links.ts';
import { histogramQuantile, maxBy, rate, subtract, sumBy } from '../../src/monitoring/promql/index.ts';
import {
  adaptiveBackoffs,
  concurrencyInProgress,
  concurrencyLimit,
  concurrencyQueued,
  concurrencyWait,
  packObjectsDropped,
  packObjectsInProgress,
  packObjectsLimit,
  packObjectsQueued,
  requestsDropped,
  scrapeUp,
} from '../../src/sources/gitaly/metrics.ts';
import type { Row } from '../board.ts';
import { stat, timeseries } from '../kit.ts';
import { bucketsOfServers, counterOfServers, gaugeOfServers } from '../variables.ts';

const { panels: ids, rows } = limitsDashboard;
const server = ['cluster', 'namespace', 'pod', 'node'] as const;
const rpc = [...server, 'grpc_service', 'grpc_method'] as const;
const range = '$__rate_interval';
const summed =
  'It is summed over repositories, while the limit is for each repository: one at its limit hides among many, so judge by drops, queue and waiting.';

export const rpcLimits = (): Row => ({
  id: rows.rpc,
  title: 'RPCs',
  panels: [
    timeseries({
      id: ids.dropsByReason,
      title: 'Turned away, by reason',
      tells:
        'Clients that a limit turned away. They get RESOURCE_EXHAUSTED, which error ratios usually leave out.',
      unit: 'cps',
      queries: [
        {
          expression: sumBy(
            ['reason'],
            maxBy([...rpc, 'reason'], rate(counterOfServers(requestsDropped), range)),
          ),
          legend: '{{reason}}',
        },
      ],
      draw: 'stacked',
      width: 8,
    }),
    timeseries({
      id: ids.dropsByRpc,
      title: 'Turned away, by RPC',
      tells: 'Which limit it was. Alert: GitalyRequestsDropped.',
      unit: 'cps',
      queries: [
        {
          expression: sumBy(
            ['grpc_method'],
            maxBy([...rpc, 'reason'], rate(counterOfServers(requestsDropped), range)),
          ),
          legend: '{{grpc_method}}',
        },
      ],
      draw: 'stacked',
      width: 8,
    }),
    timeseries({
      id: ids.queued,
      title: 'Waiting',
      tells: 'Requests that wait for a limit to let them in.',
      unit: 'short',
      queries: [
        {
          expression: maxBy([...server, 'grpc_method'], gaugeOfServers(concurrencyQueued)),
          legend: '{{pod}} {{node}} {{grpc_method}}',
        },
      ],
      width: 8,
    }),
    timeseries({
      id: ids.wait,
      title: 'Waiting time, 95th percentile',
      tells: 'How long those waited that were let in.',
      unit: 's',
      queries: [
        {
          expression: histogramQuantile(
            0.95,
            sumBy(
              ['le', 'grpc_method'],
              maxBy([...rpc, 'le'], rate(bucketsOfServers(concurrencyWait), range)),
            ),
          ),
          legend: '{{grpc_method}}',
        },
      ],
      width: 8,
    }),
    timeseries({
      id: ids.inProgress,
      title: 'In progress',
      tells: summed,
      unit: 'short',
      queries: [
        {
          expression: maxBy([...server, 'grpc_method'], gaugeOfServers(concurrencyInProgress)),
          legend: '{{pod}} {{node}} {{grpc_method}}',
        },
      ],
      width: 8,
    }),
    timeseries({
      id: ids.limit,
      title: 'Limits',
      tells:
        'For each repository, not for the sum beside: static ones as configured, adaptive ones as they are now.',
      unit: 'short',
      queries: [
        {
          expression: maxBy([...server, 'grpc_method', 'kind', 'bound'], gaugeOfServers(concurrencyLimit)),
          legend: '{{pod}} {{node}} {{grpc_method}} {{kind}} {{bound}}',
        },
      ],
      width: 8,
    }),
  ],
});

export const packObjects = (): Row => ({
  id: rows.packObjects,
  title: 'Clones and fetches (pack-objects), adaptive limits, and what could be read',
  panels: [
    timeseries({
      id: ids.packDropped,
      title: 'Clones and fetches turned away',
      tells: 'They fail with Internal, which says nothing of a limit.',
      unit: 'cps',
      queries: [
        {
          expression: sumBy(
            ['reason'],
            maxBy([...server, 'reason'], rate(counterOfServers(packObjectsDropped), range)),
          ),
          legend: '{{reason}}',
        },
      ],
      draw: 'stacked',
      width: 8,
    }),
    timeseries({
      id: ids.packUse,
      title: 'Pack-objects: in progress and waiting',
      tells: 'Summed over clients, while the limit is for one address.',
      unit: 'short',
      queries: [
        {
          expression: maxBy(server, gaugeOfServers(packObjectsInProgress)),
          legend: '{{pod}} {{node}} in progress',
        },
        { expression: maxBy(server, gaugeOfServers(packObjectsQueued)), legend: '{{pod}} {{node}} waiting' },
      ],
      width: 8,
    }),
    timeseries({
      id: ids.packLimit,
      title: 'Pack-objects: limit',
      tells: 'For one address.',
      unit: 'short',
      queries: [
        {
          expression: maxBy([...server, 'kind', 'bound'], gaugeOfServers(packObjectsLimit)),
          legend: '{{pod}} {{node}} {{kind}} {{bound}}',
        },
      ],
      width: 8,
    }),
    timeseries({
      id: ids.backoffs,
      title: 'Adaptive limits: steps back',
      tells: 'How often the watchers of memory, CPU and pressure lowered the adaptive limits.',
      unit: 'cps',
      queries: [
        {
          expression: sumBy(
            ['watcher'],
            maxBy([...server, 'watcher'], rate(counterOfServers(adaptiveBackoffs), range)),
          ),
          legend: '{{watcher}}',
        },
      ],
      width: 12,
    }),
    stat({
      id: ids.readable,
      title: 'Servers that cannot be read',
      tells: 'Of those nothing on this board is known.',
      unit: 'short',
      expression: sumBy([], subtract(1, maxBy([...server, 'component'], gaugeOfServers(scrapeUp)))),
      steps: ['green', [1, 'red']],
      width: 12,
    }),
  ],
});
