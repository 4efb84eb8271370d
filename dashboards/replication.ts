/** Replication: whether the queue is processed, when it will be empty, and which replicas stay behind. */
import { secondsSinceTimestamp } from '../src/monitoring/ages.ts';
import { durationInWords } from '../src/monitoring/durations.ts';
import { clusterLabels, storageLabels } from '../src/monitoring/labels.ts';
import { replicationDashboard } from '../src/monitoring/links.ts';
import {
  above,
  divide,
  equals,
  maxBy,
  minBy,
  multiply,
  oneOf,
  or,
  rate,
  subtract,
  sumBy,
  type Vector,
} from '../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import {
  replicaBehindSince,
  replicaGenerationsBehindMax,
  replicas,
  replicasOutdatedUnscheduled,
  replicasStuck,
} from '../src/sources/praefect/mirror/metrics.ts';
import { verificationOldest, verificationReplicas } from '../src/sources/praefect/mirror/verification.ts';
import {
  jobsEnqueued,
  jobsRemoved,
  oldestJob,
  replicationJobs,
  staleJobs,
} from '../src/sources/praefect/queries/queue.ts';
import { buildDashboard, type Dashboard, type DashboardRow, type DashboardSettings } from './dashboard.ts';
import { stat, table, timeseries } from './panels.ts';
import { rateRange, storageLegend, total } from './queries.ts';
import { praefectCounter, praefectGauge } from './variables.ts';

const waiting = oneOf('ready', 'failed');
const queued = oneOf('ready', 'in_progress', 'failed');

export const replication = (settings: DashboardSettings): Dashboard =>
  buildDashboard(settings, {
    name: 'replication',
    uid: replicationDashboard.uid,
    title: 'Praefect: replication',
    description:
      'Whether the replication queue is processed and when it will be empty, and which replicas are outdated, stuck or unverified.',
    scope: 'praefect',
    rows: [overviewRow(settings), queueRow(settings), replicasRow(settings), verificationRow(settings)],
  });

const jobsBy = (state: typeof queued) =>
  maxBy([...storageLabels, 'state', 'change'], praefectGauge(replicationJobs, { state }));

const depth = () => total(jobsBy(queued));

const jobRate = (counter: typeof jobsEnqueued | typeof jobsRemoved) =>
  total(maxBy(clusterLabels, rate(praefectCounter(counter), rateRange)));

/** Depth by the rate at which the queue shrinks; 0 for an empty queue, nothing while it grows. */
const timeToDrain = (): Vector<never> => {
  const shrinking = above(subtract(jobRate(jobsRemoved), jobRate(jobsEnqueued), { on: [] }), 0);
  return or(equals(depth(), 0), divide(depth(), shrinking, { on: [] }));
};

const waitingSince = () => minBy(storageLabels, praefectGauge(oldestJob, { state: waiting }));

/** Stands for a queue that is not empty and does not shrink. */
const neverEmpty = -2;

const overviewRow = ({ thresholds }: MonitoringSettings): DashboardRow => ({
  id: 101,
  title: 'Overview',
  panels: [
    stat({
      id: 1,
      title: 'Queued jobs',
      description:
        'Jobs that wait, run or are retried. An empty queue is normal: writes to healthy replicas need no job.',
      unit: 'short',
      expression: depth(),
      steps: ['green', [1, 'blue']],
      width: 8,
    }),
    stat({
      id: 2,
      title: 'Oldest waiting job',
      description: `Age of the oldest job that waits. Over ${durationInWords(thresholds.replicationOldestJob.value)}, replication has stalled or is too slow.`,
      unit: 's',
      expression: or(secondsSinceTimestamp(minBy([], waitingSince())), multiply(depth(), 0), { on: [] }),
      steps: ['green', [thresholds.replicationOldestJob.value, 'red']],
      words: { 0: 'none waiting' },
      width: 8,
    }),
    stat({
      id: 3,
      title: 'Time to drain',
      description: 'When the queue will be empty at the present rates.',
      unit: 's',
      expression: or(timeToDrain(), subtract(multiply(depth(), 0), -neverEmpty), { on: [] }),
      steps: ['orange', [0, 'green']],
      words: { 0: 'queue empty', [neverEmpty]: 'not shrinking' },
      width: 8,
    }),
    stat({
      id: 4,
      title: 'Outdated replicas',
      description: 'Assigned replicas that lack writes, and assigned replicas without a record.',
      unit: 'short',
      expression: total(
        maxBy([...storageLabels, 'state'], praefectGauge(replicas, { state: oneOf('outdated', 'missing') })),
      ),
      steps: ['green', [1, 'orange']],
      width: 8,
    }),
    stat({
      id: 5,
      title: 'Stuck replicas',
      description: `Replicas that made no progress for ${durationInWords(thresholds.replicaStuckThreshold.value)} although their storage is healthy.`,
      unit: 'short',
      expression: total(maxBy(storageLabels, praefectGauge(replicasStuck))),
      steps: ['green', [1, 'red']],
      width: 8,
    }),
    stat({
      id: 6,
      title: 'Stale jobs',
      description:
        'Jobs that cannot finish in their current state: their lock expired, or their storage is unknown.',
      unit: 'short',
      expression: total(maxBy([...storageLabels, 'reason'], praefectGauge(staleJobs))),
      steps: ['green', [1, 'orange']],
      width: 8,
    }),
  ],
});

