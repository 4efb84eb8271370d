/** Replication: what waits, whether it moves, which replicas stay behind, and what that costs. */

import { clusterLabels } from '../alerts/alert.ts';
import { storageLabels, virtualStorageLabels } from '../alerts/conditions.ts';
import { spoken } from '../alerts/durations.ts';
import type { AlertSettings } from '../alerts/settings.ts';
import {
  lastFailover,
  primaries,
  primaryMoves,
  replicaBehindSince,
  replicaGenerationsBehindMax,
  replicas,
  replicasOutdatedUnscheduled,
  replicasStuck,
  repositoriesAtRisk,
  repositoriesLost,
  repositoriesReadOnly,
  repositoriesUnavailable,
} from '../src/praefect/mirror/metrics.ts';
import { verificationOldest, verificationReplicas } from '../src/praefect/mirror/verification.ts';
import { up } from '../src/praefect/questions/database.ts';
import { heartbeatTimestamp, praefectAlive } from '../src/praefect/questions/health.ts';
import {
  jobsEnqueued,
  jobsRemoved,
  oldestJob,
  replicationJobs,
  staleJobs,
} from '../src/praefect/questions/queue.ts';
import {
  above,
  avgBy,
  countBy,
  divide,
  equals,
  increase,
  maxBy,
  minBy,
  multiply,
  oneOf,
  or,
  rate,
  subtract,
  sumBy,
  time,
  type Vector,
} from '../src/promql/index.ts';
import { buildInfo, collectorLastSuccess, collectorSuccess } from '../src/runtime/self-metrics.ts';
import { type Board, board, type Row } from './board.ts';
import { stat, timeseries } from './kit.ts';
import { replication } from './panels.ts';
import { counterOnBoard, gaugeOnBoard } from './variables.ts';

const { panels: ids, rows } = replication;
const perStorage = '{{virtual_storage}} / {{storage}}';
const waiting = oneOf('ready', 'failed');
const live = oneOf('ready', 'in_progress', 'failed');

export const replicationBoard = (settings: AlertSettings): Board =>
  board('replication', {
    uid: replication.uid,
    title: 'Praefect: replication',
    description:
      "The replication queue of Praefect's database, the replicas that are behind, and what becomes unavailable by it.",
    rows: [trust(settings), queue(settings), laggards(settings), access(), verification(settings)],
    moments: [
      {
        name: 'Failovers',
        expression: multiply(
          maxBy([...virtualStorageLabels, 'from_storage'], gaugeOnBoard(lastFailover)),
          1000,
        ),
        colour: 'orange',
        title: 'Failover',
        text: '{{virtual_storage}}: primaries moved off {{from_storage}}',
      },
    ],
    links: [{ title: 'Runbooks', url: settings.runbookUrl }],
  });

/** The age of a timestamp. */
const age = <Labels extends string>(timestamp: Vector<Labels>): Vector<Labels> => subtract(time(), timestamp);

/** First of all: whether what the board says is there, and fresh. */
const trust = ({ thresholds }: AlertSettings): Row => ({
  id: rows.trust,
  title: 'Is this to be believed?',
  panels: [
    stat({
      id: ids.exporters,
      title: 'Exporters',
      tells: 'Exporters that Prometheus scrapes. Alert: GitalyExporterDown.',
      unit: 'short',
      expression: countBy([], maxBy(['job', 'instance'], gaugeOnBoard(buildInfo))),
      steps: ['red', [1, 'green']],
      width: 4,
    }),
    stat({
      id: ids.database,
      title: 'Database',
      tells: "Whether Praefect's database answers. Alert: PraefectDatabaseUnreachable.",
      unit: 'short',
      expression: minBy([], maxBy(clusterLabels, gaugeOnBoard(up))),
      words: { 0: 'DOWN', 1: 'answers' },
      steps: ['red', [1, 'green']],
      width: 4,
    }),
    stat({
      id: ids.heartbeats,
      title: 'Newest heartbeat',
      tells: `Age of the newest heartbeat, of the virtual storage whose is oldest. When it is over ${spoken(thresholds.heartbeatStale.value)}, nothing that rests on health is to be believed. Alert: PraefectQuorumLost.`,
      unit: 's',
      expression: maxBy([], age(maxBy(virtualStorageLabels, gaugeOnBoard(heartbeatTimestamp)))),
      steps: ['green', [thresholds.heartbeatStale.value, 'red']],
      width: 4,
    }),
    stat({
      id: ids.praefects,
      title: 'Praefects alive',
      tells:
        'Share of the Praefects known within the last day that are alive, of the virtual storage with the lowest. Alert: PraefectQuorumLost.',
      unit: 'percentunit',
      expression: minBy(
        [],
        avgBy(
          virtualStorageLabels,
          maxBy([...virtualStorageLabels, 'praefect'], gaugeOnBoard(praefectAlive)),
        ),
      ),
      steps: ['red', [thresholds.quorumShare.value, 'orange'], [1, 'green']],
      width: 4,
    }),
    stat({
      id: ids.collectors,
      title: 'Failing collectors',
      tells:
        'Collectors without a good answer: their series are old or withdrawn. Alert: GitalyExporterCollectorFailing.',
      unit: 'short',
      expression: sumBy(
        [],
        subtract(1, maxBy([...clusterLabels, 'instance', 'collector'], gaugeOnBoard(collectorSuccess))),
      ),
      steps: ['green', [1, 'red']],
      width: 4,
    }),
    stat({
      id: ids.answers,
      title: 'Oldest answer',
      tells: 'Time since the collector that waits longest last had a good answer.',
      unit: 's',
      expression: maxBy([], age(maxBy([...clusterLabels, 'collector'], gaugeOnBoard(collectorLastSuccess)))),
      steps: ['green', [thresholds.collectorFailing.value, 'red']],
      width: 4,
    }),
  ],
});

