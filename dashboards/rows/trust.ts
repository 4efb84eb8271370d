/** The row with which a board begins: whether what it says is there, and fresh. */

import { durationInWords } from '../../src/monitoring/durations.ts';
import { clusterLabels, virtualStorageLabels } from '../../src/monitoring/labels.ts';
import { replicationDashboard } from '../../src/monitoring/links.ts';
import { avgBy, countBy, maxBy, minBy, subtract, sumBy } from '../../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../../src/monitoring/settings.ts';
import { buildInfo, collectorLastSuccess, collectorSuccess } from '../../src/scheduler/self-metrics.ts';
import { up } from '../../src/sources/praefect/queries/database.ts';
import { heartbeatTimestamp, praefectAlive } from '../../src/sources/praefect/queries/health.ts';
import type { Row } from '../board.ts';
import { stat } from '../kit.ts';
import { gaugeOnBoard } from '../variables.ts';
import { age } from './shared.ts';

const { panels: ids, rows } = replicationDashboard;

export const trust = ({ thresholds }: MonitoringSettings): Row => ({
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
      tells: `Age of the newest heartbeat, of the virtual storage whose is oldest. When it is over ${durationInWords(thresholds.heartbeatStale.value)}, nothing that rests on health is to be believed. Alert: PraefectQuorumLost.`,
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
      steps: ['red', [thresholds.quorumRatio.value, 'orange'], [1, 'green']],
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