const queueRow = ({ thresholds }: MonitoringSettings): DashboardRow => ({
  id: 102,
  title: 'Replication queue',
  panels: [
    timeseries({
      id: 11,
      title: 'Jobs by state',
      description: 'failed: a job that will be retried. A job without attempts left is deleted.',
      unit: 'short',
      queries: [{ expression: sumBy(['state'], jobsBy(queued)), legend: '{{state}}' }],
      draw: 'stacked',
      noValue: 'the queue is not read',
      width: 8,
    }),
    timeseries({
      id: 12,
      title: 'Jobs by target storage',
      description: 'The queue of a storage that is down grows until the storage is back.',
      unit: 'short',
      queries: [{ expression: sumBy(storageLabels, jobsBy(queued)), legend: storageLegend }],
      draw: 'stacked',
      legend: 'table',
      noValue: 'the queue is not read',
      width: 8,
    }),
    timeseries({
      id: 13,
      title: 'Age of the oldest waiting job',
      description: 'By target storage. The alert fires when, in addition, no job was completed.',
      unit: 's',
      queries: [{ expression: secondsSinceTimestamp(waitingSince()), legend: storageLegend }],
      threshold: thresholds.replicationOldestJob.value,
      noValue: 'no job was waiting, or the queue is not read',
      width: 8,
    }),
    timeseries({
      id: 14,
      title: 'Jobs enqueued and removed',
      description: 'Jobs that entered and left the queue per second, for any reason.',
      unit: 'ops',
      queries: [
        { expression: jobRate(jobsEnqueued), legend: 'enqueued' },
        { expression: jobRate(jobsRemoved), legend: 'removed' },
      ],
      noValue: 'the queue is not read',
      width: 8,
    }),
    timeseries({
      id: 15,
      title: 'Time to drain over time',
      description: 'At the rates of each moment. Not drawn while the queue grows: it will not be empty then.',
      unit: 's',
      queries: [{ expression: timeToDrain(), legend: 'time to drain' }],
      legend: 'hidden',
      noValue: 'the queue grew all the time, or is not read',
      width: 8,
    }),
    timeseries({
      id: 16,
      title: 'Stale jobs by reason',
      description:
        'lock_expired: another Praefect releases it within 90 s. lock_missing and storage_unknown: it never finishes.',
      unit: 'short',
      queries: [
        {
          expression: sumBy(['reason'], maxBy([...storageLabels, 'reason'], praefectGauge(staleJobs))),
          legend: '{{reason}}',
        },
      ],
      noValue: 'the queue is not read',
      width: 8,
    }),
  ],
});