function queue({ thresholds }: AlertSettings): Row {
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
        limit: thresholds.replicationOldest.value,
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

const laggards = ({ thresholds }: AlertSettings): Row => ({
  id: rows.replicas,
  title: 'Replicas that are behind',
  panels: [
    timeseries({
      id: ids.outdated,
      title: 'Outdated and missing replicas',
      tells: 'Replicas that lack writes, whatever the queue says.',
      unit: 'short',
      queries: [
        {
          expression: maxBy(
            [...storageLabels, 'state'],
            gaugeOnBoard(replicas, { state: oneOf('outdated', 'missing') }),
          ),
          legend: `${perStorage} {{state}}`,
        },
      ],
      width: 8,
    }),
    timeseries({
      id: ids.stuck,
      title: 'Stuck replicas',
      tells: 'Replicas that do not catch up: their jobs fail and vanish. Alert: PraefectReplicaStuck.',
      unit: 'short',
      queries: [{ expression: maxBy(storageLabels, gaugeOnBoard(replicasStuck)), legend: perStorage }],
      limit: 1,
      width: 8,
    }),
    timeseries({
      id: ids.behindSince,
      title: 'Behind for',
      tells: `How long the replica that has been behind longest has been so. The line is at ${spoken(thresholds.replicaStuckAfter.value)}.`,
      unit: 's',
      queries: [
        { expression: age(minBy(storageLabels, gaugeOnBoard(replicaBehindSince))), legend: perStorage },
      ],
      limit: thresholds.replicaStuckAfter.value,
      width: 8,
    }),
    timeseries({
      id: ids.unscheduled,
      title: 'Behind, and no job queued',
      tells: 'It flickers while the reconciler queues jobs that fail at once.',
      unit: 'short',
      queries: [
        {
          expression: maxBy(storageLabels, gaugeOnBoard(replicasOutdatedUnscheduled)),
          legend: perStorage,
        },
      ],
      width: 12,
    }),
    timeseries({
      id: ids.generationsBehind,
      title: 'Generations behind',
      tells: 'How many writes the worst replica lacks.',
      unit: 'short',
      queries: [
        {
          expression: maxBy(storageLabels, gaugeOnBoard(replicaGenerationsBehindMax)),
          legend: perStorage,
        },
      ],
      width: 12,
    }),
  ],
});

const access = (): Row => ({
  id: rows.access,
  title: 'What it costs',
  panels: [
    timeseries({
      id: ids.unavailable,
      title: 'Repositories out of reach',
      tells: 'What users cannot read or write. Alert: PraefectRepositoriesUnavailable.',
      unit: 'short',
      queries: [
        {
          expression: maxBy(virtualStorageLabels, gaugeOnBoard(repositoriesUnavailable)),
          legend: '{{virtual_storage}} unavailable',
        },
        {
          expression: maxBy(virtualStorageLabels, gaugeOnBoard(repositoriesReadOnly)),
          legend: '{{virtual_storage}} read-only',
        },
        {
          expression: maxBy(virtualStorageLabels, gaugeOnBoard(repositoriesLost)),
          legend: '{{virtual_storage}} lost',
        },
      ],
      limit: 1,
      width: 6,
    }),
    timeseries({
      id: ids.atRisk,
      title: 'At risk',
      tells: 'Repositories that the loss of this storage, and of it alone, would put out of reach.',
      unit: 'short',
      queries: [{ expression: maxBy(storageLabels, gaugeOnBoard(repositoriesAtRisk)), legend: perStorage }],
      width: 6,
    }),
    timeseries({
      id: ids.primaries,
      title: 'Primaries',
      tells: 'Where primaries are. They never move back by themselves, so a roll-out leaves them skewed.',
      unit: 'short',
      queries: [{ expression: maxBy(storageLabels, gaugeOnBoard(primaries)), legend: perStorage }],
      draw: 'stacked',
      width: 6,
    }),
    timeseries({
      id: ids.primaryMoves,
      title: 'Primaries that moved',
      tells:
        'From where, to where, and whether the storage that they left was unhealthy. Alert: PraefectFailover.',
      unit: 'short',
      queries: [
        {
          expression: above(
            maxBy(
              [...virtualStorageLabels, 'from_storage', 'to_storage', 'cause'],
              increase(counterOnBoard(primaryMoves), '$__rate_interval'),
            ),
            0,
          ),
          legend: '{{virtual_storage}}: {{from_storage}} to {{to_storage}} ({{cause}})',
        },
      ],
      draw: 'bars',
      width: 6,
    }),
  ],
});

const verification = ({ thresholds }: AlertSettings): Row => ({
  id: rows.verification,
  title: 'Verification',
  panels: [
    timeseries({
      id: ids.verification,
      title: 'Replicas that are not verified',
      tells: 'Where the verifier has not been, is late, or stopped in between. GitLab 14.10 and later.',
      unit: 'short',
      queries: [
        {
          expression: maxBy(
            [...storageLabels, 'state'],
            gaugeOnBoard(verificationReplicas, { state: oneOf('unverified', 'overdue', 'leased_expired') }),
          ),
          legend: `${perStorage} {{state}}`,
        },
      ],
      width: 12,
    }),
    timeseries({
      id: ids.verificationOldest,
      title: 'Oldest verification',
      tells: 'Time since the replica that waits longest was verified.',
      unit: 's',
      queries: [
        { expression: age(minBy(storageLabels, gaugeOnBoard(verificationOldest))), legend: perStorage },
      ],
      limit: thresholds.verificationOverdue.value,
      width: 12,
    }),
  ],
});
