/** The replication queue: what waits, for whom, since when, and whether it moves. */
import { clusterLabels, storageLabels } from '../../src/monitoring/labels.ts';
import { replicationDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  divide,
  equals,
  maxBy,
  minBy,
  oneOf,
  or,
  rate,
  subtract,
  sumBy,
} from '../../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../../src/monitoring/settings.ts';
import {
  jobsEnqueued,
  jobsRemoved,
  oldestJob,
  replicationJobs,
  staleJobs,
} from '../../src/sources/praefect/queries/queue.ts';
import type { Row } from '../board.ts';
import { timeseries } from '../kit.ts';
import { counterOnBoard, gaugeOnBoard } from '../variables.ts';
import { age, perStorage } from './shared.ts';

const { panels: ids, rows } = replicationDashboard;
const waiting = oneOf('ready', 'failed');
const live = oneOf('ready', 'in_progress', 'failed');

export function queue({ thresholds }: MonitoringSettings): Row {
  const jobsOf = (state: typeof live) =>
    maxBy([...storageLabels, 'state', 'change'], gaugeOnBoard(replicationJobs, { state }));
  const depth = sumBy([], jobsOf(live));
  const inflow = sumBy([], maxBy(clusterLabels, rate(counterOnBoard(jobsEnqueued), '$__rate_interval')));
  const outflow = sumBy([], maxBy(clusterLabels, rate(counterOnBoard(jobsRemoved), '$__rate_interval')));
  const shrinking = above(subtract(outflow, inflow, { on: [] }), 0);
  return {
    id: rows.queue,
    title: 'Queue',
    panels: [
      timeseries({
        id: ids.jobsByState,
        title: 'Jobs by state',
        tells: 'What is in the queue. Empty is normal: writes to healthy replicas do not go by the queue.',
        unit: 'short',
        queries: [{ expression: sumBy(['state'], jobsOf(live)), legend: '{{state}}' }],
        draw: 'stacked',
        width: 8,
      }),
      timeseries({
        id: ids.jobsByTarget,
        title: 'Jobs by target',
        tells: 'Which storage they are for. One that is down collects them until it is back.',
        unit: 'short',
        queries: [{ expression: sumBy(storageLabels, jobsOf(live)), legend: perStorage }],
        draw: 'stacked',
        width: 8,
      }),
      timeseries({
        id: ids.oldestJob,
        title: 'Age of the oldest waiting job',
        tells:
          'How long a storage has been waited for. Alert: PraefectReplicationStalled, when nothing moves beside.',
        unit: 's',
        queries: [
          {
            expression: age(minBy(storageLabels, gaugeOnBoard(oldestJob, { state: waiting }))),
            legend: perStorage,
          },
        ],
        limit: thresholds.replicationOldestJob.value,
        width: 8,
      }),
      timeseries({
        id: ids.inAndOut,
        title: 'Jobs in and out',
        tells: 'Jobs that enter and that leave the queue, for whatever reason, per second.',
        unit: 'cps',
        queries: [
          { expression: inflow, legend: 'in' },
          { expression: outflow, legend: 'out' },
        ],
        width: 8,
      }),
      timeseries({
        id: ids.timeToDrain,
        title: 'Time to drain',
        tells:
          'When the queue will be empty if jobs go on to come and leave as they do now. Nothing is drawn while more come than leave: then it never will.',
        unit: 's',
        queries: [
          {
            expression: or(equals(depth, 0), divide(depth, shrinking, { on: [] })),
            legend: 'time to drain',
          },
        ],
        width: 8,
      }),
      timeseries({
        id: ids.staleJobs,
        title: 'Stale jobs',
        tells: 'Jobs that nothing will finish as they are.',
        unit: 'short',
        queries: [
          {
            expression: maxBy([...storageLabels, 'reason'], gaugeOnBoard(staleJobs)),
            legend: `${perStorage} {{reason}}`,
          },
        ],
        width: 8,
      }),
    ],
  };
}
