/** Replicas that lack writes, whatever the queue says. */

import { durationInWords } from '../../src/monitoring/durations.ts';
import { storageLabels } from '../../src/monitoring/labels.ts';
import { replicationDashboard } from '../../src/monitoring/links.ts';
import { maxBy, minBy, oneOf } from '../../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../../src/monitoring/settings.ts';
import {
  replicaBehindSince,
  replicaGenerationsBehindMax,
  replicas,
  replicasOutdatedUnscheduled,
  replicasStuck,
} from '../../src/sources/praefect/mirror/metrics.ts';
import type { Row } from '../board.ts';
import { timeseries } from '../kit.ts';
import { gaugeOnBoard } from '../variables.ts';
import { age, perStorage } from './shared.ts';

const { panels: ids, rows } = replicationDashboard;

export const laggards = ({ thresholds }: MonitoringSettings): Row => ({
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
      tells: `How long the replica that has been behind longest has been so. The line is at ${durationInWords(thresholds.replicaStuckThreshold.value)}.`,
      unit: 's',
      queries: [
        { expression: age(minBy(storageLabels, gaugeOnBoard(replicaBehindSince))), legend: perStorage },
      ],
      limit: thresholds.replicaStuckThreshold.value,
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