const replicasRow = ({ thresholds }: MonitoringSettings): DashboardRow => {
  const inState = (...states: ('outdated' | 'missing' | 'unassigned' | 'current')[]) =>
    maxBy(storageLabels, praefectGauge(replicas, { state: oneOf(...states) }));
  return {
    id: 103,
    title: 'Outdated replicas',
    panels: [
      table({
        id: 26,
        title: 'Replicas by storage',
        description:
          'Unassigned: a record on a storage that the repository is not assigned to. Behind for: of the replica that has been behind longest.',
        unit: 'none',
        labels: [
          { label: 'cluster', title: 'Cluster' },
          { label: 'virtual_storage', title: 'Virtual storage', width: 140 },
          { label: 'storage', title: 'Storage' },
        ],
        values: [
          { title: 'Current', expression: inState('current'), unit: 'short' },
          {
            title: 'Outdated',
            expression: inState('outdated'),
            unit: 'short',
            steps: ['green', [1, 'orange']],
          },
          {
            title: 'Missing',
            expression: inState('missing'),
            unit: 'short',
            steps: ['green', [1, 'orange']],
          },
          { title: 'Unassigned', expression: inState('unassigned'), unit: 'short' },
          {
            title: 'Stuck',
            expression: maxBy(storageLabels, praefectGauge(replicasStuck)),
            unit: 'short',
            steps: ['green', [1, 'red']],
          },
          {
            title: 'Behind for',
            expression: secondsSinceTimestamp(minBy(storageLabels, praefectGauge(replicaBehindSince))),
            unit: 's',
            decimals: 0,
            steps: ['green', [thresholds.replicaStuckThreshold.value, 'red']],
          },
          {
            title: 'Writes behind',
            expression: maxBy(storageLabels, praefectGauge(replicaGenerationsBehindMax)),
            unit: 'short',
          },
        ],
        hide: ['namespace'],
        sort: { by: 'Outdated', descending: true },
        noValue: 'no storage in this selection',
        width: 24,
        height: 7,
      }),
      timeseries({
        id: 21,
        title: 'Outdated and missing replicas',
        description: 'Replicas that lack writes, with or without a replication job.',
        unit: 'short',
        queries: [
          {
            expression: maxBy(
              [...storageLabels, 'state'],
              praefectGauge(replicas, { state: oneOf('outdated', 'missing') }),
            ),
            legend: `${storageLegend} {{state}}`,
          },
        ],
        legend: 'table',
        noValue: 'no storage in this selection',
        width: 8,
      }),
      timeseries({
        id: 22,
        title: 'Stuck replicas by storage',
        description: 'Their jobs fail and are deleted, or none is created.',
        unit: 'short',
        queries: [{ expression: maxBy(storageLabels, praefectGauge(replicasStuck)), legend: storageLegend }],
        threshold: 1,
        noValue: 'no storage in this selection',
        width: 8,
      }),
      timeseries({
        id: 23,
        title: 'Time behind',
        description: `Of the replica that has been behind longest. The line is at ${durationInWords(thresholds.replicaStuckThreshold.value)}.`,
        unit: 's',
        queries: [
          {
            expression: secondsSinceTimestamp(minBy(storageLabels, praefectGauge(replicaBehindSince))),
            legend: storageLegend,
          },
        ],
        threshold: thresholds.replicaStuckThreshold.value,
        noValue: 'no replica was behind, or none is read',
        width: 8,
      }),
      timeseries({
        id: 24,
        title: 'Outdated replicas without a replication job',
        description: 'Fluctuates while jobs are created and finished.',
        unit: 'short',
        queries: [
          {
            expression: maxBy(storageLabels, praefectGauge(replicasOutdatedUnscheduled)),
            legend: storageLegend,
          },
        ],
        noValue: 'no storage in this selection',
        width: 12,
      }),
      timeseries({
        id: 25,
        title: 'Writes behind, worst replica',
        description: 'Generations that the replica furthest behind lacks.',
        unit: 'short',
        queries: [
          {
            expression: maxBy(storageLabels, praefectGauge(replicaGenerationsBehindMax)),
            legend: storageLegend,
          },
        ],
        noValue: 'no storage in this selection',
        width: 12,
      }),
    ],
  };
};

const verificationRow = ({ thresholds }: MonitoringSettings): DashboardRow => ({
  id: 105,
  title: 'Verification',
  panels: [
    timeseries({
      id: 41,
      title: 'Unverified replicas',
      description:
        'Never verified, overdue, or with a verification that exceeded its lease. GitLab 14.10 and later.',
      unit: 'short',
      queries: [
        {
          expression: sumBy(
            ['state'],
            maxBy(
              [...storageLabels, 'state'],
              praefectGauge(verificationReplicas, { state: oneOf('unverified', 'overdue', 'lease_expired') }),
            ),
          ),
          legend: '{{state}}',
        },
      ],
      noValue: 'this version of Praefect does not verify replicas',
      width: 12,
    }),
    timeseries({
      id: 42,
      title: 'Age of the oldest verification',
      description: `Of the replica whose verification is oldest. The line is at ${durationInWords(thresholds.verificationOverdue.value)}.`,
      unit: 's',
      queries: [
        {
          expression: secondsSinceTimestamp(minBy(storageLabels, praefectGauge(verificationOldest))),
          legend: storageLegend,
        },
      ],
      threshold: thresholds.verificationOverdue.value,
      noValue: 'no replica was ever verified',
      width: 12,
    }),
  ],
});
